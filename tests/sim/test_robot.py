import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from steadyhand.contracts.errors import SpecError, StageError, UnknownNameError
from steadyhand.contracts.specs import validate_arrays
from steadyhand.kinematics import panda
from steadyhand.sim.film import FilmCamera
from steadyhand.sim.robot import SimulatedRobot
from steadyhand.sim.tasks.pick_place import PickPlace

STOP_FROM_ELSEWHERE = """
import sys
from steadyhand.sim.robot import SimulatedRobotHandle
from steadyhand.sim.robot_process import RobotHandle
robot = SimulatedRobotHandle(RobotHandle(sys.argv[1], "pick_place-hard", 64)).attach()
print(sorted(robot.observe().values))
robot.stop()
robot.close()
"""

START_AND_WAIT = """
import time
from steadyhand.sim.robot import SimulatedRobot
if __name__ == "__main__":
    robot = SimulatedRobot.start("pick_place-plain")
    print(robot.process_id, robot.handle().memory.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def shared():
    robot = SimulatedRobot.start("pick_place-hard")
    yield robot
    robot.close()


@pytest.fixture
def robot(shared):
    shared.reset(0, 0)
    return shared


def eventually(condition, within_s=5.0):
    """Wait for another process; the limit is for failing, not for passing."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def joints(robot):
    return robot.observe().values["observation.state"][:7].astype(np.float64)


def memory_of(name):
    return [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(name)]


def is_running(process_id):
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_readings_fit_the_specs_and_begin_at_rest(robot):
    reading = robot.observe()
    validate_arrays(robot.observation_specs, reading.values, "reading")
    np.testing.assert_allclose(reading.values["observation.state"][:7], panda.REST_RAD, atol=0.01)


def test_readings_go_on_while_nobody_commands(robot):
    first = robot.observe()
    eventually(lambda: robot.observe().observed_at_s > first.observed_at_s + 0.1)
    second = robot.observe()
    assert second.sequence >= first.sequence + 12  # 100 states and 20 pictures per second
    assert robot.elapsed_s() > 0.09


def test_the_first_picture_after_a_reset_is_that_of_the_episode(robot):
    world = PickPlace("pick_place-hard")
    world.reset(3, 4)
    robot.reset(3, 4)
    np.testing.assert_allclose(
        robot.observe().values["observation.images.scene"].astype(int),
        world.render("scene").astype(int),
        atol=40,  # the target may have drifted by a fraction of a pixel
    )
    world.close()


def test_the_arm_goes_where_it_is_commanded(robot):
    goal = np.add(panda.REST_RAD, (0.2, 0, 0, 0, 0, 0, 0))
    robot.command(np.array((*goal, 0.02)))
    eventually(lambda: np.abs(joints(robot) - goal).max() < 0.01)
    eventually(lambda: abs(robot.observe().values["observation.state"][7] - 0.02) < 0.002)


def test_stopping_from_another_process_brakes_until_the_next_reset(robot):
    robot.command(np.array((*(np.array(panda.REST_RAD) + 0.3), 0.0)))
    eventually(lambda: joints(robot)[0] > 0.05)
    result = subprocess.run(
        [sys.executable, "-c", STOP_FROM_ELSEWHERE, robot.handle().memory.name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "observation.state" in result.stdout
    assert robot.is_stopped
    robot.command(np.array((*panda.REST_RAD, 0.08)))
    eventually(lambda: robot.elapsed_s() > 1.0)
    held = joints(robot)
    start_s = robot.elapsed_s()
    eventually(lambda: robot.elapsed_s() > start_s + 0.2)
    np.testing.assert_allclose(joints(robot), held, atol=1e-3)
    robot.reset(0, 0)
    assert not robot.is_stopped


def test_commands_from_before_a_reset_do_not_move_the_arm_after_it(robot):
    robot.command(np.array((*(np.array(panda.REST_RAD) + 0.3), 0.0)))
    robot.reset(0, 1)
    eventually(lambda: robot.elapsed_s() > 0.2)
    np.testing.assert_allclose(joints(robot), panda.REST_RAD, atol=0.01)


def test_a_command_that_is_not_finite_is_refused(robot):
    with pytest.raises(SpecError, match="not finite"):
        robot.command(np.full(8, np.nan))


def test_a_snapshot_can_be_filmed_later(robot):
    robot.reset(0, 2)
    snapshot = robot.snapshot()
    world = PickPlace("pick_place-hard")
    world.reset(0, 2)
    camera = FilmCamera(world)
    picture = camera.shoot_snapshot(snapshot)
    camera.close()
    world.close()
    assert picture.shape == (240, 640, 3)
    assert not robot.is_success()


def test_a_killed_robot_raises_and_leaves_nothing_behind():
    robot = SimulatedRobot.start("pick_place-plain")
    name = robot.handle().memory.name
    attached = robot.handle().attach()
    os.kill(robot.process_id, signal.SIGKILL)
    eventually(lambda: not can_observe(robot))
    with pytest.raises(StageError, match="died or stands still"):
        robot.observe()
    with pytest.raises(StageError, match="died or stands still"):
        robot.command(np.zeros(8))
    robot.stop()
    eventually(lambda: not can_observe(attached))
    attached.close()
    robot.close()
    robot.close()
    assert memory_of(name) == []
    with pytest.raises(StageError, match="closed"):
        robot.observe()


def can_observe(robot):
    try:
        robot.observe()
    except StageError:
        return False
    return True


def test_a_robot_whose_owner_is_killed_ends_and_frees_its_memory(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(START_AND_WAIT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        process_id, name = owner.stdout.readline().split()
        assert len(memory_of(name)) == 4
        owner.kill()
    eventually(lambda: not is_running(process_id))
    eventually(lambda: memory_of(name) == [])


def test_an_unknown_task_is_refused_before_a_process_is_started():
    with pytest.raises(UnknownNameError, match="did you mean"):
        SimulatedRobot.start("pick_place-herd")
