"""Finds out whether the files of an episode are the ones that were committed, and what is wrong.

The digest decides; everything else here only finds the words for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steadyhand.contracts.errors import DataError, DatasetError, SpecError
from steadyhand.contracts.specs import ArraySpec
from steadyhand.data import layout
from steadyhand.data.features import INDEX_COLUMNS, DatasetFeatures
from steadyhand.data.metadata import read_episode_statistics, repair_hint
from steadyhand.data.trials import Trial
from steadyhand.data.video import count_frames, decode_video
from steadyhand.store.canonical import digest_file

MISSING = "the file is missing"
CHANGED = "its bytes are not the ones that were committed"


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was committed.

    Args:
        episode: Position of the episode.
        path: Relative path of the file.
        problem: What is wrong with it.
    """

    episode: int
    path: str
    problem: str


def check_sizes(root: Path, trials: Sequence[Trial]) -> None:
    """Check that every committed file exists in full length; cheap, reads no content.

    Raises:
        DatasetError: Naming the first file that does not.
    """
    for trial in trials:
        for path, expected in trial.files.items():
            if not (root / path).is_file():
                raise_damage(root, [Damage(trial.episode, path, MISSING)])
            found = (root / path).stat().st_size
            if found != expected.size:
                problem = f"{found} of {expected.size} bytes are there"
                raise_damage(root, [Damage(trial.episode, path, problem)])


def find_damage(root: Path, features: DatasetFeatures, trial: Trial) -> list[Damage]:
    """Compare every file of an episode with its digest.

    Returns:
        The damaged files, with words for what is wrong; empty if all is well.
    """
    found: list[Damage] = []
    for path, expected in trial.files.items():
        file = root / path
        if not file.is_file():
            found.append(Damage(trial.episode, path, MISSING))
        elif digest_file(file) != expected.sha256:
            problem = _content_problem(file, features, trial)
            if (size := file.stat().st_size) < expected.size:
                problem += f"; {size} of {expected.size} bytes are there"
            found.append(Damage(trial.episode, path, problem))
    expected_paths = set(layout.episode_paths(trial.number, features))
    if set(trial.files) != expected_paths:
        names = sorted(set(trial.files) ^ expected_paths)
        found.append(Damage(trial.episode, names[0], "the manifest lists other files"))
    return found


def raise_damage(root: Path, damages: Sequence[Damage]) -> None:
    """Raise for the first damage, if any, and count the rest.

    Raises:
        DatasetError: Naming file, episode, problem and fix.
    """
    if not damages:
        return
    first = damages[0]
    others = sorted({d.episode for d in damages} - {first.episode})
    more = f" Also damaged: episodes {others}." if others else ""
    raise DatasetError(
        f"{root / first.path} (episode {first.episode}): {first.problem}.{more} "
        f"Nothing was changed; {repair_hint(root)} (moves damaged episodes to "
        f"{layout.QUARANTINE}/)"
    )


def read_rows(path: Path, features: DatasetFeatures, where: str) -> dict[str, NDArray[Any]]:
    """Read the columns of an episode.

    Args:
        path: Its parquet file.
        features: Features of the dataset.
        where: Name used in messages.

    Returns:
        Arrays (T, ...) by column name.

    Raises:
        DatasetError: If it cannot be read, or holds other columns or types, or values that are
            not finite.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{where}: the parquet file cannot be read ({error})") from error
    wanted = {spec.name for spec in features.columns} | set(INDEX_COLUMNS)
    if set(table.column_names) != wanted:
        raise DatasetError(
            f"{where}: holds other columns than the dataset's features: missing "
            f"{sorted(wanted - set(table.column_names))}, unexpected "
            f"{sorted(set(table.column_names) - wanted)}"
        )
    columns: dict[str, NDArray[Any]] = {}
    for spec in features.columns:
        array = table.column(spec.name).combine_chunks()
        if spec.shape and pa.types.is_fixed_size_list(array.type):
            array = array.flatten()
        values = array.to_numpy(zero_copy_only=False)
        if spec.shape:
            values = values.reshape(table.num_rows, -1)
        rows = ArraySpec(f"{spec.name} [row, ...]", (table.num_rows, *spec.shape), spec.dtype)
        try:
            columns[spec.name] = rows.validate(np.ascontiguousarray(values))
        except (SpecError, ValueError) as error:
            raise DatasetError(f"{where}: {error}") from error
    return columns


def check_content(root: Path, features: DatasetFeatures, trial: Trial) -> None:
    """Decode everything of an episode and compare the numbers of rows and frames.

    Raises:
        DatasetError: Naming the file and what is wrong with it.
    """
    for path in trial.files:
        problem = _content_problem(root / path, features, trial)
        if problem != CHANGED:
            raise_damage(root, [Damage(trial.episode, path, problem)])


def _content_problem(file: Path, features: DatasetFeatures, trial: Trial) -> str:
    try:
        if file.suffix == ".mp4":
            count = min(count_frames(file, "it"), len(decode_video(file, "it")))
        elif "episodes" in file.parts[-3:]:
            count = next(iter(read_episode_statistics(file, features).values())).count
        else:
            count = len(next(iter(read_rows(file, features, "it").values())))
    except DataError as error:
        return str(error).removeprefix("it: ")
    if count != trial.num_steps:
        return f"holds {count} rows or frames, {trial.num_steps} were committed"
    return CHANGED
