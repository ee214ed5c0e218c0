import dataclasses
import json
import os
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import DatasetError, RefusedError, SpecError, StorageError
from steadyhand.data.dataset import Dataset
from steadyhand.data.encoding import encode_episode
from steadyhand.data.recorder import DatasetRecorder
from steadyhand.data.video import encode_video
from steadyhand.store.trees import hash_tree

CAMERA = "observation.images.wrist"
FACTS = {"cluster": "c0", "is_recovery": False}


def play(recorder, episode):
    """Record an episode live, step by step."""
    facts = {k: v for k, v in episode.facts.items() if k != "outcome"}
    recorder.begin(episode.key, episode.instruction, facts)
    for t in range(episode.num_steps):
        append(recorder, episode, t)


def append(recorder, episode, t):
    recorder.append(
        {
            "observation.state": episode.columns["observation.state"][t],
            CAMERA: episode.images[CAMERA][t],
        },
        episode.columns["action"][t],
        float(episode.columns["captured_at_s"][t]),
        is_label=bool(episode.columns["is_label"][t]),
    )


def test_the_directory_is_a_lerobot_dataset_after_every_commit(
    tmp_path, features, notes, make_episode
):
    with DatasetRecorder.open(tmp_path / "d", features, notes) as recorder:
        for index in range(3):
            recorder.commit(encode_episode(make_episode(index, num_steps=5), features))
            info = json.loads((tmp_path / "d/meta/info.json").read_text())
            assert (info["codebase_version"], info["total_episodes"]) == ("v3.0", index + 1)
            assert info["splits"] == {"train": f"0:{index + 1}"}
            stats = json.loads((tmp_path / "d/meta/stats.json").read_text())
            assert stats["action"]["count"] == [5 * (index + 1)]
            row = pq.read_table(
                tmp_path / f"d/meta/episodes/chunk-000/file-{index:03d}.parquet"
            ).to_pylist()[0]
            assert (row["dataset_from_index"], row["dataset_to_index"]) == (
                5 * index,
                5 * index + 5,
            )
            assert Dataset.open(tmp_path / "d").num_episodes == index + 1


def test_rows_are_stored_as_lerobot_stores_them(dataset_root):
    schema = pq.read_schema(dataset_root / "data/chunk-000/file-002.parquet")
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "observation.state": "fixed_size_list<element: float>[3]",
        "action": "fixed_size_list<element: float>[2]",
        "captured_at_s": "double",
        "is_label": "bool",
        "reward": "float",
        "timestamp": "float",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
    }
    table = pq.read_table(dataset_root / "data/chunk-000/file-002.parquet")
    assert table["index"].to_pylist() == list(range(13, 21))
    assert set(table["task_index"].to_pylist()) == {1}
    tasks = pq.read_table(dataset_root / "meta/tasks.parquet")
    assert tasks["__index_level_0__"].to_pylist() == ["take the cube", "push the cube"]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_equal_episodes_give_equal_datasets(tmp_path, record, make_episode, features, notes):
    episodes = [make_episode(i) for i in range(3)]
    record(tmp_path / "a", episodes)
    for episode in episodes:  # reopened before each commit
        with DatasetRecorder.open(tmp_path / "b", features, notes) as recorder:
            recorder.commit(encode_episode(episode, features))
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")


def test_a_manifest_row_says_how_the_trial_went(dataset_root, make_episode):
    trial = Dataset.open(dataset_root).trials()[2]
    assert trial.key == make_episode(2).key
    assert (trial.cluster, trial.outcome, trial.is_recovery) == ("c2", "success", False)
    assert trial.files["videos/observation.images.wrist/chunk-000/file-002.mp4"].size > 100
    line = json.loads((dataset_root / "meta/steadyhand/trials.jsonl").read_text().splitlines()[2])
    assert (line["seed"], line["cluster"], line["outcome"]) == (7, "c2", "success")


def test_an_episode_is_committed_once(tmp_path, record, make_episode, features, notes):
    root = record(tmp_path / "d", [make_episode(0)])
    with DatasetRecorder.open(root, features, notes) as recorder:
        assert recorder.committed_keys() == {make_episode(0).key}
        with pytest.raises(DatasetError, match="synthetic@1/7/0 is already committed"):
            recorder.commit(encode_episode(make_episode(0), features))


def test_a_video_that_lost_a_frame_is_refused_and_nothing_changes(
    tmp_path, record, make_episode, features, notes
):
    root = record(tmp_path / "d", [make_episode(0)])
    before = hash_tree(root)
    encoded = encode_episode(make_episode(1), features)
    short = encode_video(make_episode(1).images[CAMERA][1:], 20)
    with (
        DatasetRecorder.open(root, features, notes) as recorder,
        pytest.raises(DatasetError, match="rows and frames disagree"),
    ):
        recorder.commit(dataclasses.replace(encoded, videos={CAMERA: short}))
    assert hash_tree(root) == before


def test_other_features_are_refused_by_name(dataset_root, features, notes):
    faster = dataclasses.replace(features, fps=30)
    with pytest.raises(DatasetError, match="fps: 20 there, 30 asked for"):
        DatasetRecorder.open(dataset_root, faster, notes)


