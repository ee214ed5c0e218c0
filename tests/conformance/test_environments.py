"""Every task of the catalog keeps the contract of environments."""

import pytest

from steadyhand.contracts.conformance.environment import check_environment
from steadyhand.sim.catalog import TASKS, make_environment

# One Gymnasium environment per kind of action: discrete, and continuous with and without an end.
GYMNASIUM = ("gym:CartPole-v1", "gym:Pendulum-v1", "gym:MountainCarContinuous-v0")


@pytest.mark.parametrize("task", [*TASKS, *GYMNASIUM])
def test_every_task_conforms(task):
    check_environment(lambda: make_environment(task), num_steps=8)
