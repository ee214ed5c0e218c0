"""Canonical JSON and SHA-256: equal values of equal types give equal bytes."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, storage_error


def canonical_json(value: Any) -> bytes:
    """Serialise plain values: sorted keys, no spaces, shortest round-trip floats, UTF-8.

    Args:
        value: Dictionaries with string keys, lists, tuples, strings, numbers, booleans, None.

    Returns:
        The bytes, without a trailing newline. ``1`` and ``1.0`` differ, as they do in JSON.

    Raises:
        DataError: On NaN, infinity or a value JSON does not have; names where it is.
    """
    _check_plain(value, "$")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _check_plain(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(
                f"{where} is {value}: JSON has no such number; leave it out or use null"
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(f"{where} has the key {key!r}; keys must be strings")
            _check_text(key, where)
            _check_plain(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_plain(item, f"{where}[{i}]")
    else:
        raise DataError(f"{where} is a {type(value).__name__}, which is no plain JSON value")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # Python reads file names that are not UTF-8 into such strings.
        raise DataError(f"{where}: {text!r} is not Unicode text; rename it") from error


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(error, "reading a file") from error
