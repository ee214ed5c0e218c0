"""A recorded episode as arrays: what a simulator or a robot hands to a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import SpecError

Fact = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of T steps; row ``t`` holds the observation and the action chosen from it.

    Args:
        key: Its name.
        instruction: The task in words.
        facts: Plain values about the trial: ``cluster``, ``outcome`` ("success" or "fail"),
            ``is_recovery`` and whatever the task reports.
        columns: Arrays of shape (T, ...): at least ``observation.state`` float32, ``action``
            float32, ``captured_at_s`` float64 (real capture time [s] since the episode began)
            and ``is_label`` bool (False where the action must not be imitated).
        images: uint8 arrays of shape (T, height, width, 3) by feature name, e.g.
            ``observation.images.wrist``.
    """

    key: EpisodeKey
    instruction: str
    facts: Mapping[str, Fact]
    columns: Mapping[str, NDArray[Any]]
    images: Mapping[str, NDArray[np.uint8]]

    def __post_init__(self) -> None:
        lengths = {name: len(a) for name, a in (*self.columns.items(), *self.images.items())}
        if len(set(lengths.values())) != 1 or self.num_steps == 0:
            raise SpecError(f"episode {self.key}: rows and frames disagree or are empty: {lengths}")

    @property
    def num_steps(self) -> int:
        """T."""
        return len(next(iter(self.columns.values()))) if self.columns else 0
