"""The order of fallback: rest of the chunk, hold, safe controller, stop.

A pure state machine: one event per tick in, the next state out. It knows no robot and no clock;
tests walk through all of its states.
"""

from dataclasses import dataclass
from enum import Enum


class Rung(Enum):
    """What decides the command of a tick."""

    POLICY = "policy"
    HOLD = "hold"
    SAFE = "safe"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """How long each rung lasts.

    Args:
        hold_ticks: Ticks the last command is held.
        safe_ticks: Ticks the safe controller acts before the stop.
        rearm_results: Consecutive good results that lead from the safe controller back.
    """

    hold_ticks: int
    safe_ticks: int
    rearm_results: int


@dataclass(frozen=True, slots=True)
class LadderState:
    """Where the ladder stands.

    Args:
        rung: The current rung.
        ticks: Ticks spent on it, this one included.
        good_results: Good results in a row while on the safe controller.
    """

    rung: Rung = Rung.HOLD
    ticks: int = 0
    good_results: int = 0


@dataclass(frozen=True, slots=True)
class TickEvent:
    """What happened since the last tick.

    Args:
        has_action: A chunk was accepted whose window is open now.
        num_good: Results that were accepted since the last tick.
        has_bad: A result was refused since the last tick.
        is_robot_silent: There is no fresh reading of the joints.
        must_stop: The robot was stopped from outside, or the watchdog is gone.
    """

    has_action: bool
    num_good: int = 0
    has_bad: bool = False
    is_robot_silent: bool = False
    must_stop: bool = False


def advance(  # noqa: PLR0911  one return per edge of the state machine
    state: LadderState, event: TickEvent, settings: LadderSettings
) -> LadderState:
    """Decide the rung of this tick.

    Down: policy, hold, safe, stop, one at a time; a silent robot skips the safe controller, which
    cannot steer blind. Up: a valid action ends a hold at once, but the safe controller only after
    enough good results in a row. A stop is final.

    Args:
        state: After the last tick.
        event: What happened since.
        settings: Durations.

    Returns:
        The state of this tick.
    """
    if state.rung is Rung.STOP or event.must_stop:
        return LadderState(Rung.STOP, state.ticks + 1 if state.rung is Rung.STOP else 1)
    can_act = event.has_action and not event.is_robot_silent
    if state.rung is Rung.SAFE:
        good = event.num_good if event.has_bad else state.good_results + event.num_good
        if can_act and good >= settings.rearm_results:
            return LadderState(Rung.POLICY, 1)
        if event.is_robot_silent or state.ticks >= settings.safe_ticks:
            return LadderState(Rung.STOP, 1)
        return LadderState(Rung.SAFE, state.ticks + 1, good)
    if can_act:
        return LadderState(Rung.POLICY, state.ticks + 1 if state.rung is Rung.POLICY else 1)
    if state.rung is Rung.POLICY:
        return LadderState(Rung.HOLD, 1)
    if state.ticks < settings.hold_ticks:
        return LadderState(Rung.HOLD, state.ticks + 1)
    return LadderState(Rung.STOP if event.is_robot_silent else Rung.SAFE, 1)
