"""The control loop: one bounded command per tick, a verdict for every tick, no exception ever.

It knows protocols (robot, worker, clock), the gate and the ladder; nothing of processes.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.bundle import ActionLimits
from steadyhand.contracts.clock import Clock
from steadyhand.contracts.errors import SteadyError
from steadyhand.contracts.policy import State
from steadyhand.contracts.robot import Reading, Robot
from steadyhand.kinematics.controller import CartesianController
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.fallbacks.catalog import CATALOG
from steadyhand.runtime.fallbacks.fallback import FallbackInput
from steadyhand.runtime.gate import Gate, Judgement, Result, interpolate
from steadyhand.runtime.inference import InferenceWorker
from steadyhand.runtime.ladder import LadderSettings, LadderState, Rung, TickEvent, advance
from steadyhand.runtime.timing import SEND_S, ChunkTiming, Slot
from steadyhand.runtime.verdicts import Clip, LoopCounts, TickReport, Trouble, Verdict

__all__ = ["ACTION_SIZE", "STATE_KEY", "ControlLoop", "LoopCounts", "TickReport", "Verdict"]

# Joint positions 1-7 [rad] and the gripper opening [m] lead this vector, by the bundle's contract.
STATE_KEY = "observation.state"
ACTION_SIZE = 5


@dataclass(slots=True)
class _Active:
    """The chunk that is being executed."""

    actions: NDArray[np.float32]
    observed_at_s: float


@final
class ControlLoop:
    """Reads the robot, gates results, and sends one bounded command per tick.

    Args:
        robot: What is commanded; its state observation leads with joints and gripper opening.
        worker: Where chunks come from.
        clock: The one clock; the robot's capture times are on it too.
        config: Settings.
        timing: Windows of the chunk (see :func:`runtime.timing.chunk_timing`).
        limits: What no command may exceed.
    """

    def __init__(
        self,
        robot: Robot,
        worker: InferenceWorker,
        clock: Clock,
        config: RuntimeConfig,
        timing: ChunkTiming,
        limits: ActionLimits,
    ) -> None:
        self._robot = robot
        self._worker = worker
        self._clock = clock
        self._timing = timing
        self._observation_budget_s = config.observation_budget_ms / 1e3
        self._controller = CartesianController(limits, config.tick_period_s)
        self._tick_share = config.tick_period_s / timing.action_period_s
        self._gate = Gate(timing, ACTION_SIZE, worker.digest)
        rate = config.control_rate_hz / 1e3
        self._settings = LadderSettings(
            hold_ticks=max(1, round(config.hold_ms * rate)),
            safe_ticks=max(1, round(config.safe_ms * rate)),
            rearm_results=config.rearm_results,
        )
        self.counts = LoopCounts.zero()
        self._ladder = LadderState()
        self._active: _Active | None = None
        self._policy_state: State = worker.initial_state()
        self._asked_at_s: float | None = None
        self._last_command: NDArray[np.float64] | None = None

    @property
    def rung(self) -> Rung:
        """What decided the last command."""
        return self._ladder.rung

    def tick(self, *, is_watchdog_lost: bool = False) -> TickReport:
        """Do one control cycle. Never raises, never waits.

        Args:
            is_watchdog_lost: Nobody would stop the robot if this process died; so stop now.

        Returns:
            What happened; it is counted in :attr:`counts`.
        """
        started_s = self._clock.now_s()
        try:
            report = self._tick(started_s, is_watchdog_lost)
        except Exception as error:  # noqa: BLE001  whatever it was, the robot must be braked
            report = self._fail(started_s, error)
        self.counts.verdicts.add(report.verdict)
        self.counts.late_actions += report.is_late
        for name in report.clipped:
            self.counts.clips.add(Clip(name))
        return report

    def _tick(self, started_s: float, is_watchdog_lost: bool) -> TickReport:
        events = self._worker.supervise(started_s)
        for event in events:
            self.counts.worker_events.add(event)
        if events:  # whoever was asked is gone, or has just arrived and knows of nothing
            self._asked_at_s = None
        reading = self._observe(started_s)
        judgements = self._take()
        if reading is not None and self._wants_chunk(reading, started_s):
            self._ask(reading)
            judgements += self._take()  # a worker in this process answers at once
        # Inference in this process took time; actions are chosen for the time they go out.
        now_s = self._clock.now_s()
        slot = self._open_slot(now_s)
        self._climb(slot, judgements, reading, is_watchdog_lost)
        if self._ladder.rung is Rung.POLICY and slot and self._active and reading:
            outcome = self._execute(self._active, slot, _joints(reading))
        else:
            outcome = self._fall_back(reading, self._verdict_of_fallback(), ())
        verdict, command, clipped, is_late = outcome
        executed = verdict is Verdict.EXECUTED and slot is not None and self._active is not None
        return TickReport(
            verdict=verdict,
            rung=self._ladder.rung,
            judgements=judgements,
            worker_events=events,
            started_at_s=started_s,
            observed_at_s=self._active.observed_at_s if executed and self._active else np.nan,
            index=slot.index if executed and slot else -1,
            command=command,
            clipped=clipped,
            is_late=is_late,
        )

    def _observe(self, now_s: float) -> Reading | None:
        """Return a fresh, finite reading, or None if the robot is silent."""
        try:
            reading = self._robot.observe()
        except SteadyError as error:
            self.counts.last_error = str(error)
            self.counts.troubles.add(Trouble.ROBOT_SILENT)
            return None
        age_s = now_s - reading.observed_at_s
        is_fresh = age_s <= self._observation_budget_s
        if not is_fresh or not np.isfinite(reading.values[STATE_KEY]).all():
            self.counts.troubles.add(Trouble.ROBOT_SILENT)
            return None
        return reading

    def _take(self) -> tuple[Judgement, ...]:
        """Judge the newest result; adopt it if it is accepted."""
        result = self._worker.poll()
        if result is None:
            return ()
        now_s = self._clock.now_s()
        newest_s = None if self._active is None else self._active.observed_at_s
        judgement = self._gate.judge(result, now_s, newest_s)
        self.counts.judgements.add(judgement)
        self._record_latency(result, now_s)
        self._asked_at_s = None
        if judgement is Judgement.ACCEPTED:
            self._active = _Active(result.actions, result.observed_at_s)
            self._policy_state = result.state
        return (judgement,)

    def _record_latency(self, result: Result, now_s: float) -> None:
        if np.isfinite(result.compute_s):
            self.counts.inference.add(result.compute_s)
        if np.isfinite(result.observed_at_s):
            self.counts.result_age.add(now_s - result.observed_at_s)

    def _wants_chunk(self, reading: Reading, now_s: float) -> bool:
        """Whether to ask now: little is left, and nobody is computing a usable answer."""
        if self._asked_at_s is not None and (
            now_s - self._asked_at_s <= self._timing.latency_budget_s
        ):
            return False
        if self._active is None:
            return True
        if reading.observed_at_s <= self._active.observed_at_s:
            return False  # cameras are slower than the loop: the answer would be the same
        if self._ladder.rung is Rung.SAFE:
            return True
        return self._timing.needs_refill(self._active.observed_at_s, now_s)

    def _ask(self, reading: Reading) -> None:
        self._worker.request(reading.values, self._policy_state, reading.observed_at_s)
        self._asked_at_s = reading.observed_at_s
        self.counts.requests += 1

    def _open_slot(self, now_s: float) -> Slot | None:
        if self._active is None:
            return None
        return self._timing.slot(self._active.observed_at_s, now_s)

    def _climb(
        self,
        slot: Slot | None,
        judgements: tuple[Judgement, ...],
        reading: Reading | None,
        is_watchdog_lost: bool,
    ) -> None:
        """Move on the ladder; brake the robot when its last rung is reached."""
        before = self._ladder.rung
        is_stopped = self._robot.is_stopped
        num_good = sum(j is Judgement.ACCEPTED for j in judgements)
        event = TickEvent(
            has_action=slot is not None,
            num_good=num_good,
            has_bad=num_good < len(judgements),
            is_robot_silent=reading is None,
            must_stop=is_watchdog_lost or is_stopped,
        )
        self._ladder = advance(self._ladder, event, self._settings)
        if self._ladder.rung is before:
            return
        if before is Rung.POLICY:
            self.counts.fallbacks_taken += 1
        if self._ladder.rung is Rung.STOP:
            if is_watchdog_lost:
                self.counts.troubles.add(Trouble.WATCHDOG_LOST)
            elif is_stopped:
                self.counts.troubles.add(Trouble.STOPPED_OUTSIDE)
            self._robot.stop()

    def _execute(
        self, active: _Active, slot: Slot, joints: NDArray[np.float64]
    ) -> tuple[Verdict, NDArray[np.float64] | None, tuple[str, ...], bool]:
        """Send the action whose window is open, unless it closes before the command is ready."""
        action = interpolate(active.actions, slot.index, slot.phase, self._tick_share)
        command = self._controller.command(action, joints[:7])
        if self._clock.now_s() + SEND_S >= slot.expires_at_s:
            return self._fall_back(None, Verdict.EXPIRED, command.clipped)
        if not self._send(command.targets):
            return Verdict.FAILED, None, command.clipped, False
        # Read again after sending: this is the proof, not the precaution.
        is_late = self._clock.now_s() >= slot.expires_at_s
        return Verdict.EXECUTED, command.targets, command.clipped, is_late

    def _fall_back(
        self, reading: Reading | None, verdict: Verdict, clipped: tuple[str, ...]
    ) -> tuple[Verdict, NDArray[np.float64] | None, tuple[str, ...], bool]:
        rung = Rung.HOLD if self._ladder.rung is Rung.POLICY else self._ladder.rung
        given = FallbackInput(
            joints=None if reading is None else _joints(reading),
            last_command=self._last_command,
            controller=self._controller,
            ticks=self._ladder.ticks,
        )
        command = CATALOG[rung].command(given)
        if command is not None and not self._send(command):
            return Verdict.FAILED, None, clipped, False
        return verdict, command, clipped, False

    def _verdict_of_fallback(self) -> Verdict:
        if self._ladder.rung is Rung.SAFE:
            return Verdict.SAFE
        return Verdict.STOPPED if self._ladder.rung is Rung.STOP else Verdict.HELD

    def _send(self, command: NDArray[np.float64]) -> bool:
        if not np.isfinite(command).all():
            raise ValueError(f"a command is not finite: {command}")
        try:
            self._robot.command(command)
        except SteadyError as error:
            self.counts.last_error = str(error)
            self.counts.troubles.add(Trouble.COMMAND_FAILED)
            return False
        self._last_command = command
        return True

    def _fail(self, started_s: float, error: Exception) -> TickReport:
        """Brake after an error nobody foresaw; the ladder stays on its last rung."""
        self.counts.last_error = f"{type(error).__name__}: {error}"
        self.counts.troubles.add(Trouble.INTERNAL)
        self._ladder = LadderState(Rung.STOP, 1)
        try:
            self._robot.stop()
        except Exception as second:  # noqa: BLE001  the watchdog is the next line of defence
            self.counts.last_error += f"; stop failed: {type(second).__name__}: {second}"
        return TickReport(
            Verdict.FAILED, Rung.STOP, (), (), started_s, np.nan, -1, None, (), is_late=False
        )


def _joints(reading: Reading) -> NDArray[np.float64]:
    """Return float64[8]: measured joint positions [rad] and gripper opening [m]."""
    return np.asarray(reading.values[STATE_KEY][:8], np.float64)
