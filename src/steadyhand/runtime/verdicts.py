"""How a tick ended and what went wrong: the words of the control loop, and its counters."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.runtime.gate import Judgement
from steadyhand.runtime.inference import WorkerEvent
from steadyhand.runtime.ladder import Rung
from steadyhand.runtime.telemetry import Counters, LogHistogram


class Verdict(Enum):
    """How a tick ended: exactly one per tick."""

    EXECUTED = "executed"
    HELD = "held"
    SAFE = "safe"
    STOPPED = "stopped"
    EXPIRED = "expired"
    FAILED = "failed"


class Clip(Enum):
    """Limits that changed a policy's action."""

    WORKSPACE = "workspace"
    LINEAR_SPEED = "linear_speed"
    YAW_RATE = "yaw_rate"
    JOINT_SPEED = "joint_speed"
    JOINT_RANGE = "joint_range"
    GRIP = "grip"


class Trouble(Enum):
    """Things that went wrong and were survived; counted, never raised."""

    ROBOT_SILENT = "robot_silent"
    COMMAND_FAILED = "command_failed"
    WATCHDOG_LOST = "watchdog_lost"
    STOPPED_OUTSIDE = "stopped_outside"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did.

    Args:
        verdict: How it ended.
        rung: What decided the command.
        judgements: What the gate said about results that arrived in this tick.
        worker_events: What the supervision of the worker noticed.
        started_at_s: Time [s] the tick began.
        observed_at_s: Observation time [s] of the executed chunk; NaN if none was executed.
        index: Index of the executed action; -1 if none.
        command: float64[8] what was sent; None if nothing was.
        clipped: Limits that acted.
        is_late: A policy action was sent after its window had passed.
    """

    verdict: Verdict
    rung: Rung
    judgements: tuple[Judgement, ...]
    worker_events: tuple[WorkerEvent, ...]
    started_at_s: float
    observed_at_s: float
    index: int
    command: NDArray[np.float64] | None
    clipped: tuple[str, ...]
    is_late: bool


@dataclass(slots=True)
class LoopCounts:
    """Everything that is counted, in fixed memory."""

    verdicts: Counters
    judgements: Counters
    clips: Counters
    troubles: Counters
    worker_events: Counters
    inference: LogHistogram
    result_age: LogHistogram
    late_actions: int = 0
    fallbacks_taken: int = 0
    requests: int = 0
    last_error: str = ""

    @staticmethod
    def zero() -> "LoopCounts":
        """Return all counters at zero."""
        return LoopCounts(
            Counters(Verdict),
            Counters(Judgement),
            Counters(Clip),
            Counters(Trouble),
            Counters(WorkerEvent),
            LogHistogram(),
            LogHistogram(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {
            "ticks": self.verdicts.total,
            "verdicts": dict(self.verdicts.to_json()),
            "results": dict(self.judgements.to_json()),
            "clips": dict(self.clips.to_json()),
            "troubles": dict(self.troubles.to_json()),
            "worker_events": dict(self.worker_events.to_json()),
            "late_actions_executed": self.late_actions,
            "fallbacks_taken": self.fallbacks_taken,
            "requests": self.requests,
            "inference_ms": self.inference.summary_ms((0.5, 0.95, 0.99)),
            "result_age_ms": self.result_age.summary_ms((0.5, 0.95, 0.99)),
            "last_error": self.last_error,
        }
