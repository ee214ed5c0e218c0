"""Named arrays in one safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from steadyhand.contracts.errors import DataError, IntegrityError, StorageError, storage_error
from steadyhand.store.atomic import write_file
from steadyhand.store.canonical import canonical_json

_RESERVED = "__metadata__"
_METADATA = "steadyhand"


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write arrays atomically; equal arguments give equal bytes.

    Args:
        path: The file.
        tensors: Arrays by name, of any shape; booleans, integers, floats.
        metadata: Strings by name.

    Raises:
        DataError: If the format has no such type or name.
        StorageError: If writing failed.
    """
    if _RESERVED in tensors:
        raise DataError(f"{path}: a tensor cannot be called {_RESERVED!r}; rename it")
    # Not ascontiguousarray, which turns a scalar into a vector.
    arrays = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    # One metadata entry: the library writes several in the order of a randomised hash map.
    text = {_METADATA: canonical_json(dict(metadata)).decode()}
    try:
        data = save(arrays, metadata=text)
    except SafetensorError as error:
        kinds = {name: str(array.dtype) for name, array in arrays.items()}
        raise DataError(f"{path} cannot hold {kinds}: {error}") from error
    write_file(path, data)


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read arrays and metadata.

    Returns:
        Arrays by name, and the metadata.

    Raises:
        StorageError: If there is no such file, or it cannot be read.
        IntegrityError: If it is truncated or no safetensors file.
        DataError: If it holds types that numpy does not have.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise StorageError(f"{path} does not exist; check the path")
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_METADATA, "{}")
            metadata = {str(k): str(v) for k, v in json.loads(text).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise storage_error(error, "reading tensors") from error
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(
            f"{path} is damaged or not a safetensors file ({error}); restore it from its source"
        ) from error
    except (TypeError, AttributeError) as error:  # bfloat16 and float8, and foreign metadata
        raise DataError(
            f"{path} holds what numpy cannot read ({error}); write it again as float32"
        ) from error
    # Another library may have taught numpy bfloat16; what is read must not depend on that.
    foreign = [str(tensor.dtype) for tensor in tensors.values() if tensor.dtype.kind not in "biufc"]
    if foreign:
        raise DataError(
            f"{path} holds what numpy cannot read ({foreign[0]}); write it again as float32"
        )
    return tensors, metadata
