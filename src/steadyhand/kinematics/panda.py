"""Kinematics of the Franka Emika Panda with its hand: published geometry and limits.

Pure arithmetic over joint angles; knows nothing of simulators, drivers or time. The tool centre
point lies between the finger pads; its x axis points forward at rest, z points down, and the
fingers open along y.

Source: Franka Control Interface documentation, "Robot and interface specifications": modified
(Craig) Denavit-Hartenberg parameters and the limits of the Panda.
"""

import math

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

NUM_JOINTS = 7
JOINT_NAMES = tuple(f"panda_joint{i}" for i in range(1, NUM_JOINTS + 1))

# Per joint: a [m] and alpha [rad] of the previous frame, d [m].
DH_A_M = (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088)
DH_ALPHA_RAD = (
    0.0,
    -math.pi / 2,
    math.pi / 2,
    math.pi / 2,
    -math.pi / 2,
    math.pi / 2,
    math.pi / 2,
)
DH_D_M = (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0)
FLANGE_M = 0.107
HAND_TURN_RAD = -math.pi / 4
TOOL_M = 0.1034

JOINT_LOW_RAD = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
JOINT_HIGH_RAD = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
JOINT_SPEED_RAD_S = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
JOINT_TORQUE_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
GRIPPER_LOW_M = 0.0
GRIPPER_HIGH_M = 0.08

# Hand down (q6 = q2 - q4), tool 0.41 m in front of the base and 0.32 m above its foot.
REST_RAD = (0.0, -0.4, 0.0, -2.5, 0.0, 2.1, math.pi / 4)

# cos(alpha) is 0 for every joint but the first, so a frame follows from sin(alpha) alone.
_SIGNS = (-1.0, 1.0, 1.0, -1.0, 1.0, 1.0)
_COS_HAND, _SIN_HAND = math.cos(HAND_TURN_RAD), math.sin(HAND_TURN_RAD)

Frames = tuple[list[tuple[float, ...]], tuple[float, ...], tuple[float, ...]]


def _frames(q: list[float]) -> Frames:
    """Walk down the chain with plain floats, which is several times faster than 4x4 products.

    Args:
        q: Seven joint angles [rad].

    Returns:
        Per joint its axis and origin (6 numbers); the tool position (3); the tool rotation,
        column by column (9).
    """
    c, s = math.cos(q[0]), math.sin(q[0])
    xx, xy, xz = c, s, 0.0
    yx, yy, yz = -s, c, 0.0
    zx, zy, zz = 0.0, 0.0, 1.0
    px, py, pz = 0.0, 0.0, DH_D_M[0]
    axes: list[tuple[float, ...]] = [(zx, zy, zz, px, py, pz)]
    for i in range(1, NUM_JOINTS):
        c, s, sign, a, d = math.cos(q[i]), math.sin(q[i]), _SIGNS[i - 1], DH_A_M[i], DH_D_M[i]
        px, py, pz = px + a * xx, py + a * xy, pz + a * xz
        g, h = sign * s, sign * c
        xx, xy, xz, yx, yy, yz, zx, zy, zz = (
            c * xx + g * zx,
            c * xy + g * zy,
            c * xz + g * zz,
            h * zx - s * xx,
            h * zy - s * xy,
            h * zz - s * xz,
            -sign * yx,
            -sign * yy,
            -sign * yz,
        )
        px, py, pz = px + d * zx, py + d * zy, pz + d * zz
        axes.append((zx, zy, zz, px, py, pz))
    tool = FLANGE_M + TOOL_M
    position = (px + tool * zx, py + tool * zy, pz + tool * zz)
    c, s = _COS_HAND, _SIN_HAND
    rotation = (
        *(c * xx + s * yx, c * xy + s * yy, c * xz + s * yz),
        *(c * yx - s * xx, c * yy - s * xy, c * yz - s * xz),
        *(zx, zy, zz),
    )
    return axes, position, rotation


def forward(q: Vector) -> tuple[Vector, Vector]:
    """Return where the tool is.

    Args:
        q: float64[7] joint angles [rad].

    Returns:
        Position float64[3] [m] and rotation matrix float64[3, 3] in the arm's base frame.
    """
    _, position, rotation = _frames(q.tolist())
    return np.array(position), np.array(rotation).reshape(3, 3).T.copy()


def end_effector_pose(q: Vector) -> Vector:
    """Return float64[4]: tool x, y, z [m] and yaw [rad] in (-pi, pi] of its x axis."""
    _, position, rotation = _frames(q.tolist())
    return np.array((*position, math.atan2(rotation[1], rotation[0])))


def jacobian(q: Vector) -> Vector:
    """Return the geometric Jacobian float64[6, 7]: linear [m/rad] over angular velocity [1]."""
    axes, position, _ = _frames(q.tolist())
    return np.array(_columns(axes, position)).T.copy()


def _columns(
    axes: list[tuple[float, ...]], position: tuple[float, ...]
) -> list[tuple[float, float, float, float, float, float]]:
    """Return the Jacobian's columns: axis x (tool - origin), axis."""
    x, y, z = position
    columns = []
    for ax, ay, az, ox, oy, oz in axes:
        rx, ry, rz = x - ox, y - oy, z - oz
        columns.append((ay * rz - az * ry, az * rx - ax * rz, ax * ry - ay * rx, ax, ay, az))
    return columns


def inverse(
    target: Vector,
    start: Vector,
    *,
    max_iterations: int = 6,
    damping: float = 1e-4,
    rest_gain: float = 0.1,
    tolerance: float = 1e-5,
) -> Vector:
    """Find joint angles with the hand pointing down at a pose, near a known configuration.

    Damped least squares; the redundant joint is drawn to ``REST_RAD`` in the null space.

    Args:
        target: float64[4] tool x, y, z [m] and yaw [rad].
        start: float64[7] joint angles [rad] to start from.
        max_iterations: Upper bound of the work; the result is the best after as many steps.
        damping: lambda squared; keeps steps finite at singularities.
        rest_gain: Share of the distance to the rest pose taken per step in the null space.
        tolerance: Stop when position [m] and rotation [rad] errors are both below it.

    Returns:
        float64[7] joint angles [rad]; not clipped to the limits.

    Source: Buss, "Introduction to inverse kinematics with Jacobian transpose, pseudoinverse and
    damped least squares methods", 2004, equation 11.
    """
    x, y, z, yaw = target.tolist()
    cy, sy = math.cos(yaw), math.sin(yaw)
    q = np.array(start, dtype=np.float64)
    for _ in range(max_iterations):
        axes, position, r = _frames(q.tolist())
        # Rotation error [rad], small angles: half the sum of column x wanted column, for the
        # wanted columns (cy, sy, 0), (sy, -cy, 0), (0, 0, -1).
        error = (
            x - position[0],
            y - position[1],
            z - position[2],
            0.5 * (-r[2] * sy + r[5] * cy - r[7]),
            0.5 * (r[2] * cy + r[5] * sy + r[6]),
            0.5 * (r[0] * sy - r[1] * cy - r[3] * cy - r[4] * sy),
        )
        if max(map(abs, error)) < tolerance:
            break
        columns = np.array(_columns(axes, position))
        drift = rest_gain * (_REST - q)
        square = columns.T @ columns
        square[_DIAGONAL, _DIAGONAL] += damping
        q = q + drift + columns @ np.linalg.solve(square, np.array(error) - drift @ columns)
    return q


_REST = np.array(REST_RAD)
_DIAGONAL = np.arange(6)
