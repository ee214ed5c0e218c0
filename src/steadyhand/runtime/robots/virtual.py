"""A robot of arithmetic: joints follow their targets, cameras see grey. No physics, no process.

For dry runs of a bundle (does it load, keep its deadlines and its limits on this machine?) and for
tests. It follows the Panda's kinematics and knows nothing of objects.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.clock import Clock, MonotonicClock
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.errors import StageError
from steadyhand.contracts.exchange import Flags, LatestValue
from steadyhand.contracts.robot import Reading
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.kinematics import panda
from steadyhand.kinematics.controller import COMMAND_SPEC, SERVO_LAG_S

STATE_KEY = "observation.state"
_GREY = 128
_WORDS = ("stop",)
_JOINTS: Mapping[str, ArraySpec] = MappingProxyType(
    {
        "position": ArraySpec("position", (8,), "float64"),
        "target": ArraySpec("target", (8,), "float64"),
    }
)


def virtual_observation_specs(image_size: int = 64) -> dict[str, ArraySpec]:
    """Return the specs of the state vector and of two square cameras."""
    picture = (image_size, image_size, 3)
    specs = [ArraySpec(STATE_KEY, (12,), "float32")]
    specs += [ArraySpec(f"observation.images.{k}", picture, "uint8") for k in ("wrist", "scene")]
    return {spec.name: spec for spec in specs}


@dataclass(frozen=True, slots=True)
class VirtualRobotHandle:
    """A picklable way to the same robot from another process.

    Args:
        name: Name of its shared memory.
        image_size: Height and width of the pictures [pixels].
    """

    name: str
    image_size: int

    def attach(self) -> "VirtualRobot":
        """Connect from this process.

        Raises:
            StorageError: If the robot is gone.
        """
        flags = Flags.attach(f"{self.name}-flags", _WORDS)
        joints = LatestValue.attach(f"{self.name}-joints", _JOINTS)
        return VirtualRobot(self, flags, joints, MonotonicClock(), is_owner=False)


@final
class VirtualRobot:
    """The robot; make one with :meth:`create`, or with ``handle().attach()`` elsewhere.

    Joints approach their targets exponentially, as a position servo does. Only one process may
    send commands; every process may observe and stop.
    """

    def __init__(
        self,
        handle: VirtualRobotHandle,
        flags: Flags,
        joints: LatestValue,
        clock: Clock,
        *,
        is_owner: bool,
    ) -> None:
        self._handle = handle
        self._flags = flags
        self._joints = joints
        self._clock = clock
        self._is_owner = is_owner
        self._is_closed = False
        self._specs = virtual_observation_specs(handle.image_size)
        self._num_readings = 0
        self._pictures: Observation = {
            key: np.full(spec.shape, _GREY, np.uint8)
            for key, spec in self._specs.items()
            if key != STATE_KEY
        }

    @classmethod
    def create(cls, *, image_size: int = 64, clock: Clock | None = None) -> "VirtualRobot":
        """Make a robot at its rest pose with an open gripper.

        Args:
            image_size: Height and width of the pictures [pixels].
            clock: Its time; the system's monotonic clock if None.
        """
        handle = VirtualRobotHandle(f"steadyhand-virtual-{secrets.token_hex(6)}", image_size)
        flags = Flags.create(f"{handle.name}-flags", _WORDS)
        joints = LatestValue.create(f"{handle.name}-joints", _JOINTS)
        robot = cls(handle, flags, joints, clock or MonotonicClock(), is_owner=True)
        rest = np.array((*panda.REST_RAD, panda.GRIPPER_HIGH_M))
        joints.publish({"position": rest, "target": rest}, robot._clock.now_s())
        return robot

    @property
    def observation_specs(self) -> Specs:
        """``observation.state`` and one picture per camera."""
        return self._specs

    @property
    def command_spec(self) -> ArraySpec:
        """Seven joint targets [rad], then the gripper opening [m]."""
        return COMMAND_SPEC

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called, by any process."""
        return bool(self._flags.get("stop"))

    def observe(self) -> Reading:
        """Return joints, gripper and pose as they are now.

        Raises:
            StageError: If this connection is closed.
        """
        now_s = self._clock.now_s()
        position, _ = self._now(now_s)
        self._num_readings += 1
        state = np.concatenate((position, panda.end_effector_pose(position[:7])))
        values = {STATE_KEY: state.astype(np.float32), **self._pictures}
        return Reading(values, now_s, self._num_readings)

    def command(self, target: NDArray[np.float64]) -> None:
        """Set the position targets; ignored once stopped.

        Raises:
            SpecError: If the command is not eight finite numbers within the joints' range.
            StageError: If this connection is closed.
        """
        COMMAND_SPEC.validate(target)
        now_s = self._clock.now_s()
        position, _ = self._now(now_s)
        if not self.is_stopped:
            self._joints.publish({"position": position, "target": target}, now_s)

    def stop(self) -> None:
        """Ignore commands from now on, from any process; the joints settle on the last target."""
        self._flags.set("stop", 1)

    def handle(self) -> VirtualRobotHandle:
        """Return a picklable value whose ``attach()`` gives this robot in another process."""
        return self._handle

    def close(self) -> None:
        """Let go of it; whoever created it also ends it. Calling it twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        for memory in (self._flags, self._joints):
            if self._is_owner:
                memory.unlink()
            memory.close()

    def _now(self, now_s: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return float64[8] position and target at a time."""
        found = None if self._is_closed else self._joints.read()
        if found is None:
            raise StageError("this connection to the robot is closed; make a new one")
        values, since_s, _ = found
        share = math.exp(-max(0.0, now_s - since_s) / SERVO_LAG_S)
        target = values["target"]
        return target + share * (values["position"] - target), target
