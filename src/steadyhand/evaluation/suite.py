"""Suites: which episodes every candidate is evaluated on, and what came out.

All candidates meet the same episode keys (common random numbers), so that their results are
pairs. Nothing here depends on the number of workers or on the clock.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Fact
from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.contracts.executor import Executor
from steadyhand.contracts.progress import Progress
from steadyhand.evaluation.results import EpisodeResult, Rate
from steadyhand.evaluation.statistics import (
    Difference,
    discordant,
    is_not_inferior,
    mcnemar,
    num_pairs_needed,
    paired_difference,
)

EVALUATION_SCHEMA = 1

Name = TypeVar("Name", str, tuple[str, str])


@dataclass(frozen=True, slots=True)
class Condition:
    """Episodes of one task.

    Args:
        task: Catalog name, e.g. ``pick_place-hard``.
        task_version: Version of that task's definition.
        seed: Seed of the family of episodes; differs from the one demonstrations came from.
        num_episodes: How many, from index 0 on.
    """

    task: str
    task_version: int
    seed: int
    num_episodes: int

    def __post_init__(self) -> None:
        if self.num_episodes < 1 or self.seed < 0:
            raise UsageError(
                f"condition {self.task!r}: num_episodes must be at least 1 and seed at least 0, "
                f"got {self.num_episodes} and {self.seed}"
            )

    @property
    def keys(self) -> tuple[EpisodeKey, ...]:
        """The episodes, in order."""
        return tuple(
            EpisodeKey(self.task, self.task_version, self.seed, i) for i in range(self.num_episodes)
        )


@dataclass(frozen=True, slots=True)
class Suite:
    """Conditions that are evaluated together.

    Args:
        conditions: At least one; each (task, seed) once.
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        names = [(c.task, c.seed) for c in self.conditions]
        if not names or len(set(names)) != len(names):
            raise UsageError(
                f"a suite needs at least one condition and no (task, seed) twice, got {names}"
            )

    @property
    def keys(self) -> tuple[EpisodeKey, ...]:
        """All episodes, condition by condition."""
        return tuple(key for condition in self.conditions for key in condition.keys)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of one candidate on one suite.

    Args:
        candidate: What was evaluated, e.g. ``checkpoint`` or ``bundle``.
        suite: The conditions.
        settings: Plain values that decided the results, e.g. the inference delay in steps.
        results: One per key of the suite, in its order.
    """

    candidate: str
    suite: Suite
    settings: Mapping[str, Fact]
    results: tuple[EpisodeResult, ...]

    def __post_init__(self) -> None:
        given, expected = tuple(r.key for r in self.results), self.suite.keys
        if given != expected:
            raise DataError(
                f"evaluation of {self.candidate!r}: {len(given)} results do not match the "
                f"{len(expected)} episodes of the suite; evaluate again"
            )

    @property
    def rate(self) -> Rate:
        """Success over all conditions."""
        return rate_of(self.results)

    @property
    def failures(self) -> tuple[EpisodeResult, ...]:
        """Episodes that did not succeed, in order; each key replays one."""
        return tuple(r for r in self.results if not r.is_success)

    def by_task(self) -> dict[str, Rate]:
        """Return the success rate per task, in the order of the suite."""
        return {task: rate_of(rows) for task, rows in _grouped(self.results, _task).items()}

    def by_cluster(self) -> dict[tuple[str, str], Rate]:
        """Return the success rate per (task, cluster), clusters in order of their names."""
        groups = _grouped(self.results, _task_and_cluster)
        order = list(self.by_task())
        names = sorted(groups, key=lambda name: (order.index(name[0]), name[1]))
        return {name: rate_of(groups[name]) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values without any timing: equal inputs give equal bytes."""
        return {
            "schema": EVALUATION_SCHEMA,
            "candidate": self.candidate,
            "settings": dict(self.settings),
            "suite": [asdict(condition) for condition in self.suite.conditions],
            "success": {
                "overall": self.rate.to_json(),
                "by_task": {task: rate.to_json() for task, rate in self.by_task().items()},
                "by_cluster": [
                    {"task": task, "cluster": cluster, **rate.to_json()}
                    for (task, cluster), rate in self.by_cluster().items()
                ],
            },
            "failures": [str(r.key) for r in self.failures],
            "results": [r.to_json() for r in self.results],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Evaluation":
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: On another schema or a damaged value.
        """
        if value.get("schema") != EVALUATION_SCHEMA:
            raise DataError(
                f"evaluation has schema {value.get('schema')!r}; this version reads "
                f"{EVALUATION_SCHEMA}. Evaluate again with this version"
            )
        return Evaluation(
            candidate=value["candidate"],
            suite=Suite(tuple(Condition(**condition) for condition in value["suite"])),
            settings=dict(value["settings"]),
            results=tuple(EpisodeResult.from_json(r) for r in value["results"]),
        )

    def measurements(self) -> dict[str, Any]:
        """Return what was measured on this machine: percentiles of the inference time [s]."""
        times = sorted(t for r in self.results for t in r.inference_s)
        if not times:
            return {"candidate": self.candidate, "num_inferences": 0}
        return {
            "candidate": self.candidate,
            "num_inferences": len(times),
            "inference_s": {
                name: times[math.ceil(share * len(times)) - 1]
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }


def evaluate(
    suite: Suite,
    run_episode: Callable[[EpisodeKey], EpisodeResult],
    executor: Executor,
    progress: Progress,
    *,
    candidate: str = "candidate",
    settings: Mapping[str, Fact] | None = None,
) -> Evaluation:
    """Run every episode of a suite and collect the results in its order.

    Args:
        suite: The episodes.
        run_episode: Picklable and pure, e.g. ``closed_loop.ClosedLoopEpisode``.
        executor: Where the episodes run; changes no result.
        progress: Told after each episode.
        candidate: Name of what is evaluated.
        settings: Plain values to state beside the results.

    Returns:
        The evaluation.

    Raises:
        StageError: If an episode could not be run.
    """
    keys = suite.keys
    results: list[EpisodeResult] = []
    for result in executor.map(run_episode, keys):
        results.append(result)
        progress.update(f"evaluate {candidate}", len(results), len(keys), "episodes")
    return Evaluation(candidate, suite, dict(settings or {}), tuple(results))


@dataclass(frozen=True, slots=True)
class PairedRow:
    """The paired comparison on one set of episodes.

    Args:
        name: The task, or ``overall``.
        candidate: Success of the candidate.
        reference: Success of the reference on the same episodes.
        only_candidate: Pairs in which only the candidate succeeded.
        only_reference: Pairs in which only the reference succeeded.
        difference: Candidate minus reference with its 95% interval.
        p_value: Exact McNemar p that both succeed equally often.
        is_not_inferior: Whether the lower limit lies above minus the margin.
        num_pairs_needed: Pairs that would show it with power 0.8 for an equal candidate and the
            discordance seen here.
    """

    name: str
    candidate: Rate
    reference: Rate
    only_candidate: int
    only_reference: int
    difference: Difference
    p_value: float
    is_not_inferior: bool
    num_pairs_needed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "candidate": self.candidate.to_json(),
            "reference": self.reference.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against a reference on the same episodes.

    Args:
        candidate: Name of the candidate, e.g. ``bundle``.
        reference: Name of the reference, e.g. ``checkpoint``.
        margin: Largest tolerated loss of success rate.
        overall: All episodes.
        by_task: One row per task.
    """

    candidate: str
    reference: str
    margin: float
    overall: PairedRow
    by_task: tuple[PairedRow, ...]

    @property
    def is_not_inferior(self) -> bool:
        """Whether the candidate is shown to lose at most the margin over all episodes."""
        return self.overall.is_not_inferior

    def explain(self) -> str:
        """Say the outcome in one sentence, and what to do if it is open."""
        row, points = self.overall, 100 * self.margin
        measured = (
            f"{self.candidate} {row.candidate} against {self.reference} {row.reference}: "
            f"{100 * row.difference.estimate:+.1f} points "
            f"[{100 * row.difference.low:+.1f}, {100 * row.difference.high:+.1f}]"
        )
        if row.is_not_inferior:
            return f"{measured}; not inferior by {points:g} points"
        if row.difference.high < -self.margin:
            return f"{measured}; inferior by more than {points:g} points"
        return (
            f"{measured}; {row.reference.num_trials} pairs do not show that it loses at most "
            f"{points:g} points: about {row.num_pairs_needed} pairs would, if both were equal"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "candidate": self.candidate,
            "reference": self.reference,
            "margin": self.margin,
            "is_not_inferior": self.is_not_inferior,
            "overall": self.overall.to_json(),
            "by_task": [row.to_json() for row in self.by_task],
        }


def compare(candidate: Evaluation, reference: Evaluation, margin: float = 0.02) -> Comparison:
    """Compare two candidates episode by episode.

    Args:
        candidate: The one that has to prove itself.
        reference: The one it is held against.
        margin: Largest tolerated loss of success rate.

    Returns:
        Differences with intervals, overall and per task.

    Raises:
        DataError: If they were not evaluated on the same episodes.
    """
    if candidate.suite.keys != reference.suite.keys:
        raise DataError(
            f"{candidate.candidate!r} and {reference.candidate!r} were evaluated on different "
            "episodes, so their results are no pairs; evaluate both on the same suite"
        )
    first, second = (_grouped(e.results, _task) for e in (candidate, reference))
    return Comparison(
        candidate=candidate.candidate,
        reference=reference.candidate,
        margin=margin,
        overall=_paired_row("overall", candidate.results, reference.results, margin),
        by_task=tuple(_paired_row(t, first[t], second[t], margin) for t in first),
    )


def choose_best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the candidate to keep: most successes, then fewest steps, then the later one.

    Raises:
        DataError: If there is none, or they were evaluated on different episodes.
    """
    if not evaluations or any(e.suite.keys != evaluations[0].suite.keys for e in evaluations):
        raise DataError("a choice needs candidates that were evaluated on the same episodes")
    return max(
        enumerate(evaluations),
        key=lambda entry: (
            entry[1].rate.num_successes,
            -sum(r.num_steps for r in entry[1].results),
            entry[0],
        ),
    )[1]


def rate_of(results: Sequence[EpisodeResult]) -> Rate:
    """Return the success rate of some results."""
    return Rate(sum(r.is_success for r in results), len(results))


def _paired_row(
    name: str, first: Sequence[EpisodeResult], second: Sequence[EpisodeResult], margin: float
) -> PairedRow:
    candidate = [r.is_success for r in first]
    reference = [r.is_success for r in second]
    only_candidate, only_reference = discordant(candidate, reference)
    share = (only_candidate + only_reference) / len(candidate)
    return PairedRow(
        name=name,
        candidate=rate_of(first),
        reference=rate_of(second),
        only_candidate=only_candidate,
        only_reference=only_reference,
        difference=paired_difference(candidate, reference),
        p_value=mcnemar(candidate, reference),
        is_not_inferior=is_not_inferior(candidate, reference, margin),
        num_pairs_needed=num_pairs_needed(margin, share),
    )


def _task(result: EpisodeResult) -> str:
    return result.key.task


def _task_and_cluster(result: EpisodeResult) -> tuple[str, str]:
    return result.key.task, result.cluster


def _grouped(
    results: Sequence[EpisodeResult], name_of: Callable[[EpisodeResult], Name]
) -> dict[Name, list[EpisodeResult]]:
    groups: dict[Name, list[EpisodeResult]] = {}
    for result in results:
        groups.setdefault(name_of(result), []).append(result)
    return groups
