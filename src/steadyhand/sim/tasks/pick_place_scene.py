"""The world of pick-and-place as MJCF: table, bin, object, distractor, target, lamp, cameras.

It builds text and applies a layout to a model; it does not step anything.
"""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from steadyhand.sim import panda_model
from steadyhand.sim.tasks.pick_place_levels import Layout

PHYSICS_STEP_S = 0.002
OBJECT_HALF_M = 0.02
OBJECT_MASS_KG = 0.06
TARGET_RADIUS_M = 0.045
SCENE_CAMERA = "scene"

_WALL_HALF_M = 0.005
_WALL_HEIGHT_M = 0.04
# 7 cm from the walls to the nearest start, which leaves room for the open fingers.
_BIN_LOW_M, _BIN_HIGH_M = (0.33, -0.43), (0.67, 0.01)
_CAMERA_POSITION_M = (1.12, -0.02, 0.86)
_CAMERA_LOOKS_AT_M = (0.49, -0.06, 0.03)
_TARGET_Z_M = 0.0015


def _wall(x: float, y: float, half_x: float, half_y: float) -> str:
    half_z = _WALL_HEIGHT_M / 2
    return (
        f'<geom class="bin" size="{half_x} {half_y} {half_z}" pos="{x} {y} {half_z}" '
        'friction="0.6 0.01 0.0001"/>'
    )


def _bin() -> str:
    (x0, y0), (x1, y1) = _BIN_LOW_M, _BIN_HIGH_M
    x, y, t = (x0 + x1) / 2, (y0 + y1) / 2, _WALL_HALF_M
    half_x, half_y = (x1 - x0) / 2, (y1 - y0) / 2
    return f"""
    <body name="bin">
      <geom class="bin" size="{half_x} {half_y} 0.0005" pos="{x} {y} 0.0005" contype="0"
            conaffinity="0"/>
      {_wall(x0 - t, y, t, half_y + 2 * t)} {_wall(x1 + t, y, t, half_y + 2 * t)}
      {_wall(x, y0 - t, half_x, t)} {_wall(x, y1 + t, half_x, t)}
    </body>"""


def _cube(name: str) -> str:
    h = OBJECT_HALF_M
    return f"""
    <body name="{name}" pos="0 0 {h}">
      <freejoint name="{name}"/>
      <geom name="{name}" type="box" size="{h} {h} {h}" mass="{OBJECT_MASS_KG}"
            friction="0.8 0.01 0.0001"/>
    </body>"""


def build_xml() -> str:
    """Return the whole model as MJCF text."""
    camera = " ".join(repr(v) for v in _CAMERA_POSITION_M)
    quaternion = " ".join(repr(v) for v in _look_at(_CAMERA_POSITION_M, _CAMERA_LOOKS_AT_M))
    return f"""
<mujoco model="pick_place">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{PHYSICS_STEP_S}" integrator="implicitfast" cone="elliptic" impratio="10"
          iterations="20"/>
  <visual>
    <headlight ambient="0.35 0.35 0.35" diffuse="0 0 0" specular="0 0 0"/>
    <map znear="0.01" zfar="4"/>
  </visual>
  <statistic extent="1" center="0.45 0 0.2"/>
  <default>{panda_model.defaults()}
    <default class="bin"><geom type="box"/></default>
  </default>
  <worldbody>
    <light name="lamp" pos="0.45 0 2" dir="0 0 -1" directional="true" specular="0.1 0.1 0.1"/>
    <camera name="{SCENE_CAMERA}" pos="{camera}" quat="{quaternion}" fovy="40"/>
    <geom name="floor" type="plane" size="4 4 1" pos="0 0 -0.5" rgba="0.3 0.31 0.33 1"
          contype="0" conaffinity="0"/>
    <geom name="table" type="box" size="0.55 0.65 0.03" pos="0.4 0 -0.03"
          friction="0.8 0.01 0.0001"/>
    <body name="target" mocap="true">
      <geom name="target" type="cylinder" size="{TARGET_RADIUS_M} 0.001" contype="0"
            conaffinity="0"/>
    </body>
    {_bin()}{_cube("object")}{_cube("distractor")}
    {panda_model.body()}
  </worldbody>
  <equality>{panda_model.equality()}</equality>
  <actuator>{panda_model.actuators()}</actuator>
</mujoco>"""


def _look_at(eye: tuple[float, ...], goal: tuple[float, ...]) -> list[float]:
    """Return the quaternion of a camera at ``eye`` that sees ``goal`` in its middle."""
    back = np.subtract(eye, goal)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(back, right), back), axis=1)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    values: list[float] = quaternion.tolist()
    return values


class Scene:
    """The compiled model, with the parts a layout changes.

    Applying a layout writes each of those fields in full, from the values the model was compiled
    with, so an episode never sees what an earlier one left behind.
    """

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(build_xml())
        self._cameras = {
            name: (self.model.camera(name).pos.copy(), self.model.camera(name).quat.copy())
            for name in (SCENE_CAMERA, panda_model.WRIST_CAMERA)
        }

    def apply(self, layout: Layout, data: mujoco.MjData) -> None:
        """Place and paint everything but the arm; ``data`` must be freshly reset."""
        model = self.model
        for name, colour in (
            ("object", layout.object_colour),
            ("distractor", layout.distractor_colour),
            ("target", layout.target_colour),
            ("table", layout.table_colour),
        ):
            model.geom(name).rgba[:3] = colour
        model.geom_rgba[model.geom_bodyid == model.body("bin").id, :3] = layout.bin_colour
        model.light("lamp").diffuse[:] = layout.light_colour
        model.light("lamp").dir[:] = layout.light_direction
        model.vis.headlight.ambient[:] = layout.ambient_colour
        self._move_camera(SCENE_CAMERA, layout.scene_camera_shift_m, layout.scene_camera_turn_rad)
        self._move_camera(
            panda_model.WRIST_CAMERA, layout.wrist_camera_shift_m, layout.wrist_camera_turn_rad
        )
        for name, (x, y, yaw) in (
            ("object", layout.object_pose),
            ("distractor", layout.distractor_pose),
        ):
            data.joint(name).qpos[:] = (
                *(x, y, OBJECT_HALF_M),
                *(math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)),
            )
        data.mocap_pos[0] = (*layout.target_position, _TARGET_Z_M)

    def _move_camera(
        self, name: str, shift_m: tuple[float, ...], turn_rad: tuple[float, ...]
    ) -> None:
        position, quaternion = self._cameras[name]
        turned: NDArray[np.float64] = quaternion.copy()
        mujoco.mju_quatIntegrate(turned, np.array(turn_rad), 1.0)
        self.model.camera(name).pos[:] = position + np.array(shift_m)
        self.model.camera(name).quat[:] = turned
