"""In which order rows are trained on: an endless stream of seeded permutations.

The stream is a function of the seed; a position in it is all there is to save. So any row is
visited once per pass, and a resumed training goes on with exactly the row it would have had.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.seeds import stream

Rows = NDArray[np.int64]


def draw_rows(seed: int, num_rows: int, position: int, count: int) -> Rows:
    """Return a stretch of the stream.

    Args:
        seed: Seed of the stream.
        num_rows: Rows per pass, at least 1.
        position: Where the stretch begins, counted from the start of the stream.
        count: Its length; it may span passes.

    Returns:
        int64 (count,) in 0..num_rows - 1.
    """
    drawn: list[Rows] = []
    while count > 0:
        which_pass, offset = divmod(position, num_rows)
        part = _permutation(seed, num_rows, which_pass)[offset : offset + count]
        drawn.append(part)
        position, count = position + len(part), count - len(part)
    return np.concatenate(drawn)


@lru_cache(maxsize=4)
def _permutation(seed: int, num_rows: int, which_pass: int) -> Rows:
    order = stream("training", "data order", seed, which_pass).permutation(num_rows)
    order.setflags(write=False)
    return order
