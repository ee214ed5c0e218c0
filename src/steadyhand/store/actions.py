"""The action cache: what a stage with a given key produced. Create-only, so it cannot lie later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, IntegrityError, UsageError
from steadyhand.store.atomic import create_file, read_json
from steadyhand.store.canonical import canonical_json


class ActionCache:
    """Maps the key of an action (a SHA-256 over all that decides its result) to its result.

    Args:
        root: Directory; created on the first put.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def _path(self, key: str) -> Path:
        if not key or "/" in key or key.startswith("."):
            raise UsageError(f"action key {key!r} is no plain name; use the hash of the action")
        return self.root / f"{key}.json"

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the recorded result, or None.

        Raises:
            DataError: If the record is damaged.
        """
        path = self._path(key)
        if not path.exists():
            return None
        value = read_json(path)
        if not isinstance(value, dict):
            raise DataError(f"{path} is no action record; remove it and run again")
        return value

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Record a result; recording the same again is a no-op, also at the same time.

        Raises:
            IntegrityError: If another result is recorded under this key.
        """
        data = canonical_json(dict(value))
        if create_file(self._path(key), data + b"\n"):
            return
        if canonical_json(self.get(key)) != data:
            raise IntegrityError(
                f"action {key[:12]} already has another result in {self.root}: the stage is not "
                "deterministic, or its version was not raised when its code changed"
            )
