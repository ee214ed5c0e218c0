"""What a SIGKILL leaves behind, at every system call that changes the disk.

An audit hook sees each open-for-writing, rename, removal and truncation before it happens; the
directory is copied at that moment. Each copy is what a kill there would have left.
"""

import itertools
import shutil
import sys

import pytest

from steadyhand.data.dataset import Dataset, repair
from steadyhand.data.encoding import encode_episode
from steadyhand.data.recorder import DatasetRecorder
from steadyhand.store.trees import hash_tree

CHANGING = ("os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "open")


class CrashPoints:
    """Copies a directory before each change to it that finds it different, while active."""

    def __init__(self):
        self.root = None
        self.copies = []
        self._is_busy = False
        sys.addaudithook(self._see)  # stays for good: it does nothing while root is None

    def watch(self, root, copies):
        self.root, self.target, self.copies, self._state = root, copies, [], None

    def stop(self):
        self.root = None
        return self.copies

    def _see(self, event, arguments):
        if self.root is None or self._is_busy or event not in CHANGING:
            return
        if event == "open" and "r" in str(arguments[1] or "") and "+" not in str(arguments[1]):
            return
        self._is_busy = True
        state = sorted((str(p), p.stat().st_mtime_ns) for p in self.root.rglob("*"))
        if state != self._state:
            self._state, copy = state, self.target / f"{len(self.copies):03d}"
            shutil.copytree(self.root, copy)
            self.copies.append(copy)
        self._is_busy = False


@pytest.fixture(scope="module")
def crash_points():
    return CrashPoints()


def test_a_commit_killed_anywhere_loses_nothing_committed(
    tmp_path, crash_points, record, features, notes, make_episode
):
    root = record(tmp_path / "d", [make_episode(0), make_episode(1)])
    second = Dataset.open(root).fingerprint
    encoded = encode_episode(make_episode(2, instruction="push the cube"), features)
    with DatasetRecorder.open(root, features, notes) as recorder:
        crash_points.watch(root, tmp_path / "copies")
        recorder.commit(encoded)
        copies = crash_points.stop()
    final = Dataset.open(root).fingerprint
    assert len(copies) > 15
    for copy in copies:
        assert Dataset.open(copy).fingerprint in (second, final), copy
        with DatasetRecorder.open(copy, features, notes) as recorder:
            if recorder.num_episodes == 2:
                recorder.commit(encoded)
        assert hash_tree(copy) == hash_tree(root), copy
    assert any("dropped a commit that never finished" in said for said in notes.said)


def test_a_creation_killed_anywhere_is_finished(
    tmp_path, crash_points, features, notes, make_episode
):
    (tmp_path / "d").mkdir()
    crash_points.watch(tmp_path / "d", tmp_path / "copies")
    DatasetRecorder.open(tmp_path / "d", features, notes).close()
    copies = crash_points.stop()
    assert len(copies) > 5
    for copy in copies:
        with DatasetRecorder.open(copy, features, notes) as recorder:
            recorder.commit(encode_episode(make_episode(0), features))
        assert Dataset.open(copy).num_episodes == 1


def test_a_live_episode_killed_anywhere_is_dropped_with_a_message(
    tmp_path, crash_points, record, features, notes, make_episode
):
    root = record(tmp_path / "d", [make_episode(0)])
    episode = make_episode(1, num_steps=3)
    crash_points.watch(root, tmp_path / "copies")
    with DatasetRecorder.open(root, features, notes) as recorder:
        facts = {k: v for k, v in episode.facts.items() if k != "outcome"}
        recorder.begin(episode.key, episode.instruction, facts)
        for t in range(3):
            recorder.append(
                {
                    "observation.state": episode.columns["observation.state"][t],
                    **{name: frames[t] for name, frames in episode.images.items()},
                },
                episode.columns["action"][t],
                float(episode.columns["captured_at_s"][t]),
            )
        recorder.finish("success")
    copies = crash_points.stop()
    for copy in copies:
        count = Dataset.open(copy).num_episodes
        assert count in (1, 2)
        with DatasetRecorder.open(copy, features, notes) as recorder:
            assert recorder.num_episodes == count
        assert not (copy / "recording.journal").exists()
    assert "dropped unfinished episode synthetic@1/7/1 (3 steps)" in "\n".join(notes.said)


def test_a_repair_killed_anywhere_is_finished_by_the_next_one(
    tmp_path, crash_points, record, features, notes, make_episode
):
    root = record(tmp_path / "d", [make_episode(i) for i in range(3)])
    (root / "data/chunk-000/file-001.parquet").write_bytes(b"torn")
    crash_points.watch(root, tmp_path / "copies")
    repair(root, notes)
    copies = crash_points.stop()
    final = Dataset.open(root).fingerprint
    assert len(copies) > 15
    for copy in copies:
        repair(copy, notes)
        assert Dataset.open(copy).fingerprint == final, copy
        kept = (copy / "quarantine/file-000001-0/data/chunk-000/file-001.parquet").read_bytes()
        assert kept == b"torn"


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_torn_line_of_the_manifest_is_dropped(
    tmp_path, record, features, notes, make_episode, keep
):
    root = record(tmp_path / "d", [make_episode(0)])
    manifest = root / "meta/steadyhand/trials.jsonl"
    line = manifest.read_bytes()
    manifest.write_bytes(line + line[: max(1, int(len(line) * keep))])
    assert Dataset.open(root).num_episodes == 1
    DatasetRecorder.open(root, features, notes).close()
    assert manifest.read_bytes() == line
    assert ["dropped a commit" in said for said in notes.said] == [True]


def test_any_cut_of_a_journal_is_counted_and_dropped(
    tmp_path, record, features, notes, make_episode
):
    root = record(tmp_path / "d", [make_episode(0)])
    episode = make_episode(1, num_steps=2)
    with DatasetRecorder.open(root, features, notes) as recorder:
        facts = {k: v for k, v in episode.facts.items() if k != "outcome"}
        recorder.begin(episode.key, episode.instruction, facts)
        for t in range(2):
            images = {name: frames[t] for name, frames in episode.images.items()}
            state = {"observation.state": episode.columns["observation.state"][t]}
            recorder.append({**state, **images}, episode.columns["action"][t], t * 0.05)
        whole = (root / "recording.journal").read_bytes()
        recorder.discard()
    for size in itertools.chain(range(0, len(whole), 97), [len(whole)]):
        notes.said.clear()
        (root / "recording.journal").write_bytes(whole[:size])
        DatasetRecorder.open(root, features, notes).close()
        assert len(notes.said) == 1
        assert notes.said[0].startswith("dropped")
    assert "(2 steps)" in notes.said[0]
