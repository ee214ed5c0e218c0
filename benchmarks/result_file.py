"""Writes what a benchmark found: ``benchmarks/results/<name>.json``, one file per benchmark.

``value``, ``relation`` and ``target`` decide whether a claim holds; nothing else does.
"""

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from steadyhand.store.atomic import write_file

ROOT = Path(__file__).parents[1]
RELATIONS = (">=", "<=", ">", "<", "==")


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement that a measurement decides.

    Args:
        claim: The statement in words.
        value: What was measured; with several repeats, the median.
        unit: Unit of ``value``, ``target`` and ``spread``.
        relation: How ``value`` must compare with ``target``, one of ``RELATIONS``.
        target: What was promised.
        peer: What it was compared with, if anything.
        repeats: Number of measurements.
        spread: Smallest and largest measurement.
    """

    claim: str
    value: float
    unit: str
    relation: str
    target: float
    peer: str | None = None
    repeats: int = 1
    spread: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"relation must be one of {RELATIONS}, got {self.relation!r}")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and accelerator of this machine."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    gib = round(memory / 2**30, 1)
    return {"cpu": model, "cores": cores, "memory_gib": gib, "accelerator": None}


def describe_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of installed packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write_result(
    name: str,
    claims: Sequence[Claim | Mapping[str, Any]],
    versions: Mapping[str, str],
    wall_s: float,
    command: str,
) -> Path:
    """Write ``benchmarks/results/<name>.json``.

    Args:
        name: Name of the benchmark.
        claims: What was measured against which target.
        versions: Versions that matter, e.g. from :func:`describe_versions`.
        wall_s: How long the benchmark took [s].
        command: What runs it again.

    Returns:
        The file.
    """
    checked = [c if isinstance(c, Claim) else Claim(**c) for c in claims]
    result = {
        "benchmark": name,
        "commit": _commit(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": dict(versions),
        "command": command,
        "wall_s": round(wall_s, 1),
        "claims": [asdict(claim) for claim in checked],
    }
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    write_file(path, json.dumps(result, indent=1, allow_nan=False).encode() + b"\n")
    return path


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
