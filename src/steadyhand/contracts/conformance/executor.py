"""Rules of :class:`steadyhand.contracts.executor.Executor`."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from steadyhand.contracts.conformance.findings import Findings
from steadyhand.contracts.errors import DataError, StageError
from steadyhand.contracts.executor import Executor

_NUM_UNITS = 20
_REASON = "unit refuses on purpose"


@dataclass(frozen=True, slots=True)
class _Square:
    """A pure unit."""

    def __call__(self, item: int) -> int:
        return item * item


@dataclass(frozen=True, slots=True)
class _Refuse:
    """Fails with an error of ours at one item."""

    def __call__(self, item: int) -> int:
        if item == 3:
            raise DataError(_REASON)
        return item


@dataclass(frozen=True, slots=True)
class _Break:
    """Fails with a foreign error at one item, always."""

    def __call__(self, item: int) -> int:
        if item == 3:
            raise ZeroDivisionError(_REASON)
        return item


@dataclass(frozen=True, slots=True)
class _DieOnce:
    """Kills its process on the first attempt at one item.

    Args:
        marker: File that remembers the first attempt.
        caller: Process that must survive: where units run in it, nothing is killed.
    """

    marker: str
    caller: int

    def __call__(self, item: int) -> int:
        if item == 3 and os.getpid() != self.caller and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item


def check_executor(executor: Executor, scratch: Path) -> None:
    """Try every rule of an executor; it is closed at the end.

    Args:
        executor: The executor.
        scratch: Empty directory that its workers see, too.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    findings = Findings(f"executor {type(executor).__name__}")
    items = list(range(_NUM_UNITS))
    squares = [i * i for i in items]
    workers = executor.num_workers
    findings.expect(workers >= 1, f"num_workers must be at least 1, is {workers}")
    with findings.rule("map()"):
        _expect_squares(executor, findings, "results must come in the order of the items")
        findings.expect(list(executor.map(_Square(), [])) == [], "no items must give no results")
    with findings.rule("a map() that was given up"):
        next(executor.map(_Square(), items))
        _expect_squares(executor, findings, "a map() after one that was given up must be right")
    _check_failures(executor, findings)
    with findings.rule("a worker that is killed"):
        unit = _DieOnce(str(scratch / "died-once"), os.getpid())
        findings.expect(
            list(executor.map(unit, items)) == squares, "losing a worker must lose no unit"
        )
    with findings.rule("close() twice"):
        executor.close()
        executor.close()
    findings.raise_if_any()


def _expect_squares(executor: Executor, findings: Findings, violation: str) -> None:
    items = list(range(_NUM_UNITS))
    findings.expect(list(executor.map(_Square(), items)) == [i * i for i in items], violation)


def _check_failures(executor: Executor, findings: Findings) -> None:
    items = list(range(_NUM_UNITS))
    with findings.raises("a unit's own SteadyError must come out unchanged", DataError):
        _raise_other_messages(executor, items)
    with findings.raises("a unit that fails on every attempt", StageError):
        _raise_other_failures(executor, items)
    with findings.rule("map() after failures"):
        _expect_squares(executor, findings, "an executor must work on after a failure")


def _raise_other_messages(executor: Executor, items: list[int]) -> None:
    try:
        list(executor.map(_Refuse(), items))
    except DataError as error:
        if type(error) is not DataError or str(error) != _REASON:
            raise TypeError(f"it came out as {error!r}") from error
        raise


def _raise_other_failures(executor: Executor, items: list[int]) -> None:
    try:
        list(executor.map(_Break(), items))
    except StageError as error:
        if "ZeroDivisionError" not in str(error):
            raise ValueError(f"the last failure is not inside: {error}") from error
        raise
