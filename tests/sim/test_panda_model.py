import numpy as np
import pytest

from steadyhand.kinematics import panda


@pytest.fixture
def model(hard):
    hard.reset(0, 0)
    return hard.model


def test_our_forward_kinematics_equals_the_simulators(hard):
    import mujoco

    hard.reset(0, 0)
    rng = np.random.default_rng(0)
    for q in rng.uniform(panda.JOINT_LOW_RAD, panda.JOINT_HIGH_RAD, (200, 7)):
        for name, angle in zip(panda.JOINT_NAMES, q, strict=True):
            hard.data.joint(name).qpos[0] = angle
        mujoco.mj_kinematics(hard.model, hard.data)
        tool = hard.data.site("tool")
        position, rotation = panda.forward(q)
        np.testing.assert_allclose(tool.xpos, position, atol=1e-9)
        np.testing.assert_allclose(tool.xmat.reshape(3, 3), rotation, atol=1e-9)


def test_the_model_has_the_published_joint_and_torque_limits(model):
    for i, name in enumerate(panda.JOINT_NAMES):
        limits = (panda.JOINT_LOW_RAD[i], panda.JOINT_HIGH_RAD[i])
        torque = panda.JOINT_TORQUE_NM[i]
        np.testing.assert_allclose(model.joint(name).range, limits)
        np.testing.assert_allclose(model.actuator(name).ctrlrange, limits)
        np.testing.assert_allclose(model.actuator(name).forcerange, (-torque, torque))


def test_the_gripper_opens_eight_centimetres(model):
    widths = [model.joint(f"{side}_finger").range[1] for side in ("left", "right")]
    assert sum(widths) == pytest.approx(0.08)


def test_the_tool_point_lies_between_the_pads(hard):
    hard.reset(0, 0)
    pads = [hard.data.geom(f"{side}_pad").xpos for side in ("left", "right")]
    np.testing.assert_allclose(np.mean(pads, axis=0), hard.data.site("tool").xpos, atol=1e-9)


def joint_speeds(world):
    return np.array([world.data.joint(name).qvel[0] for name in panda.JOINT_NAMES])


def test_the_joints_keep_their_published_speed_under_the_boldest_actions(hard):
    hard.reset(0, 0)
    fastest = np.zeros(7)
    for step in range(40):
        side = 1.0 if step % 10 < 5 else -1.0
        hard.step(np.array((0.5, 0.4 * side, 0.2, 0.5 * side, 0.0), np.float32))
        fastest = np.maximum(fastest, np.abs(joint_speeds(hard)))
    assert (fastest < panda.JOINT_SPEED_RAD_S).all()
    assert fastest.max() > 0.5
