"""Shared memory between processes: the newest value of something, and a few flags.

One writer, many readers, no locks: a reader or writer that is killed leaves nothing held. The
creator's resource tracker removes the memory when its process tree dies, even by SIGKILL;
attaching never takes over that duty. It knows arrays and specs, nothing about robots.
"""

import _posixshmem  # type: ignore[import-not-found]  # a C module of CPython without stubs
import json
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import DataError, StorageError, storage_error
from steadyhand.contracts.specs import Arrays, Specs

_MAGIC = 0x5348_4C56_0001
_HEADER = struct.Struct("<QQQQ")  # magic, layout, number of slots, newest sequence
_NEWEST_OFFSET = 24
_SLOT = struct.Struct("<QdQ")  # sequence, stamp [s], CRC over both and the payload
_ALIGNMENT = 64
_ATTEMPTS = 8

Latest = tuple[dict[str, NDArray[Any]], float, int]


def _map(name: str, size: int | None) -> mmap.mmap:
    """Map a segment; a size creates it, None attaches to what exists."""
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if size is not None else 0)
    try:
        descriptor = _posixshmem.shm_open(f"/{name}", flags, mode=0o600)
    except FileNotFoundError as error:
        raise StorageError(
            f"shared memory {name!r} does not exist; its creator has ended or was never started"
        ) from error
    except OSError as error:
        raise storage_error(error, f"opening shared memory {name!r}") from error
    try:
        if size is not None:
            # Registered first: if this process dies in between, the tracker still cleans up.
            resource_tracker.register(f"/{name}", "shared_memory")
            # posix_fallocate, not ftruncate: a full /dev/shm must fail here, not as SIGBUS later.
            os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size if size is not None else os.fstat(descriptor).st_size)
    except (OSError, ValueError) as error:
        if size is not None:
            _unlink(name)
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise storage_error(cause, f"mapping shared memory {name!r}") from error
    finally:
        os.close(descriptor)


def _unlink(name: str) -> None:
    with suppress(FileNotFoundError):
        _posixshmem.shm_unlink(f"/{name}")
        resource_tracker.unregister(f"/{name}", "shared_memory")


def remove(name: str) -> None:
    """Remove shared memory by name, if it is still there: for what a killed process left.

    Only from the process tree of its creator, whose resource tracker remembers it.
    """
    _unlink(name)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _layout_of(value: object) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


@final
class LatestValue:
    """The newest of a series of named arrays, with the time it belongs to.

    A ring of slots: the writer never waits, and a reader that is overtaken while it copies sees a
    wrong CRC and takes the newer slot. A writer that dies in mid-write leaves the previous value;
    its successor attaches and goes on with the next sequence number.
    """

    def __init__(self, name: str, specs: Specs, memory: mmap.mmap, num_slots: int) -> None:
        self.name = name
        self._memory = memory
        self._num_slots = num_slots
        self._specs = {key: replace(spec, name=key) for key, spec in specs.items()}
        payload = sum(_aligned(spec.nbytes) for spec in specs.values())
        self._slot_size = _aligned(_SLOT.size) + payload
        self._sequence = self.newest_sequence
        self._slots = [self._views(i) for i in range(num_slots)]

    @classmethod
    def create(cls, name: str, specs: Specs, num_slots: int = 4) -> "LatestValue":
        """Create the shared memory; nothing is published yet.

        Args:
            name: Unique name of at most 200 characters, without slashes.
            specs: The arrays of one value.
            num_slots: At least 2; a reader fails only if overtaken this many times in one copy.

        Raises:
            StorageError: If the name exists or there is no room.
        """
        if num_slots < 2:
            raise ValueError(f"num_slots must be at least 2, got {num_slots}")
        payload = sum(_aligned(spec.nbytes) for spec in specs.values())
        size = _aligned(_HEADER.size) + num_slots * (_aligned(_SLOT.size) + payload)
        memory = _map(name, size)
        _HEADER.pack_into(memory, 0, _MAGIC, cls._layout(specs), num_slots, 0)
        return cls(name, specs, memory, num_slots)

    @classmethod
    def attach(cls, name: str, specs: Specs) -> "LatestValue":
        """Attach to shared memory that another process created.

        Raises:
            StorageError: If it does not exist.
            DataError: If it holds something else than ``specs``.
        """
        memory = _map(name, None)
        magic, layout, num_slots, _ = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC or layout != cls._layout(specs):
            memory.close()
            raise DataError(
                f"shared memory {name!r} holds other arrays than {sorted(specs)}; "
                "start all processes of a session with the same version and specs"
            )
        return cls(name, specs, memory, num_slots)

    @staticmethod
    def _layout(specs: Specs) -> int:
        return _layout_of([[k, list(s.shape), s.dtype] for k, s in specs.items()])

    def _views(self, index: int) -> dict[str, NDArray[Any]]:
        offset = self._slot_offset(index) + _aligned(_SLOT.size)
        views: dict[str, NDArray[Any]] = {}
        for key, spec in self._specs.items():
            flat: NDArray[Any] = np.frombuffer(
                self._memory, spec.dtype, spec.nbytes // np.dtype(spec.dtype).itemsize, offset
            )
            views[key] = flat.reshape(spec.shape)
            offset += _aligned(spec.nbytes)
        return views

    def _slot_offset(self, index: int) -> int:
        return _aligned(_HEADER.size) + index * self._slot_size

    @property
    def newest_sequence(self) -> int:
        """Sequence number of the newest value; 0 before the first. Cheap enough to poll."""
        return int(struct.unpack_from("<Q", self._memory, _NEWEST_OFFSET)[0])

    def publish(self, values: Arrays, stamp_s: float) -> int:
        """Make a value the newest; never waits. Only one process may publish.

        Args:
            values: One array per spec, of its shape and dtype (surplus keys are ignored).
            stamp_s: Time [s] the value belongs to.

        Returns:
            Its sequence number, starting at 1.

        Raises:
            SpecError: If an array has another shape or dtype.
            KeyError: If an array is missing.
        """
        for key, spec in self._specs.items():
            if values[key].shape != spec.shape or values[key].dtype != np.dtype(spec.dtype):
                spec.validate(values[key])
        sequence = self._sequence + 1
        slot, offset = (
            self._slots[sequence % self._num_slots],
            self._slot_offset(sequence % self._num_slots),
        )
        _SLOT.pack_into(self._memory, offset, 0, 0.0, 0)  # invalid while it is being written
        crc = zlib.crc32(struct.pack("<Qd", sequence, stamp_s))
        for key, view in slot.items():
            np.copyto(view, values[key])
            crc = zlib.crc32(view.data, crc)
        _SLOT.pack_into(self._memory, offset, sequence, stamp_s, crc)
        struct.pack_into("<Q", self._memory, _NEWEST_OFFSET, sequence)
        self._sequence = sequence
        return sequence

    def read(self) -> Latest | None:
        """Return a copy of the newest value, its stamp [s] and sequence number.

        Returns:
            None before the first value, and in the rare case that every attempt was overtaken.
        """
        for _ in range(_ATTEMPTS):
            newest = self.newest_sequence
            if newest == 0:
                return None
            # Normally the newest slot; after a torn write the one before it.
            for sequence in range(newest, max(0, newest - self._num_slots + 1), -1):
                found = self._copy_of(sequence)
                if found is not None:
                    return found
        return None

    def _copy_of(self, sequence: int) -> Latest | None:
        index = sequence % self._num_slots
        stored, stamp_s, stored_crc = _SLOT.unpack_from(self._memory, self._slot_offset(index))
        if stored != sequence:
            return None
        values = {key: view.copy() for key, view in self._slots[index].items()}
        crc = zlib.crc32(struct.pack("<Qd", sequence, stamp_s))
        for copy in values.values():
            crc = zlib.crc32(copy.data, crc)
        return (values, stamp_s, sequence) if crc == stored_crc else None

    def close(self) -> None:
        """Unmap it here; others keep it. Calling it twice is fine."""
        self._slots = []
        with suppress(BufferError):  # somebody still holds a view: unmapped when they let go
            self._memory.close()

    def unlink(self) -> None:
        """Remove the name; memory goes when the last process lets go. Twice is fine."""
        _unlink(self.name)


