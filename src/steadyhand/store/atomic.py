"""Writes that happen whole or not at all: temporary file, fsync, rename, fsync of the directory."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, storage_error
from steadyhand.store.canonical import canonical_json

TEMPORARY_PREFIX = ".tmp-"


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably; its directory is created if needed.

    Args:
        path: The file.
        data: Its new content.

    Raises:
        StorageError: If that failed; the old file, if any, is untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105  (Path.replace would read the same)
        fsync_directory(path.parent)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
        error.filename = os.fspath(path)
        raise storage_error(error, "writing a file") from error


def write_json(path: Path, value: Any) -> None:
    """Replace a file by the canonical JSON of a value and a newline (see :func:`write_file`)."""
    write_file(path, canonical_json(value) + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StorageError: If it cannot be read.
        DataError: If it is not JSON.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(error, "reading a file") from error
    try:
        return json.loads(data)
    except ValueError as error:
        raise DataError(
            f"{path} is not valid JSON ({error}); restore it or remove it and run again"
        ) from error


def replace_directory(source: Path, target: Path) -> None:
    """Move a complete directory to its final name, replacing what is there.

    All files are made durable first. A kill leaves the old directory, the new one, or (for the
    moment between two renames) neither name but both contents; never a mixture.

    Args:
        source: Complete directory on the same file system.
        target: Final name.

    Raises:
        StorageError: If that failed.
    """
    source, target = Path(source), Path(target)
    try:
        for folder, _, names in os.walk(source):
            for name in names:
                descriptor = os.open(Path(folder) / name, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            fsync_directory(Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
            target.rename(old / "old")
            source.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            source.rename(target)
        fsync_directory(target.parent)
    except OSError as error:
        raise storage_error(error, "replacing a directory") from error
