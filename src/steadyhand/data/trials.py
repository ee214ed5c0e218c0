"""The manifest: one row per trial, one line of JSON per row, in ``meta/steadyhand/trials.jsonl``.

A row names its episode, says how the trial went and holds the digest of every file of the episode.
Rows beyond the committed number of episodes belong to a commit that never finished.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Fact
from steadyhand.contracts.errors import DatasetError
from steadyhand.data.layout import TRIALS
from steadyhand.store.canonical import canonical_json


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file must hold.

    Args:
        sha256: Digest of its bytes.
        size: Number of bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the manifest.

    Args:
        episode: Position in the dataset, from 0.
        number: File number of its files.
        first_row: Index of its first row in the dataset.
        num_steps: Number of rows.
        key: Name of the episode.
        instruction: The task in words.
        facts: Plain values about the trial, among them ``cluster`` and ``outcome``.
        files: Digest of each file of the episode by relative path.
    """

    episode: int
    number: int
    first_row: int
    num_steps: int
    key: EpisodeKey
    instruction: str
    facts: Mapping[str, Fact]
    files: Mapping[str, FileDigest]

    @property
    def cluster(self) -> str:
        """Named region of the start position."""
        return str(self.facts["cluster"])

    @property
    def outcome(self) -> str:
        """``success`` or ``fail``."""
        return str(self.facts["outcome"])

    @property
    def is_recovery(self) -> bool:
        """Whether the episode shows a recovery from a disturbance."""
        return bool(self.facts["is_recovery"])

    def describe(self) -> dict[str, Any]:
        """Return what stays true of the trial wherever it stands in a dataset."""
        return {
            "task": self.key.task,
            "task_version": self.key.task_version,
            "seed": self.key.seed,
            "index": self.key.index,
            "instruction": self.instruction,
            "facts": dict(self.facts),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values; outcome and cluster are repeated for readers."""
        files = {p: {"sha256": d.sha256, "size": d.size} for p, d in self.files.items()}
        return {
            **self.describe(),
            "cluster": self.cluster,
            "outcome": self.outcome,
            "episode": self.episode,
            "number": self.number,
            "first_row": self.first_row,
            "num_steps": self.num_steps,
            "files": files,
        }

    def to_line(self) -> bytes:
        """Return the row as one line of the manifest."""
        return canonical_json(self.to_json()) + b"\n"

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Trial":
        """Read a row written by :meth:`to_json`.

        Raises:
            DatasetError: If it is no such row.
        """
        try:
            files = {
                p: FileDigest(str(d["sha256"]), int(d["size"])) for p, d in value["files"].items()
            }
            return Trial(
                episode=int(value["episode"]),
                number=int(value["number"]),
                first_row=int(value["first_row"]),
                num_steps=int(value["num_steps"]),
                key=key_from_json(value),
                instruction=str(value["instruction"]),
                facts=dict(value["facts"]),
                files=files,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"no row of a manifest: {error!r}") from error


def key_from_json(value: Mapping[str, Any]) -> EpisodeKey:
    """Read the name of an episode from a row of the manifest."""
    return EpisodeKey(
        str(value["task"]), int(value["task_version"]), int(value["seed"]), int(value["index"])
    )


def read_lines(root: Path) -> list[Trial | None]:
    """Read every line of the manifest.

    Returns:
        The rows in order; None for a line that cannot be read, such as a torn last one.
    """
    path = root / TRIALS
    if not path.exists():
        return []
    rows: list[Trial | None] = []
    for line in path.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            rows.append(Trial.from_json(json.loads(line)))
        except (ValueError, DatasetError):
            rows.append(None)
    return rows


def manifest_size(root: Path, count: int) -> int:
    """Return the size [bytes] of the first ``count`` lines of the manifest."""
    path = root / TRIALS
    lines = path.read_bytes().split(b"\n")[:count] if count else []
    return sum(len(line) + 1 for line in lines)


def read_trials(root: Path, count: int) -> tuple[Trial, ...]:
    """Read the rows of the committed episodes.

    Args:
        root: The dataset.
        count: Number of committed episodes.

    Raises:
        DatasetError: If a row is missing, unreadable or out of order.
    """
    lines = read_lines(root)
    trials: list[Trial] = []
    first_row = 0
    for episode in range(count):
        trial = lines[episode] if episode < len(lines) else None
        if trial is None or trial.episode != episode or trial.first_row != first_row:
            raise DatasetError(
                f"{root / TRIALS}: the row of episode {episode} is missing or damaged; "
                f"fix: steady data repair {root}"
            )
        first_row += trial.num_steps
        trials.append(trial)
    return tuple(trials)
