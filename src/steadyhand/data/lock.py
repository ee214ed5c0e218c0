"""One writer per dataset: a lock on the directory itself, freed by the system with the process."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from steadyhand.contracts.errors import RefusedError, storage_error


class DirectoryLock:
    """Holds a directory until :meth:`release`, or until the process ends, however it ends.

    Args:
        root: The directory.

    Raises:
        RefusedError: If another holder has it.
        StorageError: If the directory cannot be opened.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise storage_error(error, f"opening {root}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise RefusedError(
                f"{root} is being written by another recorder; wait until it ends, or record "
                "into another directory"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the directory; calling it twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
