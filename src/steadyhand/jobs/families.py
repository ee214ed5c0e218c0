"""Families of episodes: training, validation and test never meet the same initial states."""

from collections.abc import Mapping

from steadyhand.contracts.catalog import lookup

# A recipe's seed s owns the families 10 s .. 10 s + 9, so that no two recipes share one.
PURPOSES: Mapping[str, int] = {"demonstrations": 0, "validation": 1, "test": 2, "realtime": 3}


def family(seed: int, purpose: str) -> int:
    """Return the seed of a family of episodes.

    Args:
        seed: Seed of the recipe.
        purpose: A key of ``PURPOSES``.

    Raises:
        UnknownNameError: On another purpose.
    """
    return 10 * seed + lookup("purpose", purpose, PURPOSES)
