"""The kit passes a store in memory, and refuses stores that lie."""

import hashlib

import pytest

from steadyhand.contracts.conformance.object_store import check_object_store
from steadyhand.contracts.errors import ConformanceError, IntegrityError, StorageError


class Memory:
    """A store in memory, with one defect of choice."""

    def __init__(self, defect=""):
        self.defect = defect
        self.objects = {}

    def put(self, data):
        name = hashlib.sha256(data).hexdigest()
        if self.defect == "random names":
            name = hashlib.sha256(f"{len(self.objects)}".encode()).hexdigest()
        is_cut = self.defect == "cuts large ones"
        self.objects[name] = data[:1000] if is_cut else data
        return name

    def get(self, digest):
        if digest not in self.objects:
            if self.defect == "KeyError":
                raise KeyError(digest)
            if self.defect == "makes it up":
                return b""
            raise StorageError(digest)
        data = self.objects[digest]
        is_checked = self.defect not in {"checks nothing", "cuts large ones"}
        if is_checked and hashlib.sha256(data).hexdigest() != digest:
            raise IntegrityError(digest)
        return data

    def has(self, digest):
        return digest in self.objects or self.defect == "has everything"

    def list(self):
        names = sorted(self.objects)
        return iter(names[::-1] if self.defect == "unsorted" else names)

    def damage(self, digest):
        self.objects[digest] = b"\0" + self.objects[digest][1:]


def test_a_store_that_keeps_the_contract_passes():
    store = Memory()
    check_object_store(store, store.damage)


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("random names", r"put\(\) must return the SHA-256"),
        ("cuts large ones", r"get\(\) must return what was put \(3000000 bytes\)"),
        ("KeyError", "does not exist: must raise StorageError, raised KeyError"),
        ("makes it up", "does not exist: must raise StorageError, raised nothing"),
        ("has everything", r"has\(\) must not find what was never put"),
        ("unsorted", r"list\(\) must be sorted"),
        ("checks nothing", r"get\(\) of a damaged object: must raise IntegrityError"),
    ],
)
def test_a_broken_rule_is_named(defect, violation):
    store = Memory(defect)
    with pytest.raises(ConformanceError, match=violation):
        check_object_store(store, store.damage)
