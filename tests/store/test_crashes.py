"""Kill writers, fill disks, take permissions away: what was committed stays whole."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from steadyhand.contracts.errors import StorageError
from steadyhand.contracts.progress import Silent
from steadyhand.store.atomic import create_file, read_json, write_file, write_json
from steadyhand.store.local_store import LocalStore
from steadyhand.store.signing import create_key
from steadyhand.store.trees import checkout, put_tree

WRITER = Path(__file__).with_name("killed_writer.py")
EVERYWHERE = Path(__file__).with_name("killed_everywhere.py")


def kill_at_random(kind, root, chance):
    """Start a writer and SIGKILL it somewhere inside the thing it does next."""
    with subprocess.Popen([sys.executable, WRITER, kind, root], stdout=subprocess.PIPE) as writer:
        writer.stdout.read(int(chance.integers(1, 8)))
        # Not waiting for luck: the time of the kill is the random input of the test.
        time.sleep(chance.uniform(0.0, 0.01))
        writer.kill()
    assert writer.returncode == -signal.SIGKILL


def test_a_killed_writer_leaves_no_torn_object_and_loses_none_it_reported(tmp_path):
    chance = np.random.default_rng(1)
    left_behind = 0
    for round_number in range(20):
        root = tmp_path / str(round_number)
        kill_at_random("objects", root, chance)
        left_behind += len(list(root.rglob(".tmp-*")))
        store = LocalStore(root)
        reported = read_json(root / "done.json")
        assert set(reported) <= set(store.list())
        assert store.fsck(Silent()) == ()
        assert not list((root / "objects").rglob(".tmp-*"))
    assert left_behind > 0  # otherwise no kill ever hit a write, and this proves nothing


@pytest.mark.parametrize(
    "operation",
    ["put", "write_file", "action", "create_key", "replace_directory", "checkout"],
)
def test_a_kill_before_any_system_call_leaves_old_or_new(tmp_path, operation):
    """Kills at random times hardly ever meet the few microseconds between two renames."""
    command = [sys.executable, EVERYWHERE, operation, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8  # mkdir, open, write, fsync, rename, ...


def test_a_killed_replacement_leaves_the_old_directory_or_the_new_one(tmp_path):
    chance = np.random.default_rng(2)
    for round_number in range(10):
        root = tmp_path / str(round_number)
        kill_at_random("directories", root, chance)
        contents = {p.name: p.read_text() for p in (root / "final").iterdir()}
        assert set(contents) == {"first", "second"}
        assert contents["first"] == contents["second"]


@pytest.fixture
def tiny_disk(tmp_path):
    """A 1 MiB file system."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_disk_is_a_clear_error_and_damages_nothing(tiny_disk):
    store = LocalStore(tiny_disk)
    kept = store.put(b"x" * 300_000)
    write_json(tiny_disk / "record.json", {"kept": kept})
    with pytest.raises(StorageError, match=r"disk is full.*intact"):
        store.put(b"y" * 1_000_000)
    with pytest.raises(StorageError, match=r"disk is full.*intact"):
        write_file(tiny_disk / "record.json", b"z" * 1_000_000)
    assert store.get(kept) == b"x" * 300_000
    assert read_json(tiny_disk / "record.json") == {"kept": kept}
    assert not list(tiny_disk.rglob(".tmp-*"))
    assert store.put(b"small") in set(store.list())


def test_a_disk_that_fills_up_in_mid_write_leaves_nothing_half_written(tmp_path, monkeypatch):
    """As above, where nobody may mount: the operating system refuses to make the bytes durable."""

    def refuse(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_json(tmp_path / "record.json", {"kept": True})
    monkeypatch.setattr(os, "fsync", refuse)
    for write in (
        lambda: LocalStore(tmp_path).put(b"data"),
        lambda: write_json(tmp_path / "record.json", {}),
        lambda: create_file(tmp_path / "new.json", b"data"),
    ):
        with pytest.raises(StorageError, match=f"{tmp_path}.*disk is full.*intact"):
            write()
    assert read_json(tmp_path / "record.json") == {"kept": True}
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["record.json"]


def test_a_key_is_not_left_half_written_by_a_full_disk(tmp_path, monkeypatch):
    def refuse(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="disk is full"):
            create_key(tmp_path, "release")
    create_key(tmp_path, "release")  # an empty file in its place would refuse this


def test_a_checkout_onto_a_full_disk_leaves_the_old_directory(tiny_disk, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(1_500_000))
    store = LocalStore(tmp_path / "store")
    tree = put_tree(store, source)
    target = tiny_disk / "target"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(StorageError, match="disk is full"):
        checkout(store, tree, target)
    assert (target / "old").read_text() == "old"


def test_a_directory_without_permission_is_a_clear_error(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root may write anywhere
    for write in (
        lambda: LocalStore(tmp_path).put(b"data"),
        lambda: write_json(tmp_path / "x.json", {}),
        lambda: create_key(tmp_path, "release"),
    ):
        with pytest.raises(StorageError, match="no permission; choose a directory"):
            write()


@pytest.fixture
def unreadable(tmp_path):
    """A directory whose content an ordinary user may not see."""
    (tmp_path / "open" / "closed").mkdir(parents=True)
    (tmp_path / "open" / "closed" / "file").write_text("x")
    (tmp_path / "open" / "closed").chmod(0)
    yield tmp_path / "open"
    (tmp_path / "open" / "closed").chmod(0o755)


def test_an_unreadable_directory_is_never_taken_for_an_empty_one(unreadable):
    """rglob passes over what it may not list: the hash of a tree without half of its files."""
    text = """
import os, pathlib, sys
from steadyhand.contracts.errors import StorageError
from steadyhand.store.trees import hash_tree
if os.getuid() == 0:
    os.setuid(65534)  # root may read anything
try:
    hash_tree(pathlib.Path())
except StorageError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=unreadable, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "reading a directory failed at 'closed': no permission" in done.stderr
