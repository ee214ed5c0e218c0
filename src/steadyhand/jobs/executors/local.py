"""Run independent units on long-lived processes of this machine.

A worker that dies (killed, out of memory) loses no unit: the unit is executed again on a fresh
worker. Results come in the order of the items, so nothing depends on the number of workers.
"""

import multiprocessing
import os
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from steadyhand.contracts.errors import StageError, UsageError
from steadyhand.jobs.executors.worker import UNNAMED, Done, Failed, Refused, Unit, serve

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = Done | Refused | Failed

MAX_ATTEMPTS = 3
LOOK_AHEAD_PER_WORKER = 3
JOIN_S = 5.0
# Several workers with several threads each would fight for the same cores.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class _Worker:
    """One process, its connection, and the unit it is busy with."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(theirs,), daemon=True)
        with _environment(ONE_THREAD):
            self.process.start()
        theirs.close()
        self.unit: Unit | None = None
        self.batch = -1

    def send(self, unit: Unit) -> None:
        """Hand over a unit; the function travels once per batch."""
        self.unit = unit
        known = Unit(unit.batch, unit.index, None, unit.item) if self.batch == unit.batch else unit
        self.batch = unit.batch
        self.connection.send(known)

    def end(self) -> None:
        """Stop the process and wait for its end."""
        self.connection.close()
        self.process.join(JOIN_S if self.unit is None else 0.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class _Batch(Generic[Item, Result]):
    """What one ``map`` call still has to do and has done."""

    def __init__(
        self, number: int, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> None:
        self.number = number
        self.function = function
        self.items = items
        self.queue = list(range(len(items)))
        self.ready: dict[int, Result] = {}
        self._attempts = [0] * len(items)

    def take(self, answer: Answer) -> None:
        """Store a result, or queue a failed unit again.

        Raises:
            StageError: When the unit has no attempt left.
            SteadyError: As raised by the unit.
        """
        if answer.batch != self.number:
            return  # of an earlier map call whose consumer stopped early
        if isinstance(answer, Refused):
            raise answer.rebuild()
        if isinstance(answer, Done):
            self.ready[answer.index] = answer.value
            return
        self._attempts[answer.index] += 1
        if self._attempts[answer.index] >= MAX_ATTEMPTS:
            raise StageError(
                f"unit {answer.index} ({self.items[answer.index]!s:.80}) failed "
                f"{MAX_ATTEMPTS} times; the last failure was:\n{answer.traceback}"
            )
        insort(self.queue, answer.index)


class LocalExecutor:
    """An executor on processes of this machine; workers start with the first unit.

    Args:
        num_workers: Units that run at a time, at least 1.
    """

    def __init__(self, num_workers: int) -> None:
        if num_workers < 1:
            raise UsageError(f"the number of workers must be at least 1, given {num_workers}")
        self._num_workers = num_workers
        self._workers: list[_Worker] = []
        self._batch = 0

    @property
    def num_workers(self) -> int:
        """How many units run at a time."""
        return self._num_workers

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are alive."""
        return tuple(w.process.pid for w in self._workers if w.process.pid is not None)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` in the order of ``items``, as they become ready.

        Args:
            function: A picklable pure function.
            items: Picklable values.

        Raises:
            StageError: If a unit failed or killed its worker on every one of three attempts.
            SteadyError: As raised by the function, unchanged.
        """
        self._batch += 1
        batch = _Batch(self._batch, function, items)
        window = self._num_workers * LOOK_AHEAD_PER_WORKER
        for wanted in range(len(items)):
            while True:
                self._dispatch(batch, wanted + window)
                is_ready = wanted in batch.ready
                answers = self._receive(timeout_s=0.0 if is_ready else None)
                for answer in answers:
                    batch.take(answer)
                if wanted in batch.ready and not answers:
                    break
            yield batch.ready.pop(wanted)

    def close(self) -> None:
        """Stop the workers; calling it twice is fine."""
        while self._workers:
            self._workers.pop().end()

    def _idle_worker(self) -> _Worker | None:
        for worker in self._workers:
            if worker.unit is None:
                return worker
        if len(self._workers) < self._num_workers:
            self._workers.append(_Worker())
            return self._workers[-1]
        return None

    def _dispatch(self, batch: "_Batch[Any, Any]", limit: int) -> None:
        """Hand units below an index to idle workers."""
        while batch.queue and batch.queue[0] < limit and (worker := self._idle_worker()):
            index = batch.queue.pop(0)
            # A worker that died while idle keeps the unit; _receive finds it dead.
            with suppress(BrokenPipeError, ConnectionResetError):
                worker.send(Unit(batch.number, index, batch.function, batch.items[index]))

    def _receive(self, timeout_s: float | None) -> list[Answer]:
        """Wait for an answer or a death (None: as long as it takes); return what came."""
        handles: list[Any] = []
        for worker in self._workers:
            handles += [worker.connection, worker.process.sentinel]
        signalled = wait(handles, timeout_s)
        answers: list[Answer] = []
        for worker in list(self._workers):
            if worker.connection in signalled:
                try:
                    answer: Answer = worker.connection.recv()
                except (EOFError, OSError):
                    answers += self._bury(worker)
                    continue
                if worker.unit is not None and answer.batch == UNNAMED:
                    answer = replace(answer, batch=worker.unit.batch, index=worker.unit.index)
                worker.unit = None
                answers.append(answer)
            elif worker.process.sentinel in signalled:
                answers += self._bury(worker)
        return answers

    def _bury(self, worker: _Worker) -> list[Answer]:
        """Forget a dead worker and return its unit as failed, if it had one."""
        self._workers.remove(worker)
        unit = worker.unit
        worker.process.join()
        code = worker.process.exitcode
        worker.end()
        if unit is None:
            return []
        return [Failed(unit.batch, unit.index, f"its worker process ended with exit code {code}")]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a child process that starts inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
