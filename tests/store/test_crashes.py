"""Kill writers, fill disks, take permissions away: what was committed stays whole."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steadyhand.contracts.errors import StorageError
from steadyhand.contracts.progress import Silent
from steadyhand.store.atomic import read_json, write_file, write_json
from steadyhand.store.local_store import LocalStore
from steadyhand.store.trees import checkout, put_tree

WRITER = Path(__file__).with_name("killed_writer.py")


def test_a_killed_writer_leaves_no_torn_object_and_loses_none_it_reported(tmp_path):
    chance = np.random.default_rng(1)
    for round_number in range(12):
        root = tmp_path / str(round_number)
        with subprocess.Popen([sys.executable, WRITER, root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.read(int(chance.integers(1, 40)))  # killed after that many objects
            writer.kill()
        store = LocalStore(root)
        reported = read_json(root / "done.json")
        assert set(reported) <= set(store.list())
        assert store.fsck(Silent()) == ()


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
    with pytest.raises(StorageError, match="no permission; choose a directory"):
        LocalStore(tmp_path).put(b"data")
    with pytest.raises(StorageError, match="no permission"):
        write_json(tmp_path / "x.json", {})
