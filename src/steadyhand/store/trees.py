"""Directories as objects: a tree lists files by path; large files are split into blobs.

The digest of a directory depends on relative paths and contents only, not on times or owners.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, IntegrityError, storage_error
from steadyhand.store.atomic import TEMPORARY_PREFIX, replace_directory
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.store.local_store import LocalStore

BLOB_BYTES = 32 * 1024 * 1024


def put_tree(store: LocalStore, directory: Path) -> str:
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
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DataError(f"{path} is neither a file nor a directory; remove it")
            if path.is_file():
                blobs = []
                with path.open("rb") as file:
                    while data := file.read(BLOB_BYTES):
                        blobs.append(keep(data))
                files[path.relative_to(directory).as_posix()] = {
                    "blobs": blobs,
                    "size": path.stat().st_size,
                }
    except OSError as error:
        raise storage_error(error, "storing a directory") from error
    return {"files": files, "kind": "tree", "schema": 1}


def checkout(store: LocalStore, tree: str, directory: Path) -> None:
    """Write a stored tree to a directory, checked; a directory that exists is replaced whole.

    Args:
        store: Where from.
        tree: Digest of the tree.
        directory: Where to.

    Raises:
        IntegrityError: If an object was changed.
        StorageError: If an object is missing or writing failed.
    """
    directory = Path(directory)
    description = read_tree(store, tree)
    temporary = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=directory.parent))
        temporary.chmod(0o755)
        for name, entry in description.items():
            path = temporary / name
            if not path.resolve().is_relative_to(temporary.resolve()):
                raise IntegrityError(f"tree {tree[:12]} names {name!r}, outside of itself")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for blob in entry["blobs"]:
                    file.write(store.get(blob))
        replace_directory(temporary, directory)
    except OSError as error:
        raise storage_error(error, "writing an artifact") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def read_tree(store: LocalStore, tree: str) -> dict[str, Any]:
    """Return a tree's files: relative path -> ``{"blobs": [digest, ...], "size": bytes}``."""
    value = json.loads(store.get(tree))
    if not isinstance(value, dict) or value.get("kind") != "tree" or value.get("schema") != 1:
        raise IntegrityError(f"object {tree[:12]} is not a tree this version reads")
    return dict(value["files"])
