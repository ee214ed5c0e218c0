import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steadyhand.contracts.errors import DatasetError
from steadyhand.data.dataset import Dataset
from steadyhand.store.trees import hash_tree

DATA = "data/chunk-000/file-001.parquet"
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"
ROW = "meta/episodes/chunk-000/file-001.parquet"


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def put_nan(path):
    table = pq.read_table(path)
    action = np.array(table["action"].to_pylist(), np.float32)
    action[4, 1] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(action.reshape(-1)), 2)
    index = table.column_names.index("action")
    pq.write_table(table.set_column(index, "action", column), path)


def drop_column(path):
    pq.write_table(pq.read_table(path).drop_columns(["reward"]), path)


def widen_state(path):
    table = pq.read_table(path)
    values = pa.array(np.zeros(4 * table.num_rows, np.float32))
    index = table.column_names.index("observation.state")
    wide = pa.FixedSizeListArray.from_arrays(values, 4)
    pq.write_table(table.set_column(index, "observation.state", wide), path)


def drop_row(path):
    pq.write_table(pq.read_table(path).slice(1), path)


def shorten_info(path):
    info = json.loads(path.read_text())
    info["features"]["action"]["shape"] = [3]
    path.write_text(json.dumps(info))


DAMAGES = [
    (DATA, cut, r"file-001\.parquet \(episode 1\): .*cannot be read.*\d+ of \d+ bytes are there"),
    (DATA, put_nan, r"\(episode 1\): 'action .*' is not finite at index \[4, 1\]"),
    (DATA, drop_column, r"\(episode 1\): .*missing \['reward'\]"),
    (DATA, widen_state, r"\(episode 1\): .*observation\.state.*must be float32\[7, 3\]"),
    (DATA, drop_row, r"\(episode 1\): .*holds 6 rows or frames, 7 were committed"),
    (DATA, flip, r"\(episode 1\): "),
    (DATA, lambda path: path.unlink(), r"\(episode 1\): the file is missing"),
    (VIDEO, cut, r"file-001\.mp4 \(episode 1\): .*cannot be.*\d+ of \d+ bytes are there"),
    (VIDEO, flip, r"file-001\.mp4 \(episode 1\): "),
    (VIDEO, lambda path: path.unlink(), r"file-001\.mp4 \(episode 1\): the file is missing"),
    (ROW, flip, r"meta/episodes/.*\(episode 1\): "),
    (ROW, lambda path: path.unlink(), r"meta/episodes/.*\(episode 1\): the file is missing"),
    ("meta/info.json", cut, r"info\.json is no JSON"),
    ("meta/info.json", lambda path: path.unlink(), r"info\.json is missing"),
    ("meta/info.json", shorten_info, r"info\.json: describes \['action'\] in another way"),
    ("meta/steadyhand/trials.jsonl", cut, r"trials\.jsonl: the row of episode 3 is missing"),
    ("meta/steadyhand/trials.jsonl", lambda path: path.unlink(), "the row of episode 0 is missing"),
]


@pytest.mark.parametrize(("path", "damage", "message"), DAMAGES)
def test_damage_is_named_with_its_fix_and_nothing_is_changed(dataset_root, path, damage, message):
    damage(dataset_root / path)
    before = hash_tree(dataset_root)
    with pytest.raises(DatasetError, match=message) as caught:
        Dataset.open(dataset_root)
    assert f"steady data repair {dataset_root}" in str(caught.value)
    assert hash_tree(dataset_root) == before


def test_all_damaged_episodes_are_listed(dataset_root):
    for number in (0, 2, 3):
        (dataset_root / f"data/chunk-000/file-{number:03d}.parquet").unlink()
    with pytest.raises(DatasetError, match=r"episode 0.*Also damaged: episodes \[2, 3\]"):
        Dataset.open(dataset_root)


def test_a_directory_that_is_no_dataset_is_named(tmp_path):
    with pytest.raises(DatasetError, match="is no dataset recorded by steadyhand"):
        Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="is no directory"):
        Dataset.open(tmp_path / "nowhere")


def test_an_episode_comes_back_as_it_was_recorded(dataset_root, make_episode):
    original = make_episode(2, num_steps=8, instruction="push the cube")
    found = Dataset.open(dataset_root).episode(2)
    assert (found.key, found.instruction) == (original.key, original.instruction)
    assert found.facts == original.facts
    for name, values in original.columns.items():
        assert np.array_equal(found.columns[name], values)
        assert found.columns[name].dtype == values.dtype
    frames = found.images["observation.images.wrist"]
    assert frames.shape == (8, 16, 16, 3)
    assert np.abs(frames.astype(int) - original.images["observation.images.wrist"]).mean() < 5


def test_frames_are_addressed_by_index(dataset_root):
    dataset = Dataset.open(dataset_root)
    frames = dataset.frames(3, "observation.images.wrist")
    assert np.array_equal(dataset.frames(3, "observation.images.wrist", [7, 2]), frames[[7, 2]])


def test_unknown_episodes_and_cameras_are_refused(dataset_root):
    dataset = Dataset.open(dataset_root)
    with pytest.raises(DatasetError, match=r"no episode 4 .* it has 4"):
        dataset.episode(4)
    with pytest.raises(DatasetError, match="no camera 'top'"):
        dataset.frames(0, "top")


def test_the_fingerprint_changes_with_the_data_and_not_with_the_place(
    dataset_root, tmp_path, record, make_episode
):
    first = Dataset.open(dataset_root).fingerprint
    shutil.copytree(dataset_root, tmp_path / "copy")
    assert Dataset.open(tmp_path / "copy").fingerprint == first
    record(tmp_path / "copy", [make_episode(9)])
    assert Dataset.open(tmp_path / "copy").fingerprint != first


def test_the_thorough_check_reads_everything(dataset_root):
    dataset = Dataset.open(dataset_root)
    dataset.check()
    (dataset_root / VIDEO).write_bytes((dataset_root / VIDEO).read_bytes()[:-50])
    with pytest.raises(DatasetError, match=r"file-001\.mp4 \(episode 1\)"):
        dataset.check()
