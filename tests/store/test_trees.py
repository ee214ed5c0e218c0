"""A directory is its paths and contents; nothing else decides its digest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import IntegrityError, StorageError
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.store.local_store import LocalStore
from steadyhand.store.trees import checkout, hash_tree, put_tree, read_tree

contents = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "é", "x.bin"]), min_size=1, max_size=3).map("/".join),
    st.binary(max_size=50),
    max_size=5,
).filter(lambda files: not any(b.startswith(f"{a}/") for a in files for b in files))


def write(directory, files):
    directory.mkdir()
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


@settings(max_examples=25, deadline=None)
@given(contents)
def test_any_directory_comes_back_with_the_same_digest(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("tree")
    write(folder / "source", files)
    store = LocalStore(folder / "store")
    tree = put_tree(store, folder / "source")
    checkout(store, tree, folder / "copy")
    back = {
        p.relative_to(folder / "copy").as_posix(): p.read_bytes()
        for p in (folder / "copy").rglob("*")
        if p.is_file()
    }
    assert back == files
    assert tree == hash_tree(folder / "source") == hash_tree(folder / "copy")


@settings(max_examples=25, deadline=None)
@given(contents, contents)
def test_different_directories_have_different_digests(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("tree")
    write(folder / "first", first)
    write(folder / "second", second)
    is_equal = hash_tree(folder / "first") == hash_tree(folder / "second")
    assert is_equal == (first == second)


def test_the_digest_of_a_tree_is_fixed(tmp_path):
    """Derived by hand: artifacts of earlier versions must keep their names."""
    write(tmp_path / "source", {"a/b": b"abc", "empty": b""})
    expected = (
        '{"files":{"a/b":{"blobs":["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]'
        ',"size":3},"empty":{"blobs":[],"size":0}},"kind":"tree","schema":1}'
    )
    assert hash_tree(tmp_path / "source") == digest(expected.encode())


def test_what_a_killed_writer_left_is_no_content(tmp_path):
    """A stage killed in mid-write and run again must end with the hash of an uninterrupted one."""
    write(tmp_path / "source", {"a": b"1"})
    expected = hash_tree(tmp_path / "source")
    (tmp_path / "source" / ".tmp-abc").write_bytes(b"half a file")
    (tmp_path / "source" / ".tmp-dir").mkdir()
    (tmp_path / "source" / ".tmp-dir" / "half").write_bytes(b"half a directory")
    assert hash_tree(tmp_path / "source") == expected
    assert put_tree(LocalStore(tmp_path / "store"), tmp_path / "source") == expected


def test_a_directory_that_does_not_exist_is_not_an_empty_one(tmp_path):
    with pytest.raises(StorageError, match=r"missing.*check the path"):
        hash_tree(tmp_path / "missing")


def test_a_damaged_blob_is_refused_and_the_old_directory_stays(tmp_path):
    store = LocalStore(tmp_path / "store")
    write(tmp_path / "source", {"a": b"1", "b": b"2"})
    tree = put_tree(store, tmp_path / "source")
    blob = store.open_path(digest(b"2"))
    blob.chmod(0o644)
    blob.write_bytes(b"3")
    write(tmp_path / "target", {"old": b"old"})
    with pytest.raises(IntegrityError, match="was changed"):
        checkout(store, tree, tmp_path / "target")
    assert (tmp_path / "target" / "old").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "store", "target"]
    blob.unlink()
    with pytest.raises(StorageError, match="run the stage again"):
        checkout(store, tree, tmp_path / "target")


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"[]",
        b"{}",
        canonical_json({"files": {}, "kind": "tree", "schema": 2}),
        canonical_json({"files": {"a": {}}, "kind": "tree", "schema": 1}),
        canonical_json({"files": [], "kind": "tree", "schema": 1}),
        b"[" * 100_000,
    ],
)
def test_an_object_that_is_no_tree_is_refused(tmp_path, data):
    store = LocalStore(tmp_path)
    with pytest.raises(IntegrityError, match="is not a tree"):
        read_tree(store, store.put(data))


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "a/../../b", ".."])
def test_a_name_outside_of_the_tree_is_refused(tmp_path, name):
    store = LocalStore(tmp_path)
    tree = {"files": {name: {"blobs": [], "size": 0}}, "kind": "tree", "schema": 1}
    with pytest.raises(IntegrityError, match="outside of itself"):
        read_tree(store, store.put(canonical_json(tree)))
