import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyhand.kinematics import panda
from steadyhand.kinematics.controller import (
    ACTION_SPEC,
    COMMAND_SPEC,
    SERVO_LAG_S,
    CartesianController,
    default_limits,
)

LIMITS = default_limits()
REST = np.array(panda.REST_RAD)
NAMES = {"workspace", "linear_speed", "yaw_rate", "joint_speed", "joint_range", "grip"}


@pytest.fixture
def controller():
    return CartesianController(LIMITS, dt_s=0.05)


def action_at_rest(*change):
    """Return the action that keeps the arm at rest, with a change to its five numbers."""
    pose = panda.end_effector_pose(REST)
    return np.array((*pose, 0.0), np.float32) + np.array(change, np.float32)


def test_asking_for_the_pose_the_arm_has_moves_nothing(controller):
    command = controller.command(action_at_rest(0, 0, 0, 0, 0), REST)
    assert command.clipped == ()
    np.testing.assert_allclose(command.targets, (*REST, panda.GRIPPER_HIGH_M), atol=1e-4)


def test_a_small_step_is_solved_exactly(controller):
    command = controller.command(action_at_rest(0.02, -0.01, -0.02, 0.1, 1.0), REST)
    assert command.clipped == ()
    reached = panda.end_effector_pose(command.targets[:7])
    expected = np.add(panda.end_effector_pose(REST), (0.02, -0.01, -0.02, 0.1))
    np.testing.assert_allclose(reached, expected, atol=2e-4)
    assert command.targets[7] == 0.0


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ((0, 0, 0.3, 0, 0), "workspace"),
        ((0, 0, -0.1, 0, 0), "linear_speed"),
        ((0, 0, 0, 1.0, 0), "yaw_rate"),
        ((0, 0, 0, 0, 1.5), "grip"),
    ],
)
def test_each_wish_beyond_a_limit_is_clipped_and_named(controller, change, limit):
    assert limit in controller.command(action_at_rest(*change), REST).clipped


def test_an_arm_at_its_joint_range_is_not_sent_beyond_it(controller):
    q = REST.copy()
    q[6] = LIMITS.joint_high_rad[6]
    pose = panda.end_effector_pose(q)
    action = np.array((*pose[:3], pose[3] - 0.2, 0.0), np.float32)  # joint 7 turns against yaw
    command = controller.command(action, q)
    assert "joint_range" in command.clipped
    assert command.targets[6] <= LIMITS.joint_high_rad[6]


def test_the_shorter_way_round_is_taken_at_half_a_turn(controller):
    q = REST.copy()
    q[6] -= 2.5  # yaw 2.5
    pose = panda.end_effector_pose(q)
    targets = controller.command(np.array((*pose[:3], -2.8, 0.0), np.float32), q).targets
    assert panda.end_effector_pose(targets[:7])[3] > pose[3]


@given(
    st.tuples(*(st.floats(-2, 2, width=32) for _ in range(5))).map(
        lambda v: np.array(v, np.float32)
    ),
    st.tuples(
        *(
            st.floats(low, high)
            for low, high in zip(LIMITS.joint_low_rad, LIMITS.joint_high_rad, strict=True)
        )
    ).map(np.array),
)
def test_no_action_from_any_pose_leaves_the_limits(action, joints):
    command = CartesianController(LIMITS, dt_s=0.02).command(action, joints)
    lead = np.array(LIMITS.joint_speed_rad_s) * SERVO_LAG_S
    assert (np.abs(command.targets[:7] - joints) <= lead * (1 + 1e-9)).all()
    assert COMMAND_SPEC.validate(command.targets) is command.targets
    assert set(command.clipped) <= NAMES


def test_equal_arguments_give_equal_bytes(controller):
    action = action_at_rest(0.03, 0.02, -0.04, 0.2, 0.3)
    other = CartesianController(LIMITS, dt_s=0.05)
    first, second = controller.command(action, REST), other.command(action, REST)
    assert first.targets.tobytes() == second.targets.tobytes()


def test_a_period_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="dt_s must be positive"):
        CartesianController(LIMITS, dt_s=0.0)


def test_the_action_spec_accepts_what_the_arm_can_be_asked_for():
    ACTION_SPEC.validate(action_at_rest(0, 0, 0, 0, 1.0))
