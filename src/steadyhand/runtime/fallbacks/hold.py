"""Hold: keep the last command, so that the arm comes to rest on it."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.runtime.fallbacks.fallback import FallbackInput


@final
class Hold:
    """Repeats the last command; before the first one, holds the measured position."""

    def command(self, given: FallbackInput) -> NDArray[np.float64] | None:
        """Return the last command, the measured joints, or None if neither is known."""
        return given.joints if given.last_command is None else given.last_command
