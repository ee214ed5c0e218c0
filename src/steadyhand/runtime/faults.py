"""Faults as data: what to break, when, and for how long. Off unless somebody asks.

The injectors wrap a worker or a robot and are only built for a session that has faults.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.clock import Clock
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.errors import StageError, UsageError
from steadyhand.contracts.policy import State
from steadyhand.contracts.robot import Reading, Robot
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.runtime.gate import Result
from steadyhand.runtime.inference import WorkerEvent
from steadyhand.runtime.worker import ProcessWorker

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "stall_inference": "the inference process is stopped (SIGSTOP) for the duration",
        "kill_worker": "the inference process gets SIGKILL, once",
        "nan_chunk": "chunks that arrive within the duration hold NaN",
        "robot_silent": "readings fail for the duration",
        "stall_control": "the control loop sleeps through the duration",
        "kill_control": "the control process gets SIGKILL, once",
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Args:
        kind: One of ``KINDS``.
        at_s: When, in seconds since the first tick.
        duration_s: For how long; 0 for what happens once.
    """

    kind: str
    at_s: float
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        lookup("fault", self.kind, KINDS)
        if not self.at_s >= 0 or not self.duration_s >= 0:
            raise UsageError(f"fault {self.kind!r}: times must not be negative: {self}")


@final
class FaultSchedule:
    """Which faults are due; each one that happens once is handed out once.

    Args:
        faults: All faults.
        clock: The loop's clock.
    """

    def __init__(self, faults: Sequence[Fault], clock: Clock) -> None:
        self._faults = tuple(faults)
        self._clock = clock
        self._start_s = clock.now_s()
        self._done: set[int] = set()

    def begin(self) -> None:
        """Set second 0 to now."""
        self._start_s = self._clock.now_s()

    def is_active(self, kind: str) -> bool:
        """Whether a fault of this kind lasts at this moment."""
        now_s = self._clock.now_s() - self._start_s
        return any(f.kind == kind and f.at_s <= now_s < f.at_s + f.duration_s for f in self._faults)

    def take(self, kind: str) -> Fault | None:
        """Return a fault of this kind that has become due, once."""
        now_s = self._clock.now_s() - self._start_s
        for i, fault in enumerate(self._faults):
            if fault.kind == kind and i not in self._done and now_s >= fault.at_s:
                self._done.add(i)
                return fault
        return None


@final
class FaultyWorker:
    """A process worker with faults.

    Args:
        worker: The real one.
        schedule: What to break.
    """

    def __init__(self, worker: ProcessWorker, schedule: FaultSchedule) -> None:
        self._worker = worker
        self._schedule = schedule
        self._stalled_pid: int | None = None

    @property
    def digest(self) -> str:
        """Digest of the bundle."""
        return self._worker.digest

    def initial_state(self) -> State:
        """Return the policy's initial state."""
        return self._worker.initial_state()

    def request(self, observation: Observation, state: State, observed_at_s: float) -> int:
        """Ask the real worker."""
        return self._worker.request(observation, state, observed_at_s)

    def poll(self) -> Result | None:
        """Return the real worker's result, spoiled while a ``nan_chunk`` lasts."""
        result = self._worker.poll()
        if result is not None and self._schedule.is_active("nan_chunk"):
            return replace(result, actions=np.full_like(result.actions, np.nan))
        return result

    def supervise(self, now_s: float) -> tuple[WorkerEvent, ...]:
        """Break what is due, then let the real worker look after itself."""
        pid = self._worker.pid
        if pid is not None and self._schedule.take("kill_worker"):
            self._worker.kill()
        is_stalled = self._schedule.is_active("stall_inference")
        with suppress(ProcessLookupError):
            if is_stalled and self._stalled_pid is None and pid is not None:
                os.kill(pid, signal.SIGSTOP)
                self._stalled_pid = pid
            elif not is_stalled and self._stalled_pid is not None:
                # A worker that was replaced meanwhile is not ours to continue.
                if self._stalled_pid == pid:
                    os.kill(pid, signal.SIGCONT)
                self._stalled_pid = None
        return self._worker.supervise(now_s)

    def close(self) -> None:
        """Close the real worker."""
        self._worker.close()


@final
class FaultyRobot:
    """A robot whose readings fail on demand.

    Args:
        robot: The real one.
        schedule: What to break.
    """

    def __init__(self, robot: Robot, schedule: FaultSchedule) -> None:
        self._robot = robot
        self._schedule = schedule

    @property
    def observation_specs(self) -> Specs:
        """Specs of the real robot."""
        return self._robot.observation_specs

    @property
    def command_spec(self) -> ArraySpec:
        """Spec of the real robot."""
        return self._robot.command_spec

    @property
    def is_stopped(self) -> bool:
        """Whether the real robot was stopped."""
        return self._robot.is_stopped

    def observe(self) -> Reading:
        """Return a reading, or fail while a ``robot_silent`` lasts."""
        if self._schedule.is_active("robot_silent"):
            raise StageError("the robot is silent (injected fault)")
        return self._robot.observe()

    def command(self, target: NDArray[np.float64]) -> None:
        """Command the real robot."""
        self._robot.command(target)

    def stop(self) -> None:
        """Stop the real robot."""
        self._robot.stop()

    def handle(self) -> Any:
        """Return the real robot's handle."""
        return self._robot.handle()

    def close(self) -> None:
        """Close the real robot."""
        self._robot.close()
