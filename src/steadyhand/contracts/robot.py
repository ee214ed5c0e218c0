"""Robots: what a control loop reads from and commands."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import Observation
from steadyhand.contracts.specs import ArraySpec, Specs


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest observation and when it was captured.

    Args:
        values: Arrays by name, as the robot's observation specs say.
        observed_at_s: Monotonic time [s] of capture, of the oldest part.
        sequence: Grows with each new capture; equal numbers mean the same capture.
    """

    values: Observation
    observed_at_s: float
    sequence: int


class Robot(Protocol):
    """An arm with sensors. ``stop`` works from any state and any process."""

    @property
    def observation_specs(self) -> Specs:
        """Specs of :attr:`Reading.values`."""
        ...

    @property
    def command_spec(self) -> ArraySpec:
        """Spec of :meth:`command`: joint position targets [rad], then gripper opening [m]."""
        ...

    def observe(self) -> Reading:
        """Return the newest reading without waiting for a new one.

        Raises:
            StageError: If the robot never delivered one, or its driver died.
        """
        ...

    def command(self, target: NDArray[np.float64]) -> None:
        """Set the position targets; ignored once stopped."""
        ...

    def stop(self) -> None:
        """Brake and hold, now, from any process; commands are ignored until the next reset."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called, by any process."""
        ...

    def handle(self) -> Any:
        """Return a picklable value whose ``attach()`` gives a Robot in another process."""
        ...

    def close(self) -> None:
        """Let go of the connection; calling it twice is fine."""
        ...
