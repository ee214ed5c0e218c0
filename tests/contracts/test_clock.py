"""Deadlines are absolute times on a clock that never goes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.clock import ManualClock, MonotonicClock


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(5.0)
    assert clock.now_s() == clock.now_s() == 5.0
    clock.advance_s(0.25)
    assert clock.now_s() == 5.25


def test_waiting_jumps_to_the_deadline_and_never_back():
    clock = ManualClock()
    clock.wait_until_s(2.0)
    assert clock.now_s() == 2.0
    clock.wait_until_s(1.0)  # has passed
    assert clock.now_s() == 2.0


def test_time_cannot_be_taken_back():
    clock = ManualClock()
    with pytest.raises(ValueError, match=r"cannot go back by 0\.1 s"):
        clock.advance_s(-0.1)
    assert clock.now_s() == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=20))
def test_no_order_of_calls_takes_a_manual_clock_back(calls):
    clock = ManualClock()
    for is_wait, value in calls:
        before = clock.now_s()
        (clock.wait_until_s if is_wait else clock.advance_s)(value)
        assert clock.now_s() >= before


def test_the_system_clock_waits_at_least_until_the_deadline():
    clock = MonotonicClock()
    deadline_s = clock.now_s() + 0.01
    clock.wait_until_s(deadline_s)
    assert clock.now_s() >= deadline_s
    before_s = clock.now_s()
    clock.wait_until_s(before_s - 100.0)  # a deadline that has passed returns at once
    assert clock.now_s() - before_s < 50.0
