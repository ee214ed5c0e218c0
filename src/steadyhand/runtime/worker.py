"""Inference in a process of its own: the newest observation wins, and nobody waits for it.

Observations and chunks travel through shared memory; each chunk carries the time of its
observation. A dead or hanging worker is noticed by :meth:`ProcessWorker.supervise`, killed,
and started again with a growing pause. The control loop that owns it imports no engine.
"""

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import final

import numpy as np

from steadyhand.contracts.bundle import BundleManifest
from steadyhand.contracts.clock import Clock
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.errors import StageError
from steadyhand.contracts.exchange import LatestValue, remove
from steadyhand.contracts.policy import Policy, State
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import ArraySpec
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.gate import Result
from steadyhand.runtime.inference import WorkerEvent
from steadyhand.runtime.lifeline import die_with_parent, start_lifeline

WARM_UP_RUNS = 50
START_TIMEOUT_S = 60.0
_MAX_BACKOFF = 16
_STATE = "state/"
_SEQUENCE, _COMPUTE, _DIGEST = "sequence", "compute_s", "digest"
_ACTIONS = "actions"
# How long the worker sleeps without a request; it is woken by each request at once.
_IDLE_S = 0.5

PolicyLoader = Callable[[], Policy]


@dataclass(frozen=True, slots=True)
class Interface:
    """What goes through the shared memory of a worker.

    Args:
        requests: Observations and state, with the number of the request.
        results: Actions and next state, with number, duration and digest.
    """

    requests: dict[str, ArraySpec]
    results: dict[str, ArraySpec]

    @staticmethod
    def of(manifest: BundleManifest) -> "Interface":
        """Derive it from a bundle's manifest."""
        number = {_SEQUENCE: ArraySpec(_SEQUENCE, (1,), "int64")}
        state = {_STATE + s.name: replace(s, name=_STATE + s.name) for s in manifest.state_specs}
        observation = {s.name: s for s in manifest.observation_specs}
        shape = (manifest.chunk_length, *manifest.action_spec.shape)
        actions = {
            _ACTIONS: ArraySpec(_ACTIONS, shape, "float32"),
            _COMPUTE: ArraySpec(_COMPUTE, (1,), "float64"),
            _DIGEST: ArraySpec(_DIGEST, (32,), "uint8"),
        }
        return Interface({**number, **observation, **state}, {**number, **actions, **state})


