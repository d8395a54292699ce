"""Completing a list that a model leaves short, openly."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, IntMatrix, IntVector
from zhiyin.data.histories import Histories

FILLED = "popularity (fill)"
"""The source of an item that completes a list which the model itself left short."""


def fill(items: IntMatrix, histories: Histories, exclude_seen: bool, order: IntVector, n_items: int) -> AnyArray:
    """Complete short lists in place with the first items of `order`; return which places (n, k) were filled, as 0/1."""
    source = np.zeros(items.shape, np.uint8)
    short = np.flatnonzero((items < 0).any(axis=1))
    if not len(short):
        return source
    listed = np.count_nonzero(items[short] >= 0, axis=1)
    seen = histories.take(short) if exclude_seen else Histories.of_lists([[]] * len(short))
    head = order[: items.shape[1] + int((seen.lengths + listed).max())]
    free = _free(items[short], seen, head, n_items)
    free &= np.cumsum(free, axis=1) <= (items.shape[1] - listed)[:, None]
    row, place = np.nonzero(free)
    column = listed[row] + np.arange(len(row)) - np.searchsorted(row, row)
    items[short[row], column] = head[place]
    source[short[row], column] = 1
    return source


def _free(listed: IntMatrix, seen: Histories, head: IntVector, n_items: int) -> AnyArray:
    """(n, len(head)) bool: which items of `head` are neither listed nor seen."""
    free = np.ones((len(listed), len(head) + 1), bool)  # the last column is for items that are not in the head
    place = np.full(n_items + 1, len(head), np.int32)  # the last one is for -1, no item
    place[head] = np.arange(len(head))
    free[np.arange(len(listed))[:, None], place[listed]] = False
    free[seen.owner(), place[seen.item]] = False
    return free[:, :-1]
