"""Minimum, maximum, mean, spread and quantiles of one feature, and how two of them merge.

Pure arithmetic. Frames are counted in 256 integer bins, so their statistics are exact; quantiles
of a merge are the count-weighted mean of both, which is LeRobot's own rule and an approximation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import DatasetError

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
QUANTILE_NAMES = ("q01", "q10", "q50", "q90", "q99")

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Statistics of one feature over a number of rows.

    Args:
        low: Smallest value per element, float64 (D,).
        high: Largest value per element (D,).
        mean: Mean per element (D,).
        std: Population standard deviation per element (D,).
        count: Number of rows.
        quantiles: Quantiles per element (5, D), for ``QUANTILES``.
    """

    low: Vector
    high: Vector
    mean: Vector
    std: Vector
    count: int
    quantiles: Vector

    def to_json(self, *, is_image: bool = False) -> dict[str, Any]:
        """Return LeRobot's form: lists of D numbers, for images of shape (3, 1, 1)."""

        def listed(values: Vector) -> list[Any]:
            return [[[float(v)]] if is_image else float(v) for v in values]

        plain = {
            "min": listed(self.low),
            "max": listed(self.high),
            "mean": listed(self.mean),
            "std": listed(self.std),
            "count": [self.count],
        }
        quantiles = zip(QUANTILE_NAMES, self.quantiles, strict=True)
        return {**plain, **{name: listed(values) for name, values in quantiles}}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "FeatureStatistics":
        """Read what :meth:`to_json` wrote.

        Raises:
            DatasetError: On missing entries.
        """
        try:
            return FeatureStatistics(
                low=_vector(value["min"]),
                high=_vector(value["max"]),
                mean=_vector(value["mean"]),
                std=_vector(value["std"]),
                count=int(value["count"][0]),
                quantiles=np.stack([_vector(value[name]) for name in QUANTILE_NAMES]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DatasetError(f"statistics are incomplete: {error!r}") from error


def summarise_rows(rows: NDArray[Any]) -> FeatureStatistics:
    """Compute the statistics of a column.

    Args:
        rows: Any real dtype, (T,) or (T, D), T >= 1.

    Returns:
        Statistics with D elements (1 for a column of scalars).
    """
    table = np.asarray(rows, np.float64).reshape(len(rows), -1)
    return FeatureStatistics(
        low=table.min(axis=0),
        high=table.max(axis=0),
        mean=table.mean(axis=0),
        std=table.std(axis=0),
        count=len(table),
        quantiles=np.quantile(table, QUANTILES, axis=0),
    )


def summarise_frames(frames: NDArray[np.uint8]) -> FeatureStatistics:
    """Compute the statistics of frames per colour channel, over all pixels, scaled to 0..1.

    Args:
        frames: uint8 (T, height, width, 3), T >= 1.

    Returns:
        Statistics with 3 elements; ``count`` is the number of frames, as LeRobot counts.
    """
    histograms = np.stack([np.bincount(frames[..., c].ravel(), minlength=256) for c in range(3)])
    levels = np.arange(256, dtype=np.float64) / 255.0
    total = histograms.sum(axis=1, keepdims=True)
    share = histograms / total
    mean = share @ levels
    deviation = levels[None, :] - mean[:, None]
    cumulative = histograms.cumsum(axis=1)
    quantiles = [
        [levels[np.searchsorted(cumulative[c], q * total[c, 0])] for c in range(3)]
        for q in QUANTILES
    ]
    present = histograms > 0
    return FeatureStatistics(
        low=levels[present.argmax(axis=1)],
        high=levels[255 - present[:, ::-1].argmax(axis=1)],
        mean=mean,
        std=np.sqrt((share * deviation**2).sum(axis=1)),
        count=len(frames),
        quantiles=np.asarray(quantiles),
    )


def merge_statistics(first: FeatureStatistics, second: FeatureStatistics) -> FeatureStatistics:
    """Return the statistics of both sets of rows together.

    Source: Chan, Golub, LeVeque 1979, updating formulae for the sample variance; quantiles as
    LeRobot's ``aggregate_feature_stats``.
    """
    count = first.count + second.count
    share = second.count / count
    delta = second.mean - first.mean
    variance = (1 - share) * first.std**2 + share * second.std**2 + share * (1 - share) * delta**2
    return FeatureStatistics(
        low=np.minimum(first.low, second.low),
        high=np.maximum(first.high, second.high),
        mean=first.mean + share * delta,
        std=np.sqrt(variance),
        count=count,
        quantiles=(1 - share) * first.quantiles + share * second.quantiles,
    )


def _vector(value: object) -> Vector:
    return np.asarray(value, np.float64).reshape(-1)
