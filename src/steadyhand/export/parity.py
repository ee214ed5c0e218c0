"""Compare graphs with the network they came from: per part, and end to end through the policy.

Two kinds of limits. An fp32 graph is the same function, so its *largest* error is limited, far
below anything a robot can do. A reduced precision is another function, so its *mean* error is
limited, to what the demonstrations' own noise already forgives; closed-loop success decides the
rest, because one frame at a decision boundary says nothing about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.contracts.seeds import stream
from steadyhand.export.graphs import (
    ACTIONS,
    FEATURES,
    HEAD,
    NEXT,
    VISION,
    PartitionedPolicy,
    image_keys,
    vector_keys,
)
from steadyhand.export.samples import Sample, batched, run_parts
from steadyhand.models.threads import torch_threads

END_TO_END = "end_to_end"
# Components of an action: absolute position, rotation about the vertical, grip.
_COMPONENTS = (
    ("position", slice(0, 3), "m"),
    ("yaw", slice(3, 4), "rad"),
    ("grip", slice(4, 5), ""),
)


@dataclass(frozen=True, slots=True)
class ParityLimits:
    """How far graphs may be from the network.

    Args:
        max_features: Largest error of a feature of an fp32 graph.
        max_position_m: Largest error of a target position of an fp32 graph.
        max_yaw_rad: Largest error of a target yaw of an fp32 graph.
        mean_position_m: Mean error at reduced precision; default: the expert's own noise.
        mean_yaw_rad: Likewise.
        mean_grip: Mean error of the grip at any precision. It is 0 or 1, so this is the share of
            disagreements; a single one may happen in fp32, at the threshold of the latch.
        mean_state: Likewise for the next policy state.
    """

    max_features: float = 1e-3
    max_position_m: float = 1e-4
    max_yaw_rad: float = 1e-3
    mean_position_m: float = 0.004
    mean_yaw_rad: float = 0.02
    mean_grip: float = 0.05
    mean_state: float = 0.05

    def __post_init__(self) -> None:
        bad = {k: v for k, v in asdict(self).items() if not v > 0}
        if bad:
            raise UsageError(f"parity limits must be positive, got {bad}")


@dataclass(frozen=True, slots=True)
class ParityRow:
    """The error of one output.

    Args:
        part: Part name, or ``end_to_end``.
        output: ``features``, ``position``, ``yaw``, ``grip`` or a state key.
        unit: Unit of the errors; empty for none.
        max_abs_error: Largest absolute error over all samples and elements.
        mean_abs_error: Mean absolute error.
        statistic: The one that is limited, ``max`` or ``mean``; None if none is.
        limit: The limit; None if there is none.
    """

    part: str
    output: str
    unit: str
    max_abs_error: float
    mean_abs_error: float
    statistic: str | None
    limit: float | None

    @property
    def is_passed(self) -> bool:
        """Whether the limited statistic is within its limit; NaN never is."""
        if self.limit is None:
            return True
        return (
            self.max_abs_error if self.statistic == "max" else self.mean_abs_error
        ) <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, errors with three digits."""
        rounded = {k: float(f"{v:.3g}") for k, v in asdict(self).items() if isinstance(v, float)}
        return {**asdict(self), **rounded, "is_passed": self.is_passed}

    def describe(self) -> str:
        """Say it in words."""
        limit = "" if self.limit is None else f", limit {self.limit:.3g} on the {self.statistic}"
        return (
            f"{self.part} {self.output}: max error {self.max_abs_error:.3g} {self.unit}, "
            f"mean {self.mean_abs_error:.3g}{limit}"
        )


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Errors of every output.

    Args:
        rows: One per part and output.
        num_samples: Samples compared.
    """

    rows: tuple[ParityRow, ...]
    num_samples: int

    @property
    def is_passed(self) -> bool:
        """Whether every row passed."""
        return all(row.is_passed for row in self.rows)

    def raise_if_failed(self) -> None:
        """Stop here if the graphs are not the network.

        Raises:
            RefusedError: With the rows that failed.
        """
        failed = [row.describe() for row in self.rows if not row.is_passed]
        if failed:
            raise RefusedError(
                "the exported graphs differ from the network: " + "; ".join(failed) + ". Keep the "
                "part in fp32, or report the exporter's operator if it is fp32 already"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "is_passed": self.is_passed,
            "num_samples": self.num_samples,
            "rows": [row.to_json() for row in self.rows],
        }


def measure_parity(
    policy: PartitionedPolicy,
    engines: Mapping[str, Engine],
    samples: Sequence[Sample],
    limits: ParityLimits,
) -> ParityReport:
    """Compare graphs with the policy, part by part and end to end.

    Each part alone is fed what the network's other part computes. End to end, the graphs are fed
    observations only and compared with ``policy.act``, the function that was evaluated. A part is
    held to the exact limits if its engine says fp32, and so is the whole if all of them do.

    Args:
        policy: The policy the graphs came from.
        engines: Loaded graphs by part name, in execution order.
        samples: Inputs, e.g. calibration and golden ones.
        limits: The limits.
    """
    if not samples:
        raise UsageError("parity needs at least one sample")
    errors: dict[tuple[str, str, str], list[NDArray[np.float64]]] = {}
    for sample in samples:
        given = batched(sample)
        reference = run_network(policy, sample)
        acted = _act(policy, sample)
        whole = run_parts(engines.values(), given)
        measured = {
            VISION: engines[VISION].run({k: given[k] for k in image_keys(policy)}),
            HEAD: _run_head(policy, engines[HEAD], given, reference),
            END_TO_END: {k: whole[k] for k in acted},
        }
        for part, outputs in measured.items():
            wanted = acted if part == END_TO_END else reference
            for name, unit, error in _errors(outputs, wanted):
                errors.setdefault((part, name, unit), []).append(error)
    exact = {name: engine.precision == "fp32" for name, engine in engines.items()}
    exact[END_TO_END] = all(exact.values())
    rows = []
    for (part, name, unit), values in errors.items():
        stacked = np.concatenate(values)
        statistic, limit = _limit(limits, name, is_exact=exact[part])
        worst, mean = float(stacked.max()), float(stacked.mean())
        rows.append(ParityRow(part, name, unit, worst, mean, statistic, limit))
    return ParityReport(tuple(rows), len(samples))


def run_network(policy: PartitionedPolicy, sample: Sample) -> dict[str, NDArray[Any]]:
    """Return what the network computes for one sample, by graph output name.

    Args:
        policy: The policy.
        sample: One input.
    """
    with torch_threads(1), torch.inference_mode():
        features = policy.network.vision(*_tensors(sample, image_keys(policy)))
        vectors = _tensors(sample, (*vector_keys(policy), *policy.state_specs))
        actions, *states = policy.network.head(features, *vectors)
    outputs = {FEATURES: features.numpy(), ACTIONS: actions.numpy()}
    names = (NEXT + key for key in policy.state_specs)
    return outputs | {n: s.numpy() for n, s in zip(names, states, strict=True)}


def _act(policy: PartitionedPolicy, sample: Sample) -> dict[str, NDArray[Any]]:
    observation = {key: sample[key] for key in policy.observation_specs}
    state = {key: sample[key] for key in policy.state_specs}
    with torch_threads(1):
        chunk, following = policy.act(observation, state, stream("export", "parity"))
    outputs: dict[str, NDArray[Any]] = {ACTIONS: chunk.actions[None]}
    return outputs | {NEXT + key: value[None] for key, value in following.items()}


def _run_head(
    policy: PartitionedPolicy,
    engine: Engine,
    given: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    keys = (*vector_keys(policy), *policy.state_specs)
    return engine.run({FEATURES: reference[FEATURES], **{k: given[k] for k in keys}})


def _tensors(sample: Sample, keys: tuple[str, ...]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(sample[key][None])) for key in keys]


def _errors(
    outputs: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]
) -> list[tuple[str, str, NDArray[np.float64]]]:
    found = []
    for name, value in outputs.items():
        error = np.abs(np.asarray(value, np.float64) - wanted[name])
        if name != ACTIONS:
            found.append((name.removeprefix(NEXT), "", error.ravel()))
            continue
        for component, part, unit in _COMPONENTS:
            found.append((component, unit, error[..., part].ravel()))
    return found


def _limit(limits: ParityLimits, name: str, *, is_exact: bool) -> tuple[str | None, float | None]:
    exact: dict[str, float] = {
        FEATURES: limits.max_features,
        "position": limits.max_position_m,
        "yaw": limits.max_yaw_rad,
    }
    reduced: dict[str, float | None] = {
        FEATURES: None,  # no unit of its own: what it does to the actions counts
        "position": limits.mean_position_m,
        "yaw": limits.mean_yaw_rad,
        "grip": limits.mean_grip,
    }
    if is_exact and name in exact:
        return "max", exact[name]
    limit = reduced.get(name, limits.mean_state)
    return ("mean", limit) if limit is not None else (None, None)
