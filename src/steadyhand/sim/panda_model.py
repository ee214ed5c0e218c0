"""The Panda arm with its hand as light MJCF: primitive geoms, no meshes.

Geometry and limits come from :mod:`steadyhand.kinematics.panda`, so that the simulator's forward
kinematics and ours are the same by construction. Only the hand and the fingers collide; the links
are visual, because the task keeps them high above the table.
"""

import math

from steadyhand.kinematics import panda

WRIST_CAMERA = "wrist"
LEFT_PAD = "left_pad"
RIGHT_PAD = "right_pad"

# Position servo gains; kv / kp is the lag that kinematics.controller counts on.
_KP = (900.0, 900.0, 700.0, 700.0, 400.0, 300.0, 200.0)
_KV = (90.0, 90.0, 70.0, 70.0, 30.0, 20.0, 12.0)
_FINGER_FORCE_N = 25.0

# Link masses [kg] as identified by Gaz et al., "Dynamic identification of the Franka Emika Panda
# robot with retrieval of feasible parameters", RA-L 2019; inertias follow from the geoms.
_LINK_MASS_KG = (4.97, 0.647, 3.229, 3.588, 1.226, 1.667, 0.736)

_LINK_GEOMS = (
    '<geom class="link" size="0.07" fromto="0 0 -0.2 0 0 -0.03" mass="{m}"/>',
    '<geom class="link" size="0.065" fromto="0 0 0 0 -0.17 0" mass="{m}"/>',
    '<geom class="link" size="0.06" fromto="0 0 -0.1 0.06 0 0" mass="{m}"/>',
    '<geom class="link" size="0.055" fromto="0 0 0 -0.0825 0.12 0" mass="{m}"/>',
    '<geom class="link" size="0.05" fromto="0 0.02 -0.24 0 0.03 -0.02" mass="{m}"/>',
    '<geom class="link" size="0.045" fromto="0 0 0 0.088 0 0" mass="{m}"/>',
    '<geom class="link" size="0.045" fromto="0 0 0.03 0 0 0.07" mass="{m}"/>',
)


def _finger(side: str, quaternion: str) -> str:
    """Return one finger; its pad's inner face lies in the middle when the gripper is closed."""
    return f"""
      <body name="{side}_finger" pos="0 0 0.0584" quat="{quaternion}" gravcomp="1">
        <joint name="{side}_finger" class="finger"/>
        <geom class="finger" size="0.01 0.006 0.02" pos="0 0.0135 0.02" mass="0.01"/>
        <geom name="{side}_pad" class="pad" size="0.009 0.004 0.0095" pos="0 0.004 0.045"
              mass="0.005"/>
      </body>"""


def _hand() -> str:
    quaternion = f"{math.cos(panda.HAND_TURN_RAD / 2)!r} 0 0 {math.sin(panda.HAND_TURN_RAD / 2)!r}"
    return f"""
    <body name="hand" pos="0 0 {panda.FLANGE_M!r}" quat="{quaternion}" gravcomp="1">
      <geom class="hand" size="0.022 0.095 0.028" pos="0 0 0.03" mass="0.73"/>
      <site name="tool" pos="0 0 {panda.TOOL_M!r}"/>
      <camera name="{WRIST_CAMERA}" pos="0.085 0 0.03" xyaxes="0 1 0 0.906 0 0.423" fovy="100"/>
      {_finger("left", "1 0 0 0")}
      {_finger("right", "0 0 0 1")}
    </body>"""


def defaults() -> str:
    """Return the MJCF default classes the arm's elements use."""
    return f"""
    <default class="link">
      <geom type="capsule" contype="0" conaffinity="0" rgba="0.92 0.92 0.94 1"/>
    </default>
    <default class="hand"><geom type="box" rgba="0.25 0.26 0.28 1"/></default>
    <default class="finger">
      <geom type="box" rgba="0.55 0.56 0.6 1"/>
      <joint type="slide" axis="0 1 0" range="0 {panda.GRIPPER_HIGH_M / 2!r}" armature="0.05"
             damping="1"/>
      <position kp="1500" kv="60" ctrlrange="0 {panda.GRIPPER_HIGH_M / 2!r}"
                forcerange="-{_FINGER_FORCE_N} {_FINGER_FORCE_N}"/>
    </default>
    <default class="pad">
      <geom type="box" rgba="0.12 0.12 0.13 1" friction="2 0.05 0.002" condim="6" priority="1"
            solref="0.01 1"/>
    </default>"""


def body() -> str:
    """Return the arm's body tree, standing at the origin and looking along x."""
    opened, closed = "", ""
    for i in range(panda.NUM_JOINTS):
        alpha, a, d = panda.DH_ALPHA_RAD[i], panda.DH_A_M[i], panda.DH_D_M[i]
        # Craig's frame: turn by alpha about x, then shift by a along x and by d along the new z.
        sine, cosine = math.sin(alpha), math.cos(alpha)
        low, high = panda.JOINT_LOW_RAD[i], panda.JOINT_HIGH_RAD[i]
        opened += f"""
    <body name="link{i + 1}" pos="{a!r} {-sine * d!r} {cosine * d!r}" gravcomp="1"
          quat="{math.cos(alpha / 2)!r} {math.sin(alpha / 2)!r} 0 0">
      <joint name="{panda.JOINT_NAMES[i]}" axis="0 0 1" range="{low!r} {high!r}" armature="0.1"/>
      {_LINK_GEOMS[i].format(m=_LINK_MASS_KG[i])}"""
        closed += "</body>"
    base = '<geom class="link" size="0.075" fromto="0 0 0.02 0 0 0.1"/>'
    return f'<body name="link0">{base}{opened}{_hand()}{closed}</body>'


def actuators() -> str:
    """Return position servos: seven joints, then both fingers (each half of the opening)."""
    rows = [
        f'<position name="{name}" joint="{name}" kp="{kp}" kv="{kv}" ctrlrange="{low!r} {high!r}" '
        f'forcerange="{-torque} {torque}"/>'
        for name, kp, kv, low, high, torque in zip(
            panda.JOINT_NAMES,
            _KP,
            _KV,
            panda.JOINT_LOW_RAD,
            panda.JOINT_HIGH_RAD,
            panda.JOINT_TORQUE_NM,
            strict=True,
        )
    ]
    rows += [
        f'<position class="finger" name="{s}_finger" joint="{s}_finger"/>'
        for s in ("left", "right")
    ]
    return "\n".join(rows)


def equality() -> str:
    """Return the coupling that keeps the fingers symmetric."""
    return '<joint joint1="left_finger" joint2="right_finger" solref="0.01 1"/>'
