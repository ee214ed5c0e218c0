"""The store keeps bytes under their hash, and says when it cannot."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import DataError, IntegrityError, StorageError
from steadyhand.contracts.progress import Silent
from steadyhand.store import trees
from steadyhand.store.actions import ActionCache
from steadyhand.store.atomic import read_json, replace_directory, write_json
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.store.local_store import LocalStore
from steadyhand.store.tensors import read_tensors, write_tensors
from steadyhand.store.trees import checkout, hash_tree, put_tree

CONCURRENT_WRITER = Path(__file__).with_name("concurrent_writer.py")


def start_together(*arguments):
    """Start two writers, let them go once both have imported everything, return their answers."""
    command = [sys.executable, CONCURRENT_WRITER, *arguments]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    answers = [json.loads(writer.communicate()[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    return answers


def test_two_processes_may_put_the_same_objects(tmp_path):
    first, second = start_together("objects", tmp_path)
    assert first == second
    store = LocalStore(tmp_path)
    assert list(store.list()) == sorted(first)
    assert store.fsck(Silent()) == ()


def test_a_flipped_byte_is_found_on_reading_and_by_fsck(tmp_path):
    store = LocalStore(tmp_path)
    name = store.put(b"precious")
    path = store.open_path(name)
    path.chmod(0o644)
    path.write_bytes(b"preciouS")
    with pytest.raises(IntegrityError, match="was changed"):
        store.get(name)
    assert store.fsck(Silent()) == (name,)


def test_a_missing_object_says_what_to_do(tmp_path):
    with pytest.raises(StorageError, match="run the stage again"):
        LocalStore(tmp_path).get("0" * 64)
    with pytest.raises(StorageError, match="no SHA-256"):
        LocalStore(tmp_path).has("../../etc/passwd")


def test_a_directory_comes_back_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(trees, "BLOB_BYTES", 1000)  # so that one file has several blobs
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "a.bin").write_bytes(np.random.default_rng(0).bytes(2500))
    (source / "deep" / "er" / "b.txt").write_text("b")
    (source / "empty").write_text("")
    store = LocalStore(tmp_path / "store")
    name = put_tree(store, source)
    assert name == hash_tree(source)
    checkout(store, name, tmp_path / "copy")
    assert hash_tree(tmp_path / "copy") == name
    assert (tmp_path / "copy" / "a.bin").read_bytes() == (source / "a.bin").read_bytes()
    (tmp_path / "copy" / "surplus").write_text("x")
    checkout(store, name, tmp_path / "copy")  # replaces whole
    assert hash_tree(tmp_path / "copy") == name


def test_a_link_in_a_directory_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="neither a file nor a directory"):
        hash_tree(tmp_path)


def test_a_tree_that_points_outside_of_itself_is_refused(tmp_path):
    store = LocalStore(tmp_path / "store")
    blob = store.put(b"evil")
    files = {"../outside": {"blobs": [blob], "size": 4}}
    tree = store.put(canonical_json({"files": files, "kind": "tree", "schema": 1}))
    with pytest.raises(IntegrityError, match="outside of itself"):
        checkout(store, tree, tmp_path / "here")
    assert not (tmp_path / "outside").exists()


def test_an_action_cannot_have_two_results(tmp_path):
    cache = ActionCache(tmp_path)
    assert cache.get("k") is None
    cache.put("k", {"out": "a"})
    cache.put("k", {"out": "a"})
    assert cache.get("k") == {"out": "a"}
    with pytest.raises(IntegrityError, match="not deterministic"):
        cache.put("k", {"out": "b"})


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(plain)
def test_canonical_json_survives_a_round_trip_unchanged(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_does_not_depend_on_insertion_order_and_names_what_it_refuses():
    assert (
        canonical_json({"b": 1, "a": [0.1]})
        == b'{"a":[0.1],"b":1}'
        == canonical_json({"a": (0.1,), "b": 1})
    )
    with pytest.raises(DataError, match=r"\$\.a\[1\] is nan"):
        canonical_json({"a": [1.0, float("nan")]})
    with pytest.raises(DataError, match="no plain JSON"):
        canonical_json({"a": {1, 2}})
    with pytest.raises(DataError, match="keys must be strings"):
        canonical_json({1: 2})


def test_broken_json_names_the_file(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_replaced_directory_holds_the_new_content_only(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / f"{name}.json", {})
    replace_directory(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["new.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(0, 5), max_size=5))
def test_tensors_and_metadata_come_back_and_have_one_form(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("t")
    arrays = {name: np.arange(n * 3, dtype=np.float32).reshape(n, 3) for name, n in sizes.items()}
    metadata = {name: str(n) for name, n in sizes.items()}
    write_tensors(folder / "a", arrays, metadata)
    write_tensors(folder / "b", dict(reversed(arrays.items())), dict(reversed(metadata.items())))
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    read, text = read_tensors(folder / "a")
    assert text == metadata
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_truncated_tensor_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": np.zeros(1000)}, {})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(IntegrityError, match="damaged or not a safetensors"):
        read_tensors(path)
    with pytest.raises(StorageError, match="does not exist"):
        read_tensors(tmp_path / "none")


def test_a_digest_is_the_sha256():
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert digest(b"abc") == expected


def test_of_two_processes_exactly_one_records_an_action(tmp_path):
    """Both looked, both found nothing, and the second replaced what the first had recorded."""
    first, second = start_together("actions", tmp_path)
    assert sorted(first + second) == list(range(50))


def test_putting_the_right_bytes_repairs_a_damaged_object(tmp_path):
    store = LocalStore(tmp_path)
    name = store.put(b"precious")
    path = store.open_path(name)
    path.chmod(0o644)
    path.write_bytes(b"prec")
    assert store.put(b"precious") == name
    assert store.get(name) == b"precious"
    assert store.fsck(Silent()) == ()


def test_what_is_no_object_is_not_listed(tmp_path):
    store = LocalStore(tmp_path)
    assert list(store.list()) == []
    name = store.put(b"x")
    (tmp_path / "objects" / "ab").mkdir(exist_ok=True)
    (tmp_path / "objects" / "ab" / "notes.txt").write_text("x")
    (tmp_path / "objects" / "cd").write_text("a file where a directory should be")
    assert list(store.list()) == [name]


def test_fsck_tells_what_to_delete_and_removes_what_killed_writers_left(tmp_path):
    class Listener(Silent):
        said: tuple[str, ...] = ()

        def say(self, message):
            self.said = (*self.said, message)

    store, listener = LocalStore(tmp_path), Listener()
    name = store.put(b"x")
    path = store.open_path(name)
    path.with_name(".tmp-left").write_text("half")
    path.chmod(0o644)
    path.write_bytes(b"y")
    assert store.fsck(listener) == (name,)
    assert listener.said == (f"object {name} is damaged; delete {path} and run again",)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_canonical_json_writes_floats_so_that_they_come_back():
    assert canonical_json([0.1, 1e22, -0.0, 5e-324, 1 / 3]) == (
        b"[0.1,1e+22,-0.0,5e-324,0.3333333333333333]"
    )
    assert canonical_json(np.float64(0.1)) == b"0.1"
    with pytest.raises(DataError, match=r"\$\.a is a float32"):
        canonical_json({"a": np.float32(0.1)})


def test_canonical_json_refuses_text_that_is_no_unicode_and_infinity():
    with pytest.raises(DataError, match=r"\$\[0\]: .* is not Unicode"):
        canonical_json(["\udcff"])
    with pytest.raises(DataError, match="is not Unicode"):
        canonical_json({"\udcff": 1})
    with pytest.raises(DataError, match=r"\$\.a\.b\[0\] is -inf"):
        canonical_json({"a": {"b": [-float("inf")]}})
    assert canonical_json("é") == '"é"'.encode()
