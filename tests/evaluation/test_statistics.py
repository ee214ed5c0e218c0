import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from steadyhand.contracts.errors import DataError
from steadyhand.contracts.seeds import stream
from steadyhand.evaluation.statistics import (
    discordant,
    is_not_inferior,
    mcnemar,
    num_pairs_needed,
    paired_difference,
    wilson,
)

Z = 1.959963984540054


def pairs(both: int, only_first: int, only_second: int, neither: int):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def trinomial(num_pairs: int, p: float, q: float, most: int):
    """All (only first, only second) counts up to ``most`` with their probability."""
    for b, c in itertools.product(range(most + 1), repeat=2):
        rest = num_pairs - b - c
        log = math.lgamma(num_pairs + 1) - sum(math.lgamma(k + 1) for k in (b, c, rest))
        log += rest * math.log(1 - p - q)
        if (b and not p) or (c and not q):
            continue
        log += b * math.log(p) if b else 0.0
        log += c * math.log(q) if c else 0.0
        yield b, c, math.exp(log)


class TestWilson:
    def test_no_failure_in_ten_leaves_z2_over_n_plus_z2(self):
        interval = wilson(10, 10)
        assert interval.high == 1.0
        assert interval.low == pytest.approx(10 / (10 + Z**2), abs=1e-12)

    def test_197_of_200_has_a_lower_bound_above_95_percent_and_196_has_not(self):
        assert wilson(197, 200).low == pytest.approx(0.95683, abs=1e-5)
        assert wilson(196, 200).low < 0.95

    @given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_it_agrees_with_scipy(self, counts):
        expected = binomtest(*counts).proportion_ci(0.95, "wilson")
        interval = wilson(*counts)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))

    @pytest.mark.parametrize("counts", [(0, 0), (-1, 5), (6, 5)])
    def test_impossible_counts_are_refused(self, counts):
        with pytest.raises(DataError, match="0 <= successes <= trials"):
            wilson(*counts)

    def test_a_confidence_in_percent_is_refused(self):
        with pytest.raises(DataError, match=r"try 0\.95"):
            wilson(1, 2, confidence=95)


class TestMcNemar:
    def test_one_against_seven_is_nine_of_256_twice(self):
        # 2 * (C(8,0) + C(8,1)) / 2^8
        assert mcnemar(*pairs(1, 1, 7, 12)) == 18 / 256

    def test_without_discordant_pairs_nothing_speaks_against_equality(self):
        assert mcnemar(*pairs(99, 0, 0, 1)) == 1.0

    @given(st.integers(0, 40), st.integers(0, 40))
    def test_it_is_the_binomial_test_of_the_discordant_pairs(self, b, c):
        expected = binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar(*pairs(5, b, c, 3)) == pytest.approx(expected)

    def test_unequal_lengths_are_refused(self):
        with pytest.raises(DataError, match="same episode keys"):
            mcnemar([True], [True, False])


