import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.training.data_order import draw_rows


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 5))
def test_each_pass_visits_every_row_once(num_rows, which_pass):
    rows = draw_rows(7, num_rows, which_pass * num_rows, num_rows)
    assert sorted(rows.tolist()) == list(range(num_rows))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 100), st.lists(st.integers(1, 30), min_size=1))
def test_pieces_of_the_stream_join_to_the_stream(num_rows, position, counts):
    whole = draw_rows(3, num_rows, position, sum(counts))
    pieces, at = [], position
    for count in counts:
        pieces.append(draw_rows(3, num_rows, at, count))
        at += count
    assert np.array_equal(np.concatenate(pieces), whole)


def test_passes_and_seeds_have_orders_of_their_own():
    first, second = draw_rows(0, 50, 0, 50), draw_rows(0, 50, 50, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw_rows(1, 50, 0, 50))
