"""What one commit writes, and in which order. The recorder says when; repair uses the same pages.

The order is the guarantee: everything an episode needs is flushed to disk before ``info.json``,
whose rename makes the episode exist.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.data import layout
from steadyhand.data.encoding import EncodedEpisode
from steadyhand.data.feature_statistics import FeatureStatistics, summarise_rows
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.metadata import merge_all
from steadyhand.data.trials import FileDigest, Trial
from steadyhand.store.atomic import fsync_directory, write_file
from steadyhand.store.canonical import canonical_json, digest


@dataclass(frozen=True, slots=True)
class Place:
    """Where an episode stands in a dataset.

    Args:
        episode: Position, from 0.
        number: File number of its files.
        first_row: Index of its first row.
        task: Index of its instruction.
    """

    episode: int
    number: int
    first_row: int
    task: int


def next_place(trials: Sequence[Trial], instruction: str) -> tuple[Place, list[str]]:
    """Return the place after the last episode, and all instructions with the new one in."""
    instructions = list(dict.fromkeys([*(t.instruction for t in trials), instruction]))
    task = instructions.index(instruction)
    if not trials:
        return Place(0, 0, 0, task), instructions
    last = trials[-1]
    place = Place(last.episode + 1, last.number + 1, last.first_row + last.num_steps, task)
    return place, instructions


def render_tables(
    features: DatasetFeatures,
    trial: Trial,
    place: Place,
    columns: Mapping[str, NDArray[Any]],
    statistics: Mapping[str, FeatureStatistics],
) -> tuple[dict[str, bytes], dict[str, FeatureStatistics]]:
    """Return the two parquet files of an episode by path, and its full statistics.

    Args:
        features: Features of the dataset.
        trial: Name, instruction and facts of the episode.
        place: Where it will stand.
        columns: Its rows.
        statistics: Statistics of its columns and cameras.
    """
    frame = np.arange(trial.num_steps)
    same = np.ones(trial.num_steps, np.int64)
    full = {
        **statistics,
        "timestamp": summarise_rows((frame / features.fps).astype(np.float32)),
        "frame_index": summarise_rows(frame),
        "episode_index": summarise_rows(same * place.episode),
        "index": summarise_rows(place.first_row + frame),
        "task_index": summarise_rows(same * place.task),
    }
    rows = layout.rows_table(
        columns,
        features,
        canonical_json(trial.describe()),
        episode=place.episode,
        first_row=place.first_row,
        task=place.task,
    )
    row = layout.episode_row(
        features,
        full,
        trial.instruction,
        trial.num_steps,
        number=place.number,
        episode=place.episode,
        first_row=place.first_row,
    )
    return {layout.data_path(place.number): rows, layout.episodes_path(place.number): row}, full


def write_episode(
    root: Path,
    features: DatasetFeatures,
    trials: Sequence[Trial],
    total: Mapping[str, FeatureStatistics],
    manifest_size: int,
    encoded: EncodedEpisode,
) -> tuple[Trial, dict[str, FeatureStatistics]]:
    """Write everything of an episode after the committed ones, ``info.json`` last.

    Args:
        root: The dataset.
        features: Its features.
        trials: Rows of the committed episodes.
        total: Statistics of their rows.
        manifest_size: Size of their lines of the manifest [bytes].
        encoded: The episode.

    Returns:
        Its row of the manifest and the statistics with it included.

    Raises:
        OSError: If a write failed.
        StorageError: Likewise.
    """
    place, instructions = next_place(trials, encoded.instruction)
    trial = Trial(
        episode=place.episode,
        number=place.number,
        first_row=place.first_row,
        num_steps=encoded.num_steps,
        key=encoded.key,
        instruction=encoded.instruction,
        facts=encoded.facts,
        files={},
    )
    videos = {
        layout.video_path(place.number, name): encoded.videos[name]
        for name in features.camera_names
    }
    tables, statistics = render_tables(features, trial, place, encoded.columns, encoded.statistics)
    contents = {**videos, **tables}
    trial = replace(trial, files=digests(contents))
    merged = merge_all(total, statistics)
    num_rows = place.first_row + encoded.num_steps
    info = layout.info(features, place.episode + 1, num_rows, len(instructions))
    for path, data in contents.items():
        write_into(root, path, data)
    write_into(root, layout.TASKS, layout.tasks_table(instructions))
    write_into(root, layout.STATS, layout.json_text(layout.stats_json(features, merged)))
    append_line(root / layout.TRIALS, manifest_size, trial.to_line())
    write_into(root, layout.INFO, layout.json_text(info))
    return trial, merged


def digests(contents: Mapping[str, bytes]) -> dict[str, FileDigest]:
    """Return what the manifest says about files with these contents."""
    return {path: FileDigest(digest(data), len(data)) for path, data in contents.items()}


def write_into(root: Path, path: str, data: bytes) -> None:
    """Write a file of a dataset atomically, with the directories it needs."""
    target = root / path
    missing = [d for d in target.parents if not d.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        fsync_directory(directory.parent)
    write_file(target, data)


def append_line(path: Path, offset: int, line: bytes) -> None:
    """Write a line at an offset, drop whatever lay behind it, and flush.

    Raises:
        OSError: If it cannot be written; the file is then cut back to the offset.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, offset)
        view, position = memoryview(line), offset
        while view:
            done = os.pwrite(descriptor, view, position)
            view, position = view[done:], position + done
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
    finally:
        os.close(descriptor)