class TestPairedDifference:
    def test_it_reproduces_a_published_interval(self):
        # Bentur et al. 2009, airway hyper-responsiveness; Tango interval in Fagerland et al. 2013,
        # "Recommended tests and confidence intervals for paired binomial proportions".
        difference = paired_difference(*pairs(1, 1, 7, 12))
        assert difference.estimate == pytest.approx(-6 / 21)
        assert (round(difference.low, 3), round(difference.high, 3)) == (-0.517, -0.026)

    def test_identical_results_leave_z2_over_n_plus_z2(self):
        # With b = c = 0 the score is n|d| / sqrt(n|d|(1 - |d|)), which is z at z^2 / (n + z^2).
        difference = paired_difference(*pairs(198, 0, 0, 2))
        edge = Z**2 / (200 + Z**2)
        assert (difference.low, difference.high) == pytest.approx((-edge, edge), abs=1e-12)

    @pytest.mark.parametrize(("b", "c", "n"), [(0, 1, 200), (2, 3, 200), (1, 7, 21), (9, 4, 60)])
    def test_its_limits_are_where_a_score_test_by_brute_force_just_rejects(self, b, c, n):
        def score(delta: float) -> float:
            def minus_log_likelihood(q: float) -> float:
                p = q + delta
                rest = max(1 - p - q, 1e-300)
                parts = ((b, p), (c, q), (n - b - c, rest))
                return -sum(k * math.log(max(x, 1e-300)) for k, x in parts)

            low, high = max(0.0, -delta), (1 - delta) / 2
            options = {"xatol": 1e-12}
            found = minimize_scalar(
                minus_log_likelihood, bounds=(low, high), method="bounded", options=options
            )
            variance = n * (2 * found.x + delta - delta**2)
            return (b - c - n * delta) / math.sqrt(variance)

        difference = paired_difference(*pairs(n - b - c, b, c, 0))
        assert score(difference.low) == pytest.approx(Z, abs=2e-4)
        assert score(difference.high) == pytest.approx(-Z, abs=2e-4)

    @given(*[st.integers(0, 60)] * 4)
    def test_swapping_the_candidates_mirrors_it(self, a, b, c, d):
        if a + b + c + d == 0:
            return
        first, second = pairs(a, b, c, d)
        here, mirrored = paired_difference(first, second), paired_difference(second, first)
        assert -1 <= here.low <= here.estimate <= here.high <= 1
        assert here.low == pytest.approx(-mirrored.high, abs=1e-9)
        assert here.estimate == -mirrored.estimate

    @pytest.mark.parametrize("num_pairs", [200, 400])
    def test_it_covers_the_truth_95_percent_of_the_time_when_both_succeed_at_99_percent(
        self, num_pairs
    ):
        most, shares = 24, (0.0025, 0.005, 0.01, 0.02)
        limits = {
            (b, c): paired_difference(*pairs(num_pairs - b - c, b, c, 0))
            for b, c in itertools.product(range(most + 1), repeat=2)
        }
        coverages = []
        for p, q in itertools.product(shares, repeat=2):
            weights = list(trinomial(num_pairs, p, q, most))
            assert sum(w for _, _, w in weights) > 0.9999
            inside = (w for b, c, w in weights if limits[b, c].low <= p - q <= limits[b, c].high)
            coverages.append(sum(inside))
        assert np.mean(coverages) >= 0.95
        assert min(coverages) >= 0.935

    def test_it_covers_the_truth_in_simulated_evaluations(self):
        covered, repeats = 0, 1000
        for repeat in range(repeats):
            # Episodes differ in difficulty, which both candidates share; that makes them pairs.
            rng = stream("coverage", repeat)
            hard = rng.random(200) < 0.03
            first = np.where(hard, rng.random(200) < 0.6, rng.random(200) < 0.998)
            second = np.where(hard, rng.random(200) < 0.5, rng.random(200) < 0.996)
            difference = paired_difference(first.tolist(), second.tolist())
            covered += difference.low <= 0.03 * 0.1 + 0.97 * 0.002 <= difference.high
        # Three standard errors of a 95% proportion over 1,000 repeats are 2.1 points.
        assert covered / repeats >= 0.93


class TestNonInferiority:
    def test_identical_results_prove_two_points_from_189_pairs_on(self):
        outcomes = [True] * 189
        assert is_not_inferior(outcomes, outcomes, 0.02)
        assert not is_not_inferior(outcomes[:188], outcomes[:188], 0.02)

    def test_one_lost_episode_of_200_is_too_much_and_of_300_is_not(self):
        for num_pairs, expected in ((200, False), (300, True)):
            lost, kept = pairs(num_pairs - 1, 0, 1, 0)
            assert is_not_inferior(lost, kept, 0.02) is expected

    @pytest.mark.parametrize("num_pairs", [200, 400])
    @pytest.mark.parametrize("wins", [0.0, 0.0025, 0.01])
    def test_a_candidate_that_is_two_points_worse_passes_in_at_most_2_5_percent(
        self, num_pairs, wins
    ):
        passes = sum(
            weight
            for b, c, weight in trinomial(num_pairs, wins, wins + 0.02, 40)
            if is_not_inferior(*pairs(num_pairs - b - c, b, c, 0), 0.02)
        )
        assert passes <= 0.025

    @pytest.mark.parametrize("discordance", [0.0025, 0.01, 0.02])
    def test_the_stated_number_of_pairs_proves_an_equal_candidate_in_four_of_five_cases(
        self, discordance
    ):
        num_pairs = num_pairs_needed(0.02, discordance)
        passes = sum(
            weight
            for b, c, weight in trinomial(num_pairs, discordance / 2, discordance / 2, 24)
            if is_not_inferior(*pairs(num_pairs - b - c, b, c, 0), 0.02)
        )
        assert 0.8 <= passes < 0.9

    def test_frequent_discordance_uses_the_normal_approximation(self):
        # ((1.96 + 0.8416) / 0.1)^2 * 0.5
        assert num_pairs_needed(0.1, 0.5) == 393

    def test_a_margin_in_points_is_refused(self):
        with pytest.raises(DataError, match=r"written 0\.02"):
            is_not_inferior([True], [True], 2)

    def test_an_impossible_discordance_is_refused(self):
        with pytest.raises(DataError, match=r"in 0\.\.1"):
            num_pairs_needed(0.02, 1.5)


def test_discordant_pairs_are_counted_by_side():
    assert discordant([True, True, False, False], [True, False, True, True]) == (1, 2)
