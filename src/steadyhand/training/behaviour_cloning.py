"""Behaviour cloning of a chunking policy: imitate the demonstrated actions, chunk by chunk.

L1 on the normalised relative motion plus a weighted cross-entropy on the grip; AdamW with warm-up
and cosine decay; the moving average of the weights is what becomes a policy. Everything is a
function of configuration and data: a training killed anywhere resumes from its directory alone and
ends with the same bits. It knows no task and no success rate: it writes candidates, and evaluation
chooses among them.
"""

import hashlib
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np
import torch

from steadyhand.contracts.clock import Clock, MonotonicClock
from steadyhand.contracts.errors import DataError, MachineError, UsageError
from steadyhand.contracts.progress import Progress
from steadyhand.contracts.seeds import seed_for_torch
from steadyhand.data.loader import TrainingArrays
from steadyhand.data.splits import Statistics
from steadyhand.models.checkpoints import write_policy
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking import STATE, ChunkingConfig, ChunkingPolicy, build_network
from steadyhand.models.policies.chunking_network import ACTION_SIZE, ChunkingNetwork
from steadyhand.models.threads import torch_threads
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.training.chunk_targets import compute_chunk_targets, compute_normalisation
from steadyhand.training.cloning_learner import (
    BehaviourCloningConfig,
    CloningLearner,
    Examples,
    StepReport,
)
from steadyhand.training.training_state import (
    TrainingState,
    clear_leftovers,
    load_newest_state,
    save_state,
)

__all__ = ["BehaviourCloningConfig", "train"]

PHASE = "train"


def train(
    config: BehaviourCloningConfig,
    policy_config: ChunkingConfig,
    arrays: TrainingArrays,
    statistics: Statistics,
    directory: Path,
    progress: Progress,
    *,
    initial: ChunkingPolicy | None = None,
    clock: Clock | None = None,
) -> tuple[Path, ...]:
    """Train, or go on with a training that was interrupted.

    Args:
        config: How to train.
        policy_config: Which policy.
        arrays: Decoded rows of the training split.
        statistics: Statistics of the training split.
        directory: Holds ``checkpoints/`` and ``candidates/step-000900/``.
        progress: Told steps and metrics (losses, gradient norm, learning rate, steps/s).
        initial: Policy to start from instead of random weights; needed to freeze the vision part.
        clock: For steps/s; the monotonic clock unless given.

    Returns:
        The candidates' directories in the order of their steps.

    Raises:
        UsageError: If the configuration cannot be trained as asked.
        DataError: If the arrays do not fit the policy, hold values that are not finite, or the
            directory belongs to another training.
        MachineError: If the device is missing or writing failed.
        StageError: If the loss is no longer finite.
    """
    device = _select_device(config.device)
    _check_arrays(policy_config, arrays)
    targets = compute_chunk_targets(
        arrays.state,
        arrays.action,
        arrays.is_label,
        arrays.episode_end,
        policy_config.chunk_length,
    )
    of_state = statistics.features[STATE]
    normalisation = compute_normalisation(targets, of_state.mean, of_state.std)
    network, normalisation = _start_network(config, policy_config, normalisation, initial)
    images = [arrays.frames[key] for key in policy_config.image_keys]
    examples = Examples.build(images, arrays.state, targets, network)
    inputs = _describe_inputs(config, policy_config, normalisation, examples, network)
    for folder in (directory / "checkpoints", directory / "candidates"):
        clear_leftovers(folder)
    with torch_threads(1), CloningLearner(config, network, examples, device) as learner:
        state = load_newest_state(directory / "checkpoints", inputs, progress)
        if state is not None:
            learner.restore(state.tensors, state.step, state.position)
            progress.say(f"training goes on from step {state.step}")
        meter = _Meter(clock or MonotonicClock(), learner.step)
        while learner.step < config.num_steps:
            meter.add(learner.advance())
            if _is_due(config, learner.step, config.log_every):
                progress.metrics(learner.step, meter.flush(config.grip_weight, learner.step))
                progress.update(PHASE, learner.step, config.num_steps, "steps")
            # Candidates first: a checkpoint at this step means that they exist.
            if learner.step in (*config.candidate_steps, config.num_steps):
                averaged = _averaged_policy(policy_config, normalisation, learner)
                write_policy(_candidate(directory, learner.step), averaged)
            if _is_due(config, learner.step, config.checkpoint_every):
                tensors = learner.tensors()
                kept = TrainingState(learner.step, learner.position, inputs, tensors)
                save_state(directory / "checkpoints", kept)
    steps = sorted({*config.candidate_steps, config.num_steps})
    return tuple(_candidate(directory, step) for step in steps)


