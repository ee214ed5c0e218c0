"""Safe controller: rise slowly, straight up, with the gripper as it is."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.kinematics import panda
from steadyhand.runtime.fallbacks.fallback import FallbackInput

# The servo follows a lead with a lag of 0.1 s (kinematics), so this lead rises at 5 cm/s.
_LEAD_M = 0.005


@final
class Retract:
    """Leads the measured pose by a few millimetres upwards, within all limits.

    At the top of the workspace the lead is clipped to nothing and the arm rests there. The
    gripper keeps its last command: opening it would drop the object, closing it could crush.
    """

    def command(self, given: FallbackInput) -> NDArray[np.float64] | None:
        """Return joint targets a little above the measured pose; None if the robot is silent."""
        if given.joints is None:
            return given.last_command
        pose = panda.end_effector_pose(given.joints[:7])
        action = np.array((pose[0], pose[1], pose[2] + _LEAD_M, pose[3], 0.0), np.float32)
        targets = given.controller.command(action, given.joints[:7]).targets
        targets[7] = given.joints[7] if given.last_command is None else given.last_command[7]
        return targets
