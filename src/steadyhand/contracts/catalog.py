"""Look a name up in a literal table, with an error that helps. Nothing registers itself."""

from collections.abc import Mapping
from typing import TypeVar

from steadyhand.contracts.errors import UnknownNameError

T = TypeVar("T")


def lookup(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return ``table[name]``.

    Args:
        kind: What the table holds, for the message, e.g. ``"policy"``.
        name: The requested entry.
        table: The catalog.

    Returns:
        The entry.

    Raises:
        UnknownNameError: If the name is not there; names the nearest match.
    """
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
