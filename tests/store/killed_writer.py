"""Puts objects and trees until it is killed; started by test_crashes.py."""

import sys
from pathlib import Path

import numpy as np

from steadyhand.store.atomic import write_json
from steadyhand.store.local_store import LocalStore


def main(root: str) -> None:
    store = LocalStore(Path(root))
    chance = np.random.default_rng(0)
    done = []
    for size in range(1, 10_000):
        data = chance.bytes(size * 500)
        done.append(store.put(data))
        write_json(Path(root) / "done.json", done)
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
