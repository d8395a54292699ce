"""Exact top-k over score blocks: nothing approximate, ties broken the same way everywhere.

Equal scores are ordered by item number, smaller first, so a list does not depend on the block size, the number of
threads or the other queries of the batch.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import BoolVector, FloatMatrix, IntMatrix, IntVector
from zhiyin.data.histories import Histories

NOTHING = np.float32(-np.inf)
"""The score of an item that must not, or cannot, be recommended."""


def hide(scores: FloatMatrix, histories: Histories) -> None:
    """Set the scores (n, n_items) of the items of each history to `NOTHING`, in place."""
    scores[histories.owner(), histories.item] = NOTHING


def top_k(scores: FloatMatrix, k: int) -> tuple[IntMatrix, FloatMatrix]:
    """The `k` best items of each row, best first; ties by item number. Items scored `NOTHING` or NaN never appear.

    Args:
        scores: (n, n_items) float32. NaNs are replaced by `NOTHING` in place.
        k: at most this many; rows with fewer candidates are padded.

    Returns:
        (n, k) item numbers, padded with -1, and (n, k) their scores, padded with NaN.
    """
    n_items = scores.shape[1]
    np.copyto(scores, NOTHING, where=np.isnan(scores))
    if k >= n_items:
        return _padded(np.argsort(-scores, axis=1, kind="stable").astype(np.int32), scores, k)
    best = np.argpartition(scores, n_items - k, axis=1)[:, n_items - k :].astype(np.int32)
    border = np.take_along_axis(scores, best, 1).min(axis=1)
    _settle_ties(scores, best, border)
    best.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return _padded(np.take_along_axis(best, order, 1), scores, k)


def _settle_ties(scores: FloatMatrix, best: IntMatrix, border: FloatMatrix) -> None:
    """Where several items share the score at the border of the list, put the smallest numbers inside; in place."""
    k = best.shape[1]
    shared = np.count_nonzero(scores >= border[:, None], axis=1) > k
    for row in np.flatnonzero(shared & (border > NOTHING)):
        above = np.flatnonzero(scores[row] > border[row])
        equal = np.flatnonzero(scores[row] == border[row])[: k - len(above)]
        best[row] = np.concatenate([above, equal])


def _padded(items: IntMatrix, scores: FloatMatrix, k: int) -> tuple[IntMatrix, FloatMatrix]:
    values = np.take_along_axis(scores, items, 1)
    nothing = values == NOTHING
    items = np.where(nothing, np.int32(-1), items)
    values = np.where(nothing, np.float32(np.nan), values)
    missing = k - items.shape[1]
    if missing > 0:
        items = np.pad(items, ((0, 0), (0, missing)), constant_values=-1)
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
    return items, values


def allowed_mask(n_items: int, allow: IntVector | None, exclude: IntVector | None) -> BoolVector | None:
    """(n_items,) which items may appear; None when all may."""
    if allow is None and exclude is None:
        return None
    mask = np.full(n_items, allow is None)
    if allow is not None:
        mask[allow] = True
    if exclude is not None:
        mask[exclude] = False
    return mask
