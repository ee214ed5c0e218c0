import numpy as np
import pytest

from steadyhand.contracts.errors import StageError, UsageError
from steadyhand.evaluation.environment_robot import EnvironmentRobot


@pytest.fixture
def robot(reach_episode):
    world = reach_episode.environment("reach-a")
    world.reset(5, 2)
    return EnvironmentRobot(world, 0.02)


def test_time_passes_only_when_it_is_told_to(robot):
    assert robot.observe().observed_at_s == 0.0
    robot.command(np.array((0.1,) * 7 + (0.04,)))
    assert robot.observe().sequence == 0
    robot.advance()
    reading = robot.observe()
    assert (reading.observed_at_s, reading.sequence) == (0.02, 1)
    assert robot.environment.num_physics_steps == 10


def test_a_command_holds_until_the_next_one(robot):
    target = np.array((0.1,) * 7 + (0.04,))
    robot.command(target)
    for _ in range(200):
        robot.advance()
    np.testing.assert_allclose(robot.observe().values["observation.state"][:7], 0.1, atol=1e-3)


def test_a_stopped_robot_ignores_commands(robot):
    robot.stop()
    before = robot.environment.targets.copy()
    robot.command(np.ones(8))
    assert robot.is_stopped
    np.testing.assert_array_equal(robot.environment.targets, before)


def test_joints_cost_no_rendering_and_pictures_are_rendered_once(robot):
    values = robot.observe().values
    assert values["observation.state"].shape == (12,)
    assert robot.environment.num_observed == 0
    assert values["observation.images.scene"].shape == (2, 3, 3)
    assert values["observation.images.scene"].dtype == np.uint8
    assert robot.environment.num_observed == 1


def test_a_picture_of_the_past_is_refused(robot):
    values = robot.observe().values
    robot.advance()
    with pytest.raises(StageError, match="a picture of tick 0 was asked for at tick 1"):
        values["observation.images.scene"]


def test_an_unknown_key_stays_a_key_error(robot):
    with pytest.raises(KeyError, match="nonsense"):
        robot.observe().values["nonsense"]


def test_it_cannot_be_shared_with_another_process(robot):
    with pytest.raises(UsageError, match="SimulatedRobot"):
        robot.handle()
