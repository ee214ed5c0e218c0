"""Chance is passed in: streams of random numbers named by what they are for.

A stream depends on its keys alone, never on the number of workers or the order of calls.
"""

import hashlib

import numpy as np

Key = int | str

_POOL_WORDS = 4


def seed_sequence(*keys: Key) -> np.random.SeedSequence:
    """Build a seed sequence from a path of keys.

    Args:
        *keys: Integers from 0 to 2**64 - 1 and strings, e.g. ``("collect", seed, episode)``.

    Returns:
        A sequence that is equal for equal keys and independent for different ones.

    Raises:
        ValueError: If an integer key is negative or too large.
    """
    words: list[int] = []
    for key in keys:
        if isinstance(key, str):
            words += np.frombuffer(hashlib.sha256(key.encode()).digest()[:16], "<u4").tolist()
        elif not 0 <= key < 2**64:
            raise ValueError(f"seed keys must be from 0 to 2**64 - 1, got {key}")
        else:
            words += [key & 0xFFFFFFFF, key >> 32]
    if len(words) < _POOL_WORDS:
        # numpy fills a short path with zeros, so that (1,) and (1, 0) would be the same.
        words += [0] * (_POOL_WORDS - len(words)) + [len(keys)]
    return np.random.SeedSequence(words)


def stream(*keys: Key) -> np.random.Generator:
    """Return the generator named by a path of keys (see :func:`seed_sequence`)."""
    return np.random.Generator(np.random.PCG64(seed_sequence(*keys)))


def seed_for_torch(*keys: Key) -> int:
    """Return a 63-bit seed for ``torch.Generator.manual_seed``, named by a path of keys."""
    return int(seed_sequence(*keys).generate_state(1, np.uint64)[0]) >> 1
