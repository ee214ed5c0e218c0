"""Object stores: immutable bytes under the name of their SHA-256."""

from collections.abc import Iterator
from typing import Protocol


class ObjectStore(Protocol):
    """Content-addressed, create-only. A digest is 64 lower-case hexadecimal characters."""

    def put(self, data: bytes) -> str:
        """Store bytes durably; return their digest. Storing the same bytes again is a no-op."""
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes.

        Raises:
            IntegrityError: If they no longer hash to their name.
            StorageError: If the object does not exist.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether the object exists."""
        ...

    def list(self) -> Iterator[str]:
        """Yield every digest in sorted order."""
        ...
