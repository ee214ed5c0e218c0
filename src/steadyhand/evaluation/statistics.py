"""Intervals and tests for success counts: single rates and paired comparisons.

Pure arithmetic on counts; it knows nothing about robots. The interval of a paired difference is
Tango's score interval because success rates near 100% leave few discordant pairs, where the
usual normal interval collapses to zero width: with 200 pairs and no discordant one it still says
"within 1.9 points" instead of "no difference".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from steadyhand.contracts.errors import DataError

# Halving [-1, 1] this often reaches the last bit of a double next to 1.
_BISECTIONS = 60

# Above this many expected discordant pairs the normal approximation of the power is good.
_MANY_DISCORDANT = 40


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Args:
        low: Lower limit.
        high: Upper limit.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two success rates, first minus second, with its interval.

    Args:
        estimate: Difference of the rates, in -1..1.
        low: Lower confidence limit.
        high: Upper confidence limit.
    """

    estimate: float
    low: float
    high: float


def wilson(num_successes: int, num_trials: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a success rate.

    Args:
        num_successes: Successes k.
        num_trials: Trials n, at least 1.
        confidence: Two-sided coverage, in 0..1.

    Returns:
        Limits in 0..1; exactly 0 for no success and exactly 1 for no failure.

    Raises:
        DataError: If there are no trials, or the counts do not fit one another.

    Source:
        E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference,
        JASA 22, 209-212.
    """
    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise DataError(
            f"a success rate needs 0 <= successes <= trials and at least one trial, "
            f"got {num_successes} of {num_trials}"
        )
    z = _quantile(confidence)
    rate, total = num_successes / num_trials, num_trials + z * z
    centre = (num_successes + z * z / 2) / total
    half_width = z / total * math.sqrt(num_trials * rate * (1 - rate) + z * z / 4)
    return Interval(
        0.0 if num_successes == 0 else centre - half_width,
        1.0 if num_successes == num_trials else centre + half_width,
    )


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Return the exact two-sided p-value that two paired candidates succeed equally often.

    Args:
        first: Success of the first candidate per pair.
        second: Success of the second candidate on the same pairs.

    Returns:
        p in 0..1; 1 if no pair is discordant.

    Raises:
        DataError: If the sequences are empty or differ in length.

    Source:
        Q. McNemar (1947), Psychometrika 12, 153-157; the exact form is the binomial test of the
        discordant pairs against 1/2.
    """
    only_first, only_second = discordant(first, second)
    total = only_first + only_second
    tail = sum(math.comb(total, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << total))


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95
) -> Difference:
    """Return the difference of two paired success rates with its score interval.

    The limits are the differences that a two-sided score test just does not reject.

    Args:
        first: Success of the first candidate per pair.
        second: Success of the second candidate on the same pairs.
        confidence: Two-sided coverage, in 0..1.

    Returns:
        First minus second.

    Raises:
        DataError: If the sequences are empty or differ in length.

    Source:
        T. Tango (1998), Equivalence test and confidence interval for the difference in
        proportions for the paired-sample design, Statistics in Medicine 17, 891-908.
    """
    only_first, only_second = discordant(first, second)
    num_pairs, z = len(first), _quantile(confidence)
    estimate = (only_first - only_second) / num_pairs

    def edge(inside: float, outside: float) -> float:
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            if abs(_tango_score(only_first, only_second, num_pairs, middle)) <= z:
                inside = middle
            else:
                outside = middle
        return inside

    return Difference(estimate, edge(estimate, -1.0), edge(estimate, 1.0))


