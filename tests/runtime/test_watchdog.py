"""The watchdog: late, early and out-of-sequence tokens stop the robot; nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.runtime.watchdog import Alarm, WatchdogMonitor, WatchdogSettings, tick_of, token

SETTINGS = WatchdogSettings(interval_s=0.1, tick_period_s=0.02)


def watch(steps, monitor=None):
    """Feed (time, token) pairs; return the alarms."""
    monitor = monitor or WatchdogMonitor(SETTINGS, 0.0)
    return [monitor.check(word, now_s) for now_s, word in steps]


@given(st.integers(1, 2**40))
@settings(deadline=None)
def test_a_token_names_its_tick(tick):
    assert tick_of(token(tick)) == tick
    assert 0 < token(tick) < 2**63


@given(st.integers(1, 2**40), st.integers(1, 2**20 - 1))
@settings(deadline=None)
def test_a_changed_token_names_none(tick, flip):
    assert tick_of(token(tick) ^ flip) is None


def test_no_token_yet_is_tick_zero_and_garbage_is_none():
    assert tick_of(0) == 0
    assert tick_of(-1) is None
    assert tick_of(12345) is None


def test_a_healthy_loop_raises_no_alarm():
    steps = [(i * 0.005, token(1 + i // 4)) for i in range(2000)]
    assert set(watch(steps)) == {Alarm.NONE}


def test_a_loop_that_stops_is_late_after_the_interval():
    steps = [(0.0, token(1)), *((i * 0.01, token(1)) for i in range(1, 14))]
    alarms = watch(steps)
    assert alarms[:11] == [Alarm.NONE] * 11
    assert alarms[11] is Alarm.TOO_LATE


def test_a_loop_that_never_begins_is_late_too():
    assert watch([(i * 0.05, 0) for i in range(1, 4)])[-1] is Alarm.TOO_LATE


def test_a_pause_of_the_watchdog_itself_accuses_nobody():
    """Both were stopped for a second; the loop ticks again before three checks are over."""
    steps = [(0.0, token(1)), (1.0, token(1)), (1.005, token(1)), (1.01, token(2))]
    assert set(watch(steps)) == {Alarm.NONE}


@pytest.mark.parametrize("word", [token(4), token(6) ^ 1, -5, 12345])
def test_a_token_that_goes_back_or_is_garbage_is_out_of_sequence(word):
    assert watch([(0.0, token(5)), (0.02, word)])[-1] is Alarm.OUT_OF_SEQUENCE


def test_a_loop_that_runs_away_is_too_early():
    steps = [(0.0, token(1)), (0.02, token(2)), (0.04, token(40))]
    assert watch(steps)[-1] is Alarm.TOO_EARLY


def test_a_few_ticks_in_a_burst_after_a_pause_are_no_runaway():
    steps = [(0.0, token(1)), (0.09, token(2)), (0.091, token(3)), (0.11, token(4))]
    assert set(watch(steps)) == {Alarm.NONE}


def test_the_longest_gap_is_remembered():
    monitor = WatchdogMonitor(SETTINGS, 0.0)
    watch([(0.5, token(1)), (0.52, token(2)), (0.59, token(3)), (0.61, token(4))], monitor)
    assert monitor.longest_gap_s == pytest.approx(0.07)
