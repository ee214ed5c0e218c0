"""Absolute deadlines: tick ``k`` is due at ``start + k * period``, whatever happened before."""

import math
from dataclasses import dataclass

from steadyhand.contracts.clock import Clock


@dataclass(frozen=True, slots=True)
class Wake:
    """One wake-up.

    Args:
        due_at_s: The deadline it was for.
        lateness_s: How much later it came.
        num_skipped: Deadlines that had passed altogether and were skipped.
    """

    due_at_s: float
    lateness_s: float
    num_skipped: int


class Pacer:
    """Waits for the deadlines of a fixed rate; missed ones are skipped, never made up for.

    Args:
        clock: What to wait on.
        period_s: Time [s] between deadlines.
    """

    def __init__(self, clock: Clock, period_s: float) -> None:
        self._clock = clock
        self._period_s = period_s
        self._start_s = clock.now_s()
        self._next = 0

    def wait(self) -> Wake:
        """Wait for the next deadline that has not passed by a whole period."""
        now_s = self._clock.now_s()
        # The deadline of the current period is late, but not missed.
        current = math.floor((now_s - self._start_s) / self._period_s)
        skipped = max(0, current - self._next)
        self._next += skipped
        # Multiplied, not summed: rounding must not drift over days.
        due_s = self._start_s + self._next * self._period_s
        self._clock.wait_until_s(due_s)
        self._next += 1
        return Wake(due_s, max(0.0, self._clock.now_s() - due_s), skipped)