def is_not_inferior(
    candidate: Sequence[bool], reference: Sequence[bool], margin: float, confidence: float = 0.95
) -> bool:
    """Say whether a candidate is shown to be at most ``margin`` worse than its reference.

    Too few pairs never show it, whatever the outcome: see :func:`num_pairs_needed`.

    Args:
        candidate: Success of the candidate per pair.
        reference: Success of the reference on the same pairs.
        margin: Largest tolerated loss of success rate, e.g. 0.02 for 2 points.
        confidence: Two-sided coverage of the interval whose lower limit decides, so that a
            candidate that is worse by exactly the margin passes with (1 - confidence) / 2.

    Returns:
        Whether the lower confidence limit of (candidate - reference) lies above ``-margin``.

    Raises:
        DataError: If the margin is not in 0..1, or the pairs are empty or differ in length.
    """
    _check_margin(margin)
    return paired_difference(candidate, reference, confidence).low > -margin


def num_pairs_needed(
    margin: float, discordance: float, confidence: float = 0.95, power: float = 0.8
) -> int:
    """Return how many pairs show non-inferiority of a candidate that is truly equal.

    Args:
        margin: Largest tolerated loss, e.g. 0.02.
        discordance: Share of pairs in which exactly one of the two succeeds.
        confidence: As in :func:`is_not_inferior`.
        power: Probability with which it is to be shown.

    Returns:
        The number of pairs, at least what a comparison without any discordant pair needs (189
        for 2 points). Rare discordance is counted out exactly, because there the normal
        approximation promises far too much; a frequent one is approximated.

    Raises:
        DataError: If the margin or the discordance is out of range.
    """
    _check_margin(margin)
    if not 0 <= discordance <= 1:
        raise DataError(f"a share of discordant pairs is in 0..1, got {discordance}")
    z = _quantile(confidence)
    fewest = math.floor(z * z * (1 - margin) / margin) + 1
    normal = math.ceil(((z + NormalDist().inv_cdf(power)) / margin) ** 2 * discordance)
    if discordance == 0:
        return fewest
    if normal * discordance > _MANY_DISCORDANT:
        return max(fewest, normal)
    num_pairs = fewest
    while _power(num_pairs, discordance / 2, margin, z) < power:
        num_pairs += max(1, num_pairs // 50)
    return num_pairs


def discordant(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int]:
    """Count the pairs in which only the first, and only the second, succeeded.

    Raises:
        DataError: If the sequences are empty or differ in length.
    """
    if len(first) != len(second) or len(first) == 0:
        raise DataError(
            f"a paired comparison needs equally many results, at least one; got {len(first)} and "
            f"{len(second)}. Evaluate both candidates on the same episode keys"
        )
    only_first = sum(bool(a) and not b for a, b in zip(first, second, strict=True))
    only_second = sum(bool(b) and not a for a, b in zip(first, second, strict=True))
    return only_first, only_second


def _tango_score(only_first: int, only_second: int, num_pairs: int, difference: float) -> float:
    """Return Tango's score statistic (eq. 12) of the hypothesis that rates differ by so much."""
    a = 2 * num_pairs
    b = (a - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    share_second = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = num_pairs * (2 * share_second + difference * (1 - difference))
    distance = only_first - only_second - num_pairs * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _power(num_pairs: int, share: float, margin: float, z: float) -> float:
    """Return how probably an equal candidate is shown not to be inferior.

    Each side alone succeeds in the same ``share`` of pairs, so that discordant pairs are
    trinomial; both sums end where what is left has no weight.
    """
    most = min(num_pairs, math.ceil(num_pairs * share + 8 * math.sqrt(num_pairs * share) + 8))
    total = 0.0
    for wins in range(most + 1):
        for losses in range(min(most, num_pairs - wins) + 1):
            if _tango_score(wins, losses, num_pairs, -margin) <= z:
                break  # more losses only lower the score
            counts = (wins, losses, num_pairs - wins - losses)
            log_ways = math.lgamma(num_pairs + 1) - sum(math.lgamma(k + 1) for k in counts)
            log_weight = (wins + losses) * math.log(share) + counts[2] * math.log1p(-2 * share)
            total += math.exp(log_ways + log_weight)
    return total


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise DataError(f"a confidence level is between 0 and 1, got {confidence}; try 0.95")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise DataError(
            f"a margin is a loss of success rate between 0 and 1, got {margin}; "
            "2 points are written 0.02"
        )