@final
class Flags:
    """A few named 8-byte words: heartbeats, stop flags, counters.

    Each word is read and written whole; words are independent of one another. A word holds an
    integer or a float, by the accessor that is used for it.
    """

    def __init__(self, name: str, words: Sequence[str], memory: mmap.mmap) -> None:
        self.name = name
        self._memory = memory
        self._index = {word: i for i, word in enumerate(words)}
        count, offset = len(words), _aligned(_HEADER.size)
        self._integers: NDArray[np.int64] = np.frombuffer(memory, np.int64, count, offset)
        self._reals: NDArray[np.float64] = np.frombuffer(memory, np.float64, count, offset)

    @classmethod
    def create(cls, name: str, words: Sequence[str]) -> "Flags":
        """Create the words, all zero.

        Raises:
            StorageError: If the name exists or there is no room.
        """
        memory = _map(name, _aligned(_HEADER.size) + 8 * len(words))
        _HEADER.pack_into(memory, 0, _MAGIC, _layout_of(list(words)), 0, 0)
        return cls(name, words, memory)

    @classmethod
    def attach(cls, name: str, words: Sequence[str]) -> "Flags":
        """Attach to words that another process created.

        Raises:
            StorageError: If they do not exist.
            DataError: If the names of the words differ.
        """
        memory = _map(name, None)
        magic, layout, _, _ = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC or layout != _layout_of(list(words)):
            memory.close()
            raise DataError(f"shared memory {name!r} holds other words than {list(words)}")
        return cls(name, words, memory)

    def get(self, word: str) -> int:
        """Return a word as an integer."""
        return int(self._integers[self._index[word]])

    def set(self, word: str, value: int) -> None:
        """Store an integer; visible to every process at once."""
        self._integers[self._index[word]] = value

    def get_real(self, word: str) -> float:
        """Return a word as a float."""
        return float(self._reals[self._index[word]])

    def set_real(self, word: str, value: float) -> None:
        """Store a float; visible to every process at once."""
        self._reals[self._index[word]] = value

    def close(self) -> None:
        """Unmap it here; others keep it. Calling it twice is fine."""
        self._integers = np.empty(0, np.int64)
        self._reals = np.empty(0, np.float64)
        with suppress(BufferError):
            self._memory.close()

    def unlink(self) -> None:
        """Remove the name; memory goes when the last process lets go. Twice is fine."""
        _unlink(self.name)
