"""The store keeps bytes under their hash, and says when it cannot."""

import multiprocessing
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


def _put_many(root: str) -> list[str]:
    store = LocalStore(Path(root))
    return [store.put(f"object {i}".encode() * 1000) for i in range(50)]


def test_two_processes_may_put_the_same_objects(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        first, second = pool.map(_put_many, [str(tmp_path)] * 2)
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


@given(plain)
def test_canonical_json_survives_a_round_trip_unchanged(value):
    import json

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


@settings(max_examples=20)
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
