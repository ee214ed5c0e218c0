"""How many threads torch computes with: chosen for a while, then put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with this many threads inside the block.

    Sums split over threads round differently, so results are the same bits everywhere only if
    the number is the same everywhere. Inference always uses one.

    Args:
        count: Threads per operator.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
