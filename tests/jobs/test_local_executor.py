"""The local executor: order, restart of killed workers, errors that arrive as themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_units

from steadyhand.contracts.errors import DataError, StageError, UnknownNameError, UsageError
from steadyhand.jobs.executors.local import LOOK_AHEAD_PER_WORKER, LocalExecutor


@pytest.fixture
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def test_results_come_in_the_order_of_the_items(executor):
    assert list(executor.map(toy_units.square, range(20))) == [x * x for x in range(20)]


def test_no_items_give_no_results_and_start_no_worker(executor):
    assert list(executor.map(toy_units.square, [])) == []
    assert executor.worker_pids == ()


def test_workers_live_on_between_calls_and_have_one_thread(executor):
    first = {pid for pid, _ in executor.map(toy_units.pid_and_threads, range(8))}
    second = list(executor.map(toy_units.pid_and_threads, range(8)))
    assert {pid for pid, _ in second} <= set(executor.worker_pids)
    assert first == set(executor.worker_pids)
    assert {threads for _, threads in second} == {"1"}
    assert os.getpid() not in first


def test_a_unit_whose_worker_was_killed_is_executed_again(executor, tmp_path):
    unit = toy_units.KillsItselfOnce(tmp_path)
    assert list(executor.map(unit, range(8))) == list(range(8))
    assert (tmp_path / "died-2").exists()


def test_a_worker_killed_from_outside_while_idle_is_replaced(executor):
    list(executor.map(toy_units.square, range(4)))
    for pid in executor.worker_pids:
        os.kill(pid, signal.SIGKILL)
    assert list(executor.map(toy_units.square, range(4))) == [0, 1, 4, 9]


def test_a_unit_that_always_kills_its_worker_becomes_a_stage_error(executor):
    with pytest.raises(StageError, match=r"unit 0 \(7\) failed 3 times.*\n.*exit code -9"):
        list(executor.map(toy_units.kill_itself, [7]))


def test_an_error_of_ours_arrives_as_itself(executor):
    with pytest.raises(UnknownNameError, match="did you mean 'apple'") as caught:
        list(executor.map(toy_units.refuse, range(6)))
    assert caught.value.known == ("apple", "pear")
    with pytest.raises(DataError, match=r"^unit 0 holds NaN$"):
        list(executor.map(toy_units.refuse_plainly, [0]))


def test_the_executor_works_on_after_a_failed_map(executor):
    with pytest.raises(StageError, match="ValueError: boom 5"):
        list(executor.map(toy_units.raise_value_error, [5]))
    assert list(executor.map(toy_units.square, range(6))) == [0, 1, 4, 9, 16, 25]


def test_results_of_an_abandoned_map_do_not_leak_into_the_next(executor):
    abandoned = executor.map(toy_units.square, range(100, 120))
    assert next(abandoned) == 10_000
    abandoned.close()
    assert list(executor.map(toy_units.square, range(5))) == [0, 1, 4, 9, 16]


def test_a_result_that_cannot_travel_is_a_stage_error(executor):
    with pytest.raises(StageError, match="failed 3 times"):
        list(executor.map(toy_units.return_a_lambda, [0]))


def test_no_unit_starts_far_ahead_of_the_consumer(executor, tmp_path):
    path = tmp_path / "started"
    results = executor.map(toy_units.Counts(path), range(100))
    for _ in range(10):
        next(results)
    executor.close()
    started = [int(line) for line in path.read_text().split()]
    assert max(started) < 10 + 2 * LOOK_AHEAD_PER_WORKER


def test_zero_workers_are_refused():
    with pytest.raises(UsageError, match="at least 1"):
        LocalExecutor(0)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import toy_units; from pathlib import Path\n"
        "from steadyhand.jobs.executors.local import LocalExecutor\n"
        f"list(LocalExecutor(2).map(toy_units.LeavesATrace(Path({str(tmp_path)!r})), range(2)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    pids = [int(_wait_for_text(tmp_path / f"{i}.pid")) for i in range(2)]
    parent.kill()
    parent.wait()
    deadline_s = time.monotonic() + 20
    while any(_is_running(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "a worker outlived its parent"
        time.sleep(0.02)


def _wait_for_text(path: Path) -> str:
    deadline_s = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline_s, f"{path} never came"
        time.sleep(0.02)
    return path.read_text()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
