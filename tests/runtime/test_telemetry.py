"""Histograms and counters in fixed memory."""

import math
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.runtime.telemetry import Counters, LogHistogram


def histogram(values):
    made = LogHistogram()
    for value in values:
        made.add(value)
    return made


@given(st.lists(st.floats(2e-6, 50), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
@settings(deadline=None)
def test_a_quantile_is_never_too_small_and_at_most_a_bucket_too_large(values, q):
    exact = np.quantile(values, q, method="inverted_cdf")
    found = histogram(values).quantile(q)
    assert exact * (1 - 1e-9) <= found <= exact * 10 ** (1 / 100) * (1 + 1e-9)


def test_the_largest_value_is_exact_and_extremes_are_counted():
    made = histogram([0.0, -1.0, 1e-9, 1e9, 0.0123456])
    assert made.count == 5
    assert made.largest_s == 1e9
    assert made.quantile(1.0) == 1e9
    assert made.quantile(0.5) == pytest.approx(1e-6)


def test_an_empty_histogram_says_so():
    assert math.isnan(LogHistogram().quantile(0.5))
    assert LogHistogram().summary_ms((0.5,)) == {"p50": None, "max": None, "count": 0}


@given(st.lists(st.floats(0, 10)), st.lists(st.floats(0, 10)))
@settings(deadline=None)
def test_merging_is_adding(first, second):
    merged = histogram(first)
    merged.merge(histogram(second))
    assert merged.summary_ms((0.5, 0.99)) == histogram(first + second).summary_ms((0.5, 0.99))


def test_counters_name_every_member():
    class Kind(Enum):
        A = "a"
        B = "b"

    counters = Counters(Kind)
    counters.add(Kind.B)
    counters.add(Kind.B)
    assert counters.to_json() == {"a": 0, "b": 2}
    assert (counters.total, counters.get(Kind.B)) == (2, 2)