@dataclass(frozen=True, slots=True)
class _Assignment:
    """What a worker process is told when it starts."""

    loader: PolicyLoader
    interface: Interface
    name: str
    digest: str
    seed: int


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What a worker measured before it took requests.

    Args:
        latency_p50_s: Median of the warm inference latency [s].
        latency_p99_s: Its 99th percentile.
        load_s: Time [s] to verify, load and test the policy.
    """

    latency_p50_s: float
    latency_p99_s: float
    load_s: float


@final
class ProcessWorker:
    """Owns the inference process; called from the control loop, never blocks it.

    Args:
        loader: Builds the policy in the worker process; picklable.
        manifest: The verified bundle's manifest: specs of everything exchanged.
        digest: Digest of the bundle.
        config: Hang detection, backoff and seed.
        clock: The loop's clock.
        name: Unique name for the shared memory.
    """

    def __init__(
        self,
        loader: PolicyLoader,
        manifest: BundleManifest,
        digest: str,
        config: RuntimeConfig,
        clock: Clock,
        name: str,
    ) -> None:
        self._clock = clock
        self._digest = digest
        self._state_specs = manifest.state_specs
        budget_ms = config.latency_budget_ms or manifest.latency_budget_s * 1e3
        self._hang_s = config.hang_budgets * budget_ms / 1e3
        self._backoff_s = config.restart_backoff_ms / 1e3
        interface = Interface.of(manifest)
        self._assignment = _Assignment(loader, interface, name, digest, config.seed)
        self._context = multiprocessing.get_context("spawn")
        self._requests = LatestValue.create(f"{name}-req", interface.requests)
        self._results = LatestValue.create(f"{name}-res", interface.results)
        self._wake: Connection | None = None
        self._process: BaseProcess | None = None
        self._status: Connection | None = None
        self._sequence = 0
        self._taken = 0
        self._owed_since_s: float | None = None
        self._start_at_s: float | None = None
        self._start_deadline_s = 0.0
        self._failures_in_a_row = 0
        self._is_ready = False
        self.last_error = ""

    @property
    def digest(self) -> str:
        """Digest of the bundle."""
        return self._digest

    @property
    def pid(self) -> int | None:
        """Process id of the current worker; None between two."""
        return self._process.pid if self._process is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether the current worker takes requests."""
        return self._is_ready

    def initial_state(self) -> State:
        """Return the policy's state at the start of an episode: zeros."""
        return {s.name: np.zeros(s.shape, s.dtype) for s in self._state_specs}

    def start(self) -> WarmUp:
        """Start the process and wait until it is warm. Before the session, not within a tick.

        Raises:
            StageError: If it died or took longer than ``START_TIMEOUT_S``; says what it said.
        """
        self._spawn()
        if self._status is None or not self._status.poll(START_TIMEOUT_S):
            self.close()
            raise StageError(f"the inference worker was not ready within {START_TIMEOUT_S:g} s")
        message = self._read_status()
        if message is None or "error" in message:
            detail = self.last_error or "it died without a word; look for the kernel's OOM killer"
            self.close()
            raise StageError(f"the inference worker could not start: {detail}")
        return WarmUp(**{key: float(value) for key, value in message.items()})

    def request(self, observation: Observation, state: State, observed_at_s: float) -> int:
        """Publish the newest observation and wake the worker; older requests are forgotten."""
        self._sequence += 1
        values = {
            _SEQUENCE: np.array([self._sequence], np.int64),
            **observation,
            **{_STATE + key: value for key, value in state.items()},
        }
        self._requests.publish(values, observed_at_s)
        if self._owed_since_s is None:
            self._owed_since_s = self._clock.now_s()
        self._ring()
        return self._sequence

    def _ring(self) -> None:
        """Wake the worker; a full or broken pipe means that it has worse problems."""
        if self._wake is not None:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._wake.fileno(), b"!")

    def poll(self) -> Result | None:
        """Return the newest result that was not returned before, or None."""
        if self._results.newest_sequence == self._taken:
            return None
        found = self._results.read()
        if found is None or found[2] == self._taken:
            return None
        values, observed_at_s, self._taken = found
        self._owed_since_s = None
        self._failures_in_a_row = 0
        return Result(
            actions=values[_ACTIONS],
            state={s.name: values[_STATE + s.name] for s in self._state_specs},
            observed_at_s=observed_at_s,
            digest=values[_DIGEST].tobytes().hex(),
            compute_s=float(values[_COMPUTE][0]),
            sequence=int(values[_SEQUENCE][0]),
        )

    def supervise(self, now_s: float) -> tuple[WorkerEvent, ...]:
        """Notice death and hanging; restart when the pause is over. A few microseconds."""
        if self._process is None:
            if self._start_at_s is None or now_s < self._start_at_s:
                return ()
            self._spawn()
            return (WorkerEvent.RESTARTED,)
        if not self._process.is_alive():
            self._read_status()
            return self._lose(now_s, WorkerEvent.DIED)
        if not self._is_ready:
            message = self._read_status()
            if message is not None and "error" not in message:
                self._owed_since_s = None
                return (WorkerEvent.READY,)
            is_hung = now_s > self._start_deadline_s
        else:
            is_hung = self._owed_since_s is not None and now_s - self._owed_since_s > self._hang_s
        return self._lose(now_s, WorkerEvent.HUNG) if is_hung else ()

    def _lose(self, now_s: float, event: WorkerEvent) -> tuple[WorkerEvent, ...]:
        """Put the current process away and plan the next."""
        self.kill()
        self._put_away()
        pause_s = self._backoff_s * min(2**self._failures_in_a_row, _MAX_BACKOFF)
        self._failures_in_a_row += 1
        self._start_at_s = now_s + pause_s
        self._owed_since_s = None
        return (event,)

    def kill(self) -> None:
        """Kill the current process with SIGKILL; it works on stopped ones, too."""
        if self._process is not None:
            self._process.kill()

    def _spawn(self) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        woken, waker = self._context.Pipe(duplex=False)
        os.set_blocking(waker.fileno(), False)
        self._process = self._context.Process(
            target=_serve,
            args=(self._assignment, woken, sender),
            name="steadyhand-inference",
            daemon=True,
        )
        self._process.start()
        sender.close()
        woken.close()
        self._status, self._wake = receiver, waker
        self._is_ready = False
        self._start_at_s = None
        self._start_deadline_s = self._clock.now_s() + START_TIMEOUT_S

    def _read_status(self) -> dict[str, float | str] | None:
        """Read the one message of a worker, if it sent one."""
        if self._status is None or not self._status.poll(0):
            return None
        try:
            message: dict[str, float | str] = json.loads(self._status.recv_bytes())
        except (EOFError, OSError, ValueError):
            return None
        if "error" in message:
            self.last_error = str(message["error"])
        else:
            self._is_ready = True
        return message

    def _put_away(self) -> None:
        if self._process is not None:
            self._process.join(timeout=0.0)
            self._process = None
        for connection in (self._status, self._wake):
            if connection is not None:
                connection.close()
        self._status = self._wake = None
        self._is_ready = False

    def close(self) -> None:
        """Kill the worker and remove the shared memory; calling it twice is fine."""
        self.kill()
        if self._process is not None:
            self._process.join(timeout=5.0)
        self._put_away()
        self._start_at_s = None
        for memory in (self._requests, self._results):
            memory.close()
            memory.unlink()


