"""Named arrays in one safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from steadyhand.contracts.errors import IntegrityError, StorageError
from steadyhand.store.atomic import write_file
from steadyhand.store.canonical import canonical_json


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write arrays atomically; equal arguments give equal bytes.

    Args:
        path: The file.
        tensors: Arrays by name.
        metadata: Strings by name.

    Raises:
        StorageError: If writing failed.
    """
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    # One metadata entry: the library writes several in the order of a randomised hash map.
    text = {"steadyhand": canonical_json(dict(metadata)).decode()}
    write_file(path, save(arrays, metadata=text))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read arrays and metadata.

    Returns:
        Arrays by name, and the metadata.

    Raises:
        StorageError: If there is no such file.
        IntegrityError: If it is truncated or no safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise StorageError(f"{path} does not exist; check the path")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("steadyhand", "{}")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(text)  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(
            f"{path} is damaged or not a safetensors file ({error}); restore it from its source"
        ) from error
