"""One session: a robot, a bundle, a duration; out comes a report.

The caller only waits: loop, inference and watchdog run in processes of their own, so that a
progress bar or a slow disk cannot disturb them. Whatever happens, the robot ends stopped, no
process is left, and no shared memory either.
"""

import multiprocessing
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import (
    DataError,
    IntegrityError,
    MachineError,
    RefusedError,
    SpecError,
    StageError,
    SteadyError,
    StorageError,
    UsageError,
)
from steadyhand.contracts.exchange import Flags
from steadyhand.contracts.progress import Progress, Silent
from steadyhand.contracts.robot import Robot
from steadyhand.runtime.bundle import VerifiedBundle, verify_bundle
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.control import (
    WORDS,
    BundleLoader,
    ControlPlan,
    has_process_faults,
    serve_control,
)
from steadyhand.runtime.faults import Fault
from steadyhand.runtime.recorder import TickLog
from steadyhand.runtime.timing import check_starvation, chunk_timing
from steadyhand.runtime.watchdog import WORDS as WATCHDOG_WORDS
from steadyhand.runtime.watchdog import Alarm, Mode, WatchdogSettings, serve_watchdog, tick_of
from steadyhand.runtime.worker import START_TIMEOUT_S, remove_worker_memory
from steadyhand.store.signing import PublicKey
from steadyhand.store.tensors import write_tensors

