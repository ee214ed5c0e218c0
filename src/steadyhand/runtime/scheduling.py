"""Ask the system for real-time priority; say what it gave."""

import os
import sys

CONTROL_PRIORITY = 50
WATCHDOG_PRIORITY = 51


def raise_priority(priority: int) -> str:
    """Give this process a fixed real-time priority where that is permitted.

    Children start with normal priority: inference must never outrank the control loop.

    Args:
        priority: 1..99 of the FIFO class.

    Returns:
        ``fifo``, or ``normal`` where the system did not permit it.
    """
    if sys.platform != "linux":
        return "normal"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return "normal"
    return "fifo"
