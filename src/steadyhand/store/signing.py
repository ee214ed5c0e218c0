"""Ed25519 signatures over bytes, with keys in small files.

A signature says who vouches for bytes; it knows nothing about what the bytes mean.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from steadyhand.contracts.errors import IntegrityError, StorageError, UsageError
from steadyhand.store.atomic import create_file, read_json, write_file
from steadyhand.store.canonical import canonical_json, digest

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
        raw: 32 bytes; left out of ``repr``, so that no log or traceback shows them.
    """

    name: str
    raw: bytes = field(repr=False)

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
        UsageError: If the name is no plain file name.
        StorageError: If the key exists (it is never overwritten) or writing failed.
    """
    if not name or "/" in name or name.startswith("."):
        raise UsageError(f"{name!r} cannot name a key; use letters, digits and dashes")
    directory = Path(directory)
    private = PrivateKey(name, Ed25519PrivateKey.generate().private_bytes_raw())
    path = directory / f"{name}.private.json"
    # The private file first: it holds both keys, so a kill in between loses nothing.
    if not create_file(path, _key_file("private", name, private.raw), mode=0o600):
        raise StorageError(f"{path} exists; choose another name or load it")
    write_file(directory / f"{name}.public.json", _key_file("public", name, private.public.raw))
    return private.public


def _key_file(kind: str, name: str, raw: bytes) -> bytes:
    text = base64.b64encode(raw).decode()
    return canonical_json({"algorithm": ALGORITHM, "key": text, "kind": kind, "name": name}) + b"\n"


def _read_key(path: Path, kind: str) -> tuple[str, bytes]:
    value = read_json(path)
    try:
        raw = base64.b64decode(value["key"], validate=True)
        name, algorithm, found = str(value["name"]), value["algorithm"], value["kind"]
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is no key file ({error!r}); create a key anew") from error
    if algorithm != ALGORITHM or len(raw) != 32:
        raise IntegrityError(f"{path} is no {ALGORITHM} key; create a key anew")
    if found != kind:
        raise IntegrityError(f"{path} holds a {found} key, a {kind} one is needed here")
    return name, raw


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key file.

    Raises:
        StorageError: If it cannot be read.
        DataError: If it is damaged.
        IntegrityError: If it holds something else than a private key.
    """
    return PrivateKey(*_read_key(Path(path), "private"))


def load_public_key(path: Path) -> PublicKey:
    """Read a public key file.

    Raises:
        StorageError: If it cannot be read.
        DataError: If it is damaged.
        IntegrityError: If it holds something else than a public key.
    """
    return PublicKey(*_read_key(Path(path), "public"))


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


def verify(
    data: bytes, signature: Mapping[str, Any] | None, trusted: Sequence[PublicKey]
) -> PublicKey:
    """Check a signature.

    Args:
        data: The signed bytes.
        signature: What :func:`sign` returned; None if there is none, which is refused.
        trusted: Keys that may have signed.

    Returns:
        The key that signed.

    Raises:
        IntegrityError: If there is no signature, no trusted key signed, or the bytes were changed.
    """
    if signature is None:
        raise IntegrityError("there is no signature; sign it with a key that is trusted here")
    try:
        algorithm, key_id = signature["algorithm"], signature["key_id"]
        raw = base64.b64decode(signature["signature"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"the signature is malformed ({error!r}); sign again") from error
    if algorithm != ALGORITHM:
        raise IntegrityError(
            f"the signature is made with {algorithm!r}; this version verifies {ALGORITHM} only. "
            "Sign again"
        )
    key = next((k for k in trusted if k.key_id == key_id), None)
    if key is None:
        known = ", ".join(f"{k.name} ({k.key_id})" for k in trusted) or "none"
        raise IntegrityError(
            f"signed with key {key_id}, which is not trusted here; trusted: {known}. "
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
