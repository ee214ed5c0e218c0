"""The LeRobot v3.0 directory: where files lie and what LeRobot expects inside them.

Values in, bytes out; the recorder decides when they reach the disk. One file number per episode
serves all of its files, so that an episode never shares a file with another one.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steadyhand.contracts.specs import ArraySpec
from steadyhand.data.feature_statistics import FeatureStatistics
from steadyhand.data.features import INDEX_COLUMNS, DatasetFeatures
from steadyhand.data.video import CODEC_NAME, PIXEL_FORMAT

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
FEATURES = "meta/steadyhand/features.json"
TRIALS = "meta/steadyhand/trials.jsonl"
JOURNAL = "recording.journal"
REPAIR = "repair"
REPAIR_PLAN = "repair/plan.json"
QUARANTINE = "quarantine"
TRIAL_METADATA = b"steadyhand.trial"


def data_path(number: int) -> str:
    """Return the relative path of an episode's rows."""
    return f"data/{_chunk_and_file(number)}.parquet"


def video_path(number: int, camera: str) -> str:
    """Return the relative path of an episode's video of one camera."""
    return f"videos/{camera}/{_chunk_and_file(number)}.mp4"


def episodes_path(number: int) -> str:
    """Return the relative path of an episode's row of metadata."""
    return f"meta/episodes/{_chunk_and_file(number)}.parquet"


def episode_paths(number: int, features: DatasetFeatures) -> tuple[str, ...]:
    """Return the relative paths of everything that belongs to one episode alone."""
    videos = (video_path(number, name) for name in features.camera_names)
    return (data_path(number), *videos, episodes_path(number))


def info(
    features: DatasetFeatures, num_episodes: int, num_rows: int, num_tasks: int
) -> dict[str, Any]:
    """Return the content of ``meta/info.json``."""
    described = {spec.name: _describe(spec) for spec in features.columns}
    described |= {spec.name: _describe_camera(spec, features.fps) for spec in features.cameras}
    for name in INDEX_COLUMNS:
        dtype = "float32" if name == "timestamp" else "int64"
        described[name] = {"dtype": dtype, "shape": [1], "names": None}
    return {
        "codebase_version": VERSION,
        "robot_type": features.robot_type,
        "total_episodes": num_episodes,
        "total_frames": num_rows,
        "total_tasks": num_tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": features.fps,
        "splits": {"train": f"0:{num_episodes}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": described,
    }


def json_text(value: Mapping[str, Any]) -> bytes:
    """Return JSON as LeRobot writes it: indented, in the order given."""
    return json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False).encode()


def rows_table(
    columns: Mapping[str, NDArray[Any]],
    features: DatasetFeatures,
    trial: bytes,
    *,
    episode: int,
    first_row: int,
    task: int,
) -> bytes:
    """Return the parquet file of an episode's rows.

    Args:
        columns: Arrays (T, ...) for every column of the features.
        features: Features of the dataset.
        trial: JSON that names the trial; kept in the file's metadata so that the file can be
            understood on its own.
        episode: Position of the episode in the dataset.
        first_row: Index of its first row in the dataset.
        task: Index of its instruction in ``meta/tasks.parquet``.
    """
    count = len(next(iter(columns.values())))
    frame = np.arange(count, dtype=np.int64)
    arrays = {spec.name: _arrow_column(columns[spec.name], spec) for spec in features.columns}
    arrays |= {
        "timestamp": pa.array((frame / features.fps).astype(np.float32)),
        "frame_index": pa.array(frame),
        "episode_index": pa.array(np.full(count, episode, np.int64)),
        "index": pa.array(first_row + frame),
        "task_index": pa.array(np.full(count, task, np.int64)),
    }
    return _parquet(pa.table(arrays).replace_schema_metadata({TRIAL_METADATA: trial}))


def episode_row(
    features: DatasetFeatures,
    statistics: Mapping[str, FeatureStatistics],
    instruction: str,
    num_steps: int,
    *,
    number: int,
    episode: int,
    first_row: int,
) -> bytes:
    """Return the parquet file with LeRobot's one row of metadata about an episode."""
    chunk, file = divmod(number, FILES_PER_CHUNK)
    row: dict[str, Any] = {
        "episode_index": episode,
        "tasks": [instruction],
        "length": num_steps,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": first_row,
        "dataset_to_index": first_row + num_steps,
    }
    for name in features.camera_names:
        row[f"videos/{name}/chunk_index"] = chunk
        row[f"videos/{name}/file_index"] = file
        row[f"videos/{name}/from_timestamp"] = 0.0
        row[f"videos/{name}/to_timestamp"] = num_steps / features.fps
    for feature, values in stats_json(features, statistics).items():
        row |= {f"stats/{feature}/{name}": value for name, value in values.items()}
    row["meta/episodes/chunk_index"] = chunk
    row["meta/episodes/file_index"] = file
    return _parquet(pa.table({name: [value] for name, value in row.items()}))


def stats_json(
    features: DatasetFeatures, statistics: Mapping[str, FeatureStatistics]
) -> dict[str, Any]:
    """Return statistics as LeRobot keeps them, in ``meta/stats.json`` and per episode."""
    names = (*(s.name for s in features.columns), *features.camera_names, *INDEX_COLUMNS)
    return {n: statistics[n].to_json(is_image=n in features.camera_names) for n in names}


def tasks_table(instructions: Sequence[str]) -> bytes:
    """Return ``meta/tasks.parquet``: the instruction is the index of a pandas frame."""
    index = "__index_level_0__"
    column = {"metadata": None, "name": "task_index", "field_name": "task_index"}
    text = {"metadata": None, "name": None, "field_name": index}
    names = {"name": None, "field_name": None, "metadata": {"encoding": "UTF-8"}}
    pandas = {
        "index_columns": [index],
        "column_indexes": [{**names, "pandas_type": "unicode", "numpy_type": "object"}],
        "columns": [
            {**column, "pandas_type": "int64", "numpy_type": "int64"},
            {**text, "pandas_type": "unicode", "numpy_type": "object"},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table(
        {
            "task_index": pa.array(range(len(instructions)), pa.int64()),
            index: pa.array(list(instructions), pa.string()),
        }
    )
    return _parquet(table.replace_schema_metadata({"pandas": json.dumps(pandas)}))


def _chunk_and_file(number: int) -> str:
    chunk, file = divmod(number, FILES_PER_CHUNK)
    return f"chunk-{chunk:03d}/file-{file:03d}"


def _describe(spec: ArraySpec) -> dict[str, Any]:
    names = list(spec.names) if spec.names else None
    return {"dtype": spec.dtype, "shape": list(spec.shape) or [1], "names": names}


def _describe_camera(spec: ArraySpec, fps: int) -> dict[str, Any]:
    height, width, channels = spec.shape
    return {
        "dtype": "video",
        "shape": [height, width, channels],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height,
            "video.width": width,
            "video.codec": CODEC_NAME,
            "video.pix_fmt": PIXEL_FORMAT,
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": channels,
            "has_audio": False,
        },
    }


def _arrow_column(values: NDArray[Any], spec: ArraySpec) -> Any:
    """Return a column as LeRobot stores it: a vector of one element is a plain value."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    size = spec.shape[0] if spec.shape else 1
    if size == 1:
        return flat
    kind = pa.list_(pa.field("element", flat.type), size)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _parquet(table: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy", use_dictionary=True)
    return sink.getvalue()
