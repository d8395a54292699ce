"""Blocks: a log of any size in portions of whole users, so that memory does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zhiyin.arrays import LongVector


def blocks_of(offsets: LongVector, events: int) -> Iterator[tuple[int, int]]:
    """Yield (first user, user beyond the last) of blocks of at most `events` events; a user with more is one alone.

    >>> list(blocks_of(np.array([0, 2, 3, 9, 10]), 3))
    [(0, 2), (2, 3), (3, 4)]
    """
    start, last = 0, len(offsets) - 1
    while start < last:
        limit = int(offsets[start]) + events
        stop = max(start + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        yield start, stop
        start = stop
