"""A disk that runs full in the middle of a run: one clear error, nothing damaged, it continues."""

import json
import os
import shutil
import subprocess

import pytest
from toy_run import run_toy
from toy_stages import write_recipe

from steadyhand.contracts.errors import StorageError


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 600 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], check=False)
    if done.returncode != 0:
        pytest.skip("this machine does not allow mounting")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_ends_the_run_and_the_next_one_continues(small_disk, tmp_path):
    recipe = write_recipe(tmp_path)
    settings = ["count.num_items=40", "count.payload_bytes=10000"]
    expected = run_toy(tmp_path / "large", recipe, settings)
    with pytest.raises(StorageError, match="the disk is full"):
        run_toy(small_disk / "workspace", recipe, settings)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    continued = run_toy(small_disk / "workspace", recipe, settings)
    for directory in (expected, continued):
        assert json.loads((directory.path / "manifest.json").read_text())["finished"] is True
    assert (continued.path / "outputs.json").read_bytes() == (
        expected.path / "outputs.json"
    ).read_bytes()
