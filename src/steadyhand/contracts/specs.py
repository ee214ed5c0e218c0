"""Specs: what an array at a boundary looks like, and the check that it does.

Validate at the edge (environment, dataset, network, bundle); trust inside.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import SpecError

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape, type, range and unit of one named array.

    Args:
        name: Name used in messages and files, e.g. ``observation.state``.
        shape: Exact shape.
        dtype: numpy dtype name, e.g. ``float32``.
        low: Smallest allowed value, or None for no bound. A number, or one per element.
        high: Largest allowed value, likewise.
        unit: Unit of the values, e.g. ``rad``; empty for none.
        names: Names of the elements of a vector, or empty.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | tuple[float, ...] | None = None
    high: float | tuple[float, ...] | None = None
    unit: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(n <= 0 for n in self.shape):
            raise SpecError(f"spec {self.name!r}: shape {self.shape} has a non-positive size")
        if self.names and len(self.names) != math.prod(self.shape):
            raise SpecError(
                f"spec {self.name!r}: {len(self.names)} element names for shape {self.shape}"
            )
        np.dtype(self.dtype)

    @property
    def nbytes(self) -> int:
        """Size of one value [bytes]."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def validate(self, value: object) -> NDArray[Any]:
        """Return the value as an array, or say what is wrong with it.

        Args:
            value: Anything array-like.

        Returns:
            The same data as an array of exactly this shape and dtype.

        Raises:
            SpecError: On a wrong shape or dtype, a value that is not finite, or one out of range.
        """
        array = np.asarray(value)
        if array.shape != self.shape or array.dtype != np.dtype(self.dtype):
            raise SpecError(
                f"{self.name!r} must be {self.dtype}{list(self.shape)}, "
                f"got {array.dtype}{list(array.shape)}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise SpecError(f"{self.name!r} is not finite at index {where}; check its source")
        if self.low is not None and (array < np.asarray(self.low)).any():
            raise SpecError(f"{self.name!r} is below its range: {array.min()} < {self.low}")
        if self.high is not None and (array > np.asarray(self.high)).any():
            raise SpecError(f"{self.name!r} is above its range: {array.max()} > {self.high}")
        return array

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "ArraySpec":
        """Read a spec written by :meth:`to_json`."""

        def bound(x: Any) -> float | tuple[float, ...] | None:
            return tuple(x) if isinstance(x, list | tuple) else x

        return ArraySpec(
            name=value["name"],
            shape=tuple(value["shape"]),
            dtype=value["dtype"],
            low=bound(value.get("low")),
            high=bound(value.get("high")),
            unit=value.get("unit", ""),
            names=tuple(value.get("names", ())),
        )


Specs = Mapping[str, ArraySpec]


def validate_arrays(specs: Specs, values: Arrays, where: str) -> dict[str, NDArray[Any]]:
    """Check a dictionary of arrays against its specs: same keys, each value valid.

    Args:
        specs: The expected arrays by name.
        values: The given arrays.
        where: Place named in messages, e.g. ``"observation"``.

    Returns:
        The validated arrays, in the order of ``specs``.

    Raises:
        SpecError: On missing or surplus names, or an invalid value.
    """
    missing, surplus = set(specs) - set(values), set(values) - set(specs)
    if missing or surplus:
        raise SpecError(
            f"{where}: missing {sorted(missing)}, unexpected {sorted(surplus)}; "
            f"expected exactly {sorted(specs)}"
        )
    return {name: spec.validate(values[name]) for name, spec in specs.items()}
