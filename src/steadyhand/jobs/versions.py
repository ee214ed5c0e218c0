"""What code and which libraries decide a stage's bytes, as digests and versions.

The source itself is hashed rather than a number that somebody must remember to raise: changed
code is never served from the cache.
"""

import inspect
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import steadyhand
from steadyhand.contracts.errors import MissingExtraError
from steadyhand.jobs.stage import Stage
from steadyhand.store.canonical import canonical_json, digest

SKIPPED = {"__pycache__"}


def describe_code(stage: Stage[Any]) -> str:
    """Return a digest of the source that decides a stage's bytes: its own file and its packages."""
    module = Path(inspect.getfile(stage.function))
    sources = {name: source_digest(name) for name in ("contracts", *stage.packages)}
    return digest(canonical_json({"module": digest(module.read_bytes()), "sources": sources}))


@cache
def source_digest(name: str) -> str:
    """Return a digest of one package or module of this project.

    Args:
        name: Dotted name below ``steadyhand``, e.g. ``sim`` or ``jobs.families``.
    """
    root = Path(steadyhand.__file__).parent.joinpath(*name.split("."))
    files = [root.with_suffix(".py")] if not root.is_dir() else sorted(_files(root))
    return digest(
        canonical_json({f.relative_to(root.parent).as_posix(): _file_digest(f) for f in files})
    )


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of installed distributions.

    Raises:
        MissingExtraError: If one is not installed.
    """
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError as error:
            raise MissingExtraError(name, "all") from error
    return found


def _files(root: Path) -> Iterable[Path]:
    return (
        path for path in root.rglob("*") if path.is_file() and not SKIPPED.intersection(path.parts)
    )


def _file_digest(path: Path) -> str:
    return digest(path.read_bytes())
