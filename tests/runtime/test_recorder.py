"""The recorder: whole records, bounded memory, drops that are counted, no waiting."""

import multiprocessing

import numpy as np
import pytest

from steadyhand.runtime.gate import Judgement
from steadyhand.runtime.ladder import Rung
from steadyhand.runtime.pacer import Wake
from steadyhand.runtime.recorder import COLUMNS, TickLog, TickRecorder
from steadyhand.runtime.verdicts import TickReport, Verdict


def report(index):
    return TickReport(
        Verdict.EXECUTED,
        Rung.POLICY,
        (Judgement.ACCEPTED,),
        (),
        10.0,
        9.9,
        index,
        np.arange(8.0),
        ("workspace",),
        is_late=False,
    )


@pytest.fixture
def pipe():
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    yield receiver, sender
    receiver.close()
    sender.close()


def test_a_record_comes_out_as_it_went_in(pipe):
    recorder, log = TickRecorder(pipe[1]), TickLog(pipe[0], capacity=5)
    recorder.write(Wake(10.0, 0.001, 2), report(3), 10.004)
    log.drain()
    row = {name: float(column[0]) for name, column in log.arrays().items()}
    assert row["due_at_s"] == 10.0
    assert row["duration_s"] == pytest.approx(0.004)
    assert (row["verdict"], row["rung"], row["judgement"]) == (0, 0, 0)
    assert (row["index"], row["num_clipped"], row["num_skipped"]) == (3, 1, 2)
    assert row["command_7"] == 7.0


def test_the_log_keeps_the_last_ticks_in_order(pipe):
    recorder, log = TickRecorder(pipe[1]), TickLog(pipe[0], capacity=5)
    for i in range(12):
        recorder.write(Wake(float(i), 0.0, 0), report(i), 10.0)
        if i % 3 == 0:
            log.drain()
    log.drain()
    assert log.num_ticks == 12
    assert log.arrays()["index"].tolist() == [7, 8, 9, 10, 11]


def test_a_reader_that_never_reads_costs_records_never_time(pipe):
    recorder = TickRecorder(pipe[1])
    for i in range(2000):
        recorder.write(Wake(0.0, 0.0, 0), report(i), 10.0)
    log = TickLog(pipe[0])
    log.drain()
    assert recorder.num_dropped > 0
    assert recorder.num_dropped + log.num_ticks == 2000
    # The oldest records are whole; nothing is torn at the edge of the pipe.
    assert log.arrays()["index"].tolist() == list(range(log.num_ticks))


def test_a_reader_that_is_gone_is_survived(pipe):
    recorder = TickRecorder(pipe[1])
    pipe[0].close()
    recorder.write(Wake(0.0, 0.0, 0), report(0), 10.0)
    assert recorder.num_dropped == 1


def test_a_record_fits_into_an_atomic_write():
    assert 8 * len(COLUMNS) <= 512  # the smallest PIPE_BUF that POSIX allows
