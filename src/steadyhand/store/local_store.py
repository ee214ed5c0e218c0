"""A content-addressed store in a local directory: ``objects/ab/cdef…``, create-only."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from steadyhand.contracts.errors import IntegrityError, StorageError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.store.atomic import TEMPORARY_PREFIX, fsync_directory
from steadyhand.store.canonical import digest, digest_file

DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalStore:
    """Implements :class:`steadyhand.contracts.object_store.ObjectStore`.

    Any number of processes may put and get at the same time: an object appears by one rename of
    a durable temporary file, and its name is its content.

    Args:
        root: Directory; created on the first put.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def _path(self, name: str) -> Path:
        if not DIGEST.fullmatch(name):
            raise StorageError(f"{name!r} is no SHA-256; expected 64 hexadecimal characters")
        return self.root / "objects" / name[:2] / name[2:]

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest.

        Raises:
            StorageError: If that failed; nothing half-written stays behind.
        """
        name = digest(data)
        path = self._path(name)
        if path.exists():
            return name
        temporary: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o444)
            Path(temporary).rename(path)
            temporary = None
            fsync_directory(path.parent)
        except OSError as error:
            raise storage_error(error, f"storing object {name[:12]}") from error
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
        return name

    def get(self, digest: str) -> bytes:
        """Return the bytes of an object after checking them against its name.

        Raises:
            IntegrityError: If they were changed.
            StorageError: If there is no such object.
        """
        path = self.open_path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, f"reading object {digest[:12]}") from error
        self._check(digest, _hash(data))
        return data

    def _check(self, name: str, actual: str) -> None:
        if actual != name:
            raise IntegrityError(
                f"object {name[:12]} in {self.root} was changed (it hashes to {actual[:12]}); "
                f"delete {self._path(name)} and run again to make it anew"
            )

    def open_path(self, digest: str) -> Path:
        """Return the file of an object, unchecked, for reading in pieces.

        Raises:
            StorageError: If there is no such object.
        """
        path = self._path(digest)
        if not path.exists():
            raise StorageError(f"object {digest[:12]} is not in {self.root}; run the stage again")
        return path

    def has(self, digest: str) -> bool:
        """Whether the object exists."""
        return self._path(digest).exists()

    def list(self) -> Iterator[str]:
        """Yield every digest in sorted order."""
        for folder in sorted((self.root / "objects").glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if DIGEST.fullmatch(folder.name + path.name):
                    yield folder.name + path.name

    def fsck(self, progress: Progress) -> tuple[str, ...]:
        """Read every object and return the digests of those that were changed.

        Temporary files of killed writers are removed on the way. Run it when nothing writes.
        """
        for leftover in (self.root / "objects").glob(f"*/{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)
        names = tuple(self.list())
        damaged = []
        for done, name in enumerate(names, start=1):
            if digest_file(self._path(name)) != name:
                damaged.append(name)
                progress.say(f"object {name} was changed; delete {self._path(name)}")
            progress.update("fsck", done, len(names), "objects")
        return tuple(damaged)


_hash = digest
