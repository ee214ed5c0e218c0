"""Time is passed in. Deadlines are absolute times on a monotonic clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock."""

    def now_s(self) -> float:
        """Return the time [s]; only differences mean anything."""
        ...

    def wait_until_s(self, deadline_s: float) -> None:
        """Block until the clock reads at least ``deadline_s``; may return at once."""
        ...


class MonotonicClock:
    """The system's monotonic clock, the same in every process of this machine."""

    def now_s(self) -> float:
        """Return ``CLOCK_MONOTONIC`` [s]."""
        return time.monotonic()

    def wait_until_s(self, deadline_s: float) -> None:
        """Sleep until an absolute time [s]."""
        while (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(left_s)


class ManualClock:
    """A clock that moves only when told to: for tests and simulated time."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Return the current reading [s]."""
        return self._now_s

    def wait_until_s(self, deadline_s: float) -> None:
        """Jump to the deadline."""
        self._now_s = max(self._now_s, deadline_s)

    def advance_s(self, duration_s: float) -> None:
        """Move forward.

        Raises:
            ValueError: If the duration is negative; a monotonic clock never goes back.
        """
        if duration_s < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-duration_s} s")
        self._now_s += duration_s
