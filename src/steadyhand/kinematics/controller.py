"""From end-effector actions to joint targets that respect every limit.

Stateless: the next target follows from the action and the measured joints alone, so the simulator
and the robot share it bit for bit. It knows no clock and no driver.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.bundle import ActionLimits
from steadyhand.contracts.specs import ArraySpec
from steadyhand.kinematics import panda

# A position servo with gains kp and kv moves at (target - position) * kp / kv. The servos of the
# Panda model have kv / kp = 0.1 s, so a target at most speed * 0.1 s ahead bounds the speed.
SERVO_LAG_S = 0.1

# Far enough inside the published range for the position servo not to overshoot it.
_JOINT_MARGIN_RAD = 0.05

ACTION_SPEC = ArraySpec(
    name="action",
    shape=(5,),
    dtype="float32",
    low=(-2.0, -2.0, -2.0, -2.0 * math.pi, 0.0),
    high=(2.0, 2.0, 2.0, 2.0 * math.pi, 1.0),
    names=("end_effector_x", "end_effector_y", "end_effector_z", "end_effector_yaw", "grip"),
)

COMMAND_SPEC = ArraySpec(
    name="command",
    shape=(8,),
    dtype="float64",
    low=(*panda.JOINT_LOW_RAD, panda.GRIPPER_LOW_M),
    high=(*panda.JOINT_HIGH_RAD, panda.GRIPPER_HIGH_M),
    names=(*panda.JOINT_NAMES, "gripper_opening"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """What goes to the robot.

    Args:
        targets: float64[8]: joint position targets [rad], gripper opening [m].
        clipped: Names of the limits that changed the wish: ``workspace``, ``linear_speed``,
            ``yaw_rate``, ``joint_speed``, ``joint_range``, ``grip``.
    """

    targets: NDArray[np.float64]
    clipped: tuple[str, ...]


def default_limits() -> ActionLimits:
    """Return the limits of the Panda over its table: published joint limits, own workspace."""
    return ActionLimits(
        workspace_low_m=(0.25, -0.5, 0.012),
        workspace_high_m=(0.72, 0.5, 0.5),
        linear_speed_m_s=0.6,
        yaw_rate_rad_s=2.5,
        joint_low_rad=tuple(q + _JOINT_MARGIN_RAD for q in panda.JOINT_LOW_RAD),
        joint_high_rad=tuple(q - _JOINT_MARGIN_RAD for q in panda.JOINT_HIGH_RAD),
        joint_speed_rad_s=panda.JOINT_SPEED_RAD_S,
        gripper_low_m=panda.GRIPPER_LOW_M,
        gripper_high_m=panda.GRIPPER_HIGH_M,
    )


class CartesianController:
    """Turns one action into joint targets.

    Args:
        limits: What a command may never exceed.
        dt_s: Time [s] between commands.
    """

    def __init__(self, limits: ActionLimits, dt_s: float) -> None:
        if not dt_s > 0:
            raise ValueError(f"dt_s must be positive, got {dt_s!r}; set it to 1 / control rate")
        self.limits = limits
        lead_s = max(dt_s, SERVO_LAG_S)
        self._low = np.array(limits.workspace_low_m)
        self._high = np.array(limits.workspace_high_m)
        self._linear_lead_m = limits.linear_speed_m_s * lead_s
        self._yaw_lead_rad = limits.yaw_rate_rad_s * lead_s
        self._joint_low = np.array(limits.joint_low_rad)
        self._joint_high = np.array(limits.joint_high_rad)
        self._joint_lead = np.array(limits.joint_speed_rad_s) * lead_s

    def command(self, action: NDArray[np.float32], joint_position: NDArray[np.float64]) -> Command:
        """Limit one action and solve it for the joints.

        Args:
            action: Five finite numbers: end-effector x, y, z [m], yaw [rad], grip (1 = close).
            joint_position: float64[7] measured joint angles [rad].

        Returns:
            Targets that lead the measured joints by at most what the speed limits allow.
        """
        clipped: list[str] = []
        wish = np.asarray(action, dtype=np.float64)
        pose = panda.end_effector_pose(joint_position)
        position = np.clip(wish[:3], self._low, self._high)
        if (position != wish[:3]).any():
            clipped.append("workspace")
        delta = position - pose[:3]
        distance_m = math.sqrt(float(delta @ delta))
        if distance_m > self._linear_lead_m:
            delta *= self._linear_lead_m / distance_m
            clipped.append("linear_speed")
        turn_rad = math.remainder(float(wish[3] - pose[3]), 2 * math.pi)
        if abs(turn_rad) > self._yaw_lead_rad:
            turn_rad = math.copysign(self._yaw_lead_rad, turn_rad)
            clipped.append("yaw_rate")
        target = np.array((*(pose[:3] + delta), pose[3] + turn_rad))
        joints = self._limit_joints(panda.inverse(target, joint_position), joint_position, clipped)
        grip = min(max(float(wish[4]), 0.0), 1.0)
        if grip != float(wish[4]):
            clipped.append("grip")
        span_m = self.limits.gripper_high_m - self.limits.gripper_low_m
        opening_m = self.limits.gripper_low_m + (1.0 - grip) * span_m
        return Command(np.array((*joints.tolist(), opening_m)), tuple(clipped))

    def _limit_joints(
        self, joints: NDArray[np.float64], measured: NDArray[np.float64], clipped: list[str]
    ) -> NDArray[np.float64]:
        """Shorten the joint step until the fastest joint keeps its speed, then keep the range."""
        step = joints - measured
        excess = float(np.max(np.abs(step) / self._joint_lead))
        if excess > 1.0:
            step /= excess
            clipped.append("joint_speed")
        wish = measured + step
        limited = np.clip(wish, self._joint_low, self._joint_high)
        if (limited != wish).any():
            clipped.append("joint_range")
        return limited
