"""A content-addressed store in a local directory: ``objects/ab/cdef…``, create-only."""

import re
from collections.abc import Iterator
from pathlib import Path

from steadyhand.contracts.errors import IntegrityError, StorageError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.store import canonical
from steadyhand.store.atomic import TEMPORARY_PREFIX, fsync_directory, temporary_file

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

        An object that is there already is compared, and written anew if it was damaged.

        Raises:
            StorageError: If that failed; nothing half-written stays behind.
        """
        name = canonical.digest(data)
        path = self._path(name)
        try:
            if path.exists() and path.read_bytes() == data:
                # Another process may have renamed it but not come to this yet.
                fsync_directory(path.parent)
                return name
            with temporary_file(path.parent, data, 0o444) as temporary:
                temporary.replace(path)
                fsync_directory(path.parent)
        except OSError as error:
            error.filename = str(self.root)
            raise storage_error(error, f"storing object {name[:12]}") from error
        return name

    def get(self, digest: str) -> bytes:
        """Return the bytes of an object after checking them against its name.

        Raises:
            IntegrityError: If they were changed.
            StorageError: If there is no such object, or it cannot be read.
        """
        path = self.open_path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, f"reading object {digest[:12]}") from error
        actual = canonical.digest(data)
        if actual != digest:
            raise IntegrityError(
                f"object {digest[:12]} in {self.root} was changed (it hashes to {actual[:12]}); "
                f"delete {path} and run again to make it anew"
            )
        return data

    def open_path(self, digest: str) -> Path:
        """Return the file of an object, unchecked, for reading in pieces.

        Raises:
            StorageError: If there is no such object.
        """
        path = self._path(digest)
        if not self.has(digest):
            raise StorageError(f"object {digest[:12]} is not in {self.root}; run the stage again")
        return path

    def has(self, digest: str) -> bool:
        """Whether the object exists.

        Raises:
            StorageError: If the store cannot be read.
        """
        try:
            return self._path(digest).exists()
        except OSError as error:
            raise storage_error(error, "reading the store") from error

    def list(self) -> Iterator[str]:
        """Yield every digest in sorted order.

        Raises:
            StorageError: If the store cannot be read.
        """
        try:
            for folder in sorted((self.root / "objects").glob("[0-9a-f][0-9a-f]/")):
                for path in sorted(folder.iterdir()):
                    if DIGEST.fullmatch(folder.name + path.name):
                        yield folder.name + path.name
        except OSError as error:
            raise storage_error(error, "listing the store") from error

    def fsck(self, progress: Progress) -> tuple[str, ...]:
        """Read every object and return the digests of those that are damaged, in sorted order.

        Temporary files of killed writers are removed on the way. Run it when nothing writes: a
        writer that loses its temporary file fails with a StorageError, but damages nothing.

        Args:
            progress: Told about each damaged object, and how far it is.
        """
        for leftover in (self.root / "objects").glob(f"*/{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)
        names = tuple(self.list())
        damaged = []
        for done, name in enumerate(names, start=1):
            path = self._path(name)
            try:
                is_whole = canonical.digest_file(path) == name
            except StorageError as error:  # a bad sector must not end the search
                is_whole = False
                progress.say(str(error))
            if not is_whole:
                damaged.append(name)
                progress.say(f"object {name} is damaged; delete {path} and run again")
            progress.update("fsck", done, len(names), "objects")
        return tuple(damaged)
