"""Adds episodes to a LeRobot v3.0 dataset so that a crash loses at most the one in flight.

The commit point is one atomic rename: that of ``meta/info.json``, which states the number of
episodes. Everything an episode needs is on disk, flushed, before it:

    videos, rows -> row of metadata -> tasks, stats -> line of the manifest -> info.json

Readers, ours and LeRobot's, look at the first ``total_episodes`` episodes only, so the directory is
a valid dataset before, during and after a commit. What a killed commit left behind lies beyond that
number and is dropped, with a message, by the next :meth:`DatasetRecorder.open`. A live episode is
journalled step by step outside of what readers see and goes through the same commit.

One recorder per directory: a lock on the directory itself, which the system frees with the process.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode, Fact
from steadyhand.contracts.errors import DatasetError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.contracts.specs import validate_arrays
from steadyhand.data import layout
from steadyhand.data.commit import write_episode, write_into
from steadyhand.data.encoding import EncodedEpisode, check_agreement, encode_episode
from steadyhand.data.features import (
    ACTION,
    CAPTURED_AT,
    IS_LABEL,
    REWARD,
    DatasetFeatures,
    check_facts,
)
from steadyhand.data.integrity import check_sizes
from steadyhand.data.journal import Journal, JournalHead
from steadyhand.data.leftovers import drop_leftovers
from steadyhand.data.lock import DirectoryLock
from steadyhand.data.metadata import (
    check_is_dataset,
    read_features,
    read_info,
    read_total_statistics,
)
from steadyhand.data.trials import Trial, manifest_size, read_trials
from steadyhand.store.canonical import canonical_json


class DatasetRecorder:
    """Commits episodes to one dataset directory. Built by :meth:`open`, closed by ``with``."""

    def __init__(
        self,
        root: Path,
        features: DatasetFeatures,
        trials: tuple[Trial, ...],
        lock: DirectoryLock,
        progress: Progress,
    ) -> None:
        self._root = root
        self._features = features
        self._trials = list(trials)
        self._keys = {trial.key for trial in trials}
        self._lock = lock
        self._progress = progress
        self._statistics = read_total_statistics(root, features, trials)
        self._manifest_size = manifest_size(root, len(trials))
        self._head: JournalHead | None = None
        self._specs = {s.name: s for s in (*features.columns, *features.cameras)}
        self._journal = Journal(root / layout.JOURNAL, tuple(self._specs.values()))
        self._last_capture_s = -float("inf")

    @staticmethod
    def open(root: Path, features: DatasetFeatures, progress: Progress) -> "DatasetRecorder":
        """Create a dataset, or continue one and drop what a crash left half-written.

        Args:
            root: The dataset directory; created if missing.
            features: What every row holds; must equal those of an existing dataset.
            progress: Told what was dropped.

        Raises:
            RefusedError: If another process is writing this dataset.
            DatasetError: If the directory is something else, has other features or is damaged.
            StorageError: If it cannot be written.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, f"creating {root}") from error
        lock = DirectoryLock(root)
        try:
            _create_if_new(root, features)
            check_is_dataset(root)
            _check_same(root, read_features(root), features)
            trials = read_trials(root, read_info(root, features)[0])
            check_sizes(root, trials)
            drop_leftovers(root, features, trials, progress)
            return DatasetRecorder(root, features, trials, lock, progress)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise storage_error(error, f"opening {root}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def root(self) -> Path:
        """The dataset directory."""
        return self._root

    @property
    def features(self) -> DatasetFeatures:
        """What every row holds."""
        return self._features

    @property
    def num_episodes(self) -> int:
        """Number of committed episodes."""
        return len(self._trials)

    def committed_keys(self) -> frozenset[EpisodeKey]:
        """Return the names of the committed episodes: what need not be recorded again."""
        return frozenset(self._keys)

    def commit(self, encoded: EncodedEpisode) -> int:
        """Add one episode; when this returns, it is on disk for good.

        Args:
            encoded: The episode, from :func:`~steadyhand.data.encoding.encode_episode`.

        Returns:
            Its position in the dataset.

        Raises:
            DatasetError: If rows and frames disagree, or an episode of this name is committed.
            StorageError: If it cannot be written; what was committed before is intact, and the
                call may be repeated.
        """
        self._refuse_duplicate(encoded.key)
        check_facts(encoded.key, encoded.facts)
        check_agreement(encoded, self._features)
        try:
            trial, self._statistics = write_episode(
                self._root,
                self._features,
                self._trials,
                self._statistics,
                self._manifest_size,
                encoded,
            )
        except BaseException as error:
            self._take_back()
            if isinstance(error, OSError):
                raise storage_error(error, f"committing episode {encoded.key}") from error
            raise
        self._trials.append(trial)
        self._keys.add(trial.key)
        self._manifest_size += len(trial.to_line())
        return trial.episode

    def begin(self, key: EpisodeKey, instruction: str, facts: Mapping[str, Fact]) -> None:
        """Start recording an episode live, step by step.

        Args:
            key: Its name.
            instruction: The task in words.
            facts: Facts known now: ``cluster``, ``is_recovery`` and others, without ``outcome``.

        Raises:
            DatasetError: If an episode is being recorded, or one of this name is committed.
            StorageError: If the journal cannot be written.
        """
        if self._head is not None:
            raise DatasetError(
                f"episode {self._head.key} is still being recorded; finish() or discard() it first"
            )
        self._refuse_duplicate(key)
        check_facts(key, {**facts, "outcome": "success"})
        head = JournalHead(key, instruction, dict(facts))
        self._journal.begin(head)
        self._head = head
        self._last_capture_s = -float("inf")

    def append(
        self,
        observation: Mapping[str, NDArray[Any]],
        action: NDArray[Any],
        captured_at_s: float,
        *,
        is_label: bool = True,
        reward: float = 0.0,
    ) -> None:
        """Record one step: all of it or nothing.

        Args:
            observation: Vectors and frames, as the features say.
            action: The action chosen from it.
            captured_at_s: When the observation was captured [s] since the episode began.
            is_label: False where the action must not be imitated.
            reward: Reward of the step.

        Raises:
            DatasetError: If no episode was begun, or the capture time does not increase.
            SpecError: If a value does not fit the features.
            StorageError: If it cannot be written; the steps before it are kept.
        """
        if self._head is None:
            raise DatasetError("no episode is being recorded; call begin() first")
        if not captured_at_s > self._last_capture_s:
            raise DatasetError(
                f"captured_at_s {captured_at_s} does not increase (before: "
                f"{self._last_capture_s}); record each capture once"
            )
        step = {
            **observation,
            ACTION: action,
            CAPTURED_AT: np.asarray(captured_at_s, np.float64),
            IS_LABEL: np.asarray(is_label, np.bool_),
            REWARD: np.asarray(reward, np.float32),
        }
        where = f"step of episode {self._head.key}"
        self._journal.append(validate_arrays(self._specs, step, where))
        self._last_capture_s = captured_at_s

    def finish(self, outcome: str) -> int:
        """Commit the episode being recorded.

        Args:
            outcome: ``success`` or ``fail``.

        Returns:
            Its position in the dataset.

        Raises:
            DatasetError: If there is no such episode, it has no steps, or it is damaged.
            StorageError: If it cannot be written; it may be finished again once there is space.
        """
        if self._head is None or self._journal.num_steps == 0:
            raise DatasetError("no step was recorded; call begin() and append() first")
        head, arrays = self._head, self._journal.read()
        episode = Episode(
            key=head.key,
            instruction=head.instruction,
            facts={**head.facts, "outcome": outcome},
            columns={spec.name: arrays[spec.name] for spec in self._features.columns},
            images={name: arrays[name] for name in self._features.camera_names},
        )
        index = self.commit(encode_episode(episode, self._features))
        self.discard()
        return index

    def discard(self) -> None:
        """Forget the episode being recorded; without one, nothing happens."""
        self._journal.remove()
        self._head = None

    def close(self) -> None:
        """Drop an unfinished episode, with a message, and let go of the directory."""
        if self._head is not None:
            self._progress.say(
                f"dropped unfinished episode {self._head.key} "
                f"({self._journal.num_steps} steps): the recorder was closed before finish()"
            )
            self.discard()
        self._lock.release()

    def _refuse_duplicate(self, key: EpisodeKey) -> None:
        if key in self._keys:
            raise DatasetError(
                f"episode {key} is already committed to {self._root}; skip what committed_keys() "
                "holds, or record under another seed or index"
            )

    def _take_back(self) -> None:
        """Free the space of a failed commit, unless ``info.json`` already counts it."""
        if read_info(self._root, self._features)[0] == len(self._trials):
            number = self._trials[-1].number + 1 if self._trials else 0
            for path in layout.episode_paths(number, self._features):
                (self._root / path).unlink(missing_ok=True)


def _create_if_new(root: Path, features: DatasetFeatures) -> None:
    """Write the first ``info.json`` of an empty directory; a torn creation is finished."""
    if (root / layout.INFO).exists() or (root / layout.TRIALS).exists():
        return
    ours = {"meta"}
    foreign = sorted(p.name for p in root.iterdir() if p.name not in ours)
    if foreign:
        raise DatasetError(
            f"{root} is no dataset and not empty (it holds {foreign[:3]}); choose a new directory"
        )
    write_into(root, layout.FEATURES, canonical_json(features.to_json()))
    write_into(root, layout.INFO, layout.json_text(layout.info(features, 0, 0, 0)))


def _check_same(root: Path, found: DatasetFeatures, wanted: DatasetFeatures) -> None:
    if found == wanted:
        return
    old, new = found.to_json(), wanted.to_json()
    changes = [
        f"{name}: {old[name]} there, {new[name]} asked for"
        for name in old
        if old[name] != new[name]
    ]
    raise DatasetError(
        f"{root} holds other features than asked for; record into a new directory. "
        + "; ".join(changes)
    )