def test_a_directory_with_other_things_in_it_is_refused(tmp_path, features, notes):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match=r"not empty .*thesis\.tex"):
        DatasetRecorder.open(tmp_path, features, notes)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_recorder_is_refused_until_the_first_one_closes(tmp_path, features, notes):
    with (
        DatasetRecorder.open(tmp_path / "d", features, notes),
        pytest.raises(RefusedError, match="being written by another"),
    ):
        DatasetRecorder.open(tmp_path / "d", features, notes)
    DatasetRecorder.open(tmp_path / "d", features, notes).close()


def test_a_dataset_with_a_missing_file_is_not_continued(dataset_root, features, notes):
    (dataset_root / "data/chunk-000/file-001.parquet").unlink()
    with pytest.raises(DatasetError, match=r"file-001\.parquet \(episode 1\): the file is missing"):
        DatasetRecorder.open(dataset_root, features, notes)


def test_a_live_episode_equals_a_committed_one(tmp_path, record, make_episode, features, notes):
    episode = make_episode(1)
    record(tmp_path / "a", [episode])
    with DatasetRecorder.open(tmp_path / "b", features, notes) as recorder:
        play(recorder, episode)
        assert recorder.num_episodes == 0
        assert recorder.finish("success") == 0
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")


def test_a_discarded_episode_leaves_nothing(tmp_path, features, notes, make_episode):
    with DatasetRecorder.open(tmp_path / "d", features, notes) as recorder:
        before = hash_tree(tmp_path / "d")
        play(recorder, make_episode(1))
        recorder.discard()
        assert hash_tree(tmp_path / "d") == before
        play(recorder, make_episode(1))
        recorder.finish("fail")
    assert [t.outcome for t in Dataset.open(tmp_path / "d").trials()] == ["fail"]


def test_closing_during_an_episode_says_so(tmp_path, features, notes, make_episode):
    with DatasetRecorder.open(tmp_path / "d", features, notes) as recorder:
        play(recorder, make_episode(1))
    expected = "dropped unfinished episode synthetic@1/7/1 (8 steps): the recorder was closed"
    assert [said.startswith(expected) for said in notes.said] == [True]
    assert not (tmp_path / "d/recording.journal").exists()


def test_live_calls_out_of_order_are_refused(tmp_path, features, notes, make_episode):
    with DatasetRecorder.open(tmp_path / "d", features, notes) as recorder:
        with pytest.raises(DatasetError, match=r"call begin\(\) first"):
            append(recorder, make_episode(1), 0)
        with pytest.raises(DatasetError, match="no step was recorded"):
            recorder.finish("success")
        recorder.begin(EpisodeKey("t", 1, 0, 0), "do it", FACTS)
        with pytest.raises(DatasetError, match="still being recorded"):
            recorder.begin(EpisodeKey("t", 1, 0, 1), "do it", FACTS)
        recorder.discard()


def test_a_bad_step_is_refused_and_the_episode_goes_on(tmp_path, features, notes, make_episode):
    episode = make_episode(1)
    with DatasetRecorder.open(tmp_path / "d", features, notes) as recorder:
        recorder.begin(episode.key, "do it", FACTS)
        append(recorder, episode, 0)
        bad = episode.columns["observation.state"][1] * np.float32(np.inf)
        with pytest.raises(SpecError, match=r"observation\.state' is not finite"):
            recorder.append(
                {"observation.state": bad, CAMERA: episode.images[CAMERA][1]},
                episode.columns["action"][1],
                0.05,
            )
        with pytest.raises(DatasetError, match="does not increase"):
            append(recorder, episode, 0)
        append(recorder, episode, 1)
        recorder.finish("success")
    assert Dataset.open(tmp_path / "d").trials()[0].num_steps == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(mount)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_loses_no_committed_episode(small_disk, features, notes, make_episode):
    root = small_disk / "d"
    with DatasetRecorder.open(root, features, notes) as recorder:
        encoded = [encode_episode(make_episode(index), features) for index in range(60)]
        with pytest.raises(StorageError, match="the disk is full; free space"):
            [recorder.commit(one) for one in encoded]
        count = recorder.num_episodes
        assert 0 < count < 60
        assert Dataset.open(root).num_episodes == count
        assert not list(root.rglob(f"file-{count:03d}.*"))
        (small_disk / "d/meta/stats.json").unlink()  # make room, as a user would
        os.truncate(small_disk / "d/meta/tasks.parquet", 0)
    with DatasetRecorder.open(root, features, notes) as recorder:
        assert recorder.num_episodes == count
    Dataset.open(root).check()


def test_a_full_disk_keeps_the_steps_of_a_live_episode(small_disk, features, notes, make_episode):
    long = make_episode(1, num_steps=2000)
    with DatasetRecorder.open(small_disk / "d", features, notes) as recorder:
        recorder.commit(encode_episode(make_episode(0), features))
        recorder.begin(long.key, "do it", FACTS)
        with pytest.raises(StorageError, match=r"recording step \d+ failed.*the disk is full"):
            [append(recorder, long, t) for t in range(2000)]
        recorder.discard()
        assert Dataset.open(small_disk / "d").num_episodes == 1
