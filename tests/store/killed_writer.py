"""Writes until it is killed, and says a dot after each thing done; started by test_crashes.py."""

import itertools
import random
import sys
from pathlib import Path

from steadyhand.store.atomic import replace_directory, write_file, write_json
from steadyhand.store.local_store import LocalStore


def put_objects(root: Path) -> None:
    """Objects of up to 1 MB; done.json names those that were reported stored."""
    store, chance, done = LocalStore(root), random.Random(0), []
    while True:
        done.append(store.put(chance.randbytes(chance.randrange(1, 1_000_000))))
        write_json(root / "done.json", done)
        say()


def replace_directories(root: Path) -> None:
    """One directory, again and again, always with two files of the same content."""
    for number in itertools.count():
        made = root / "made"
        for name in ("first", "second"):
            write_file(made / name, str(number).encode())
        replace_directory(made, root / "final")
        say()


def say() -> None:
    sys.stdout.write(".")
    sys.stdout.flush()


if __name__ == "__main__":
    {"objects": put_objects, "directories": replace_directories}[sys.argv[1]](Path(sys.argv[2]))
