"""Record every tick without ever waiting: a full pipe drops the record and counts it."""

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from steadyhand.runtime.gate import Judgement
from steadyhand.runtime.ladder import Rung
from steadyhand.runtime.pacer import Wake
from steadyhand.runtime.verdicts import TickReport, Verdict

_VERDICTS = {verdict: i for i, verdict in enumerate(Verdict)}
_RUNGS = {rung: i for i, rung in enumerate(Rung)}
_JUDGEMENTS = {judgement: i for i, judgement in enumerate(Judgement)}

# Columns of a record. Enumerations are their position in the order of definition; -1 is none.
COLUMNS = (
    "due_at_s",
    "lateness_s",
    "duration_s",
    "verdict",
    "rung",
    "judgement",
    "observed_at_s",
    "index",
    "num_clipped",
    "num_skipped",
    *(f"command_{i}" for i in range(8)),
)
_RECORD_BYTES = 8 * len(COLUMNS)  # under PIPE_BUF, so a record is written whole or not at all


@final
class TickRecorder:
    """The control loop's end: one non-blocking write per tick.

    Args:
        sender: Sending end of a one-way pipe.
    """

    def __init__(self, sender: Connection) -> None:
        self._sender = sender
        os.set_blocking(sender.fileno(), False)
        self._record: NDArray[np.float64] = np.zeros(len(COLUMNS))
        self.num_dropped = 0

    def write(self, wake: Wake, report: TickReport, ended_at_s: float) -> None:
        """Record one tick; drop and count it if the reader is behind or gone."""
        judgement = _JUDGEMENTS[report.judgements[-1]] if report.judgements else -1
        self._record[:10] = (
            wake.due_at_s,
            wake.lateness_s,
            ended_at_s - report.started_at_s,
            _VERDICTS[report.verdict],
            _RUNGS[report.rung],
            judgement,
            report.observed_at_s,
            report.index,
            len(report.clipped),
            wake.num_skipped,
        )
        self._record[10:] = np.nan if report.command is None else report.command
        try:
            os.write(self._sender.fileno(), self._record.data)
        except (BlockingIOError, BrokenPipeError):
            self.num_dropped += 1


@final
class TickLog:
    """The reader's end: the last ticks of a session, in memory of fixed size.

    Args:
        receiver: Receiving end of the pipe.
        capacity: Ticks that are kept; older ones are overwritten.
    """

    def __init__(self, receiver: Connection, capacity: int = 90_000) -> None:
        self._receiver = receiver
        os.set_blocking(receiver.fileno(), False)
        self._records: NDArray[np.float64] = np.zeros((capacity, len(COLUMNS)))
        self._rest = b""
        self.num_ticks = 0

    def drain(self) -> None:
        """Take over what is in the pipe; never waits."""
        while True:
            try:
                data = os.read(self._receiver.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not data:
                return
            self._append(self._rest + data)

    def _append(self, data: bytes) -> None:
        count = len(data) // _RECORD_BYTES
        self._rest = data[count * _RECORD_BYTES :]
        rows = np.frombuffer(data, np.float64, count * len(COLUMNS)).reshape(count, -1)
        where = (self.num_ticks + np.arange(count)) % len(self._records)
        self._records[where] = rows
        self.num_ticks += count

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the kept ticks in order, one float64 array per column."""
        kept = min(self.num_ticks, len(self._records))
        where = (self.num_ticks - kept + np.arange(kept)) % len(self._records)
        return {name: self._records[where, i] for i, name in enumerate(COLUMNS)}
