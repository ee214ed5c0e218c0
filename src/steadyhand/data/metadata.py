"""Reads what a dataset says about itself: features, number of episodes, statistics.

Reading only; each error names the file and what repairs it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steadyhand.contracts.errors import DataError, DatasetError, storage_error
from steadyhand.data import layout
from steadyhand.data.feature_statistics import FeatureStatistics, merge_statistics
from steadyhand.data.features import INDEX_COLUMNS, DatasetFeatures
from steadyhand.data.trials import Trial


def repair_hint(root: Path) -> str:
    """Return the sentence that ends every message about damage."""
    return f"fix: steady data repair {root}"


def check_is_dataset(root: Path) -> None:
    """Refuse a path that is no dataset of ours, or one whose repair was interrupted.

    Raises:
        DatasetError: Saying which of these it is.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no directory; give the directory of a recorded dataset")
    if (root / layout.REPAIR_PLAN).exists():
        raise DatasetError(f"{root}: a repair was interrupted; {repair_hint(root)} to finish it")
    if not (root / layout.FEATURES).exists():
        raise DatasetError(
            f"{root} is no dataset recorded by steadyhand ({layout.FEATURES} is missing); give "
            "the directory that holds data/, meta/ and videos/"
        )


def read_features(root: Path) -> DatasetFeatures:
    """Read the features of a dataset.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    value = _read_json(root, layout.FEATURES, "restore the file from a copy of the dataset")
    try:
        return DatasetFeatures.from_json(value)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root / layout.FEATURES}: does not describe features ({error}); restore the file "
            "from a copy of the dataset"
        ) from error


def read_info(root: Path, features: DatasetFeatures) -> tuple[int, int]:
    """Read ``meta/info.json`` and check it against the features.

    Returns:
        Number of committed episodes, and of their rows.

    Raises:
        DatasetError: If it is missing, damaged or describes other features.
    """
    value = _read_json(root, layout.INFO, repair_hint(root))
    try:
        episodes, rows = int(value["total_episodes"]), int(value["total_frames"])
        tasks = int(value["total_tasks"])
        described = value["features"]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root / layout.INFO}: {error!r} is missing or no number; {repair_hint(root)}"
        ) from error
    expected = layout.info(features, episodes, rows, tasks)["features"]
    if described != expected:
        names = sorted({n for n in {*described, *expected} if described.get(n) != expected.get(n)})
        raise DatasetError(
            f"{root / layout.INFO}: describes {names} in another way than "
            f"{layout.FEATURES}; {repair_hint(root)}"
        )
    return episodes, rows


def read_episode_statistics(path: Path, features: DatasetFeatures) -> dict[str, FeatureStatistics]:
    """Read the statistics in an episode's row of metadata.

    Raises:
        DatasetError: If the file is missing, damaged or incomplete.
    """
    try:
        row = pq.read_table(path).to_pylist()[0]
    except (pa.ArrowException, OSError, IndexError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    nested: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        kind, _, rest = name.partition("/")
        if kind == "stats":
            feature, _, statistic = rest.rpartition("/")
            nested.setdefault(feature, {})[statistic] = value
    return _parse_statistics(path, nested, features)


def read_total_statistics(
    root: Path, features: DatasetFeatures, trials: Sequence[Trial]
) -> dict[str, FeatureStatistics]:
    """Return the statistics of all committed rows, empty for none.

    ``meta/stats.json`` is believed where it counts exactly these rows; otherwise (a commit was
    cut short) they are merged again from the episodes.

    Raises:
        DatasetError: If an episode's statistics are missing or damaged.
    """
    path, num_rows = root / layout.STATS, sum(trial.num_steps for trial in trials)
    if not trials:
        return {}
    try:
        found = _parse_statistics(path, json.loads(path.read_bytes()), features)
        if all(s.count == num_rows for s in found.values()):
            return found
    except (OSError, ValueError, DatasetError):
        pass  # derived data: computed again below, from files that are checked
    total: dict[str, FeatureStatistics] = {}
    for trial in trials:
        episode = root / layout.episodes_path(trial.number)
        total = merge_all(total, read_episode_statistics(episode, features))
    return total


def merge_all(
    total: Mapping[str, FeatureStatistics], new: Mapping[str, FeatureStatistics]
) -> dict[str, FeatureStatistics]:
    """Return the statistics of both; an empty total is the neutral element."""
    if not total:
        return dict(new)
    return {name: merge_statistics(total[name], value) for name, value in new.items()}


def _parse_statistics(
    path: Path, value: Mapping[str, Any], features: DatasetFeatures
) -> dict[str, FeatureStatistics]:
    names = (*(s.name for s in features.columns), *features.camera_names, *INDEX_COLUMNS)
    if not isinstance(value, dict) or set(value) != set(names):
        raise DatasetError(f"{path}: statistics are not those of {sorted(names)}")
    return {name: FeatureStatistics.from_json(value[name]) for name in names}


def _read_json(root: Path, name: str, fix: str) -> Any:
    try:
        return json.loads((root / name).read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{root / name} is missing; {fix}") from error
    except OSError as error:
        raise storage_error(error, f"reading {root / name}") from error
    except ValueError as error:
        raise DatasetError(f"{root / name} is no JSON ({error}); {fix}") from error
