"""The signing key of a workspace: made when it is first needed, never replaced."""

from pathlib import Path

from steadyhand.contracts.errors import storage_error
from steadyhand.jobs.locks import exclusive
from steadyhand.store.signing import (
    PrivateKey,
    PublicKey,
    create_key,
    load_private_key,
    load_public_key,
)

NAME = "workspace"
PRIVATE, PUBLIC = ".private.json", ".public.json"


def signing_key(keys: Path) -> PrivateKey:
    """Return the key of a workspace; it is created on the first call.

    Args:
        keys: Directory of the keys.

    Raises:
        StorageError: If it cannot be written.
    """
    path = keys / f"{NAME}{PRIVATE}"
    with exclusive(keys / ".lock", _wait):
        try:
            # A kill between creating and writing leaves an empty file, which has signed nothing.
            if path.exists() and path.stat().st_size == 0:
                path.unlink()
        except OSError as error:
            raise storage_error(error, "reading the signing key") from error
        if not path.exists():
            create_key(keys, NAME)
        return load_private_key(path)


def trusted_keys(keys: Path) -> tuple[PublicKey, ...]:
    """Return the keys whose signatures a workspace accepts: its own, and public keys put there.

    Args:
        keys: Directory of the keys.
    """
    found = {}
    for path in sorted(keys.glob(f"*{PUBLIC}")):
        key = load_public_key(path)
        found[key.key_id] = key
    if (keys / f"{NAME}{PRIVATE}").exists():
        own = signing_key(keys).public
        found[own.key_id] = own
    return tuple(found.values())


def _wait(holder: str) -> None:
    """Creating a key takes a moment; wait for whoever does it."""
    del holder
