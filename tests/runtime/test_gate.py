"""The gate: a result is accepted only while its window is open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.runtime.gate import Gate, Judgement, Result, interpolate
from steadyhand.runtime.timing import ChunkTiming

TIMING = ChunkTiming(0.05, 10, 0.2, 0.5)
GATE = Gate(TIMING, 5, "d1")


def result(observed_at_s=10.0, digest="d1", shape=(10, 5), fill=0.0, grip=0.0):
    return Result(
        np.full(shape, fill, np.float32),
        {"state.grip": np.array([grip], np.float32)},
        observed_at_s,
        digest,
        0.01,
        1,
    )


@pytest.mark.parametrize(
    ("given_result", "now_s", "newest_s", "judgement"),
    [
        (result(), 10.0, None, Judgement.ACCEPTED),
        (result(), 10.2, None, Judgement.ACCEPTED),
        (result(), 10.1, 9.9, Judgement.ACCEPTED),
        (result(), 10.201, None, Judgement.TOO_LATE),
        (result(), 99.0, None, Judgement.TOO_LATE),
        (result(), 10.1, 10.0, Judgement.OUT_OF_ORDER),
        (result(), 10.1, 10.05, Judgement.OUT_OF_ORDER),
        (result(), 9.9, None, Judgement.OUT_OF_ORDER),
        (result(fill=np.nan), 10.0, None, Judgement.NOT_FINITE),
        (result(fill=np.inf), 10.0, None, Judgement.NOT_FINITE),
        (result(grip=np.nan), 10.0, None, Judgement.NOT_FINITE),
        (result(observed_at_s=np.nan), 10.0, None, Judgement.NOT_FINITE),
        (result(digest="d2"), 10.0, None, Judgement.MISMATCHED),
        (result(shape=(9, 5)), 10.0, None, Judgement.MISMATCHED),
        (result(shape=(10, 4)), 10.0, None, Judgement.MISMATCHED),
    ],
)
def test_every_way_a_result_can_arrive(given_result, now_s, newest_s, judgement):
    assert GATE.judge(given_result, now_s, newest_s) is judgement


def test_one_bad_number_among_fifty_is_enough():
    bad = result()
    bad.actions[7, 3] = np.nan
    assert GATE.judge(bad, 10.0, None) is Judgement.NOT_FINITE


@given(observed=st.floats(0, 1e5), age=st.floats(-1, 3))
@settings(deadline=None)
def test_a_late_result_is_never_accepted(observed, age):
    now = observed + age
    judgement = GATE.judge(result(observed), now, None)
    if judgement is Judgement.ACCEPTED:
        assert 0 <= now - observed <= 0.2 + 1e-6
        assert TIMING.slot(observed, now) is not None
    else:
        assert not 0 <= now - observed <= 0.2


def test_a_tick_in_the_middle_of_a_window_sends_the_action_and_others_blend_towards_neighbours():
    actions = np.array([[0, 0, 0, 0, 0], [1, 2, 3, 0.5, 1], [2, 4, 6, 1, 1]], np.float32)
    np.testing.assert_allclose(interpolate(actions, 1, 0.4, 0.2), actions[1])
    np.testing.assert_allclose(interpolate(actions, 1, 0.0, 0.4), [0.7, 1.4, 2.1, 0.35, 1])
    np.testing.assert_allclose(interpolate(actions, 1, 0.6, 0.4), [1.3, 2.6, 3.9, 0.65, 1])


def test_a_loop_at_the_rate_of_the_actions_sends_them_unchanged():
    actions = np.array([[0, 0, 0, 0, 0], [1, 2, 3, 0.5, 1]], np.float32)
    for index in (0, 1):
        np.testing.assert_array_equal(interpolate(actions, index, 0.0, 1.0), actions[index])


def test_the_ends_of_a_chunk_are_held():
    actions = np.array([[0, 0, 0, 0, 0], [1, 2, 3, 0.5, 1]], np.float32)
    np.testing.assert_array_equal(interpolate(actions, 0, 0.0, 0.2), actions[0])
    np.testing.assert_array_equal(interpolate(actions, 1, 0.8, 0.2), actions[1])


def test_yaw_turns_the_short_way_and_the_grip_is_never_half_closed():
    actions = np.array([[0, 0, 0, 3.1, 0], [0, 0, 0, -3.1, 1]], np.float32)
    middle = interpolate(actions, 0, 0.99, 0.02)
    assert abs(middle[3]) == pytest.approx(np.pi, abs=2e-3)
    assert middle[4] == 0


def test_interpolation_leaves_the_chunk_as_it_was():
    actions = np.arange(10, dtype=np.float32).reshape(2, 5)
    interpolate(actions, 0, 0.3, 0.4)[:] = 99
    interpolate(actions, 1, 0.0, 0.4)[:] = 99
    np.testing.assert_array_equal(actions, np.arange(10, dtype=np.float32).reshape(2, 5))
