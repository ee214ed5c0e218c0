"""Absolute deadlines: missed ones are skipped and counted, and the grid never moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.clock import ManualClock
from steadyhand.runtime.pacer import Pacer


def test_the_first_deadline_is_now():
    wake = Pacer(ManualClock(5.0), 0.02).wait()
    assert (wake.due_at_s, wake.lateness_s, wake.num_skipped) == (5.0, 0.0, 0)


@pytest.mark.parametrize(
    ("work_s", "due_at_s", "lateness_s", "num_skipped"),
    [(0.0, 0.02, 0.0, 0), (0.019, 0.02, 0.0, 0), (0.025, 0.02, 0.005, 0), (0.051, 0.04, 0.011, 1)],
)
def test_a_slow_tick_is_late_or_skipped_but_never_shifts_the_next(
    work_s, due_at_s, lateness_s, num_skipped
):
    clock = ManualClock(0.0)
    pacer = Pacer(clock, 0.02)
    pacer.wait()
    clock.advance_s(work_s)
    wake = pacer.wait()
    assert wake.due_at_s == pytest.approx(due_at_s)
    assert wake.lateness_s == pytest.approx(lateness_s)
    assert wake.num_skipped == num_skipped
    assert pacer.wait().due_at_s == pytest.approx(due_at_s + 0.02)


@given(st.lists(st.floats(0, 0.2), max_size=50))
@settings(deadline=None)
def test_every_deadline_lies_on_the_grid_and_each_is_used_or_skipped_once(works):
    clock = ManualClock(3.0)
    pacer = Pacer(clock, 0.02)
    expected = 0
    for work_s in works:
        wake = pacer.wait()
        expected += wake.num_skipped
        assert wake.due_at_s == 3.0 + expected * 0.02
        assert 0 <= wake.lateness_s < 0.02 + 1e-9
        expected += 1
        clock.advance_s(work_s)
