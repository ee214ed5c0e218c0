"""The tasks of this package, by name. Gymnasium environments come in under ``gym:<id>``."""

from collections.abc import Callable, Mapping
from functools import partial

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.environment import Environment
from steadyhand.sim.gymnasium_adapter import PREFIX, GymnasiumEnvironment
from steadyhand.sim.tasks.pick_place import PickPlace

TASKS: Mapping[str, Callable[..., Environment]] = {
    "pick_place-plain": partial(PickPlace, "pick_place-plain"),
    "pick_place-hard": partial(PickPlace, "pick_place-hard"),
    "pick_place-shifted": partial(PickPlace, "pick_place-shifted"),
    "pick_place-plain-held_out": partial(PickPlace, "pick_place-plain-held_out"),
    "pick_place-hard-held_out": partial(PickPlace, "pick_place-hard-held_out"),
    "pick_place-shifted-held_out": partial(PickPlace, "pick_place-shifted-held_out"),
}


def make_environment(task: str, *, image_size: int = 64) -> Environment:
    """Make an environment by name.

    Args:
        task: A key of ``TASKS``, or ``gym:`` and a registered Gymnasium id.
        image_size: Height and width [pixels] of the pictures of tasks that have cameras.

    Raises:
        UnknownNameError: If the name is in no catalog; names the nearest one.
    """
    if task.startswith(PREFIX):
        return GymnasiumEnvironment(task)
    return lookup("task", task, TASKS)(image_size=image_size)
