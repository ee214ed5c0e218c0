"""What a fallback is: joint targets without a policy."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steadyhand.kinematics.controller import CartesianController


@dataclass(frozen=True, slots=True)
class FallbackInput:
    """What a fallback decides from.

    Args:
        joints: float64[8] measured joint positions [rad] and gripper opening [m]; None if the
            robot is silent.
        last_command: float64[8] the last command that was sent; None before the first.
        controller: Limits and inverse kinematics.
        ticks: Ticks since this fallback took over, starting at 1.
    """

    joints: NDArray[np.float64] | None
    last_command: NDArray[np.float64] | None
    controller: CartesianController
    ticks: int


class Fallback(Protocol):
    """Decides one command without a policy; pure in its input."""

    def command(self, given: FallbackInput) -> NDArray[np.float64] | None:
        """Return float64[8] joint targets, or None to send nothing."""
        ...
