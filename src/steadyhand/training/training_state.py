"""Checkpoints that a killed training continues from with the very bits it would have had.

A checkpoint is a directory that appears whole. It holds weights, their moving average, the
optimiser, the random generator, the position in the data order and the step:

    checkpoints/step-000300/state.json  tensors.safetensors
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steadyhand.contracts.errors import DataError, IntegrityError, StorageError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.store.atomic import TEMPORARY_PREFIX, read_json, replace_directory, write_json
from steadyhand.store.canonical import digest_file
from steadyhand.store.tensors import read_tensors, write_tensors

STATE_SCHEMA = 1
_STATE, _TENSORS = "state.json", "tensors.safetensors"
# The one before the newest survives, for the case that the newest is damaged on disk.
_NUM_KEPT = 2


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything the rest of a training depends on.

    Args:
        step: Optimiser steps done.
        position: Rows drawn from the data order so far.
        inputs: Digest of configuration and data; another one is another training.
        tensors: Weights, averages, moments and generator state by name.
    """

    step: int
    position: int
    inputs: str
    tensors: Mapping[str, Tensor]


def save_state(directory: Path, state: TrainingState) -> None:
    """Commit a checkpoint, then drop all but the newest two.

    Raises:
        StorageError: If writing failed; earlier checkpoints are intact.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=directory))
    except OSError as error:
        raise storage_error(error, f"saving the training at step {state.step}") from error
    try:
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.tensors.items()}
        write_tensors(made / _TENSORS, arrays, {})
        values: dict[str, Any] = {
            "schema": STATE_SCHEMA,
            "step": state.step,
            "position": state.position,
            "inputs": state.inputs,
            "tensors_sha256": digest_file(made / _TENSORS),
        }
        write_json(made / _STATE, values)
        replace_directory(made, directory / f"step-{state.step:06d}")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    for old in _checkpoints(directory)[:-_NUM_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_newest_state(directory: Path, inputs: str, progress: Progress) -> TrainingState | None:
    """Load the newest checkpoint that is undamaged; None if there is none.

    Args:
        directory: Where checkpoints are.
        inputs: Digest that the checkpoint must have been made with.
        progress: Told about a damaged checkpoint that is passed over.

    Raises:
        DataError: If the checkpoint belongs to another configuration or other data.
    """
    for path in reversed(_checkpoints(directory)):
        try:
            state = _load(path)
        except (DataError, StorageError) as error:
            progress.say(
                f"passing over a damaged checkpoint, going on from the one before: {error}"
            )
            continue
        if state.inputs != inputs:
            raise DataError(
                f"{path} belongs to a training with another configuration or other data; "
                "give the new training a directory of its own"
            )
        return state
    return None


def clear_leftovers(directory: Path) -> None:
    """Remove what a killed process had not committed."""
    for path in sorted(directory.glob(f"{TEMPORARY_PREFIX}*")):
        shutil.rmtree(path, ignore_errors=True)


def _checkpoints(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-[0-9]*"))


def _load(path: Path) -> TrainingState:
    values = read_json(path / _STATE)
    if not isinstance(values, dict) or values.get("schema") != STATE_SCHEMA:
        raise DataError(f"{path / _STATE} is not a training state of schema {STATE_SCHEMA}")
    if digest_file(path / _TENSORS) != values["tensors_sha256"]:
        raise IntegrityError(f"{path / _TENSORS} is damaged: its hash is not the recorded one")
    arrays, _ = read_tensors(path / _TENSORS)
    return TrainingState(
        step=values["step"],
        position=values["position"],
        inputs=values["inputs"],
        # Copied into memory that torch allocated: operators may treat other alignments otherwise.
        tensors={name: torch.from_numpy(array).clone() for name, array in arrays.items()},
    )
