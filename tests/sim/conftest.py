import pytest

from steadyhand.sim.tasks.pick_place import PickPlace


@pytest.fixture(scope="package")
def hard():
    """One world for all tests of the package: every test resets it first."""
    world = PickPlace("pick_place-hard")
    yield world
    world.close()
