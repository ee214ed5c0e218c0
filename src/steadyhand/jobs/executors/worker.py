"""The worker side of the local executor: receives units, executes them, sends results back."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from steadyhand.contracts.errors import SteadyError

UNNAMED = -1


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of work on its way to a worker.

    Args:
        batch: Number of the ``map`` call it belongs to.
        index: Its position there.
        function: What to call; None where the worker has the function of this batch already.
        item: The argument.
    """

    batch: int
    index: int
    function: Callable[[Any], Any] | None
    item: Any


@dataclass(frozen=True, slots=True)
class Done:
    """A unit's result."""

    batch: int
    index: int
    value: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A SteadyError raised by a unit, in parts, so that it arrives as itself.

    Exceptions travel by calling their class with ``args``; classes whose constructor takes other
    arguments than the message would not survive that.
    """

    batch: int
    index: int
    kind: type[SteadyError]
    arguments: tuple[Any, ...]
    attributes: dict[str, Any]

    def rebuild(self) -> SteadyError:
        """Return the error as it was raised."""
        error = self.kind.__new__(self.kind, *self.arguments)
        error.__dict__.update(self.attributes)
        return error


@dataclass(frozen=True, slots=True)
class Failed:
    """A unit raised something else; it may be tried again."""

    batch: int
    index: int
    traceback: str


def serve(connection: Connection) -> None:
    """Execute units until the other side closes the connection or the parent process dies."""
    # Ctrl-C reaches the whole terminal group; the parent decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, name="exit-with-parent", daemon=True).start()
    known: tuple[int, Callable[[Any], Any]] | None = None
    while True:
        # A unit that cannot even be received has no name here; the parent knows which it sent.
        batch, index = UNNAMED, UNNAMED
        try:
            unit: Unit = connection.recv()
            batch, index = unit.batch, unit.index
            if unit.function is not None:
                known = (batch, unit.function)
            if known is None or known[0] != batch:
                raise LookupError(f"the function of batch {batch} never arrived")  # noqa: TRY301
            connection.send(Done(batch, index, known[1](unit.item)))
        except EOFError:
            return
        except SteadyError as error:
            connection.send(Refused(batch, index, type(error), error.args, dict(vars(error))))
        except Exception:  # noqa: BLE001 - whatever a unit raises is reported, then tried again
            connection.send(Failed(batch, index, traceback.format_exc()))


def _exit_with_parent() -> None:
    """End this process when its parent is gone, also in the middle of a unit."""
    parent = parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    sys.stderr.flush()
    os._exit(1)
