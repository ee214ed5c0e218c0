"""Rules of :class:`steadyhand.contracts.object_store.ObjectStore`."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from steadyhand.contracts.conformance.findings import Findings
from steadyhand.contracts.errors import IntegrityError, StorageError
from steadyhand.contracts.object_store import ObjectStore
from steadyhand.contracts.seeds import stream

_SIZES = (0, 1, 1000, 3_000_000)
_NUM_WRITERS = 8


def check_object_store(store: ObjectStore, damage: Callable[[str], None] | None = None) -> None:
    """Try every rule of a store; it keeps the objects that are put.

    Args:
        store: A store for trying things out.
        damage: Changes a byte of the object of this digest behind the store's back; None where
            the store cannot be reached from behind, which leaves that rule untried.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    findings = Findings(f"object store {type(store).__name__}")
    rng = stream("conformance", "object store")
    objects = {hashlib.sha256(d).hexdigest(): d for d in map(rng.bytes, _SIZES)}
    with findings.rule("put() and get()"):
        _check_round_trip(store, objects, findings)
    with findings.rule("list()"):
        listed = list(store.list())
        findings.expect(listed == sorted(listed), "list() must be sorted")
        findings.expect(len(set(listed)) == len(listed), "list() must name each object once")
        findings.expect(set(objects) <= set(listed), "list() must name every object")
    with findings.rule("what is not there"):
        _check_missing(store, findings)
    with findings.rule("several writers at once"):
        data = rng.bytes(200_000)
        with ThreadPoolExecutor(_NUM_WRITERS) as pool:
            names = set(pool.map(store.put, [data] * _NUM_WRITERS))
        findings.expect(
            len(names) == 1 and store.get(names.pop()) == data,
            "several writers of the same bytes must all get the same, readable object",
        )
    if damage is not None:
        with findings.rule("a damaged object"):
            name = store.put(b"precious")
            damage(name)
            with findings.raises("get() of a damaged object", IntegrityError):
                store.get(name)
    findings.raise_if_any()


def _check_round_trip(store: ObjectStore, objects: dict[str, bytes], findings: Findings) -> None:
    for attempt in ("put()", "put() of the same bytes again"):
        for name, data in objects.items():
            findings.expect(store.put(data) == name, f"{attempt} must return the SHA-256")
    for name, data in objects.items():
        findings.expect(store.has(name), "has() must find what was put")
        findings.expect(
            store.get(name) == data, f"get() must return what was put ({len(data)} bytes)"
        )


def _check_missing(store: ObjectStore, findings: Findings) -> None:
    missing = "0" * 64
    findings.expect(not store.has(missing), "has() must not find what was never put")
    with findings.raises("get() of an object that does not exist", StorageError):
        store.get(missing)
    findings.expect(
        missing not in set(store.list()), "asking for an object must not make it appear"
    )
