"""Samples: which rows are drawn, and what each part sees of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyhand.contracts.errors import DataError
from steadyhand.export.samples import batched, draw_samples, part_inputs, run_parts
from steadyhand.export.variants import load_engines


def rows_of(samples):
    return [int(sample["row"]) for sample in samples]


@given(st.integers(1, 200), st.data())
def test_rows_are_drawn_once_each_and_stay_together(num_rows, data):
    count = data.draw(st.integers(0, num_rows))
    columns = {"row": np.arange(num_rows), "twice": 2 * np.arange(num_rows)}
    samples = draw_samples(columns, count, data.draw(st.integers(0, 9)), "calibration")
    assert len(set(rows_of(samples))) == len(samples) == count
    assert all(sample["twice"] == 2 * sample["row"] for sample in samples)


def test_the_draw_is_named_by_seed_and_purpose():
    columns = {"row": np.arange(1000)}
    first = rows_of(draw_samples(columns, 50, 0, "calibration"))
    assert first == rows_of(draw_samples(columns, 50, 0, "calibration")) == sorted(first)
    assert first != rows_of(draw_samples(columns, 50, 1, "calibration"))
    assert first != rows_of(draw_samples(columns, 50, 0, "golden"))


def test_too_few_or_uneven_rows_are_refused_with_the_lengths():
    with pytest.raises(DataError, match=r"11 calibration samples.*'a': 10"):
        draw_samples({"a": np.zeros(10)}, 11, 0, "calibration")
    with pytest.raises(DataError, match="equally long"):
        draw_samples({"a": np.zeros(10), "b": np.zeros(9)}, 3, 0, "calibration")


def test_a_part_is_fed_what_the_part_before_it_computes(parts, samples):
    engines = load_engines(parts)
    fed = part_inputs(engines, samples[:3])
    assert [len(inputs) for inputs in fed.values()] == [3, 3]
    features = engines["vision"].run(fed["vision"][1])["features"]
    np.testing.assert_array_equal(fed["policy"][1]["features"], features)
    whole = run_parts(engines.values(), batched(samples[1]))
    np.testing.assert_array_equal(
        engines["policy"].run(fed["policy"][1])["actions"], whole["actions"]
    )
