"""SIGKILL an operation before every system call it makes, and check what is left each time.

Started by test_crashes.py in a process of its own, because it forks once per call:
``killed_everywhere.py OPERATION DIRECTORY`` prints how many kills it survived.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steadyhand.store.actions import ActionCache
from steadyhand.store.atomic import replace_directory, write_file
from steadyhand.store.canonical import digest
from steadyhand.store.local_store import LocalStore
from steadyhand.store.signing import create_key, load_private_key, load_public_key
from steadyhand.store.trees import checkout, hash_tree, put_tree

DATA = b"precious" * 1000


@dataclass(frozen=True)
class Operation:
    """What is prepared, what is killed, and what must hold afterwards."""

    prepare: Callable[[Path], object]
    operate: Callable[[Path], object]
    check: Callable[[Path], None]


def write_directory(path: Path, content: str) -> None:
    path.mkdir()
    for name in ("first", "second"):
        (path / name).write_text(content)


def check_directory(path: Path) -> None:
    contents = {p.name: p.read_text() for p in path.iterdir()}
    assert set(contents) == {"first", "second"}, contents
    assert set(contents.values()) in ({"old"}, {"new"}), contents


def check_object(root: Path) -> None:
    store = LocalStore(root)
    if store.has(digest(DATA)):
        assert store.get(digest(DATA)) == DATA
    assert store.get(store.put(DATA)) == DATA


def check_action(root: Path) -> None:
    cache = ActionCache(root)
    assert cache.get("key") in (None, {"output": "a"})
    cache.put("key", {"output": "a"})


def check_key(root: Path) -> None:
    private = root / "release.private.json"
    if private.exists():
        assert load_private_key(private).public.name == "release"
    else:
        create_key(root, "release")
    if (root / "release.public.json").exists():
        assert load_public_key(root / "release.public.json") == load_private_key(private).public


def prepare_checkout(root: Path) -> None:
    write_directory(root / "source", "new")
    put_tree(LocalStore(root / "store"), root / "source")
    write_directory(root / "final", "old")


def check_file(root: Path) -> None:
    assert (root / "file").read_bytes() in (b"old", DATA)


OPERATIONS = {
    "put": Operation(lambda _: None, lambda root: LocalStore(root).put(DATA), check_object),
    "write_file": Operation(
        lambda root: write_file(root / "file", b"old"),
        lambda root: write_file(root / "file", DATA),
        check_file,
    ),
    "action": Operation(
        lambda _: None, lambda root: ActionCache(root).put("key", {"output": "a"}), check_action
    ),
    "create_key": Operation(lambda _: None, lambda root: create_key(root, "release"), check_key),
    "replace_directory": Operation(
        lambda root: [write_directory(root / name, name) for name in ("old", "new")],
        lambda root: replace_directory(root / "new", root / "old"),
        lambda root: check_directory(root / "old"),
    ),
    "checkout": Operation(
        prepare_checkout,
        lambda root: checkout(
            LocalStore(root / "store"), hash_tree(root / "source"), root / "final"
        ),
        lambda root: check_directory(root / "final"),
    ),
}


def killed_at_call(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that kills itself before a call; return whether it got that far."""
    child = os.fork()
    if child == 0:
        calls = 0

        def profile(_frame, event, function):
            nonlocal calls
            if event == "c_call":
                owner = type(getattr(function, "__self__", None)).__module__
                calls += owner == "_io" or function.__module__ in {"posix", "_io"}
                if calls > number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(profile)
        work()
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def main(operation: Operation, root: Path) -> int:
    number = 0
    while True:
        directory = root / str(number)
        directory.mkdir(parents=True)
        operation.prepare(directory)
        was_killed = killed_at_call(number, lambda: operation.operate(directory))  # noqa: B023
        operation.check(directory)
        if not was_killed:
            return number
        number += 1


if __name__ == "__main__":
    sys.stdout.write(f"{main(OPERATIONS[sys.argv[1]], Path(sys.argv[2]))}\n")
