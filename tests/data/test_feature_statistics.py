import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steadyhand.contracts.errors import DatasetError
from steadyhand.data.feature_statistics import (
    FeatureStatistics,
    merge_statistics,
    summarise_frames,
    summarise_rows,
)

tables = arrays(
    np.float64,
    st.tuples(st.integers(1, 20), st.just(2)),
    elements=st.floats(-1e3, 1e3),
)


def test_statistics_of_three_rows_are_those_worked_out_by_hand():
    found = summarise_rows(np.array([[1.0, -2.0], [2.0, -2.0], [6.0, -2.0]]))
    assert found.low.tolist() == [1.0, -2.0]
    assert found.high.tolist() == [6.0, -2.0]
    assert found.mean.tolist() == [3.0, -2.0]
    assert found.std == pytest.approx([np.sqrt(14 / 3), 0.0])
    assert found.quantiles[2].tolist() == [2.0, -2.0]
    assert found.count == 3


@given(tables, tables)
def test_merging_equals_summarising_together(first, second):
    merged = merge_statistics(summarise_rows(first), summarise_rows(second))
    whole = summarise_rows(np.concatenate([first, second]))
    assert merged.count == whole.count
    assert np.array_equal(merged.low, whole.low)
    assert np.array_equal(merged.high, whole.high)
    np.testing.assert_allclose(merged.mean, whole.mean, atol=1e-9)
    np.testing.assert_allclose(merged.std, whole.std, atol=1e-6)


def test_frames_are_summarised_per_channel_and_scaled():
    frames = np.zeros((2, 2, 2, 3), np.uint8)
    frames[..., 1] = 255
    frames[0, 0, 0, 2] = 51
    found = summarise_frames(frames)
    assert found.low.tolist() == [0.0, 1.0, 0.0]
    assert found.high == pytest.approx([0.0, 1.0, 0.2])
    assert found.mean == pytest.approx([0.0, 1.0, 0.2 / 8])
    assert found.std == pytest.approx(frames.reshape(-1, 3).std(0) / 255)
    assert found.count == 2


@given(tables)
def test_statistics_survive_json_exactly(table):
    found = summarise_rows(table)
    again = FeatureStatistics.from_json(found.to_json())
    for name in ("low", "high", "mean", "std", "quantiles"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name


def test_incomplete_statistics_are_refused():
    value = summarise_rows(np.ones(3)).to_json()
    del value["q50"]
    with pytest.raises(DatasetError, match="q50"):
        FeatureStatistics.from_json(value)
