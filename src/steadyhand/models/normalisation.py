"""The constants that a network normalises with; they live inside it and travel with its weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steadyhand.contracts.errors import DataError

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Means and standard deviations, computed on the training split.

    Args:
        state_mean: One number per element of the state vector.
        state_std: Likewise, positive.
        motion_mean: One row per action of the chunk: x, y, z [m] and yaw [rad] relative to the
            pose at the start of the chunk.
        motion_std: Likewise, positive. Training gives all rows the same constants.
    """

    state_mean: Row
    state_std: Row
    motion_mean: tuple[Row, ...]
    motion_std: tuple[Row, ...]

    def __post_init__(self) -> None:
        _check("state", (self.state_mean,), (self.state_std,))
        _check("motion", self.motion_mean, self.motion_std)

    @staticmethod
    def identity(state_size: int, chunk_length: int) -> "Normalisation":
        """Return the constants that change nothing."""
        return Normalisation(
            state_mean=(0.0,) * state_size,
            state_std=(1.0,) * state_size,
            motion_mean=((0.0,) * 4,) * chunk_length,
            motion_std=((1.0,) * 4,) * chunk_length,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Normalisation":
        """Read what :meth:`to_json` gave.

        Raises:
            DataError: On missing, surplus or unusable fields.
        """
        names = {"state_mean", "state_std", "motion_mean", "motion_std"}
        if set(value) != names:
            raise DataError(f"normalisation has fields {sorted(value)}, expected {sorted(names)}")
        return Normalisation(
            state_mean=_row(value["state_mean"]),
            state_std=_row(value["state_std"]),
            motion_mean=tuple(_row(r) for r in value["motion_mean"]),
            motion_std=tuple(_row(r) for r in value["motion_std"]),
        )


def _row(values: Sequence[float]) -> Row:
    return tuple(float(v) for v in values)


def _check(name: str, means: Sequence[Row], stds: Sequence[Row]) -> None:
    if [len(r) for r in means] != [len(r) for r in stds]:
        raise DataError(f"normalisation: {name}_mean and {name}_std differ in shape")
    if not all(math.isfinite(v) for row in (*means, *stds) for v in row):
        raise DataError(f"normalisation: {name} has values that are not finite; check the dataset")
    if not all(v > 0 for row in stds for v in row):
        raise DataError(f"normalisation: {name}_std must be positive")
