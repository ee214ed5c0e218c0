"""Locks between processes. The kernel frees them when their holder ends, also by SIGKILL."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from steadyhand.contracts.errors import storage_error


@contextmanager
def exclusive(path: Path, busy: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file for the length of a block.

    Args:
        path: The lock file; it stays behind, empty of meaning.
        busy: Called with the holder's process id (or ``"unknown"``) when somebody else holds it;
            raises to give up, returns to wait.

    Raises:
        StorageError: If the file cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, "locking") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy(os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        try:
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as error:
            raise storage_error(error, f"locking {str(path)!r}") from error
        yield
    finally:
        os.close(descriptor)