_LOOK_EVERY_S = 0.05
_END_WITHIN_S = 5.0
_ERRORS = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            UsageError,
            DataError,
            SpecError,
            IntegrityError,
            RefusedError,
            MachineError,
            StorageError,
            StageError,
        )
    }
)


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What happened, as plain JSON values.

    Args:
        ended_by: ``duration``, ``until``, ``owner``, ``stopped`` or ``control_died``.
        bundle: Name and digest of the bundle.
        config: The settings.
        faults: What was injected.
        wall_s: Time [s] from the first tick to the end.
        ticks: Finished ticks.
        control: What the control process reported (jitter, latency, verdicts, clips, starvation
            arithmetic, dropped records); empty if it died.
        watchdog: Alarm, number of checks, longest gap between ticks [ms].
        robot_stopped: Whether the robot was stopped at the end.
    """

    ended_by: str
    bundle: dict[str, str]
    config: dict[str, Any]
    faults: list[dict[str, Any]]
    wall_s: float
    ticks: int
    control: dict[str, Any]
    watchdog: dict[str, Any]
    robot_stopped: bool

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    @property
    def late_actions_executed(self) -> int:
        """Policy actions that were sent after their window; the promise is 0."""
        return int(self.control["loop"]["late_actions_executed"]) if self.control else 0

    @property
    def verdicts(self) -> dict[str, int]:
        """Ticks per verdict."""
        return dict(self.control["loop"]["verdicts"]) if self.control else {}

    @property
    def worker_restarts(self) -> int:
        """How often the inference worker was restarted."""
        return int(self.control["loop"]["worker_events"]["restarted"]) if self.control else 0


@dataclass(frozen=True, slots=True)
class SessionProcesses:
    """Process ids of a running session, for monitoring.

    Args:
        control: The control loop.
        watchdog: The watchdog.
        worker: The inference worker; 0 between two, and without async inference.
    """

    control: int
    watchdog: int
    worker: int


def run_session(
    robot: Robot,
    bundle_directory: Path,
    trusted_keys: Sequence[PublicKey],
    config: RuntimeConfig,
    *,
    duration_s: float,
    until: Callable[[], bool] | None = None,
    faults: Sequence[Fault] = (),
    progress: Progress | None = None,
    record_path: Path | None = None,
    on_look: Callable[[SessionProcesses], None] | None = None,
) -> SessionReport:
    """Run a bundle on a robot in real time.

    Args:
        robot: The robot, reset and ready; it is stopped at the end.
        bundle_directory: The bundle.
        trusted_keys: Keys whose signature is accepted.
        config: Settings.
        duration_s: Longest time [s] from the first tick on.
        until: Asked about 20 times a second; True ends the session.
        faults: What to break, for tests and demonstrations.
        progress: Told the seconds that have passed, and the starvation arithmetic in words.
        record_path: Where to write the recorded ticks (safetensors, one array per column).
        on_look: Told the process ids about 20 times a second.

    Returns:
        The report; a robot that was stopped or a control process that died are values in it.

    Raises:
        UsageError: If configuration, faults or paths are wrong.
        IntegrityError: If the bundle is not what a trusted key signed.
        RefusedError: If the robot would starve, or the bundle fails its self-test here.
        StageError: If a process cannot be started.
    """
    if not duration_s > 0:
        raise UsageError(f"duration_s must be positive, got {duration_s!r}")
    verified = verify_bundle(Path(bundle_directory), trusted_keys)
    _check_fit(verified, robot, config, faults)
    session = _Session(robot, verified, config, tuple(faults), progress or Silent())
    loader = BundleLoader(Path(bundle_directory), tuple(trusted_keys), verified.digest)
    try:
        session.start(loader, duration_s)
        ended_by = session.wait(duration_s, until, on_look)
        report = session.report(ended_by)
    finally:
        session.close()
    if record_path is not None:
        write_tensors(record_path, session.log.arrays(), {"bundle": verified.digest})
    return report


def _check_fit(
    verified: VerifiedBundle, robot: Robot, config: RuntimeConfig, faults: Sequence[Fault]
) -> None:
    """Refuse what cannot work before anything is started."""
    manifest = verified.manifest
    parts = tuple(p.name for p in manifest.parts)
    if parts != config.model_partition:
        raise UsageError(
            f"runtime.model_partition is {list(config.model_partition)}, but bundle "
            f"{manifest.name!r} has the parts {list(parts)}; set it to those"
        )
    for spec in manifest.observation_specs:
        given = robot.observation_specs.get(spec.name)
        if given is None or (given.shape, given.dtype) != (spec.shape, spec.dtype):
            raise SpecError(
                f"bundle {manifest.name!r} reads {spec.name!r} as {spec.dtype}{list(spec.shape)}, "
                f"the robot gives {given if given is None else (given.dtype, given.shape)}"
            )
    if not config.async_inference and has_process_faults(faults):
        raise UsageError("inference faults need runtime.async_inference = true")
    if config.declared_latency_p99_ms is not None:
        check_starvation(chunk_timing(manifest, config), config.declared_latency_p99_ms / 1e3)


class _Session:
    """Owns the processes and the shared memory."""

    def __init__(
        self,
        robot: Robot,
        verified: VerifiedBundle,
        config: RuntimeConfig,
        faults: tuple[Fault, ...],
        progress: Progress,
    ) -> None:
        self._robot = robot
        self._verified = verified
        self._config = config
        self._faults = faults
        self._progress = progress
        self._clock = MonotonicClock()
        self._name = f"steadyhand-{secrets.token_hex(6)}"
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._reports, self._reports_sender = self._context.Pipe(duplex=False)
        self._ticks, self._ticks_sender = self._context.Pipe(duplex=False)
        self.log = TickLog(self._ticks)
        self._words = Flags.create(f"{self._name}-session", WORDS)
        self._watchdog_words = Flags.create(f"{self._name}-watchdog", WATCHDOG_WORDS)
        self._control: BaseProcess | None = None
        self._watchdog: BaseProcess | None = None
        self._message: tuple[str, Any] | None = None

    def start(self, loader: BundleLoader, duration_s: float) -> None:
        """Start watchdog and control process."""
        handle = self._robot.handle()
        settings = WatchdogSettings(
            self._config.watchdog_interval_ms / 1e3, self._config.tick_period_s
        )
        self._watchdog = self._context.Process(
            target=serve_watchdog,
            args=(handle, f"{self._name}-watchdog", settings),
            name="steadyhand-watchdog",
            daemon=True,
        )
        self._watchdog.start()
        manifest = self._verified.manifest
        plan = ControlPlan(
            handle, loader, manifest, self._config, duration_s, self._faults, self._name
        )
        # Not a daemon in the sense of multiprocessing: it has a child, the worker.
        self._control = self._context.Process(
            target=serve_control,
            args=(plan, self._reports_sender, self._ticks_sender),
            name="steadyhand-control",
            daemon=False,
        )
        self._control.start()
        self._reports_sender.close()
        self._ticks_sender.close()

    def wait(
        self,
        duration_s: float,
        until: Callable[[], bool] | None,
        on_look: Callable[[SessionProcesses], None] | None,
    ) -> str:
        """Wait for the end; return why it ended as seen from here, or an empty string."""
        ended_by = ""
        give_up_s = self._clock.now_s() + START_TIMEOUT_S + duration_s + _END_WITHIN_S
        while not self._take_message():
            if self._control is None or not self._control.is_alive():
                return "" if self._take_message() else "control_died"
            now_s = self._clock.now_s()
            if now_s > give_up_s:
                return "control_died"
            self.log.drain()
            started_s = self._words.get_real("started_at_s")
            if started_s > 0:
                self._progress.update(
                    "run", min(int(now_s - started_s), int(duration_s)), int(duration_s), "s"
                )
                if on_look is not None:
                    on_look(self._processes())
                if not ended_by and until is not None and until():
                    ended_by = "until"
                    self._words.set("quit", 1)
            self._reports.poll(_LOOK_EVERY_S)
        return ended_by

    def _processes(self) -> SessionProcesses:
        pids = [p.pid or 0 for p in (self._control, self._watchdog) if p is not None]
        return SessionProcesses(pids[0], pids[1], self._words.get("worker_pid"))

    def _take_message(self) -> bool:
        """Receive the control process's one message, if it is there."""
        if self._message is None and self._reports.poll(0):
            try:
                kind, *content = self._reports.recv()
            except (EOFError, OSError):
                return False
            if kind == "error":
                raise _ERRORS.get(content[0], StageError)(content[1])
            if kind == "say":
                self._progress.say(content[0])
            else:
                self._message = (kind, content[0])
        return self._message is not None

    def report(self, ended_by: str) -> SessionReport:
        """Put the report together; waits for the watchdog's alarm if the loop died."""
        control: dict[str, Any] = {} if self._message is None else self._message[1]
        words = self._watchdog_words
        if not control:
            # The watchdog must act by itself; this only bounds the wait for it.
            give_up_s = self._clock.now_s() + 4 * self._config.watchdog_interval_ms / 1e3 + 0.5
            while words.get("alarm") == Alarm.NONE and self._clock.now_s() < give_up_s:
                self._clock.wait_until_s(self._clock.now_s() + _LOOK_EVERY_S)
        self.log.drain()
        started_s = self._words.get_real("started_at_s")
        ticks = tick_of(words.get("token"))
        return SessionReport(
            ended_by=ended_by or str(control.get("ended_by", "control_died")),
            bundle={"name": self._verified.manifest.name, "digest": self._verified.digest},
            config=asdict(self._config),
            faults=[asdict(f) for f in self._faults],
            wall_s=self._clock.now_s() - started_s if started_s > 0 else 0.0,
            ticks=0 if ticks is None else ticks,
            control=control,
            watchdog={
                "alarm": Alarm(words.get("alarm")).name.lower(),
                "checks": words.get("checks"),
                "longest_gap_ms": round(words.get_real("longest_gap_s") * 1e3, 3),
                "stop_failed": bool(words.get("stop_failed")),
            },
            robot_stopped=self._robot.is_stopped,
        )

    def close(self) -> None:
        """End all processes, stop the robot, remove the shared memory."""
        self._words.set("quit", 1)
        try:
            self._robot.stop()
        except SteadyError as error:
            self._progress.say(f"the robot could not be stopped at the end: {error}")
        _end(self._control)
        self._watchdog_words.set("mode", Mode.ENDED)
        _end(self._watchdog)
        remove_worker_memory(self._name)
        for words in (self._words, self._watchdog_words):
            words.close()
            words.unlink()
        self.log.drain()
        _close(self._reports, self._reports_sender, self._ticks, self._ticks_sender)


def _end(process: BaseProcess | None) -> None:
    """Wait for a process that was told to end; kill it if it does not."""
    if process is None or process.pid is None:
        return
    process.join(_END_WITHIN_S)
    if process.is_alive():
        process.kill()
        process.join()


def _close(*connections: Connection) -> None:
    for connection in connections:
        connection.close()