def _is_due(config: BehaviourCloningConfig, step: int, every: int) -> bool:
    return step % every == 0 or step == config.num_steps


def _candidate(directory: Path, step: int) -> Path:
    return directory / "candidates" / f"step-{step:06d}"


class _Meter:
    """Means of what the steps measured since the last row of metrics."""

    def __init__(self, clock: Clock, step: int) -> None:
        self._clock = clock
        self._reports: list[StepReport] = []
        self._since_s, self._since_step = clock.now_s(), step

    def add(self, report: StepReport) -> None:
        """Take one step in."""
        self._reports.append(report)

    def flush(self, grip_weight: float, step: int) -> dict[str, float]:
        """Return the means and begin anew."""
        motion, grip, norm, rate = np.mean([astuple(r) for r in self._reports], axis=0).tolist()
        now_s = self._clock.now_s()
        elapsed_s = max(now_s - self._since_s, 1e-9)
        steps_per_s = (step - self._since_step) / elapsed_s
        self._reports, self._since_s, self._since_step = [], now_s, step
        return {
            "loss": motion + grip_weight * grip,
            "loss_motion": motion,
            "loss_grip": grip,
            "gradient_norm": norm,
            "learning_rate": rate,
            "steps_per_s": steps_per_s,
        }


def _select_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise MachineError(
            "device 'cuda' was asked for, but torch sees no CUDA GPU; set device = \"cpu\", or "
            "install a CUDA build of torch and its driver"
        )
    return torch.device(name)


def _check_arrays(policy: ChunkingConfig, arrays: TrainingArrays) -> None:
    """Refuse arrays that the policy cannot be trained on.

    Raises:
        DataError: On missing cameras, wrong sizes, or values that are not finite.
    """
    size = policy.image_size
    num_rows = len(arrays.state)
    expected: dict[str, tuple[int, ...]] = {
        "state": (num_rows, policy.state_size),
        "action": (num_rows, ACTION_SIZE),
    }
    given: dict[str, tuple[int, ...]] = {"state": arrays.state.shape, "action": arrays.action.shape}
    for key in policy.image_keys:
        expected[key] = (num_rows, size, size, 3)
        given[key] = arrays.frames[key].shape if key in arrays.frames else ()
    for name, shape in expected.items():
        if given[name] != shape:
            raise DataError(
                f"{name!r} has shape {list(given[name])}, the policy expects {list(shape)}; choose "
                "the cameras, image_size and state_size that were recorded"
            )
    for name, values in (("state", arrays.state), ("action", arrays.action)):
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise DataError(
                f"{name!r} is not finite in row {row}; run the data check and repair it"
            )


def _start_network(
    config: BehaviourCloningConfig,
    policy_config: ChunkingConfig,
    normalisation: Normalisation,
    initial: ChunkingPolicy | None,
) -> tuple[ChunkingNetwork, Normalisation]:
    """Return the network to begin with and the constants that belong to it."""
    if initial is None and config.freeze_vision:
        raise UsageError("freeze_vision needs an initial policy whose vision part is kept")
    if initial is not None and initial.config != policy_config:
        raise UsageError("the initial policy has another configuration than the one to train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for_torch("training", "weights", config.seed))
        if initial is None:
            return build_network(policy_config, normalisation), normalisation
        # Its weights fit the constants they were trained with, so those stay.
        network = build_network(policy_config, initial.normalisation)
    network.load_state_dict(initial.network.state_dict())
    return network, initial.normalisation


def _averaged_policy(
    policy_config: ChunkingConfig, normalisation: Normalisation, learner: CloningLearner
) -> ChunkingPolicy:
    with torch.random.fork_rng(devices=[]):
        network = build_network(policy_config, normalisation)
    network.load_state_dict(learner.averages())
    return ChunkingPolicy(policy_config, normalisation, network)


def _describe_inputs(
    config: BehaviourCloningConfig,
    policy_config: ChunkingConfig,
    normalisation: Normalisation,
    examples: Examples,
    network: ChunkingNetwork,
) -> str:
    """Return a digest of all that decides the result; the number of threads does not."""
    settings = {k: v for k, v in asdict(config).items() if k != "num_threads"}
    described = {
        "config": settings,
        "policy": asdict(policy_config),
        "normalisation": normalisation.to_json(),
        "examples": [_digest(tensor) for tensor in examples.tensors()],
        "weights": [_digest(tensor) for tensor in network.state_dict().values()],
    }
    return digest(canonical_json(described))


def _digest(tensor: torch.Tensor) -> str:
    # Straight from the tensor's memory: pictures are hundreds of megabytes.
    return hashlib.sha256(tensor.numpy().data).hexdigest()
