"""What one evaluated episode led to, and success rates over many of them.

The deterministic part (``to_json``) and the measured part (``inference_s``) are kept apart: equal
inputs give equal bytes of the first on any machine, the second belongs to the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Fact
from steadyhand.contracts.errors import DataError
from steadyhand.evaluation.statistics import Interval, wilson

ENDINGS = ("success", "failure", "time_limit", "stopped")


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """One episode of a candidate.

    Args:
        key: Name of the episode.
        is_success: Whether the task was solved.
        ending: One of ``ENDINGS``: solved; ended by the task's rules; cut by the time limit;
            stopped by the runtime.
        num_steps: Control steps taken.
        facts: What the task says about the episode, e.g. its ``cluster``.
        verdicts: Ticks per verdict of the control loop.
        num_inferences: How often the policy decided.
        inference_s: Measured wall-clock time [s] of each inference; no part of equality or JSON.
    """

    key: EpisodeKey
    is_success: bool
    ending: str
    num_steps: int
    facts: Mapping[str, Fact]
    verdicts: Mapping[str, int]
    num_inferences: int
    inference_s: tuple[float, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.ending not in ENDINGS or (self.ending == "success") != self.is_success:
            raise DataError(
                f"episode {self.key}: ending {self.ending!r} with is_success={self.is_success}; "
                f"endings are {', '.join(ENDINGS)}, and only success is a success"
            )

    @property
    def cluster(self) -> str:
        """Where the object started; ``"-"`` for a task without clusters."""
        return str(self.facts.get("cluster", "-"))

    def to_json(self) -> dict[str, Any]:
        """Return the deterministic part as plain JSON values."""
        return {
            "task": self.key.task,
            "task_version": self.key.task_version,
            "seed": self.key.seed,
            "index": self.key.index,
            "is_success": self.is_success,
            "ending": self.ending,
            "num_steps": self.num_steps,
            "facts": dict(self.facts),
            "verdicts": dict(self.verdicts),
            "num_inferences": self.num_inferences,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "EpisodeResult":
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: If a field is missing.
        """
        try:
            key = EpisodeKey(value["task"], value["task_version"], value["seed"], value["index"])
            return EpisodeResult(
                key=key,
                is_success=value["is_success"],
                ending=value["ending"],
                num_steps=value["num_steps"],
                facts=dict(value["facts"]),
                verdicts=dict(value["verdicts"]),
                num_inferences=value["num_inferences"],
            )
        except KeyError as error:
            raise DataError(
                f"an episode result lacks {error}; evaluate again with this version"
            ) from error


@dataclass(frozen=True, slots=True)
class Rate:
    """A success rate with its 95% Wilson interval.

    Args:
        num_successes: Successes.
        num_trials: Trials, at least 1.
    """

    num_successes: int
    num_trials: int

    @property
    def value(self) -> float:
        """Successes over trials."""
        return self.num_successes / self.num_trials

    @property
    def interval(self) -> Interval:
        """95% Wilson interval.

        Raises:
            DataError: If there are no trials.
        """
        return wilson(self.num_successes, self.num_trials)

    def __str__(self) -> str:
        interval = self.interval
        return (
            f"{self.num_successes}/{self.num_trials} "
            f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]%"
        )

    def to_json(self) -> dict[str, Any]:
        """Return counts, rate and interval as plain JSON values."""
        interval = self.interval
        return {
            "num_successes": self.num_successes,
            "num_trials": self.num_trials,
            "rate": self.value,
            "low": interval.low,
            "high": interval.high,
        }
