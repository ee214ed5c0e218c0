"""What a chunking policy is asked to imitate: for each row, the actions that follow it.

A chunk ends before the first row that must not be imitated (a push): nobody can foresee it, and
the poses after it do not follow from the actions before. Past the end of an episode its last action
is repeated: the task is done, and staying as it is now is right. Without that the few rows in which
the gripper opens weigh so little that a policy learns never to let go (it then solved 0 of 100).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import DataError
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking_network import POSE

# Constant elements would otherwise divide by zero: 1 mm, 1 mrad.
_SMALLEST_STD = 1e-3

Real = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChunkTargets:
    """M chunks of n actions.

    Args:
        rows: int64 (M,) row of the observation that each chunk starts at.
        motion: float32 (M, n, 4): x, y, z [m] and yaw [rad] relative to the pose of that row.
        grip: float32 (M, n): 1 = close.
        is_valid: bool (M, n): which actions count; once False, False to the end of the chunk.
    """

    rows: NDArray[np.int64]
    motion: Real
    grip: Real
    is_valid: Flags


def compute_chunk_targets(
    state: Real, action: Real, is_label: Flags, episode_end: NDArray[np.int64], chunk_length: int
) -> ChunkTargets:
    """Cut episodes into chunks, one for each row that may be imitated.

    Args:
        state: (N, S) state vectors.
        action: (N, 5) absolute actions.
        is_label: (N,) whether the row's action may be imitated.
        episode_end: (N,) for each row, the row after the last one of its episode.
        chunk_length: n.

    Raises:
        DataError: If no row may be imitated.
    """
    rows = np.arange(len(state))[:, None] + np.arange(chunk_length)
    rows = np.minimum(rows, episode_end[:, None] - 1)
    is_valid = np.logical_and.accumulate(is_label[rows], axis=1)
    starts = np.flatnonzero(is_valid[:, 0])
    if len(starts) == 0:
        raise DataError("no row may be imitated (is_label is False everywhere); record again")
    chunks = action[rows[starts]]
    motion = chunks[:, :, :4] - state[starts, None, POSE]
    motion[:, :, 3] = np.remainder(motion[:, :, 3] + np.pi, 2 * np.pi) - np.pi
    return ChunkTargets(
        rows=starts,
        motion=motion.astype(np.float32),
        grip=(chunks[:, :, 4] > 0.5).astype(np.float32),
        is_valid=is_valid[starts],
    )


def compute_normalisation(
    targets: ChunkTargets, state_mean: NDArray[np.float64], state_std: NDArray[np.float64]
) -> Normalisation:
    """Compute a policy's constants.

    Args:
        targets: Chunks of the training split.
        state_mean: (S,) mean of the state vector over the training split.
        state_std: (S,) its standard deviation.
    """
    weight = targets.is_valid[:, :, None].astype(np.float64)
    motion = targets.motion.astype(np.float64)
    mean = (motion * weight).sum(axis=(0, 1)) / weight.sum()
    variance = (np.square(motion - mean) * weight).sum(axis=(0, 1)) / weight.sum()
    spread = np.maximum(np.sqrt(variance), _SMALLEST_STD)
    length = motion.shape[1]
    return Normalisation(
        state_mean=tuple(np.asarray(state_mean, np.float64).tolist()),
        state_std=tuple(np.maximum(state_std, _SMALLEST_STD).tolist()),
        motion_mean=(tuple(mean.tolist()),) * length,
        motion_std=(tuple(spread.tolist()),) * length,
    )
