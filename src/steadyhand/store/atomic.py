"""Writes that happen whole or not at all: temporary file, fsync, rename, fsync of the directory."""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, storage_error
from steadyhand.store.canonical import canonical_json

TEMPORARY_PREFIX = ".tmp-"

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: If that failed; callers say what they were doing.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a directory and its parents durably; one that exists is fine.

    Raises:
        OSError: If that failed; callers say what they were doing.
    """
    path = Path(path)
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    # A file is only as durable as the names of all directories above it.
    for made in reversed(missing):
        fsync_directory(made.parent)


@contextlib.contextmanager
def temporary_file(directory: Path, data: bytes, mode: int) -> Iterator[Path]:
    """Write a durable temporary file; rename or link it inside the block.

    Args:
        directory: Where to; created if needed. It must be the directory of the final name.
        data: Content.
        mode: Permission bits, set before the first byte is written.

    Yields:
        Its path. What still has that name at the end of the block is removed.

    Raises:
        OSError: If that failed; nothing is left behind.
    """
    make_directory(directory)
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=directory)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file atomically and durably; its directory is created if needed.

    Args:
        path: The file.
        data: Its new content.
        mode: Permission bits; never wider than this, not even for a moment.

    Raises:
        StorageError: If that failed; the old file, if any, is untouched.
    """
    path = Path(path)
    try:
        with temporary_file(path.parent, data, mode) as temporary:
            temporary.replace(path)
            fsync_directory(path.parent)
    except OSError as error:
        error.filename = os.fspath(path)
        raise storage_error(error, "writing a file") from error


def create_file(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Create a file atomically and durably, unless the name is taken.

    Of any number of processes that try, exactly one creates it; nobody ever sees half of it.

    Args:
        path: The file.
        data: Its content.
        mode: Permission bits.

    Returns:
        Whether it was created here; False if the name was taken, and what is there is untouched.

    Raises:
        StorageError: If that failed.
    """
    path = Path(path)
    try:
        with temporary_file(path.parent, data, mode) as temporary:
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                return False
            fsync_directory(path.parent)
    except OSError as error:
        error.filename = os.fspath(path)
        raise storage_error(error, "creating a file") from error
    return True


def write_json(path: Path, value: Any) -> None:
    """Replace a file by the canonical JSON of a value and a newline (see :func:`write_file`).

    Raises:
        DataError: If the value is not plain; the old file is untouched.
        StorageError: If writing failed; the old file is untouched.
    """
    write_file(path, canonical_json(value) + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StorageError: If it cannot be read.
        DataError: If it is not JSON, or holds NaN or infinity, which JSON does not have.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(error, "reading a file") from error
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not valid JSON ({error}); restore it or remove it and run again"
        ) from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"it holds the number {text}")


def replace_directory(source: Path, target: Path) -> None:
    """Move a complete directory to its final name, replacing what is there.

    All files are made durable first, then the two directories swap their names in one step: a
    kill leaves the old directory or the new one, never neither and never a mixture. Where the
    file system cannot swap, there is a moment in which a kill leaves the old content only under
    a name that begins with ``TEMPORARY_PREFIX``, and the new one under ``source``.

    Args:
        source: Complete directory on the same file system; gone afterwards.
        target: Final name.

    Raises:
        StorageError: If that failed; what was at ``target`` is there still.
    """
    source, target = Path(source), Path(target)
    try:
        _fsync_tree(source)
        make_directory(target.parent)
        if not target.exists():
            source.rename(target)
        elif _exchange(source, target):
            shutil.rmtree(source, ignore_errors=True)
        else:
            _replace_in_two_steps(source, target)
        fsync_directory(target.parent)
    except OSError as error:
        raise storage_error(error, "replacing a directory") from error


def _fsync_tree(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_directory(Path(folder))


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step (``renameat2``); False where the system has no such step."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    names = os.fsencode(first), os.fsencode(second)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(number, os.strerror(number), os.fspath(second))


def _replace_in_two_steps(source: Path, target: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
    try:
        target.rename(aside / "old")
        try:
            source.rename(target)
        except OSError:
            (aside / "old").rename(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
