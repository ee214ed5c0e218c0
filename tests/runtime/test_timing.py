"""Which action belongs to which time, and when the robot would starve."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.runtime.timing import LEAD_S, ChunkTiming, check_starvation

TIMING = ChunkTiming(0.05, 10, 0.2, 0.5)
times = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("age_s", "index", "phase"),
    [
        (0.0, 0, 0.0),
        (0.025, 0, 0.5),
        (0.0445, 0, 0.89),
        (0.0495, 1, 0.0),  # the window closes within the lead: the next action, from its start
        (0.05, 1, 0.0),
        (0.06, 1, 0.2),
        (0.4945, 9, 0.89),
    ],
)
def test_the_index_is_the_age_over_the_period(age_s, index, phase):
    slot = TIMING.slot(100.0, 100.0 + age_s)
    assert slot.index == index
    assert slot.phase == pytest.approx(phase, abs=1e-6)
    assert slot.expires_at_s == pytest.approx(100.0 + 0.05 * (index + 1))


@pytest.mark.parametrize("age_s", [-0.001, 0.4995, 0.5, 7.0, math.inf, math.nan])
def test_outside_the_chunk_no_action_is_open(age_s):
    assert TIMING.slot(100.0, 100.0 + age_s) is None


@given(observed=times, tick=st.integers(0, 9))
@settings(deadline=None)
def test_float_rounding_never_moves_a_tick_into_the_wrong_window(observed, tick):
    """0.1 + 0.2 > 0.3: ticks that fall exactly on an edge belong to the window that begins."""
    slot = TIMING.slot(observed, observed + tick * 0.05)
    assert slot.index == tick


@given(observed=times, age=st.floats(0, 2))
@settings(deadline=None)
def test_an_open_slot_never_lies_in_the_past(observed, age):
    now = observed + age
    slot = TIMING.slot(observed, now)
    if slot is not None:
        assert now < slot.expires_at_s
        assert 0 <= slot.index < 10
        assert 0 <= slot.phase <= 1
        # Early by at most the lead, never late.
        assert observed + slot.index * 0.05 <= now + LEAD_S + 1e-9


def test_a_refill_is_asked_for_when_the_threshold_is_left():
    assert not TIMING.needs_refill(100.0, 100.2)
    assert TIMING.needs_refill(100.0, 100.25)
    assert TIMING.needs_refill(100.0, 103.0)


def test_the_published_example_starves_above_333_ms():
    """g = 0.2, n = 100, f = 60 Hz: at most a third of a second."""
    timing = ChunkTiming(1 / 60, 100, 0.5, 0.2)
    assert timing.starvation_limit_s == pytest.approx(1 / 3)
    assert check_starvation(timing, 0.333).holds
    with pytest.raises(
        RefusedError,
        match=r"starve: latency p99 340\.0 ms > g\*n/f = 0\.2\*100/60 Hz = 333\.3 ms; "
        r"set runtime\.refill_threshold to at least 0\.21",
    ):
        check_starvation(timing, 0.34)


def test_a_latency_beyond_the_whole_chunk_cannot_be_cured_by_the_threshold():
    with pytest.raises(RefusedError, match="one chunk covers only 500 ms, use longer chunks"):
        check_starvation(TIMING, 0.6)


def test_a_latency_above_the_budget_is_refused():
    with pytest.raises(RefusedError, match=r"exceeds the latency budget of 200\.0 ms"):
        check_starvation(TIMING, 0.21)


@given(g=st.floats(0.01, 1), n=st.integers(1, 200), f=st.floats(1, 90), latency=st.floats(0, 10))
@settings(deadline=None)
def test_it_is_refused_exactly_when_latency_exceeds_g_n_over_f(g, n, f, latency):
    timing = ChunkTiming(1 / f, n, n / f, g)
    if latency <= g * n * (1 / f):
        assert check_starvation(timing, latency).holds
    else:
        with pytest.raises(RefusedError):
            check_starvation(timing, latency)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.001, 10, 0.2, 0.5), "action_period_s must exceed"),
        ((math.nan, 10, 0.2, 0.5), "action_period_s must exceed"),
        ((0.05, 0, 0.2, 0.5), "impossible chunk timing"),
        ((0.05, 10, 0.2, 0.0), "impossible chunk timing"),
        ((0.05, 10, 0.6, 0.5), "latency budget 600 ms must be positive and within the chunk"),
        ((0.05, 10, math.nan, 0.5), "latency budget nan ms"),
    ],
)
def test_impossible_timings_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        ChunkTiming(*arguments)
