"""Environments: a seeded world that is stepped. What an episode is called, and what a step says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from steadyhand.contracts.specs import ArraySpec, Specs

Observation = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, order=True)
class EpisodeKey:
    """The full name of an episode; nothing else decides its bytes.

    Args:
        task: Catalog name, e.g. ``pick_place-hard``.
        task_version: Version of that task's definition.
        seed: Seed of the family of episodes.
        index: Episode number within the family.
    """

    task: str
    task_version: int
    seed: int
    index: int

    def __str__(self) -> str:
        return f"{self.task}@{self.task_version}/{self.seed}/{self.index}"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step led to.

    Args:
        reward: Reward of this step.
        terminated: The task ended by its own rules (success or failure).
        truncated: The episode was cut by the time limit; never set together with ``terminated``.
        is_success: The task is solved as of this step.
        info: Task-specific plain values, e.g. ``{"cluster": "c2"}``.
    """

    reward: float
    terminated: bool
    truncated: bool
    is_success: bool
    info: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class Environment(Protocol):
    """A seeded world. ``observe`` is separate from ``step`` because rendering is what costs."""

    @property
    def task(self) -> str:
        """Catalog name."""
        ...

    @property
    def task_version(self) -> int:
        """Version of the task's definition; raised when its bytes change."""
        ...

    @property
    def observation_specs(self) -> Specs:
        """Specs of what :meth:`observe` returns."""
        ...

    @property
    def action_spec(self) -> ArraySpec:
        """Spec of what :meth:`step` takes."""
        ...

    @property
    def step_period_s(self) -> float:
        """Simulated time [s] that one step takes."""
        ...

    def reset(self, seed: int, index: int) -> Mapping[str, float | int | str | bool]:
        """Start episode ``index`` of family ``seed``; return facts about it, e.g. its cluster."""
        ...

    def observe(self) -> Observation:
        """Return the current observation; renders the cameras, so it is the expensive call."""
        ...

    def step(self, action: NDArray[Any]) -> Step:
        """Apply one action for one step period.

        Raises:
            SpecError: If the action does not fit :attr:`action_spec`.
        """
        ...

    def close(self) -> None:
        """Free renderers and processes; calling it twice is fine."""
        ...
