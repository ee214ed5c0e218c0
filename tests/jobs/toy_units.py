"""Units of work for the executor's tests; workers import them by name."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from steadyhand.contracts.errors import DataError, UnknownNameError


def square(x):
    return x * x


def pid_and_threads(_):
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def refuse(x):
    if x == 3:
        raise UnknownNameError("fruit", "aple", ["apple", "pear"])
    return x


def refuse_plainly(x):
    raise DataError(f"unit {x} holds NaN")


def raise_value_error(x):
    raise ValueError(f"boom {x}")


def return_a_lambda(_):
    return lambda: None


@dataclass(frozen=True)
class KillsItselfOnce:
    """Dies on item 2, the first time; a file remembers that."""

    directory: Path

    def __call__(self, x):
        mark = self.directory / f"died-{x}"
        if x == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def kill_itself(_):
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class LeavesATrace:
    """Writes the pid of its worker, then sleeps far longer than the test runs."""

    directory: Path

    def __call__(self, x):
        (self.directory / f"{x}.pid").write_text(str(os.getpid()))
        time.sleep(600)


@dataclass(frozen=True)
class Counts:
    """Appends its item to a file."""

    path: Path

    def __call__(self, x):
        with self.path.open("a") as file:
            file.write(f"{x}\n")
        return x
