"""Numbers of a running loop in fixed memory: histograms and counters."""

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

_PER_DECADE = 100
_LOWEST = 1e-6
_DECADES = 8


@final
class LogHistogram:
    """Durations from 1 us to 100 s in logarithmic buckets, 2.3% wide; constant memory.

    Histograms of several devices merge by adding. Quantiles are the upper edge of their bucket,
    so they are never too small, and at most 2.3% too large.
    """

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_PER_DECADE * _DECADES + 2, np.int64)
        self._largest = 0.0

    def add(self, value_s: float) -> None:
        """Count one duration [s]; negative ones count as zero."""
        if value_s <= _LOWEST:
            bucket = 0
        else:
            position = math.ceil(math.log10(value_s / _LOWEST) * _PER_DECADE)
            bucket = min(position, len(self._counts) - 1)
        self._counts[bucket] += 1
        self._largest = max(self._largest, value_s)

    def merge(self, other: "LogHistogram") -> None:
        """Add the counts of another histogram to this one."""
        self._counts += other._counts  # noqa: SLF001  same class
        self._largest = max(self._largest, other._largest)  # noqa: SLF001  same class

    @property
    def count(self) -> int:
        """How many durations were added."""
        return int(self._counts.sum())

    @property
    def largest_s(self) -> float:
        """The largest one [s], exact."""
        return self._largest

    def quantile(self, q: float) -> float:
        """Return the duration [s] that a fraction ``q`` does not exceed; NaN when empty."""
        total = self.count
        if total == 0:
            return math.nan
        rank = max(1, math.ceil(q * total))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        edge = _LOWEST * 10 ** (bucket / _PER_DECADE)
        return float(min(edge, self._largest)) if rank < total else self._largest

    def summary_ms(self, quantiles: Iterable[float]) -> dict[str, float | None]:
        """Return quantiles, largest value [ms] and count as plain JSON values."""
        found: dict[str, float | None] = {}
        for q in quantiles:
            value = self.quantile(q)
            found[f"p{q * 100:g}"] = None if math.isnan(value) else round(value * 1e3, 4)
        found["max"] = round(self._largest * 1e3, 4) if self.count else None
        found["count"] = self.count
        return found


@final
class Counters:
    """One counter per member of an enumeration; every member is always there."""

    def __init__(self, kind: type[Enum]) -> None:
        self._counts: dict[Enum, int] = dict.fromkeys(kind, 0)

    def add(self, member: Enum) -> None:
        """Count one."""
        self._counts[member] += 1

    def get(self, member: Enum) -> int:
        """Return the count of a member."""
        return self._counts[member]

    @property
    def total(self) -> int:
        """Sum over all members."""
        return sum(self._counts.values())

    def to_json(self) -> Mapping[str, Any]:
        """Return the counts by the member's value, in its order of definition."""
        return {str(member.value): count for member, count in self._counts.items()}
