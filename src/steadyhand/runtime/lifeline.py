"""End with the parent: no process of a session outlives the one that started it.

A spawned process blocks a thread on its parent's sentinel; that works after SIGKILL of the
parent, and while an engine is computing.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process

_PR_SET_PDEATHSIG = 1


def start_lifeline(on_parent_death: Callable[[], None] | None = None) -> None:
    """Watch the parent in a daemon thread; exit at once when it dies.

    Also ignores Ctrl-C, which the terminal sends to every process of the group: the session's
    owner decides when to end, and then the robot is stopped first.

    Args:
        on_parent_death: Called once before the exit, e.g. to stop the robot. Failures of it do
            not keep the process alive.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        try:
            if on_parent_death is not None:
                on_parent_death()
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that spawned it ends (Linux only).

    For processes that own nothing worth a farewell. Unlike the lifeline's thread it reaches a
    process that is stopped, or stuck in native code.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
