"""The measurements behind the recording checklist: arrays in, numbers out."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steadyhand.data.video import Frames

Array = NDArray[np.float64]


def longest_frozen_run(values: NDArray[Any]) -> int:
    """Return the largest number of consecutive rows that repeat the row before them.

    Args:
        values: (T, D).
    """
    longest = current = 0
    for is_same in (values[1:] == values[:-1]).all(axis=1):
        current = current + 1 if is_same else 0
        longest = max(longest, current)
    return longest


def count_spikes(values: NDArray[Any], threshold: NDArray[Any]) -> int:
    """Count rows that jump away from both neighbours and back; a step to a new level is none.

    A row counts if it differs from the median of the five rows around it by more than the
    threshold in any element, and by that much from each neighbour, to the same side.
    Source: Hampel's filter, with a threshold from the value's range.

    Args:
        values: (T, D).
        threshold: (D,).
    """
    if len(values) < 5:
        return 0
    median = np.median(sliding_window_view(values, 5, axis=0), axis=-1)
    middle, before, after = values[2:-2], values[1:-3], values[3:-1]
    high, low = np.maximum(before, after), np.minimum(before, after)
    is_isolated = (middle - high > threshold) | (low - middle > threshold)
    is_far = np.abs(middle - median) > threshold
    return int((is_isolated & is_far & (threshold > 0)).any(axis=1).sum())


def luminance(frames: Frames) -> Array:
    """Return the brightness 0..255 of each pixel, (T, height, width). Source: ITU-R BT.601."""
    grey: Array = frames.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return grey


def frame_sharpness(grey: Array) -> Array:
    """Return the variance of the Laplacian of each frame, (T,); blur makes it small.

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy".

    Args:
        grey: (T, height, width).
    """
    centre = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    edges: Array = (around - 4 * centre).var(axis=(1, 2))
    return edges
