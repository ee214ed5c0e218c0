"""Stop: the robot brakes by itself; the loop sends nothing more."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.runtime.fallbacks.fallback import FallbackInput


@final
class Stop:
    """Sends nothing; the loop calls ``robot.stop()`` when this rung is reached."""

    def command(self, given: FallbackInput) -> NDArray[np.float64] | None:  # noqa: ARG002  protocol
        """Return None."""
        return None
