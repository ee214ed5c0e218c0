"""Every store keeps the contract of object stores."""

from steadyhand.contracts.conformance.object_store import check_object_store
from steadyhand.store.local_store import LocalStore


def test_the_local_store_conforms(tmp_path):
    store = LocalStore(tmp_path)

    def damage(digest):
        path = store.open_path(digest)
        path.chmod(0o644)
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    check_object_store(store, damage)
