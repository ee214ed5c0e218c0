"""One of two writers that do the same at the same moment; started by test_store.py."""

import json
import os
import sys
from pathlib import Path

from steadyhand.contracts.errors import IntegrityError
from steadyhand.store.actions import ActionCache
from steadyhand.store.local_store import LocalStore


def put_objects(root: Path) -> list[str]:
    store = LocalStore(root)
    return [store.put(f"object {i}".encode() * 1000) for i in range(50)]


def put_actions(root: Path) -> list[int]:
    """Record a result that nobody else has; return the keys this process won."""
    cache, won = ActionCache(root), []
    for i in range(50):
        try:
            cache.put(f"action-{i}", {"made_by": os.getpid()})
            won.append(i)
        except IntegrityError:
            continue
    return won


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    work = {"objects": put_objects, "actions": put_actions}[sys.argv[1]]
    sys.stdout.write(json.dumps(work(Path(sys.argv[2]))))
