"""Which fallback acts on which rung. A literal table; nothing registers itself."""

from collections.abc import Mapping
from types import MappingProxyType

from steadyhand.runtime.fallbacks.fallback import Fallback
from steadyhand.runtime.fallbacks.hold import Hold
from steadyhand.runtime.fallbacks.safe import Retract
from steadyhand.runtime.fallbacks.stop import Stop
from steadyhand.runtime.ladder import Rung

CATALOG: Mapping[Rung, Fallback] = MappingProxyType(
    {Rung.HOLD: Hold(), Rung.SAFE: Retract(), Rung.STOP: Stop()}
)
