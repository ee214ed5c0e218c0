"""Measure what reduced precision does to each part, then let the table choose.

Closed-loop success is given by the caller as a function, because episodes are not this package's
business. Every combination is run on the same episodes, and timed in the same interleaved run, so
differences are differences of the graphs and not of the weather.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.clock import Clock
from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import UsageError
from steadyhand.contracts.progress import Progress
from steadyhand.export.choice import (
    REFERENCE,
    WHOLE,
    Choice,
    ChoiceRule,
    Combination,
    Latency,
    SensitivityRow,
    choose,
)
from steadyhand.export.draft import BundleDescription, GraphPolicyLoader, draft_manifest
from steadyhand.export.graphs import PartitionedPolicy
from steadyhand.export.parity import END_TO_END, ParityLimits, ParityReport, measure_parity
from steadyhand.export.samples import Sample, batched, run_parts
from steadyhand.export.variants import Variant, load_engines

# Runs the loader's policy on a fixed list of episodes; one bool per episode, in order.
Success = Callable[[GraphPolicyLoader], Sequence[bool]]


@dataclass(frozen=True, slots=True)
class LatencyConfig:
    """How to time.

    Args:
        num_rounds: Rounds; each runs every variant once.
        num_warmup: Rounds before them that are not counted.
    """

    num_rounds: int = 300
    num_warmup: int = 30

    def __post_init__(self) -> None:
        if self.num_rounds < 1 or self.num_warmup < 0:
            raise UsageError(f"num_rounds must be at least 1, got {self.num_rounds}")


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """What was measured, and what was chosen from it.

    Args:
        rows: fp32 first, then single reductions, then combinations.
        choice: The chosen combination with reasons.
        paths: Graph by part name of the chosen combination, in execution order.
    """

    rows: tuple[SensitivityRow, ...]
    choice: Choice
    paths: Mapping[str, Path]

    @property
    def chosen(self) -> SensitivityRow:
        """The row of the choice."""
        return next(r for r in self.rows if r.combination == self.choice.combination)

    @property
    def reference(self) -> SensitivityRow:
        """The row with everything in fp32."""
        return next(r for r in self.rows if not r.reduced)

    def to_json(self, *, has_timings: bool) -> dict[str, Any]:
        """Return plain JSON values.

        Args:
            has_timings: Whether to include what differs per machine and run.
        """
        return {
            "rows": [row.to_json(has_timings=has_timings) for row in self.rows],
            "chosen": dict(self.choice.combination),
            "reasons": list(self.choice.reasons),
        }


@dataclass(frozen=True, slots=True)
class SensitivityBench:
    """Measures combinations of variants.

    Args:
        policy: The policy the graphs came from.
        variants: Every precision of every part, fp32 included, parts in execution order.
        description: What a bundle of them would be.
        samples: Inputs for the numeric error.
        success: Closed-loop success of graphs, on the same episodes each time.
        limits: Parity limits.
        timings: Seconds per round by (part, precision), from :func:`measure_timings`.
    """

    policy: PartitionedPolicy
    variants: tuple[Variant, ...]
    description: BundleDescription
    samples: Sequence[Sample]
    success: Success
    limits: ParityLimits
    timings: Mapping[tuple[str, str], NDArray[np.float64]]

    def measure(self, combination: Combination) -> SensitivityRow:
        """Measure one combination as a whole; what the engine does not offer is only noted.

        Args:
            combination: Precision by part.
        """
        chosen = self._select(combination)
        effective = tuple((v.part, v.effective) for v in chosen)
        num_bytes = sum(v.path.stat().st_size for v in chosen)
        absent = tuple((v.part, v.effective) for v in chosen if not v.is_offered)
        if absent:
            return SensitivityRow(combination, absent, False, num_bytes, None, (), ())
        paths = {v.part: v.path for v in chosen}
        parity = measure_parity(self.policy, load_engines(paths), self.samples, self.limits)
        manifest = draft_manifest(self.policy, paths, self.description)
        loader = GraphPolicyLoader(manifest, tuple(paths.values()))
        whole = tuple(row for row in parity.rows if row.part == END_TO_END)
        seconds = {part: self.timings[part, precision] for part, precision in combination}
        latency = [(part, _latency(values)) for part, values in seconds.items()]
        latency.append((WHOLE, _latency(np.sum(list(seconds.values()), axis=0))))
        return SensitivityRow(
            combination,
            effective,
            is_offered=True,
            num_bytes=num_bytes,
            parity=ParityReport(whole, parity.num_samples),
            success=tuple(bool(x) for x in self.success(loader)),
            latency=tuple(latency),
        )

    def paths(self, combination: Combination) -> dict[str, Path]:
        """Return the graphs of a combination by part name, in execution order."""
        return {v.part: v.path for v in self._select(combination)}

    def _select(self, combination: Combination) -> list[Variant]:
        table = {(v.part, v.precision): v for v in self.variants}
        return [table[item] for item in combination]


def find_precisions(
    bench: SensitivityBench, rule: ChoiceRule, progress: Progress
) -> SensitivityTable:
    """Measure fp32, every single reduction, and then combinations until one is chosen.

    Args:
        bench: What measures.
        rule: What is admissible.
        progress: Told after each row.

    Raises:
        RefusedError: If fp32 itself fails parity.
    """
    parts = tuple(dict.fromkeys(v.part for v in bench.variants))
    full: Combination = tuple((part, REFERENCE) for part in parts)
    planned = [full]
    for variant in bench.variants:
        if variant.precision != REFERENCE:
            single = (variant.part, variant.precision)
            planned.append(tuple(single if i[0] == variant.part else i for i in full))
    rows: list[SensitivityRow] = []
    for number, combination in enumerate(planned):
        rows.append(bench.measure(combination))
        progress.update("sensitivity", number + 1, len(planned), "rows")
    while not (choice := choose(rows, rule)).is_measured:
        rows.append(bench.measure(choice.combination))
        progress.update("sensitivity", len(rows), len(rows), "rows")
    return SensitivityTable(tuple(rows), choice, bench.paths(choice.combination))


def measure_timings(
    variants: Sequence[Variant], samples: Sequence[Sample], config: LatencyConfig, clock: Clock
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Time every offered variant, one after the other in each round.

    Args:
        variants: Every precision of every part, fp32 included, parts in execution order.
        samples: Inputs, used in turn.
        config: How many rounds.
        clock: A clock with sub-microsecond resolution.

    Returns:
        Seconds per round, shape (num_rounds,), by (part, precision).
    """
    offered = [v for v in variants if v.is_offered]
    engines = {(v.part, v.precision): load_engines({v.part: v.path})[v.part] for v in offered}
    reference: list[Engine] = [e for (_, precision), e in engines.items() if precision == REFERENCE]
    fed = [run_parts(reference, batched(sample)) for sample in samples]
    seconds = {key: np.zeros(config.num_rounds) for key in engines}
    for number in range(-config.num_warmup, config.num_rounds):
        values = fed[number % len(fed)]
        for key, engine in engines.items():
            inputs = {name: values[name] for name in engine.input_specs}
            start_s = clock.now_s()
            engine.run(inputs)
            if number >= 0:
                seconds[key][number] = clock.now_s() - start_s
    return seconds


def _latency(seconds: NDArray[np.float64]) -> Latency:
    median, p95, p99 = (float(np.quantile(seconds, q)) * 1e3 for q in (0.5, 0.95, 0.99))
    return Latency(median, p95, p99)
