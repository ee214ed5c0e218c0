"""One episode, encoded: checked rows, one mp4 per camera, statistics. Pure, so workers do it.

Nothing here knows where in a dataset the episode will stand; the recorder adds the indices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode, Fact
from steadyhand.contracts.errors import DatasetError
from steadyhand.data.feature_statistics import (
    FeatureStatistics,
    summarise_frames,
    summarise_rows,
)
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.video import count_frames, decode_video, encode_video


@dataclass(frozen=True, slots=True)
class EncodedEpisode:
    """An episode ready to commit; picklable.

    Args:
        key: Its name.
        instruction: The task in words.
        facts: Plain values about the trial.
        columns: Arrays (T, ...) by column name, in the order of the features.
        videos: One mp4 per camera name.
        statistics: Per column and camera; of frames as decoded, which is what training sees.
    """

    key: EpisodeKey
    instruction: str
    facts: Mapping[str, Fact]
    columns: Mapping[str, NDArray[Any]]
    videos: Mapping[str, bytes]
    statistics: Mapping[str, FeatureStatistics]

    @property
    def num_steps(self) -> int:
        """T."""
        return len(next(iter(self.columns.values())))


def encode_episode(episode: Episode, features: DatasetFeatures) -> EncodedEpisode:
    """Check an episode and encode it; equal episodes give equal bytes.

    Args:
        episode: Rows and frames as recorded.
        features: Features of the dataset it is for.

    Returns:
        The encoded episode.

    Raises:
        SpecError: If it does not fit the features.
        DatasetError: On missing facts, capture times that do not increase, or frames that did
            not survive encoding.
    """
    features.validate(episode)
    columns = {s.name: np.ascontiguousarray(episode.columns[s.name]) for s in features.columns}
    videos = {
        name: encode_video(episode.images[name], features.fps) for name in features.camera_names
    }
    statistics = {name: summarise_rows(rows) for name, rows in columns.items()}
    for name, video in videos.items():
        frames = decode_video(video, f"{name} of episode {episode.key}")
        if frames.shape != episode.images[name].shape:
            raise DatasetError(
                f"episode {episode.key}: {name} came out of the encoder as {frames.shape}, "
                f"went in as {episode.images[name].shape}; nothing was committed"
            )
        statistics[name] = summarise_frames(frames)
    return EncodedEpisode(
        episode.key, episode.instruction, dict(episode.facts), columns, videos, statistics
    )


def check_agreement(encoded: EncodedEpisode, features: DatasetFeatures) -> None:
    """Refuse an episode whose rows and frames disagree.

    Raises:
        DatasetError: If a column or a video is missing or has another length than the rest.
    """
    lengths = {name: len(rows) for name, rows in encoded.columns.items()}
    for name, video in encoded.videos.items():
        lengths[name] = count_frames(video, f"{name} of episode {encoded.key}")
    expected = {spec.name for spec in (*features.columns, *features.cameras)}
    if set(lengths) != expected or len(set(lengths.values())) != 1:
        raise DatasetError(
            f"episode {encoded.key}: rows and frames disagree, so it was not committed: {lengths}; "
            f"record it again with every one of {sorted(expected)} in every step"
        )
