import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyhand.kinematics import panda

JOINTS = st.tuples(
    *(
        st.floats(low, high)
        for low, high in zip(panda.JOINT_LOW_RAD, panda.JOINT_HIGH_RAD, strict=True)
    )
).map(np.array)

POSES = st.tuples(
    st.floats(0.35, 0.6), st.floats(-0.35, 0.35), st.floats(0.02, 0.35), st.floats(-0.7, 0.7)
).map(np.array)


def test_the_outstretched_arm_has_the_published_reach():
    # All joints zero: upper arm, forearm and wrist stack up, the hand hangs 0.088 m in front.
    position, rotation = panda.forward(np.zeros(7))
    up = 0.333 + 0.316 + 0.384 - 0.107 - 0.1034
    np.testing.assert_allclose(position, (0.088, 0.0, up), atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2], (0, 0, -1), atol=1e-12)


def test_the_hand_points_down_and_forward_at_rest():
    _, rotation = panda.forward(np.array(panda.REST_RAD))
    np.testing.assert_allclose(rotation, np.diag((1.0, -1.0, -1.0)), atol=1e-12)


def test_turning_the_base_turns_position_and_yaw():
    q = np.array(panda.REST_RAD)
    x, _, z, _ = panda.end_effector_pose(q)
    q[0] = 0.3
    expected = (x * math.cos(0.3), x * math.sin(0.3), z, 0.3)
    np.testing.assert_allclose(panda.end_effector_pose(q), expected, atol=1e-12)


@given(JOINTS)
def test_rotations_are_rotations(q):
    _, rotation = panda.forward(q)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@given(JOINTS)
def test_the_jacobian_is_the_derivative_of_the_forward_kinematics(q):
    step = 1e-6
    analytic = panda.jacobian(q)
    for joint in range(7):
        shift = step * np.eye(7)[joint]
        (p1, r1), (p0, r0) = panda.forward(q + shift), panda.forward(q - shift)
        spin = (r1 - r0) / (2 * step) @ panda.forward(q)[1].T
        angular = (spin[2, 1], spin[0, 2], spin[1, 0])
        np.testing.assert_allclose(analytic[:3, joint], (p1 - p0) / (2 * step), atol=1e-8)
        np.testing.assert_allclose(analytic[3:, joint], angular, atol=1e-8)


@given(POSES)
def test_inverse_kinematics_reaches_every_pose_of_the_table_within_a_tenth_of_a_millimetre(pose):
    q = panda.inverse(pose, np.array(panda.REST_RAD), max_iterations=50)
    np.testing.assert_allclose(panda.end_effector_pose(q), pose, atol=1e-4)
    np.testing.assert_allclose(panda.forward(q)[1][:, 2], (0, 0, -1), atol=1e-4)
    assert (q > panda.JOINT_LOW_RAD).all()
    assert (q < panda.JOINT_HIGH_RAD).all()


def test_an_unreachable_pose_gives_finite_joints():
    q = panda.inverse(np.array((2.0, 0.0, 0.5, 0.0)), np.array(panda.REST_RAD), max_iterations=50)
    assert np.isfinite(q).all()


def test_arguments_are_not_changed():
    start, pose = np.array(panda.REST_RAD), np.array((0.5, 0.1, 0.2, 0.3))
    panda.inverse(pose, start)
    assert (start == panda.REST_RAD).all()
    assert (pose == (0.5, 0.1, 0.2, 0.3)).all()
