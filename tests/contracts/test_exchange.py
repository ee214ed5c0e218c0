"""Shared memory: latest value and flags, with readers and writers that die."""

import multiprocessing
import os
import secrets
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import DataError, SpecError, StorageError
from steadyhand.contracts.exchange import Flags, LatestValue, remove
from steadyhand.contracts.specs import ArraySpec

SPECS = {
    "picture": ArraySpec("picture", (16, 16, 3), "uint8"),
    "number": ArraySpec("number", (1,), "int64"),
}
BIG = {"a": ArraySpec("a", (4096,), "int64"), "b": ArraySpec("b", (4096,), "int64")}


def value(number):
    return {
        "picture": np.full((16, 16, 3), number % 256, np.uint8),
        "number": np.array([number], np.int64),
    }


@pytest.fixture
def name():
    return f"steadyhand-test-{secrets.token_hex(6)}"


@pytest.fixture
def latest(name):
    latest = LatestValue.create(name, SPECS)
    yield latest
    latest.unlink()
    latest.close()


def test_nothing_is_read_before_something_is_published(latest):
    assert latest.read() is None
    assert latest.newest_sequence == 0


def test_a_reader_gets_the_newest_value_its_stamp_and_its_number(latest, name):
    reader = LatestValue.attach(name, SPECS)
    for i in range(1, 10):
        assert latest.publish(value(i), stamp_s=i / 2) == i
    values, stamp_s, sequence = reader.read()
    assert (stamp_s, sequence, values["number"][0]) == (4.5, 9, 9)
    np.testing.assert_array_equal(values["picture"], value(9)["picture"])
    reader.close()


def test_what_was_read_is_a_copy_that_later_values_do_not_change(latest):
    latest.publish(value(1), 0.0)
    values, _, _ = latest.read()
    for i in range(2, 12):
        latest.publish(value(i), 0.0)
    assert values["number"][0] == 1


@given(numbers=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_series_of_values_ends_with_its_last(numbers):
    name = f"steadyhand-test-{secrets.token_hex(6)}"
    latest = LatestValue.create(name, SPECS, num_slots=2)
    try:
        for i, number in enumerate(numbers):
            latest.publish(value(number), float(i))
        values, stamp_s, sequence = latest.read()
        assert (values["number"][0], stamp_s, sequence) == (
            numbers[-1],
            len(numbers) - 1,
            len(numbers),
        )
    finally:
        latest.unlink()
        latest.close()


def test_a_torn_slot_is_never_returned_and_the_value_before_it_is(latest, name):
    latest.publish(value(1), 0.1)
    latest.publish(value(2), 0.2)
    with Path(f"/dev/shm/{name}").open("r+b") as file:
        data = bytearray(file.read())
        # The last byte of the newest payload: slot 2 of 4.
        slot = (len(data) - 64) // 4
        data[64 + 2 * slot + 64 + 10] ^= 0xFF
        file.seek(0)
        file.write(data)
    values, stamp_s, sequence = latest.read()
    assert (values["number"][0], stamp_s, sequence) == (1, 0.1, 1)


def test_a_writer_that_died_in_mid_write_leaves_the_previous_value(latest, name):
    latest.publish(value(1), 0.1)
    with Path(f"/dev/shm/{name}").open("r+b") as file:
        size = (os.fstat(file.fileno()).st_size - 64) // 4
        file.seek(64 + 2 * size)
        file.write(struct.pack("<QdQ", 0, 0.0, 0))  # slot 2 was begun and never finished
    assert latest.read()[2] == 1
    successor = LatestValue.attach(name, SPECS)
    assert successor.publish(value(7), 0.7) == 2
    assert latest.read()[0]["number"][0] == 7
    successor.close()


def _write_until_killed(name):
    latest = LatestValue.attach(name, BIG)
    i = 0
    while True:
        i += 1
        latest.publish({k: np.full(4096, i, np.int64) for k in BIG}, float(i))


def test_no_torn_value_is_ever_read_beside_a_writer_that_is_killed(name):
    """The arrays of one value always belong together, also around a SIGKILL in mid-write."""
    latest = LatestValue.create(name, BIG)
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_write_until_killed, args=(name,), daemon=True)
    try:
        writer.start()
        num_read = 0
        while num_read < 400:
            if num_read == 200:
                writer.kill()
                writer.join()
            found = latest.read()
            if found is None:
                continue
            values, stamp_s, sequence = found
            assert set(np.unique([values["a"], values["b"]])) == {int(stamp_s)}
            assert sequence == stamp_s
            num_read += 1
    finally:
        writer.kill()
        writer.join()
        latest.unlink()
        latest.close()


def test_wrong_shapes_and_missing_arrays_are_refused_and_publish_nothing(latest):
    with pytest.raises(SpecError, match=r"'number' must be int64\[1\], got float64\[1\]"):
        latest.publish({**value(1), "number": np.array([1.0])}, 0.0)
    with pytest.raises(KeyError, match="picture"):
        latest.publish({"number": np.array([1])}, 0.0)
    assert latest.read() is None


def test_attaching_says_what_is_wrong(latest, name):
    with pytest.raises(StorageError, match="does not exist; its creator has ended"):
        LatestValue.attach(f"{name}-none", SPECS)
    with pytest.raises(DataError, match="holds other arrays than"):
        LatestValue.attach(name, {"number": SPECS["number"]})
    with pytest.raises(DataError, match="holds other words"):
        Flags.attach(name, ("stop",))


def test_a_name_is_created_once(latest, name):
    with pytest.raises(StorageError, match="opening shared memory"):
        LatestValue.create(name, SPECS)
    latest.publish(value(3), 0.0)
    assert latest.read()[2] == 1


def test_a_ring_needs_two_slots(name):
    with pytest.raises(ValueError, match="num_slots must be at least 2"):
        LatestValue.create(name, SPECS, num_slots=1)


def test_flags_are_seen_by_every_attached_process(name):
    words = ("stop", "beat_s")
    flags = Flags.create(name, words)
    other = Flags.attach(name, words)
    flags.set("stop", -(2**62))
    other.set_real("beat_s", 12.25)
    assert other.get("stop") == -(2**62)
    assert flags.get_real("beat_s") == 12.25
    assert flags.get("stop") == -(2**62)
    for f in (other, flags):
        f.close()
        f.close()
    flags.unlink()
    flags.unlink()


def test_unlinking_removes_the_name_and_twice_is_fine(name):
    latest = LatestValue.create(name, SPECS)
    assert Path(f"/dev/shm/{name}").exists()
    latest.unlink()
    remove(name)
    assert not Path(f"/dev/shm/{name}").exists()
    latest.close()
    latest.close()


def test_memory_of_a_killed_creator_is_removed_and_attaching_never_removes_it(name):
    """SIGKILL runs no clean-up of the process itself; its resource tracker does it."""
    code = f"""
        import os, signal, sys
        from steadyhand.contracts.exchange import Flags
        Flags.create({name!r}, ("stop",))
        print("ready", flush=True)
        signal.pause()
    """
    creator = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert creator.stdout.readline() == b"ready\n"
    attach = f"from steadyhand.contracts.exchange import Flags; Flags.attach({name!r}, ('stop',))"
    subprocess.run([sys.executable, "-c", attach], check=True)
    assert Path(f"/dev/shm/{name}").exists()
    creator.send_signal(signal.SIGKILL)
    creator.wait()
    creator.stderr.read()  # until the resource tracker, which shares it, has ended
    assert not Path(f"/dev/shm/{name}").exists()
    creator.stdout.close()
    creator.stderr.close()
