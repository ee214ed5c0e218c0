"""The action cache: what a stage with a given key produced. Create-only, so it cannot lie later."""

from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import IntegrityError
from steadyhand.store.atomic import read_json, write_json


class ActionCache:
    """Maps the key of an action (a SHA-256 over all that decides its result) to its result.

    Args:
        root: Directory; created on the first put.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the recorded result, or None."""
        path = self.root / f"{key}.json"
        return read_json(path) if path.exists() else None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Record a result; recording the same again is a no-op.

        Raises:
            IntegrityError: If another result is recorded under this key.
        """
        known = self.get(key)
        if known is not None and known != value:
            raise IntegrityError(
                f"action {key[:12]} already has another result in {self.root}: the stage is not "
                "deterministic, or its version was not raised when its code changed"
            )
        if known is None:
            write_json(self.root / f"{key}.json", value)
