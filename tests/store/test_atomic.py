"""Files and directories appear whole or not at all, and say why not."""

import ctypes

import pytest

from steadyhand.contracts.errors import DataError, StorageError
from steadyhand.store.atomic import (
    create_file,
    read_json,
    replace_directory,
    write_file,
    write_json,
)


def test_a_file_is_replaced_and_its_directories_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_is_created_once_and_then_left_alone(tmp_path):
    assert create_file(tmp_path / "file", b"first", mode=0o600)
    assert not create_file(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_where_a_directory_is_needed_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"writing a file failed at .*file/below"):
        write_file(tmp_path / "file" / "below", b"x")
    assert (tmp_path / "file").read_text() == "x"


def test_a_value_that_is_not_plain_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(DataError, match=r"\$\.a is nan"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": 1}


@pytest.mark.parametrize("text", ["{", "[NaN]", "[-Infinity]", "[" * 100_000, "\xff"])
def test_what_is_not_json_is_refused_by_name(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"x\.json.*check the path"):
        read_json(tmp_path / "x.json")


@pytest.fixture(params=["in one step", "in two steps"])
def swapping(request, monkeypatch):
    """Both ways to replace a directory; C libraries without renameat2 need the second."""
    if request.param == "in two steps":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: object())


@pytest.mark.usefixtures("swapping")
def test_a_directory_is_replaced_whole(tmp_path):
    for name in ("old", "new"):
        write_json(tmp_path / name / f"{name}.json", {})
    replace_directory(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["new.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.usefixtures("swapping")
def test_a_directory_that_cannot_be_replaced_stays(tmp_path):
    write_json(tmp_path / "old" / "old.json", {})
    # A directory cannot be moved into itself: the rename fails after everything was prepared.
    with pytest.raises(StorageError, match="replacing a directory failed"):
        replace_directory(tmp_path, tmp_path / "old")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["old.json"]


def test_a_directory_gets_a_new_name_below_one_that_does_not_exist(tmp_path):
    write_json(tmp_path / "made" / "x.json", {})
    replace_directory(tmp_path / "made", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "x.json").exists()
    assert not (tmp_path / "made").exists()
