"""Directories as objects: a tree lists files by path; large files are split into blobs.

The digest of a directory depends on relative paths and contents only, not on times, owners,
permissions or empty directories, nor on temporary files that killed writers left in it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from steadyhand.contracts.errors import DataError, IntegrityError, storage_error
from steadyhand.contracts.object_store import ObjectStore
from steadyhand.store.atomic import TEMPORARY_PREFIX, make_directory, replace_directory
from steadyhand.store.canonical import canonical_json, digest

BLOB_BYTES = 32 * 1024 * 1024
TREE_SCHEMA = 1


def put_tree(store: ObjectStore, directory: Path) -> str:
    """Store a directory, its tree object last.

    Args:
        store: Where to.
        directory: Files below it are taken; links are refused.

    Returns:
        Digest of the tree.

    Raises:
        DataError: If it holds something that is neither a file nor a directory.
        StorageError: If reading or storing failed.
    """
    return store.put(canonical_json(_describe(Path(directory), store.put)))


def hash_tree(directory: Path) -> str:
    """Return what :func:`put_tree` would, without storing anything."""
    return digest(canonical_json(_describe(Path(directory), digest)))


def _describe(directory: Path, keep: Callable[[bytes], str]) -> dict[str, Any]:
    files = {}
    try:
        for path in _walk(directory):
            blobs, size = [], 0
            with path.open("rb") as file:
                while data := file.read(BLOB_BYTES):
                    blobs.append(keep(data))
                    size += len(data)
            files[path.relative_to(directory).as_posix()] = {"blobs": blobs, "size": size}
    except OSError as error:
        raise storage_error(error, "reading a directory") from error
    return {"files": files, "kind": "tree", "schema": TREE_SCHEMA}


def _walk(directory: Path) -> Iterator[Path]:
    """Yield every file below a directory; unlike ``rglob`` it passes over nothing unreadable."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(TEMPORARY_PREFIX):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            raise DataError(f"{entry.path} is neither a file nor a directory; remove it")


def checkout(store: ObjectStore, tree: str, directory: Path) -> None:
    """Write a stored tree to a directory, checked; a directory that exists is replaced whole.

    Args:
        store: Where from.
        tree: Digest of the tree.
        directory: Where to.

    Raises:
        IntegrityError: If an object was changed.
        StorageError: If an object is missing or writing failed; ``directory`` is as it was.
    """
    directory = Path(directory)
    description = read_tree(store, tree)
    temporary = None
    try:
        make_directory(directory.parent)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=directory.parent))
        temporary.chmod(0o755)
        for name, entry in description.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for blob in entry["blobs"]:
                    file.write(store.get(blob))
        replace_directory(temporary, directory)
    except OSError as error:
        error.filename = os.fspath(directory)
        raise storage_error(error, "writing an artifact") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def read_tree(store: ObjectStore, tree: str) -> dict[str, Any]:
    """Return a tree's files: relative path -> ``{"blobs": [digest, ...], "size": bytes}``.

    Raises:
        IntegrityError: If the object was changed, is no tree, or names files outside of itself.
        StorageError: If there is no such object.
    """
    data = store.get(tree)
    try:
        value = json.loads(data)
        is_tree = value["kind"] == "tree" and value["schema"] == TREE_SCHEMA
        files = {
            str(name): {"blobs": e["blobs"], "size": e["size"]}
            for name, e in value["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"object {tree[:12]} is not a tree; check the digest") from error
    if not is_tree:
        raise IntegrityError(f"object {tree[:12]} is not a tree this version reads")
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise IntegrityError(f"tree {tree[:12]} names {name!r}, outside of itself")
    return files
