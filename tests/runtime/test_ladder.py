"""The fallback order: every state and every event of a small model is walked through."""

import itertools

import pytest

from steadyhand.runtime.ladder import LadderSettings, LadderState, Rung, TickEvent, advance

SETTINGS = LadderSettings(hold_ticks=3, safe_ticks=4, rearm_results=2)
GOOD = TickEvent(has_action=True, num_good=1)
ACTION = TickEvent(has_action=True)
NOTHING = TickEvent(has_action=False)
BAD = TickEvent(has_action=False, has_bad=True)
BAD_BUT_OPEN = TickEvent(has_action=True, has_bad=True)
SILENT = TickEvent(has_action=False, is_robot_silent=True)
HALT = TickEvent(has_action=True, must_stop=True)
EVENTS = tuple(
    TickEvent(*values)
    for values in itertools.product(
        (False, True), (0, 1, 2), (False, True), (False, True), (False, True)
    )
)
P, H, S, X = Rung.POLICY, Rung.HOLD, Rung.SAFE, Rung.STOP


def walk(*events):
    state, rungs = LadderState(), []
    for event in events:
        state = advance(state, event, SETTINGS)
        rungs.append(state.rung)
    return rungs


@pytest.mark.parametrize(
    ("events", "rungs"),
    [
        ([GOOD, ACTION, ACTION], [P, P, P]),
        ([NOTHING, GOOD], [H, P]),
        ([GOOD, NOTHING, NOTHING, GOOD], [P, H, H, P]),
        ([GOOD] + [NOTHING] * 5, [P, H, H, H, S, S]),
        ([NOTHING] * 8, [H, H, H, S, S, S, S, X]),
        ([NOTHING] * 4 + [GOOD, ACTION, GOOD, ACTION], [H, H, H, S, S, S, P, P]),
        ([NOTHING] * 4 + [GOOD, BAD_BUT_OPEN, GOOD, NOTHING], [H, H, H, S, S, S, S, X]),
        ([GOOD, BAD, BAD, GOOD], [P, H, H, P]),
        ([GOOD, BAD_BUT_OPEN], [P, P]),
        ([GOOD, SILENT, SILENT, SILENT, SILENT, GOOD], [P, H, H, H, X, X]),
        ([GOOD, SILENT, GOOD], [P, H, P]),
        ([NOTHING] * 4 + [SILENT], [H, H, H, S, X]),
        ([GOOD, HALT, GOOD, GOOD], [P, X, X, X]),
    ],
)
def test_stories(events, rungs):
    assert walk(*events) == rungs


def reachable():
    """Every state that any sequence of events leads to."""
    seen, frontier = {LadderState()}, [LadderState()]
    while frontier:
        state = frontier.pop()
        for event in EVENTS:
            following = advance(state, event, SETTINGS)
            if following.rung is X:  # its tick count grows for ever and means nothing
                following = LadderState(X, 1)
            if following.rung is P:
                following = LadderState(P, 1)
            if following not in seen:
                seen.add(following)
                frontier.append(following)
    return seen


STATES = reachable()


def test_the_model_is_finite_and_reaches_every_rung():
    assert {s.rung for s in STATES} == set(Rung)
    assert len(STATES) < 60


@pytest.mark.parametrize("state", sorted(STATES, key=repr), ids=repr)
def test_in_every_state_every_event_keeps_the_promises(state):
    for event in EVENTS:
        after = advance(state, event, SETTINGS)
        if after.rung is P:  # no action without an open window and fresh joints
            assert event.has_action
            assert not event.is_robot_silent
            assert not event.must_stop
        if state.rung is X or event.must_stop:  # a stop is final
            assert after.rung is X
        if after.rung is S:  # the safe controller never steers blind, nor for ever
            assert not event.is_robot_silent
            assert after.ticks <= SETTINGS.safe_ticks
        if after.rung is H:
            assert after.ticks <= SETTINGS.hold_ticks
        order = [P, H, S, X]
        step = order.index(after.rung) - order.index(state.rung)
        if step > 1:  # rungs are skipped only by a command to stop or a silent robot
            assert event.must_stop or event.is_robot_silent
        if state.rung is S and after.rung is P:
            good = event.num_good + (0 if event.has_bad else state.good_results)
            assert good >= SETTINGS.rearm_results


@pytest.mark.parametrize("state", sorted(STATES, key=repr), ids=repr)
def test_without_actions_every_state_ends_in_a_stop_in_bounded_time(state):
    bound = SETTINGS.hold_ticks + SETTINGS.safe_ticks + 2
    for _ in range(bound):
        state = advance(state, NOTHING, SETTINGS)
    assert state.rung is X
