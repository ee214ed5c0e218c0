"""Ed25519 signatures over bytes, with keys in small files.

A signature says who vouches for bytes; it knows nothing about what the bytes mean.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from steadyhand.contracts.errors import IntegrityError, StorageError, storage_error
from steadyhand.store.atomic import read_json, write_json
from steadyhand.store.canonical import digest

ALGORITHM = "ed25519"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies.

    Args:
        name: Name for people.
        raw: 32 bytes.
    """

    name: str
    raw: bytes

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal characters of the key's SHA-256."""
        return digest(self.raw)[:16]


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs.

    Args:
        name: Name for people.
        raw: 32 bytes.
    """

    name: str
    raw: bytes

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        key = Ed25519PrivateKey.from_private_bytes(self.raw).public_key()
        return PublicKey(self.name, key.public_bytes_raw())


def create_key(directory: Path, name: str) -> PublicKey:
    """Create ``<name>.private.json`` (readable by its owner only) and ``<name>.public.json``.

    Args:
        directory: Where to; created if needed.
        name: Name of the key and stem of the files.

    Returns:
        The public key.

    Raises:
        StorageError: If the key exists (it is never overwritten) or writing failed.
    """
    directory = Path(directory)
    private = PrivateKey(name, Ed25519PrivateKey.generate().private_bytes_raw())
    path = directory / f"{name}.private.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise StorageError(f"{path} exists; choose another name or load it") from error
    except OSError as error:
        raise storage_error(error, "creating a key") from error
    os.close(descriptor)
    _write_key(path, name, private.raw)
    path.chmod(0o600)
    _write_key(directory / f"{name}.public.json", name, private.public.raw)
    return private.public


def _write_key(path: Path, name: str, raw: bytes) -> None:
    value = {"algorithm": ALGORITHM, "key": base64.b64encode(raw).decode(), "name": name}
    write_json(path, value)


def _read_key(path: Path) -> tuple[str, bytes]:
    value = read_json(path)
    try:
        raw = base64.b64decode(value["key"], validate=True)
        name = str(value["name"])
        is_key = value["algorithm"] == ALGORITHM and len(raw) == 32
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is no key file ({error!r}); create a key anew") from error
    if not is_key:
        raise IntegrityError(f"{path} is no {ALGORITHM} key; create a key anew")
    return name, raw


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key file."""
    return PrivateKey(*_read_key(Path(path)))


def load_public_key(path: Path) -> PublicKey:
    """Read a public key file."""
    return PublicKey(*_read_key(Path(path)))


def sign(data: bytes, key: PrivateKey) -> dict[str, str]:
    """Sign bytes.

    Returns:
        ``{"algorithm", "key_id", "signature"}``; the same for the same bytes and key.
    """
    signature = Ed25519PrivateKey.from_private_bytes(key.raw).sign(data)
    return {
        "algorithm": ALGORITHM,
        "key_id": key.public.key_id,
        "signature": base64.b64encode(signature).decode(),
    }


def verify(data: bytes, signature: Mapping[str, Any], trusted: Sequence[PublicKey]) -> PublicKey:
    """Check a signature.

    Args:
        data: The signed bytes.
        signature: What :func:`sign` returned.
        trusted: Keys that may have signed.

    Returns:
        The key that signed.

    Raises:
        IntegrityError: If no trusted key signed, or the bytes were changed.
    """
    try:
        algorithm, key_id = signature["algorithm"], signature["key_id"]
        raw = base64.b64decode(signature["signature"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"the signature is malformed ({error!r}); sign again") from error
    key = next((k for k in trusted if k.key_id == key_id), None)
    if algorithm != ALGORITHM or key is None:
        known = ", ".join(f"{k.name} ({k.key_id})" for k in trusted) or "none"
        raise IntegrityError(
            f"signed with {algorithm} key {key_id}, which is not trusted here; trusted: {known}. "
            "Add the signer's public key, or sign with a trusted one"
        )
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(raw, data)
    except InvalidSignature as error:
        raise IntegrityError(
            f"the signature of key {key.name!r} does not match: the bytes were changed after "
            "signing; fetch them again from their source"
        ) from error
    return key
