"""The control process: runs the loop at its rate until told to stop, then reports.

While the loop runs, the garbage collector is off and what exists is frozen; a collection of a
million objects would pause the robot for tens of milliseconds.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from steadyhand.contracts.bundle import BundleManifest
from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import IntegrityError, SteadyError
from steadyhand.contracts.exchange import Flags
from steadyhand.contracts.policy import Policy
from steadyhand.contracts.robot import Robot
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.faults import Fault, FaultSchedule, FaultyRobot, FaultyWorker
from steadyhand.runtime.inference import InferenceWorker, InlineWorker
from steadyhand.runtime.ladder import Rung
from steadyhand.runtime.lifeline import start_lifeline
from steadyhand.runtime.loop import ControlLoop
from steadyhand.runtime.pacer import Pacer
from steadyhand.runtime.recorder import TickRecorder
from steadyhand.runtime.scheduling import CONTROL_PRIORITY, raise_priority
from steadyhand.runtime.telemetry import LogHistogram
from steadyhand.runtime.timing import check_starvation, chunk_timing
from steadyhand.runtime.watchdog import WORDS as WATCHDOG_WORDS
from steadyhand.runtime.watchdog import Mode, token
from steadyhand.runtime.worker import ProcessWorker, WarmUp, measure_warm
from steadyhand.store.signing import PublicKey

# ``quit``: the owner of the session wants it to end. ``worker_pid``: for reports and benchmarks.
WORDS = ("quit", "worker_pid", "started_at_s")

_WATCHDOG_SILENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class BundleLoader:
    """Loads the policy of a bundle, in the process that is to run it.

    Args:
        directory: The bundle.
        trusted_keys: Keys whose signature is accepted.
        digest: The digest that the session was started with.
    """

    directory: Path
    trusted_keys: tuple[PublicKey, ...]
    digest: str

    def __call__(self) -> Policy:
        """Verify, load and self-test the bundle.

        Raises:
            IntegrityError: If it was replaced since the session began.
        """
        # Imported here: the control process carries this loader to the worker, but no engine.
        from steadyhand.runtime.bundle import load_bundle  # noqa: PLC0415

        loaded = load_bundle(self.directory, self.trusted_keys)
        if loaded.digest != self.digest:
            raise IntegrityError(f"bundle {self.directory} was replaced during the session")
        return loaded.policy


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """What the control process is told when it starts.

    Args:
        handle: The robot's handle.
        loader: Loads the policy.
        manifest: The verified manifest.
        config: Settings.
        duration_s: Time [s] from the first tick to the last.
        faults: What to break.
        name: Name of the session's shared memory.
    """

    handle: Any
    loader: BundleLoader
    manifest: BundleManifest
    config: RuntimeConfig
    duration_s: float
    faults: tuple[Fault, ...]
    name: str


def serve_control(plan: ControlPlan, reports: Connection, ticks: Connection) -> None:
    """Run the control process.

    Sends ``("say", text)`` before the first tick, and ends with ``("report", {...})`` or
    ``("error", type name, message)``.

    Args:
        plan: What to do.
        reports: Where the message goes.
        ticks: Where the ticks are recorded.
    """
    # The worker is spawned from here and must not import the program of the session's owner again.
    sys.modules["__main__"] = ModuleType("__main__")
    robot: Robot | None = None
    try:
        robot = plan.handle.attach()
        start_lifeline(robot.stop)
        report = _Session(plan, robot, ticks).run(lambda text: reports.send(("say", text)))
        reports.send(("report", report))
    except SteadyError as error:
        reports.send(("error", type(error).__name__, str(error)))
    finally:
        if robot is not None:
            robot.stop()
            robot.close()


class _Session:
    """The lifetime of one loop: worker, watchdog words, pacer, recorder."""

    def __init__(self, plan: ControlPlan, robot: Robot, ticks: Connection) -> None:
        self._plan = plan
        self._robot = robot
        self._clock = MonotonicClock()
        self._words = Flags.attach(f"{plan.name}-session", WORDS)
        self._watchdog = Flags.attach(f"{plan.name}-watchdog", WATCHDOG_WORDS)
        self._recorder = TickRecorder(ticks)
        self._timing = chunk_timing(plan.manifest, plan.config)
        self._schedule = FaultSchedule(plan.faults, self._clock)
        self._lateness = LogHistogram()
        self._duration = LogHistogram()
        self._num_skipped = 0
        self._last_beat = (-1, 0.0)

    def run(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Start the worker, check the arithmetic, run the loop, report."""
        process: ProcessWorker | None = None
        worker: InferenceWorker
        if self._plan.config.async_inference:
            process = ProcessWorker(
                self._plan.loader,
                self._plan.manifest,
                self._plan.loader.digest,
                self._plan.config,
                self._clock,
                self._plan.name,
            )
            warm = process.start()
            worker = FaultyWorker(process, self._schedule) if self._plan.faults else process
        else:
            worker, warm = self._inline()
        try:
            declared_ms = self._plan.config.declared_latency_p99_ms or 0.0
            starvation = check_starvation(self._timing, max(warm.latency_p99_s, declared_ms / 1e3))
            say(str(starvation))
            robot: Robot = self._robot
            if self._plan.faults:
                robot = FaultyRobot(robot, self._schedule)
            loop = ControlLoop(
                robot,
                worker,
                self._clock,
                self._plan.config,
                self._timing,
                self._plan.manifest.limits,
            )
            scheduling = raise_priority(CONTROL_PRIORITY)
            ended_by = self._loop(loop, process)
        finally:
            worker.close()
        return {
            "ended_by": ended_by,
            "scheduling": scheduling,
            "starvation": {
                "latency_p99_ms": starvation.latency_p99_s * 1e3,
                "limit_ms": starvation.limit_s * 1e3,
                "text": str(starvation),
            },
            "warm_up": {
                "latency_p50_ms": warm.latency_p50_s * 1e3,
                "latency_p99_ms": warm.latency_p99_s * 1e3,
                "load_s": warm.load_s,
            },
            "tick_jitter_ms": self._lateness.summary_ms((0.5, 0.99, 0.999)),
            "tick_duration_ms": self._duration.summary_ms((0.5, 0.99, 0.999)),
            "skipped_cycles": self._num_skipped,
            "dropped_records": self._recorder.num_dropped,
            "loop": loop.counts.to_json(),
        }

    def _inline(self) -> tuple[InlineWorker, WarmUp]:
        started_s = self._clock.now_s()
        policy = self._plan.loader()
        load_s = self._clock.now_s() - started_s
        warm = measure_warm(policy, load_s)
        worker = InlineWorker(
            policy,
            self._clock,
            digest=self._plan.loader.digest,
            stream_keys=("runtime", self._plan.config.seed),
        )
        return worker, warm

    def _loop(self, loop: ControlLoop, process: ProcessWorker | None) -> str:
        """Tick until the end; return why it ended. The robot is stopped then."""
        period_s = self._plan.config.tick_period_s
        owner = os.getppid()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._schedule.begin()
        pacer = Pacer(self._clock, period_s)
        start_s = self._clock.now_s()
        self._words.set_real("started_at_s", start_s)
        self._last_beat = (-1, start_s)
        tick = 0
        ended_by = "duration"
        self._watchdog.set("mode", Mode.RUNNING)
        try:
            while True:
                wake = pacer.wait()
                if self._words.get("quit") or os.getppid() != owner:
                    ended_by = "owner"
                    break
                if wake.due_at_s - start_s >= self._plan.duration_s:
                    break
                if self._plan.faults:
                    self._break_control()
                report = loop.tick(is_watchdog_lost=self._is_watchdog_lost())
                tick += 1
                self._watchdog.set("token", token(tick))
                ended_s = self._clock.now_s()
                self._lateness.add(wake.lateness_s)
                self._duration.add(ended_s - report.started_at_s)
                self._num_skipped += wake.num_skipped
                self._recorder.write(wake, report, ended_s)
                if process is not None:
                    self._words.set("worker_pid", process.pid or 0)
                if report.rung is Rung.STOP:
                    ended_by = "stopped"
                    break
            self._robot.stop()
            # Only now: a loop that ends in any other way still has the watchdog behind it.
            self._watchdog.set("mode", Mode.ENDED)
        finally:
            gc.enable()
        return ended_by

    def _is_watchdog_lost(self) -> bool:
        """Whether the watchdog shows no sign of life."""
        beat, now_s = self._watchdog.get("beat"), self._clock.now_s()
        if beat != self._last_beat[0]:
            self._last_beat = (beat, now_s)
        silence_s = max(_WATCHDOG_SILENCE_S, 8e-3 * self._plan.config.watchdog_interval_ms)
        return now_s - self._last_beat[1] > silence_s

    def _break_control(self) -> None:
        """Break this very process, if a fault says so."""
        if self._schedule.take("kill_control"):
            os.kill(os.getpid(), 9)
        stall = self._schedule.take("stall_control")
        if stall is not None:
            time.sleep(stall.duration_s)


def has_process_faults(faults: Sequence[Fault]) -> bool:
    """Whether faults need an inference process to be injected into."""
    return any(f.kind in ("stall_inference", "kill_worker", "nan_chunk") for f in faults)
