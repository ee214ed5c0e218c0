"""Reads a dataset that was recorded here: episodes, trials, a fingerprint. Changes nothing.

Opening compares every file with its digest, so that what is read afterwards is what was committed;
a damaged file is an error that names it, never a smaller dataset.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from steadyhand.contracts.episode import Episode
from steadyhand.contracts.errors import DatasetError
from steadyhand.contracts.progress import Progress, Silent
from steadyhand.data import layout
from steadyhand.data.feature_statistics import FeatureStatistics
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.integrity import Damage, check_content, find_damage, raise_damage, read_rows
from steadyhand.data.metadata import (
    check_is_dataset,
    read_episode_statistics,
    read_features,
    read_info,
    repair_hint,
)
from steadyhand.data.repair import RepairReport, repair
from steadyhand.data.trials import Trial, read_trials
from steadyhand.data.video import Frames, decode_frames, decode_video
from steadyhand.store.canonical import canonical_json, digest

__all__ = ["Dataset", "RepairReport", "repair"]


class Dataset:
    """The committed episodes of one directory. Built by :meth:`open`."""

    def __init__(self, root: Path, features: DatasetFeatures, trials: Sequence[Trial]) -> None:
        self._root = root
        self._features = features
        self._trials = tuple(trials)

    @staticmethod
    def open(root: Path) -> "Dataset":
        """Open a dataset and check every file against the manifest.

        Args:
            root: The dataset directory.

        Raises:
            DatasetError: If it is no dataset, or a file is missing, cut, changed or mismatched;
                the message names the file, the episode and the fix. Nothing is changed.
        """
        check_is_dataset(root)
        features = read_features(root)
        num_episodes, num_rows = read_info(root, features)
        trials = read_trials(root, num_episodes)
        if sum(trial.num_steps for trial in trials) != num_rows:
            raise DatasetError(
                f"{root / layout.INFO}: states {num_rows} rows, the manifest "
                f"{sum(trial.num_steps for trial in trials)}; {repair_hint(root)}"
            )
        damages: list[Damage] = []
        for trial in trials:
            damages += find_damage(root, features, trial)
        raise_damage(root, damages)
        return Dataset(root, features, trials)

    @property
    def root(self) -> Path:
        """The directory."""
        return self._root

    @property
    def features(self) -> DatasetFeatures:
        """What every row holds."""
        return self._features

    @property
    def num_episodes(self) -> int:
        """Number of committed episodes."""
        return len(self._trials)

    @property
    def num_rows(self) -> int:
        """Number of rows of all episodes."""
        return sum(trial.num_steps for trial in self._trials)

    @property
    def fingerprint(self) -> str:
        """Digest of the features and of every trial with its files: equal means equal data."""
        trials = [trial.to_json() for trial in self._trials]
        return digest(canonical_json({"features": self._features.to_json(), "trials": trials}))

    def trials(self) -> tuple[Trial, ...]:
        """Return the manifest: one row per episode, in order."""
        return self._trials

    def trial(self, index: int) -> Trial:
        """Return the manifest's row of one episode.

        Raises:
            DatasetError: If there is no such episode.
        """
        if not 0 <= index < len(self._trials):
            raise DatasetError(f"no episode {index} in {self._root}; it has {len(self._trials)}")
        return self._trials[index]

    def episode(self, index: int) -> Episode:
        """Read one episode, decoding all of its frames.

        Args:
            index: Its position in the dataset.

        Raises:
            DatasetError: If there is no such episode or its files cannot be read.
        """
        trial = self.trial(index)
        return Episode(
            key=trial.key,
            instruction=trial.instruction,
            facts=dict(trial.facts),
            columns=self.rows(index),
            images={name: self.frames(index, name) for name in self._features.camera_names},
        )

    def rows(self, index: int) -> dict[str, NDArray[Any]]:
        """Read the columns of one episode: arrays (T, ...) by name.

        Raises:
            DatasetError: If there is no such episode or its rows cannot be read.
        """
        path = self._root / layout.data_path(self.trial(index).number)
        return read_rows(path, self._features, f"{path} (episode {index})")

    def frames(self, index: int, camera: str, chosen: Sequence[int] | None = None) -> Frames:
        """Decode frames of one episode and camera.

        Args:
            index: Position of the episode.
            camera: Name of the camera.
            chosen: Frame numbers, or None for all.

        Returns:
            uint8 (T or len(chosen), height, width, 3), RGB.

        Raises:
            DatasetError: If there is no such episode, camera or frame, or it cannot be decoded.
        """
        if camera not in self._features.camera_names:
            raise DatasetError(f"no camera {camera!r}; there are {self._features.camera_names}")
        path = self._root / layout.video_path(self.trial(index).number, camera)
        where = f"{path} (episode {index})"
        return decode_video(path, where) if chosen is None else decode_frames(path, chosen, where)

    def episode_statistics(self, index: int) -> dict[str, FeatureStatistics]:
        """Read the statistics of one episode's columns and cameras.

        Raises:
            DatasetError: If there is no such episode or they cannot be read.
        """
        path = self._root / layout.episodes_path(self.trial(index).number)
        return read_episode_statistics(path, self._features)

    def check(self, progress: Progress | None = None) -> None:
        """Decode every row and frame and compare their numbers: the thorough check.

        Raises:
            DatasetError: Naming the first file that is wrong, and the fix.
        """
        reporter = progress or Silent()
        for trial in self._trials:
            raise_damage(self._root, find_damage(self._root, self._features, trial))
            check_content(self._root, self._features, trial)
            reporter.update("check dataset", trial.episode + 1, len(self._trials), "episodes")
