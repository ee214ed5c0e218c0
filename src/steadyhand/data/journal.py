"""The live episode's journal: every step is on disk before the next one, framed and checked.

    file   = magic, record*          record = length uint32, crc32 uint32, payload
    first payload: JSON of key, instruction and facts;  then one payload per step: raw arrays

A record that is cut or does not match its checksum ends the journal. The episode in it is only
committed from a live recorder; what a crash leaves behind is counted and dropped.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Fact
from steadyhand.contracts.errors import DatasetError, storage_error
from steadyhand.contracts.specs import ArraySpec
from steadyhand.data.trials import key_from_json
from steadyhand.store.canonical import canonical_json

MAGIC = b"SHJ1"
HEADER = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class JournalHead:
    """What a journal says about its episode.

    Args:
        key: Name of the episode.
        instruction: The task in words.
        facts: Facts known at its beginning.
    """

    key: EpisodeKey
    instruction: str
    facts: Mapping[str, Fact]


class Journal:
    """Appends steps to a file and reads them back.

    Args:
        path: The journal file.
        specs: Specs of the arrays of one step, in file order.
    """

    def __init__(self, path: Path, specs: Sequence[ArraySpec]) -> None:
        self._path = path
        self._specs = tuple(specs)
        self._step_bytes = sum(spec.nbytes for spec in self._specs)
        self._descriptor: int | None = None
        self._size = 0
        self.num_steps = 0

    def begin(self, head: JournalHead) -> None:
        """Start a new journal, replacing an old one.

        Raises:
            StorageError: If it cannot be written.
        """
        value = {
            "task": head.key.task,
            "task_version": head.key.task_version,
            "seed": head.key.seed,
            "index": head.key.index,
            "instruction": head.instruction,
            "facts": dict(head.facts),
        }
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError as error:
            raise storage_error(error, "starting a journal") from error
        self._size, self.num_steps = 0, 0
        self._write(MAGIC + _framed(canonical_json(value)))

    def append(self, step: Mapping[str, NDArray[Any]]) -> None:
        """Write one step; after a failed write the steps before it are still there.

        Args:
            step: Validated arrays, one per spec.

        Raises:
            StorageError: If it cannot be written, e.g. because the disk is full.
        """
        payload = b"".join(np.ascontiguousarray(step[s.name]).tobytes() for s in self._specs)
        self._write(_framed(payload))
        self.num_steps += 1

    def read(self) -> dict[str, NDArray[Any]]:
        """Read all steps back.

        Returns:
            Arrays (T, ...) by name.

        Raises:
            DatasetError: If fewer steps are readable than were appended.
        """
        payloads = list(_payloads(self._path))[1:]
        if len(payloads) != self.num_steps:
            raise DatasetError(
                f"{self._path}: {self.num_steps} steps were recorded, {len(payloads)} are "
                "readable; the disk damaged the episode: discard it and record it again"
            )
        return _unpack(b"".join(payloads), self._specs, self.num_steps)

    def remove(self) -> None:
        """Close and delete the journal."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            raise DatasetError("no episode is being recorded; call begin() first")
        try:
            view, offset = memoryview(data), self._size
            while view:
                done = os.pwrite(self._descriptor, view, offset)
                view, offset = view[done:], offset + done
        except OSError as error:
            raise storage_error(error, f"recording step {self.num_steps}") from error
        self._size += len(data)


def read_leftover(path: Path) -> tuple[JournalHead | None, int]:
    """Say what a journal left by a crash holds.

    Returns:
        Its head, or None if not even that is whole, and the number of whole steps.
    """
    payloads = list(_payloads(path))
    if not payloads:
        return None, 0
    try:
        value = json.loads(payloads[0])
        head = JournalHead(key_from_json(value), value["instruction"], value["facts"])
    except (ValueError, KeyError, TypeError):
        return None, 0
    return head, len(payloads) - 1


def _framed(payload: bytes) -> bytes:
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _payloads(path: Path) -> Iterator[bytes]:
    """Yield whole payloads until the first one that is cut or damaged."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, checksum = HEADER.unpack(header)
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            yield payload


def _unpack(data: bytes, specs: Sequence[ArraySpec], count: int) -> dict[str, NDArray[Any]]:
    fields = [(spec.name, np.dtype(spec.dtype), spec.shape) for spec in specs]
    table = np.frombuffer(data, np.dtype(fields), count)
    return {spec.name: np.ascontiguousarray(table[spec.name]) for spec in specs}
