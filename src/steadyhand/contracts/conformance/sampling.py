"""Draw values that fit a spec: inputs for conformance kits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.specs import ArraySpec, Specs


def draw(spec: ArraySpec, rng: np.random.Generator) -> NDArray[Any]:
    """Draw one value.

    Args:
        spec: What it must fit.
        rng: Chance.

    Returns:
        Uniform between the bounds; where a float has none, normal around the bound there is or
        around zero; where an integer has none, uniform from 0 to 255 as far as its type goes.
    """
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, spec.shape).astype(dtype)
    low = _bound(spec.low, spec.shape, -np.inf)
    high = _bound(spec.high, spec.shape, np.inf)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low = np.ceil(np.maximum(low, max(limits.min, 0) if spec.low is None else limits.min))
        high = np.floor(np.minimum(high, min(limits.max, 255) if spec.high is None else limits.max))
        return rng.integers(low.astype(np.int64), high.astype(np.int64), endpoint=True).astype(
            dtype
        )
    normal = rng.standard_normal(spec.shape)
    is_bounded = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        inside = low + rng.random(spec.shape) * (high - low)
    value = np.where(is_bounded, inside, np.clip(normal, low, high)).astype(dtype)
    # Rounding to the type may step over a bound.
    is_low, is_high = value < low, value > high
    value = np.where(is_low, np.nextafter(value, dtype.type(np.inf)), value)
    return np.where(is_high, np.nextafter(value, dtype.type(-np.inf)), value).astype(dtype)


def draw_all(specs: Specs, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw one value per spec (see :func:`draw`), in the order of the specs."""
    return {name: draw(spec, rng) for name, spec in specs.items()}


def _bound(
    bound: float | tuple[float, ...] | None, shape: tuple[int, ...], without: float
) -> NDArray[np.float64]:
    values = np.asarray(without if bound is None else bound, np.float64)
    return np.broadcast_to(values, shape)
