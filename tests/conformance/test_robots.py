"""Every robot keeps the contract of robots; above all, stop() always works."""

import numpy as np
import pytest

from steadyhand.contracts.clock import ManualClock, MonotonicClock
from steadyhand.contracts.conformance.robot import check_robot
from steadyhand.evaluation.environment_robot import EnvironmentRobot
from steadyhand.runtime.robots.catalog import CATALOG
from steadyhand.sim.robot import SimulatedRobot
from steadyhand.sim.tasks.pick_place import PickPlace


def measured(robot):
    """Return the command that keeps a robot where it is."""
    return robot.observe().values["observation.state"][:8].astype(np.float64)


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_robot_of_the_runtime_conforms(name):
    robot = CATALOG[name]()
    check_robot(robot, measured(robot), MonotonicClock())


def test_the_simulated_robot_conforms():
    robot = SimulatedRobot.start("pick_place-hard")
    robot.reset(0, 0)
    check_robot(robot, measured(robot), MonotonicClock())


def test_a_world_in_simulated_time_conforms_except_that_it_is_not_shared():
    world = PickPlace("pick_place-plain")
    try:
        world.reset(0, 0)
        robot = EnvironmentRobot(world, 0.02)
        check_robot(robot, measured(robot), ManualClock(), is_shared=False)
    finally:
        world.close()