def remove_worker_memory(name: str) -> None:
    """Remove what a :class:`ProcessWorker` of this name left if its owner was killed."""
    remove(f"{name}-req")
    remove(f"{name}-res")


def _serve(assignment: _Assignment, wake: Connection, status: Connection) -> None:
    """Run the worker process: load, warm up, then answer requests until killed."""
    die_with_parent()
    start_lifeline()
    started_s = time.monotonic()
    try:
        policy = assignment.loader()
        warm = measure_warm(policy, time.monotonic() - started_s)
    except Exception as error:  # noqa: BLE001  it goes to the session in words, not as a traceback
        status.send_bytes(json.dumps({"error": str(error) or repr(error)}).encode())
        return
    requests = LatestValue.attach(f"{assignment.name}-req", assignment.interface.requests)
    results = LatestValue.attach(f"{assignment.name}-res", assignment.interface.results)
    # What a predecessor was asked may be what killed it; the loop asks again once we are ready.
    answered = requests.newest_sequence
    digest = np.frombuffer(bytes.fromhex(assignment.digest), np.uint8)
    status.send_bytes(json.dumps(asdict(warm)).encode())
    while True:
        if wake.poll(_IDLE_S):
            os.read(wake.fileno(), 65536)
        if requests.newest_sequence == answered:
            continue
        found = requests.read()
        if found is None:
            continue
        values, observed_at_s, answered = found
        try:
            _answer(policy, values, observed_at_s, results, digest, assignment.seed)
        except Exception:  # noqa: BLE001  the supervisor sees the exit and restarts
            status.send_bytes(json.dumps({"error": traceback.format_exc(limit=3)}).encode())
            os._exit(1)


def _answer(
    policy: Policy,
    values: Observation,
    observed_at_s: float,
    results: LatestValue,
    digest: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    seed: int,
) -> None:
    """Answer one request."""
    started_s = time.monotonic()
    sequence = int(values[_SEQUENCE][0])
    state = {key: values[_STATE + key] for key in policy.state_specs}
    observation = {key: values[key] for key in policy.observation_specs}
    chunk, following = policy.act(observation, state, stream("runtime", seed, sequence))
    answer = {
        _SEQUENCE: values[_SEQUENCE],
        _ACTIONS: chunk.actions,
        _COMPUTE: np.array([time.monotonic() - started_s]),
        _DIGEST: digest,
        **{_STATE + key: value for key, value in following.items()},
    }
    results.publish(answer, observed_at_s)


def measure_warm(policy: Policy, load_s: float) -> WarmUp:
    """Measure warm inferences on blank observations.

    Args:
        policy: What runs.
        load_s: Time [s] it took to load, for the record.
    """
    observation = {k: np.zeros(s.shape, s.dtype) for k, s in policy.observation_specs.items()}
    state = policy.initial_state()
    latencies = []
    for i in range(WARM_UP_RUNS + 5):
        started_s = time.monotonic()
        policy.act(observation, state, stream("warm up", i))
        latencies.append(time.monotonic() - started_s)
    p50_s, p99_s = np.percentile(latencies[5:], (50, 99))
    return WarmUp(float(p50_s), float(p99_s), load_s)
