import pytest

from steadyhand.contracts.errors import DatasetError, RefusedError
from steadyhand.data.dataset import Dataset, repair
from steadyhand.data.encoding import encode_episode
from steadyhand.data.recorder import DatasetRecorder
from steadyhand.store.trees import hash_tree

DATA = "data/chunk-000/file-001.parquet"
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("path", [DATA, VIDEO])
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
def test_a_damaged_episode_moves_to_quarantine_and_the_rest_is_whole(
    dataset_root, notes, path, damage, make_episode
):
    damage(dataset_root / path)
    left = {p.name: p.read_bytes() for p in dataset_root.rglob("*file-001.*") if p.is_file()}
    report = repair(dataset_root, notes)
    assert (report.kept, report.quarantined) == (3, (1,))
    dataset = Dataset.open(dataset_root)
    dataset.check()
    assert [t.key.index for t in dataset.trials()] == [0, 2, 3]
    assert [t.first_row for t in dataset.trials()] == [0, 6, 14]
    quarantine = dataset_root / "quarantine/file-000001-0"
    kept = {p.name: p.read_bytes() for p in quarantine.rglob("file-001.*")}
    assert kept == left
    assert len((quarantine / "trials.jsonl").read_text().splitlines()) == 4
    assert any("moved to quarantine" in said for said in notes.said)


def test_a_repaired_dataset_can_be_recorded_to(dataset_root, notes, features, make_episode):
    (dataset_root / "data/chunk-000/file-003.parquet").unlink()
    (dataset_root / DATA).unlink()
    repair(dataset_root, notes)
    with DatasetRecorder.open(dataset_root, features, notes) as recorder:
        recorder.commit(encode_episode(make_episode(3), features))
    dataset = Dataset.open(dataset_root)
    dataset.check()
    assert [(t.episode, t.key.index) for t in dataset.trials()] == [(0, 0), (1, 2), (2, 3)]


def test_repairing_a_whole_dataset_changes_nothing(dataset_root, notes):
    before = hash_tree(dataset_root)
    assert repair(dataset_root, notes).quarantined == ()
    assert hash_tree(dataset_root) == before


@pytest.mark.parametrize(
    "path",
    [
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/steadyhand/trials.jsonl",
        "meta/episodes/chunk-000/file-001.parquet",
    ],
)
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
def test_lost_metadata_is_written_anew_exactly(dataset_root, notes, path, damage):
    before = hash_tree(dataset_root)
    damage(dataset_root / path)
    repair(dataset_root, notes)
    assert hash_tree(dataset_root) == before


def test_a_flipped_manifest_still_names_every_trial(dataset_root, notes):
    manifest = dataset_root / "meta/steadyhand/trials.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([lines[0], b"{broken\n", *lines[2:]]))
    before = Dataset.open
    report = repair(dataset_root, notes)
    assert report.kept == 4
    assert [t.key.index for t in before(dataset_root).trials()] == [0, 1, 2, 3]
    assert "recovered" in report.notes[0]


def test_without_features_nothing_is_touched(dataset_root, notes):
    (dataset_root / "meta/steadyhand/features.json").unlink()
    before = hash_tree(dataset_root)
    with pytest.raises(DatasetError, match=r"features\.json is missing"):
        repair(dataset_root, notes)
    assert hash_tree(dataset_root) == before


def test_a_dataset_that_is_being_recorded_is_not_repaired(dataset_root, features, notes):
    with (
        DatasetRecorder.open(dataset_root, features, notes),
        pytest.raises(RefusedError, match="being written by another"),
    ):
        repair(dataset_root, notes)


def test_a_second_damage_does_not_overwrite_the_first_in_quarantine(
    tmp_path, record, notes, make_episode
):
    root = record(tmp_path / "d", [make_episode(0), make_episode(1)])
    for content in (b"first", b"second"):
        (root / DATA).write_bytes(content)
        repair(root, notes)
        record(root, [make_episode(1)])
    found = sorted(
        p.read_bytes() for p in (root / "quarantine").rglob("*.parquet") if "data" in str(p)
    )
    assert b"first" in found
    assert b"second" in found
