"""A training set in memory: chosen episodes, decoded once, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import DatasetError
from steadyhand.contracts.progress import Progress, Silent
from steadyhand.data.dataset import Dataset
from steadyhand.data.features import ACTION, IS_LABEL, STATE
from steadyhand.data.video import Frames


@dataclass(frozen=True, slots=True)
class TrainingArrays:
    """Rows of several episodes, N in all; the rows of an episode lie together.

    Args:
        frames: uint8 (N, height, width, 3) by camera name.
        state: float32 (N, D).
        action: float32 (N, A).
        is_label: bool (N,); False where the action must not be imitated.
        episode_start: int64 (N,); first row of the episode that the row belongs to.
        episode_end: int64 (N,); the row after its last one.
        episodes: Positions of the episodes in the dataset, in the order of the rows.
    """

    frames: Mapping[str, Frames]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    is_label: NDArray[np.bool_]
    episode_start: NDArray[np.int64]
    episode_end: NDArray[np.int64]
    episodes: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.state)


def load_arrays(
    dataset: Dataset, episodes: Sequence[int], progress: Progress | None = None
) -> TrainingArrays:
    """Read and decode episodes.

    Args:
        dataset: The dataset.
        episodes: Positions of the episodes; rows come in this order.
        progress: Told how many episodes are decoded.

    Returns:
        Their rows and frames.

    Raises:
        DatasetError: If there are no episodes, or a file cannot be read.
    """
    if not episodes:
        raise DatasetError("no episodes to load; check the split")
    reporter, features = progress or Silent(), dataset.features
    lengths = [dataset.trial(episode).num_steps for episode in episodes]
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - np.asarray(lengths)
    frames = {s.name: np.empty((ends[-1], *s.shape), np.uint8) for s in features.cameras}
    state = np.empty((ends[-1], *features.state.shape), np.float32)
    action = np.empty((ends[-1], *features.action.shape), np.float32)
    is_label = np.empty(ends[-1], np.bool_)
    for done, (episode, start, end) in enumerate(zip(episodes, starts, ends, strict=True), 1):
        rows = dataset.rows(episode)
        state[start:end], action[start:end] = rows[STATE], rows[ACTION]
        is_label[start:end] = rows[IS_LABEL]
        for name, target in frames.items():
            target[start:end] = dataset.frames(episode, name)
        reporter.update("load episodes", done, len(episodes), "episodes")
    return TrainingArrays(
        frames=frames,
        state=state,
        action=action,
        is_label=is_label,
        episode_start=np.repeat(starts, lengths),
        episode_end=np.repeat(ends, lengths),
        episodes=tuple(episodes),
    )
