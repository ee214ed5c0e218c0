"""Makes a damaged dataset whole again. Damaged episodes move to ``quarantine/``; none is deleted.

The rest keeps its files; rows behind a gap get new indices, and everything under ``meta/`` is
written anew. New files are prepared aside, then a plan is committed by one rename, then carried
out: an interrupted repair is finished by the next one.

What is believed: rows that read well, videos that decode to as many frames, and their digests. A
lost line of the manifest is recovered from the episode's own parquet file, which names its trial.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from numpy.typing import NDArray

from steadyhand.contracts.errors import DataError, DatasetError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.data import layout
from steadyhand.data.commit import Place, digests, render_tables, write_into
from steadyhand.data.feature_statistics import (
    FeatureStatistics,
    summarise_frames,
    summarise_rows,
)
from steadyhand.data.features import DatasetFeatures, check_facts
from steadyhand.data.integrity import find_damage, read_rows
from steadyhand.data.lock import DirectoryLock
from steadyhand.data.metadata import merge_all, read_episode_statistics, read_features
from steadyhand.data.trials import FileDigest, Trial, key_from_json, read_lines
from steadyhand.data.video import decode_video
from steadyhand.store.atomic import fsync_directory
from steadyhand.store.canonical import canonical_json, digest_file


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Args:
        kept: Number of episodes in the dataset now.
        quarantined: Old positions of the episodes that were moved away.
        notes: One line per finding.
    """

    kept: int
    quarantined: tuple[int, ...]
    notes: tuple[str, ...]


def repair(root: Path, progress: Progress) -> RepairReport:
    """Move damaged episodes to ``quarantine/`` and make the rest a consistent dataset.

    Args:
        root: The dataset directory.
        progress: Told what was found and done.

    Returns:
        What was done; a second repair finds nothing left to do.

    Raises:
        DatasetError: If it is no dataset, or its features are lost.
        RefusedError: If another process is writing it.
        StorageError: If files cannot be written; running it again continues.
    """
    if not (root / layout.FEATURES).exists():
        raise DatasetError(
            f"{root}: {layout.FEATURES} is missing, so it is no dataset of ours or cannot be "
            "repaired; restore that file from a copy"
        )
    try:
        with DirectoryLock(root):
            if (root / layout.REPAIR_PLAN).exists():
                progress.say("finishing a repair that was interrupted")
                _carry_out(root)
            return _repair(root, read_features(root), progress)
    except OSError as error:
        raise storage_error(error, f"repairing {root}") from error


def _repair(root: Path, features: DatasetFeatures, progress: Progress) -> RepairReport:
    shutil.rmtree(root / layout.REPAIR, ignore_errors=True)
    good: list[_Whole] = []
    bad: list[tuple[int, int]] = []
    notes: list[str] = []
    candidates = _candidates(root, features)
    for position, (number, listed) in enumerate(candidates):
        try:
            good.append(_examine(root, features, number, listed, notes))
        except DataError as error:
            bad.append((position, number))
            notes.append(f"episode {position} (file {number}) moved to quarantine: {error}")
        progress.update("examine episodes", position + 1, len(candidates), "episodes")
    _prepare(root, features, good, [number for _, number in bad])
    _carry_out(root)
    for note in notes:
        progress.say(note)
    progress.say(f"{len(good)} episodes are whole, {len(bad)} are in {layout.QUARANTINE}/")
    return RepairReport(len(good), tuple(position for position, _ in bad), tuple(notes))


def _candidates(root: Path, features: DatasetFeatures) -> list[tuple[int, Trial | None]]:
    """Return file number and manifest row (if readable) of everything that may be an episode."""
    listed = {trial.number: trial for trial in read_lines(root) if trial is not None}
    found = set(listed)
    for directory in ("data", *(f"videos/{name}" for name in features.camera_names)):
        for path in (root / directory).glob("chunk-*/file-*.*"):
            chunk, file = path.parent.name.removeprefix("chunk-"), path.stem.removeprefix("file-")
            if chunk.isdigit() and file.isdigit() and path.suffix in {".parquet", ".mp4"}:
                found.add(int(chunk) * layout.FILES_PER_CHUNK + int(file))
    return [(number, listed.get(number)) for number in sorted(found)]


@dataclass(frozen=True, slots=True)
class _Whole:
    """An episode that will be kept: its manifest row, rows and statistics."""

    trial: Trial
    columns: dict[str, NDArray[Any]]
    statistics: dict[str, FeatureStatistics]


