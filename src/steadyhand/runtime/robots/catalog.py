"""The robots that the runtime itself brings. A literal table; nothing registers itself.

The simulated arm is not here: it lives in ``sim``, which the robot install does not carry.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from steadyhand.contracts.robot import Robot
from steadyhand.runtime.robots.virtual import VirtualRobot

CATALOG: Mapping[str, Callable[[], Robot]] = MappingProxyType({"virtual": VirtualRobot.create})
