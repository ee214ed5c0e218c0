"""One optimiser step of behaviour cloning, and everything the next one depends on.

A batch is computed in two halves whose gradients are added in a fixed order, so one thread and two
give the same bits: the number of threads decides how long a training takes, never what it learns.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from steadyhand.contracts.errors import StageError, UsageError
from steadyhand.contracts.seeds import seed_for_torch
from steadyhand.models.policies.chunking_network import ChunkingNetwork, scale
from steadyhand.training.augmentation import Light, draw_light
from steadyhand.training.chunk_targets import ChunkTargets
from steadyhand.training.data_order import draw_rows

# Losses (2,) and gradients of a part of a batch, and what computes them.
_Result = tuple[Tensor, tuple[Tensor, ...]]
_Half = Callable[[], _Result]


@dataclass(frozen=True, slots=True)
class BehaviourCloningConfig:
    """How to train.

    Args:
        seed: Seed of weights, data order and augmentation.
        num_steps: Optimiser steps.
        batch_size: Chunks per step, at least 2.
        learning_rate: Peak of the schedule.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Of AdamW.
        ema_decay: Of the moving average of the weights.
        grip_weight: Weight of the grip's cross-entropy beside the motion's L1.
        light_jitter: Strength of the change of light in pictures, 0 for none.
        max_gradient_norm: Longer gradients are shortened to this norm.
        freeze_vision: Train the head only; the vision part comes from an initial policy.
        candidate_steps: Steps after which a candidate is written; one is always written at the end.
        checkpoint_every: Steps between checkpoints, a multiple of ``log_every``.
        log_every: Steps that one row of metrics is the mean of.
        num_threads: 1 or 2 threads; decides the speed, never the result.
        device: ``cpu`` or ``cuda``.
    """

    seed: int = 0
    num_steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    ema_decay: float = 0.998
    grip_weight: float = 0.3
    light_jitter: float = 0.0
    max_gradient_norm: float = 10.0
    freeze_vision: bool = False
    candidate_steps: tuple[int, ...] = ()
    checkpoint_every: int = 200
    log_every: int = 20
    num_threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        least = {"num_steps": 1, "batch_size": 2, "checkpoint_every": 1, "log_every": 1}
        wrong = [name for name, low in least.items() if asdict(self)[name] < low]
        if wrong or self.num_threads not in (1, 2) or self.warmup_steps < 0:
            raise UsageError(
                f"{', '.join(wrong) or 'num_threads or warmup_steps'} out of range: counts are at "
                "least 1 (batch_size 2), num_threads is 1 or 2, warmup_steps at least 0"
            )
        if self.checkpoint_every % self.log_every:
            raise UsageError(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of log_every "
                f"({self.log_every}), so that a resumed training logs the same means"
            )
        if not (self.learning_rate > 0 and self.max_gradient_norm > 0 and self.weight_decay >= 0):
            raise UsageError("learning_rate and max_gradient_norm must be positive")
        if not (0 <= self.ema_decay < 1 and 0 <= self.light_jitter < 1 and self.grip_weight >= 0):
            raise UsageError(
                "ema_decay and light_jitter must be in 0..1 (1 excluded), grip_weight not negative"
            )
        if any(not 0 < step <= self.num_steps for step in self.candidate_steps):
            raise UsageError(
                f"candidate_steps {self.candidate_steps} must lie in 1..{self.num_steps}"
            )
        if self.device not in ("cpu", "cuda"):
            raise UsageError(f"device must be 'cpu' or 'cuda', got {self.device!r}")


@dataclass(frozen=True, slots=True)
class Examples:
    """What is learned from; M chunks over N rows.

    Args:
        images: uint8 (N, height, width, 3), one tensor per camera.
        state: float (N, S).
        rows: int64 (M,) row each chunk starts at.
        motion: float (M, n, 4) normalised relative motion.
        grip: float (M, n).
        is_valid: float (M, n) of 0 and 1.
    """

    images: tuple[Tensor, ...]
    state: Tensor
    rows: Tensor
    motion: Tensor
    grip: Tensor
    is_valid: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all of them, in a fixed order."""
        return (*self.images, self.state, self.rows, self.motion, self.grip, self.is_valid)

    @staticmethod
    def build(
        images: Sequence[NDArray[np.uint8]],
        state: NDArray[np.float32],
        targets: ChunkTargets,
        network: ChunkingNetwork,
    ) -> "Examples":
        """Normalise the targets as the network's head will undo it."""
        head = network.head
        motion = (torch.from_numpy(targets.motion) - head.motion_mean) / head.motion_std
        return Examples(
            images=tuple(torch.from_numpy(np.require(i, requirements=("C", "W"))) for i in images),
            state=torch.from_numpy(np.require(state, np.float32, ("C", "W"))),
            rows=torch.from_numpy(targets.rows),
            motion=motion,
            grip=torch.from_numpy(targets.grip),
            is_valid=torch.from_numpy(targets.is_valid).to(torch.float32),
        )


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step measured.

    Args:
        loss_motion: Mean absolute error of the normalised motion.
        loss_grip: Mean cross-entropy of the grip.
        gradient_norm: Norm of the gradient before it was clipped.
        learning_rate: Rate this step was made with.
    """

    loss_motion: float
    loss_grip: float
    gradient_norm: float
    learning_rate: float


class CloningLearner:
    """Weights in training. A context manager, because it owns a thread.

    Args:
        config: How to make a step.
        network: The network; trained in place.
        examples: What to learn from; stays on the CPU.
        device: Where to compute.
    """

    def __init__(
        self,
        config: BehaviourCloningConfig,
        network: ChunkingNetwork,
        examples: Examples,
        device: torch.device,
    ) -> None:
        self.config = config
        self.network = network.to(device).train()
        self.step = 0
        self.position = 0
        self._examples = examples
        self._device = device
        self._helper = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
        trained = network.head if config.freeze_vision else network
        self._trained = {id(p) for p in trained.parameters()}
        self._weights = [p for p in network.parameters() if id(p) in self._trained]
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in self._trained)
        self._averages = {n: p.detach().clone() for n, p in network.named_parameters()}
        self._optimiser = torch.optim.AdamW(
            self._weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._chance = torch.Generator()
        self._chance.manual_seed(seed_for_torch("training", "augmentation", config.seed))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the helping thread."""
        self._helper.shutdown()

    def advance(self) -> StepReport:
        """Make one optimiser step.

        Raises:
            StageError: If loss or gradient is not finite; the weights are not changed then.
        """
        config, examples = self.config, self._examples
        drawn = draw_rows(config.seed, len(examples.rows), self.position, config.batch_size)
        chunks = torch.from_numpy(drawn)
        lights = [
            draw_light(len(chunks), config.light_jitter, self._chance) for _ in examples.images
        ]
        # At least 1: the first action of every chunk is valid.
        num_valid = examples.is_valid[chunks].sum().item()
        middle = (len(chunks) + 1) // 2
        halves = slice(0, middle), slice(middle, len(chunks))
        first, second = self._compute_both(
            *(partial(self._compute, chunks, lights, half, num_valid) for half in halves)
        )
        losses = (first[0] + second[0]).tolist()
        for parameter, gradient, other in zip(self._weights, first[1], second[1], strict=True):
            # Convolutions give channels-last gradients; the fused optimiser reads memory in order
            # and would apply them to the wrong weights, without any error.
            parameter.grad = (gradient + other).contiguous()
        norm = torch.nn.utils.clip_grad_norm_(self._weights, config.max_gradient_norm).item()
        self._check_finite(losses, norm)
        rate = self._learning_rate()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self.step += 1
        self.position += len(chunks)
        self._update_averages()
        return StepReport(losses[0], losses[1], norm, rate)

    def _compute_both(self, first: _Half, second: _Half) -> tuple[_Result, _Result]:
        """Compute two halves, at the same time if there are two threads."""
        if self.config.num_threads == 1:
            return first(), second()
        helped = self._helper.submit(second)
        return first(), helped.result()

    def _compute(
        self, chunks: Tensor, lights: Sequence[Light], half: slice, num_valid: float
    ) -> _Result:
        """Return the losses (2,) of a part of the batch and the gradients of their sum."""
        examples, chunks = self._examples, chunks[half]
        rows = examples.rows[chunks]
        images = [
            light.apply(scale(frames[rows]), half).to(self._device)
            for light, frames in zip(lights, examples.images, strict=True)
        ]
        with torch.set_grad_enabled(not self.config.freeze_vision):
            features = self.network.vision.encode(*images)
        with torch.enable_grad():
            state = examples.state[rows].to(self._device)
            decoded = self.network.head.decode(features, state)
            is_valid = examples.is_valid[chunks].to(self._device)
            error = (decoded[:, :, :4] - examples.motion[chunks].to(self._device)).abs()
            motion = (error.mean(dim=2) * is_valid).sum() / num_valid
            grip = examples.grip[chunks].to(self._device)
            crossed = functional.binary_cross_entropy_with_logits(
                decoded[:, :, 4], grip, weight=is_valid, reduction="sum"
            )
            closing = crossed / num_valid
            loss = motion + self.config.grip_weight * closing
            gradients = torch.autograd.grad(loss, self._weights)
        return torch.stack((motion, closing)).detach().cpu(), gradients

    def _check_finite(self, losses: Sequence[float], norm: float) -> None:
        if all(math.isfinite(value) for value in (*losses, norm)):
            return
        raise StageError(
            f"training step {self.step + 1}: the loss is {losses[0]:.4g} (motion), {losses[1]:.4g} "
            f"(grip) and the gradient's norm {norm:.4g}; most likely the learning rate "
            f"{self.config.learning_rate:g} is too high for this data, lower it (for example to "
            f"{self.config.learning_rate / 3:.1g}) and train in a new directory"
        )

    def _learning_rate(self) -> float:
        """Return the rate of the next step: linear warm-up, then half a cosine towards zero."""
        warmup = self.config.warmup_steps
        if self.step < warmup:
            return self.config.learning_rate * (self.step + 1) / warmup
        done = (self.step - warmup) / max(self.config.num_steps - warmup, 1)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def _update_averages(self) -> None:
        """Follow the weights; faster in the first steps, so that the start is forgotten."""
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if id(parameter) in self._trained:
                    self._averages[name].lerp_(parameter, 1 - decay)

    def averages(self) -> dict[str, Tensor]:
        """Return copies of the averaged weights, on the CPU, by parameter name."""
        return {name: value.detach().cpu().clone() for name, value in self._averages.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that :meth:`restore` needs, besides step and position."""
        named = {f"weights/{n}": p.detach() for n, p in self.network.named_parameters()}
        named |= {f"averages/{name}": value for name, value in self._averages.items()}
        moments = self._optimiser.state_dict()["state"]
        for index, entry in moments.items():
            named |= {f"optimiser/{index}/{name}": value for name, value in entry.items()}
        return named | {"chance": self._chance.get_state()}

    def restore(self, tensors: Mapping[str, Tensor], step: int, position: int) -> None:
        """Become the learner that :meth:`tensors` was taken from."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(tensors[f"weights/{name}"])
                self._averages[name].copy_(tensors[f"averages/{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser/"):
                _, index, name = key.split("/")
                moments.setdefault(int(index), {})[name] = value
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self._chance.set_state(tensors["chance"])
        self.step, self.position = step, position