def _examine(
    root: Path,
    features: DatasetFeatures,
    number: int,
    listed: Trial | None,
    notes: list[str],
) -> _Whole:
    """Return an episode that can be kept, or raise what is wrong with it."""
    data = root / layout.data_path(number)
    columns = read_rows(data, features, layout.data_path(number))
    count = len(next(iter(columns.values())))
    frames = {}
    for name in features.camera_names:
        path = layout.video_path(number, name)
        frames[name] = decode_video(root / path, path)
        if len(frames[name]) != count:
            raise DatasetError(f"{path}: {len(frames[name])} frames for {count} rows")
    row = layout.episodes_path(number)
    is_row_whole = listed is not None
    if listed is None:
        listed = _recover_trial(data, number, count)
        notes.append(f"the manifest's row of file {number} was recovered from {data}")
    else:
        for damage in find_damage(root, features, listed):
            if damage.path != row:
                raise DatasetError(f"{damage.path}: {damage.problem}")
            notes.append(f"{row}: {damage.problem}; written anew from rows and frames")
            is_row_whole = False
    if is_row_whole:
        statistics = read_episode_statistics(root / row, features)
    else:
        statistics = {name: summarise_rows(values) for name, values in columns.items()}
        statistics |= {name: summarise_frames(images) for name, images in frames.items()}
    return _Whole(listed, columns, statistics)


def _recover_trial(data: Path, number: int, count: int) -> Trial:
    """Read the trial that a parquet file names in its metadata."""
    metadata = pq.read_schema(data).metadata or {}
    try:
        value = json.loads(metadata[layout.TRIAL_METADATA])
        key, facts = key_from_json(value), value["facts"]
        check_facts(key, facts)
        return Trial(0, number, 0, count, key, str(value["instruction"]), facts, {})
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{data}: does not name its trial ({error!r})") from error


def _prepare(
    root: Path, features: DatasetFeatures, good: Sequence[_Whole], bad: Sequence[int]
) -> None:
    """Write every new file aside and commit the plan of moves."""
    moves = _quarantine_moves(root, features, bad)
    contents, trials, total = _render(root, features, good)
    num_rows = sum(trial.num_steps for trial in trials)
    instructions = list(dict.fromkeys(trial.instruction for trial in trials))
    info = layout.info(features, len(trials), num_rows, len(instructions))
    contents[layout.TASKS] = layout.tasks_table(instructions)
    if total:
        contents[layout.STATS] = layout.json_text(layout.stats_json(features, total))
    contents[layout.TRIALS] = b"".join(trial.to_line() for trial in trials)
    contents[layout.INFO] = layout.json_text(info)
    for path, data in contents.items():
        if not (root / path).is_file() or (root / path).read_bytes() != data:
            write_into(root, f"{layout.REPAIR}/{path}", data)
            moves.append((f"{layout.REPAIR}/{path}", path))
    if moves:
        write_into(root, layout.REPAIR_PLAN, canonical_json({"moves": moves}))


def _render(
    root: Path, features: DatasetFeatures, good: Sequence[_Whole]
) -> tuple[dict[str, bytes], list[Trial], dict[str, FeatureStatistics]]:
    """Return the tables of the kept episodes at their new places, and what sums them up."""
    contents: dict[str, bytes] = {}
    trials: list[Trial] = []
    total: dict[str, FeatureStatistics] = {}
    instructions = list(dict.fromkeys(whole.trial.instruction for whole in good))
    first_row = 0
    for episode, whole in enumerate(good):
        old = whole.trial
        task = instructions.index(old.instruction)
        place = Place(episode, old.number, first_row, task)
        tables, statistics = render_tables(features, old, place, whole.columns, whole.statistics)
        videos = {
            path: FileDigest(digest_file(root / path), (root / path).stat().st_size)
            for path in (layout.video_path(old.number, n) for n in features.camera_names)
        }
        files = {**videos, **digests(tables)}
        trials.append(replace(old, episode=episode, first_row=first_row, files=files))
        total = merge_all(total, statistics)
        contents |= tables
        first_row += old.num_steps
    return contents, trials, total


def _quarantine_moves(
    root: Path, features: DatasetFeatures, bad: Sequence[int]
) -> list[tuple[str, str]]:
    """Return the moves of everything that belongs to damaged episodes."""
    moves = []
    for number in bad:
        taken = len(list((root / layout.QUARANTINE).glob(f"file-{number:06d}-*")))
        place = f"{layout.QUARANTINE}/file-{number:06d}-{taken}"
        if (root / layout.TRIALS).exists():
            kept = f"{layout.REPAIR}/{number}-trials.jsonl"
            write_into(root, kept, (root / layout.TRIALS).read_bytes())
            moves.append((kept, f"{place}/trials.jsonl"))
        files = [p for p in layout.episode_paths(number, features) if (root / p).exists()]
        moves += [(path, f"{place}/{path}") for path in files]
    return moves


def _carry_out(root: Path) -> None:
    """Do what the plan says; each move is done once, however often this is called."""
    plan = root / layout.REPAIR_PLAN
    if not plan.exists():
        return
    for source, target in json.loads(plan.read_bytes())["moves"]:
        if not (root / source).exists():
            continue
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / source).replace(root / target)
        fsync_directory((root / target).parent)
    plan.unlink()
    fsync_directory(plan.parent)
    shutil.rmtree(root / layout.REPAIR, ignore_errors=True)
