"""The manifest of a run: what ran, with what, where. Old schemas are upgraded when read."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError
from steadyhand.store.atomic import read_json, write_json

MANIFEST_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What decides a run's result, and what came out. ``finished`` is written last.

    Args:
        name: Name of the recipe.
        recipe_sha256: Digest of the resolved recipe.
        seed: Seed of the recipe.
        versions: Versions of the packages that decide bytes.
        host: Machine (see :func:`describe_host`).
        stages: Per stage ``{"key", "kind", "status", "outputs"}``.
        finished: Whether every stage is complete.
        schema: Version of this layout.
    """

    name: str
    recipe_sha256: str
    seed: int
    versions: Mapping[str, str]
    host: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    finished: bool = False
    schema: int = MANIFEST_SCHEMA


def _upgrade_1(value: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 had ``done`` and no host."""
    upgraded = {**value, "schema": 2, "finished": value["done"], "host": {}}
    del upgraded["done"]
    return upgraded


# One function a step; each adds to what the version before it wrote, so chains always work.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _upgrade_1}

_TYPES: Mapping[str, type] = {
    "name": str,
    "recipe_sha256": str,
    "seed": int,
    "versions": dict,
    "host": dict,
    "stages": dict,
    "finished": bool,
    "schema": int,
}


def write_manifest(path: Path, manifest: RunManifest) -> None:
    """Write a manifest atomically."""
    write_json(path, asdict(manifest))


def read_manifest(path: Path) -> RunManifest:
    """Read a manifest of this or an older schema.

    Raises:
        StorageError: If it cannot be read.
        DataError: On a newer schema, missing or unknown fields, or a field of the wrong type.
    """
    value = read_json(path)
    if not isinstance(value, dict) or type(value.get("schema")) is not int:
        raise DataError(f"{path} is no run manifest: it has no schema number")
    try:
        while (upgrade := UPGRADES.get(value["schema"])) is not None:
            value = upgrade(value)
    except KeyError as error:
        raise DataError(
            f"{path} has schema {value['schema']} but lacks {error}; it was damaged or edited"
        ) from error
    if value["schema"] != MANIFEST_SCHEMA:
        raise DataError(
            f"{path} has schema {value['schema']}, this version reads up to {MANIFEST_SCHEMA}; "
            "update steadyhand"
        )
    if set(value) != set(_TYPES):
        raise DataError(f"{path}: fields {sorted(set(value) ^ set(_TYPES))} missing or unknown")
    for name, kind in _TYPES.items():
        # Not isinstance: true is an int to Python.
        if type(value[name]) is not kind:
            found = type(value[name]).__name__
            raise DataError(f"{path}: {name!r} must be a {kind.__name__}, found a {found}")
    return RunManifest(**value)


def describe_host() -> dict[str, Any]:
    """Return what about this machine can matter: processor, cores, memory, kernel, threads."""
    processor = platform.processor()
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        rows = dict(
            line.split(":", 1) for line in info.read_text().splitlines() if line.count(":") == 1
        )
        names = {key.strip(): value.strip() for key, value in rows.items()}
        processor = names.get("model name", processor)
        interesting = ("avx", "fma", "bf16", "vnni", "amx")
        flags = " ".join(f for f in names.get("flags", "").split() if f.startswith(interesting))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": processor,
        "cpu_flags": flags,
        "memory_gib": round(pages / 2**30, 1),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def describe_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version per distribution; ``"absent"`` where there is none."""
    versions = {}
    for name in sorted(packages):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
