"""Pick one object from the bin and put it on a target that moves over the table.

A seeded environment: the key (task, version, seed, index) decides every byte of an episode. One
step is 50 ms: an end-effector action, limited and solved for the joints exactly as on the robot,
then 25 physics steps. The real-time robot drives the same world through :meth:`PickPlace.advance`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey, Observation, Step
from steadyhand.contracts.errors import UsageError
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.kinematics import panda
from steadyhand.kinematics.controller import ACTION_SPEC, CartesianController, default_limits
from steadyhand.sim import panda_model
from steadyhand.sim.rendering import Renderer, RenderProfile
from steadyhand.sim.tasks.pick_place_levels import (
    LEVELS,
    TASK_VERSION,
    Layout,
    draw_layout,
    parse_task,
)
from steadyhand.sim.tasks.pick_place_scene import OBJECT_HALF_M, PHYSICS_STEP_S, SCENE_CAMERA, Scene

SNAPSHOT_SIZE = 25
INSTRUCTION = "pick up the red cube from the bin and put it on the green target"
STEP_PERIOD_S = 0.05
TIME_LIMIT_S = 12.0
SUCCESS_RADIUS_M = 0.04
CAMERAS = (panda_model.WRIST_CAMERA, SCENE_CAMERA)
STATE_NAMES = (
    *panda.JOINT_NAMES,
    "gripper_opening",
    *(f"end_effector_{axis}" for axis in ("x", "y", "z", "yaw")),
)

_STEPS_PER_ACTION = round(STEP_PERIOD_S / PHYSICS_STEP_S)
_TARGET_WAITS_WITHIN_M = 0.1
_REACH_LOW_M, _REACH_HIGH_M = (0.22, -0.52, -0.02), (0.76, 0.52, 1.0)


def observation_specs(image_size: int) -> dict[str, ArraySpec]:
    """Return the specs of what this task observes, with square images of that many pixels."""
    specs = {
        "observation.state": ArraySpec("observation.state", (12,), "float32", names=STATE_NAMES)
    }
    for camera in CAMERAS:
        name = f"observation.images.{camera}"
        specs[name] = ArraySpec(name, (image_size, image_size, 3), "uint8")
    return specs


@dataclass(frozen=True, slots=True)
class WorldState:
    """What an expert or a judge may know; policies never see it.

    Args:
        end_effector: float64[4] x, y, z [m], yaw [rad].
        opening_m: Gripper opening.
        object_position: float64[3] [m].
        object_yaw_rad: Rotation of the object about the vertical, in (-pi/4, pi/4].
        target_position: float64[2] [m].
        num_pads_touching: How many finger pads touch the object.
    """

    end_effector: NDArray[np.float64]
    opening_m: float
    object_position: NDArray[np.float64]
    object_yaw_rad: float
    target_position: NDArray[np.float64]
    num_pads_touching: int


class PickPlace:
    """The environment; see the module.

    Args:
        task: Catalog name, e.g. ``pick_place-hard``.
        image_size: Height and width of the pictures [pixels].

    Raises:
        UnknownNameError: If the task is none of this family.
    """

    def __init__(self, task: str, *, image_size: int = 64) -> None:
        self._name = parse_task(task)
        self._scene = Scene()
        self._image_size = image_size
        self.model: mujoco.MjModel = self._scene.model
        self.data = mujoco.MjData(self.model)
        self._controller = CartesianController(default_limits(), STEP_PERIOD_S)
        self._specs = observation_specs(image_size)
        self._renderer: Renderer | None = None
        self._layout: Layout | None = None
        self._target_velocity = np.zeros(2)
        self._object_id = self.model.body("object").id
        self._object_geom = self.model.geom("object").id
        self._pads = [self.model.geom(n).id for n in (panda_model.LEFT_PAD, panda_model.RIGHT_PAD)]
        self._joints = slice(*_joint_range(self.model, panda.JOINT_NAMES))
        self._fingers = slice(*_joint_range(self.model, ("left_finger", "right_finger")))

    @property
    def task(self) -> str:
        """Catalog name."""
        return str(self._name)

    @property
    def task_version(self) -> int:
        """Version of the task's definition."""
        return TASK_VERSION

    @property
    def observation_specs(self) -> Specs:
        """``observation.state`` and one picture per camera."""
        return self._specs

    @property
    def action_spec(self) -> ArraySpec:
        """End-effector x, y, z [m], yaw [rad], grip (1 = close)."""
        return ACTION_SPEC

    @property
    def step_period_s(self) -> float:
        """0.05 s: 20 Hz."""
        return STEP_PERIOD_S

    @property
    def elapsed_s(self) -> float:
        """Simulated time [s] since the episode began."""
        return float(self.data.time)

    def reset(
        self,
        seed: int,
        index: int,
        *,
        joints: NDArray[np.float64] | None = None,
        opening_m: float = panda.GRIPPER_HIGH_M,
    ) -> Mapping[str, float | int | str | bool]:
        """Start an episode.

        Args:
            seed: Family of episodes.
            index: Number within the family.
            joints: float64[7] arm pose [rad] to start from instead of rest.
            opening_m: Gripper opening to start with.

        Returns:
            ``level``, ``cluster``, ``start`` and where object and target begin.
        """
        key = EpisodeKey(self.task, TASK_VERSION, seed, index)
        layout = draw_layout(key)
        mujoco.mj_resetData(self.model, self.data)
        self._scene.apply(layout, self.data)
        self._layout = layout
        self._target_velocity = np.array(layout.target_velocity_m_s)
        pose = np.array(panda.REST_RAD) if joints is None else np.asarray(joints, np.float64)
        self.data.qpos[self._joints] = pose
        self.data.qpos[self._fingers] = opening_m / 2
        self.set_targets(np.array((*pose, opening_m)))
        mujoco.mj_forward(self.model, self.data)
        return {
            "level": self._name.level,
            "cluster": layout.cluster,
            "start": "rest" if joints is None else "random",
            "object_x_m": layout.object_pose[0],
            "object_y_m": layout.object_pose[1],
            "target_x_m": layout.target_position[0],
            "target_y_m": layout.target_position[1],
        }

    def observe(self) -> Observation:
        """Return state and pictures of this moment.

        Raises:
            RenderingError: If this machine has no OpenGL.
        """
        observation: Observation = {"observation.state": self.read_state()}
        for camera in CAMERAS:
            observation[f"observation.images.{camera}"] = self.render(camera)
        return observation

    def read_state(self) -> NDArray[np.float32]:
        """Return ``observation.state`` alone, without rendering."""
        joints = self.data.qpos[self._joints]
        pose = panda.end_effector_pose(joints)
        return np.array((*joints, self._opening_m(), *pose), dtype=np.float32)

    def render(self, camera: str) -> NDArray[np.uint8]:
        """Draw one camera: uint8 (image_size, image_size, 3)."""
        if self._renderer is None:
            profile = RenderProfile(self._image_size, self._image_size)
            self._renderer = Renderer(self.model, profile)
        return self._renderer.render(self.data, camera)

    def step(self, action: NDArray[Any]) -> Step:
        """Apply one action for 50 ms.

        Raises:
            SpecError: If the action does not fit its spec.
        """
        ACTION_SPEC.validate(action)
        command = self._controller.command(action, self.data.qpos[self._joints])
        return self.step_joints(command.targets)

    def step_joints(self, command: NDArray[np.float64]) -> Step:
        """Apply joint targets [rad] and a gripper opening [m] for 50 ms."""
        self.set_targets(command)
        self.advance(_STEPS_PER_ACTION)
        return self.judge()

    def set_targets(self, command: NDArray[np.float64]) -> None:
        """Set the servos' targets: seven joints [rad] and the gripper opening [m]."""
        self.data.ctrl[:7] = command[:7]
        self.data.ctrl[7:9] = command[7] / 2

    def advance(self, num_physics_steps: int) -> None:
        """Let simulated time pass, in units of 2 ms, and bring the kinematics up to date.

        Raises:
            UsageError: Before the first reset.
        """
        if self._layout is None:
            raise UsageError("this environment was never reset; call reset(seed, index) first")
        self._drift_target(num_physics_steps * PHYSICS_STEP_S)
        mujoco.mj_step(self.model, self.data, num_physics_steps)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _drift_target(self, duration_s: float) -> None:
        """Move the target on, reflected at its area's edges; it waits while the object is near."""
        target = self.data.mocap_pos[0]
        gap = self.data.xpos[self._object_id, :2] - target[:2]
        if math.hypot(*gap) < _TARGET_WAITS_WITHIN_M:
            return
        level = LEVELS[self._name.level]
        for axis, (low, high) in enumerate((level.target_x_m, level.target_y_m)):
            moved = target[axis] + self._target_velocity[axis] * duration_s
            if not low <= moved <= high:
                self._target_velocity[axis] *= -1
                moved = min(max(moved, low), high)
            target[axis] = moved

    def judge(self) -> Step:
        """Say how the episode stands now."""
        position = self.data.xpos[self._object_id]
        is_success = self.is_success()
        is_lost = bool((position < _REACH_LOW_M).any() or (position > _REACH_HIGH_M).any())
        is_late = self.elapsed_s >= TIME_LIMIT_S - PHYSICS_STEP_S / 2
        terminated = is_success or is_lost
        return Step(
            reward=float(is_success),
            terminated=terminated,
            truncated=is_late and not terminated,
            is_success=is_success,
            info={"is_lost": is_lost},
        )

    def is_success(self) -> bool:
        """Whether the object rests on the target, released."""
        position = self.data.xpos[self._object_id]
        gap = position[:2] - self.data.mocap_pos[0, :2]
        speed = self.data.joint("object").qvel
        return bool(
            math.hypot(*gap) <= SUCCESS_RADIUS_M
            and position[2] < OBJECT_HALF_M + 0.005
            and np.abs(speed[:3]).max() < 0.03
            and self._opening_m() > 2 * OBJECT_HALF_M + 0.01
            and self._num_pads_touching() == 0
        )

    def world_state(self) -> WorldState:
        """Return the privileged state that the expert reads."""
        w, x, y, z = self.data.xquat[self._object_id].tolist()
        yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        return WorldState(
            end_effector=panda.end_effector_pose(self.data.qpos[self._joints]),
            opening_m=self._opening_m(),
            object_position=self.data.xpos[self._object_id].copy(),
            object_yaw_rad=math.remainder(yaw, math.pi / 2),
            target_position=self.data.mocap_pos[0, :2].copy(),
            num_pads_touching=self._num_pads_touching(),
        )

    def snapshot(self) -> NDArray[np.float64]:
        """Return where everything is, for a film: all joints, then the target's x and y [m]."""
        return np.concatenate((self.data.qpos, self.data.mocap_pos[0, :2]))

    def show(self, snapshot: NDArray[np.float64]) -> None:
        """Put everything where a snapshot says, to be looked at only: velocities are not kept."""
        self.data.qpos[:] = snapshot[:-2]
        self.data.mocap_pos[0, :2] = snapshot[-2:]
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _opening_m(self) -> float:
        return float(self.data.qpos[self._fingers].sum())

    def _num_pads_touching(self) -> int:
        pairs = self.data.contact.geom
        with_object = pairs[(pairs == self._object_geom).any(axis=1)]
        return sum(bool((with_object == pad).any()) for pad in self._pads)

    def close(self) -> None:
        """Free the renderer; calling it twice is fine."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _joint_range(model: mujoco.MjModel, names: tuple[str, ...]) -> tuple[int, int]:
    """Return the first position address of consecutive joints and the one behind the last."""
    first = int(model.joint(names[0]).qposadr[0])
    return first, first + len(names)
