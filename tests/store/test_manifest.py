"""Manifests of every schema load; golden files keep it so."""

import json
from pathlib import Path

import pytest

from steadyhand.contracts.errors import DataError
from steadyhand.store.manifest import (
    RunManifest,
    describe_host,
    describe_versions,
    read_manifest,
    write_manifest,
)

GOLDEN = Path(__file__).with_name("golden")
EXPECTED = RunManifest(
    name="demo",
    recipe_sha256="ab" * 32,
    seed=3,
    versions={"numpy": "2.4.6"},
    host={"cores": 2},
    stages={"train": {"key": "cd" * 32, "kind": "train", "outputs": {}, "status": "done"}},
    finished=True,
)


def test_the_current_schema_is_written_as_the_golden_file(tmp_path):
    write_manifest(tmp_path / "m.json", EXPECTED)
    assert (tmp_path / "m.json").read_bytes() == (GOLDEN / "manifest_2.json").read_bytes()
    assert read_manifest(GOLDEN / "manifest_2.json") == EXPECTED


def test_schema_1_is_upgraded():
    old = read_manifest(GOLDEN / "manifest_1.json")
    assert old == RunManifest(**{**_fields(EXPECTED), "host": {}})


def _fields(manifest):
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "update steadyhand"),
        ({"surplus": 1}, "missing or unknown"),
        ({"schema": "x"}, "no schema number"),
        ({"schema": True}, "no schema number"),
        ({"seed": "3"}, "'seed' must be a int, found a str"),
        ({"finished": 1}, "'finished' must be a bool, found a int"),
        ({"schema": 1}, "schema 1 but lacks 'done'"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, change, message):
    value = {**json.loads((GOLDEN / "manifest_2.json").read_text()), **change}
    (tmp_path / "m.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.json")


def test_host_and_versions_are_described():
    host = describe_host()
    assert host["cores"] >= 1
    assert host["memory_gib"] > 0
    assert describe_versions(["numpy", "no-such-package"])["no-such-package"] == "absent"
