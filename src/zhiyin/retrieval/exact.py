"""Exact top-k over score blocks: nothing approximate, ties broken the same way everywhere.

Equal scores are ordered by item number, smaller first, so a list does not depend on the block size, the number of
threads or the other queries of the batch.

A row is read three times, while it is in the processor's cache. The items are dealt out to groups; the k-th best of the
groups' maxima is a score that at least k items reach; the few items that reach it are the only ones to be sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zhiyin._parallel import in_blocks
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector
from zhiyin.data.histories import Histories
from zhiyin.run import Run

NOTHING = np.float32(-np.inf)
"""The score of an item that must not, or cannot, be recommended."""

CACHE_BYTES = 2**19
"""Rows are worked on in chunks of about this size, which fits into the second cache level of one core."""

ENTRY_ROWS = 128
"""So many sparse rows are padded to equal length at a time."""

ITEMS_AT_ONCE = 65_536
"""Of a larger catalogue, so many items are held against queries at a time, and the best of the parts are merged."""

SCORE_BYTES = 16
"""What one item of one query takes while it is scored and selected: its score, what it is summed from, a mask."""


def hide(scores: FloatMatrix, histories: Histories) -> None:
    """Set the scores (n, n_items) of the items of each history to `NOTHING`, in place."""
    scores[histories.owner(), histories.item] = NOTHING


def top_k(scores: FloatMatrix, k: int) -> tuple[IntMatrix, FloatMatrix]:
    """The `k` best items of each row, best first; ties by item number. Items scored `NOTHING` or NaN never appear.

    Args:
        scores: (n, n_items) float32; they are left as they are.
        k: at most this many; rows with fewer candidates are padded.

    Returns:
        (n, k) item numbers, padded with -1, and (n, k) their scores, padded with NaN.
    """
    n, n_items = scores.shape
    items = np.full((n, k), -1, np.int32)
    values = np.full((n, k), np.nan, np.float32)
    rows = max(1, CACHE_BYTES // max(1, scores.dtype.itemsize * n_items))
    for start in range(0, n, rows) if n_items else ():
        chunk = np.ascontiguousarray(scores[start : start + rows])
        _sort_into(items[start : start + rows], values[start : start + rows], chunk, _candidates(chunk, k))
    return items, values


def among_best(scores: FloatMatrix, k: int) -> AnyArray:
    """(n, n_items) bool: the items that `top_k` would list, where their order does not matter."""
    best = np.zeros(scores.shape, bool)
    rows = max(1, CACHE_BYTES // max(1, scores.dtype.itemsize * scores.shape[1]))
    for start in range(0, len(scores), rows):
        best[start : start + rows] = _exactly(np.ascontiguousarray(scores[start : start + rows]), k)
    return best


def top_k_entries(scores: Any, k: int) -> tuple[IntMatrix, FloatMatrix]:
    """`top_k` of scores that are mostly `NOTHING`: (n, n_items) scipy CSR, each row in the order of its columns."""
    n, offsets, lengths = scores.shape[0], scores.indptr, np.diff(scores.indptr)
    items = np.full((n, k), -1, np.int32)
    values = np.full((n, k), np.nan, np.float32)
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[lengths[by_length] > 0]
    for start in range(0, len(by_length), ENTRY_ROWS):
        rows = by_length[start : start + ENTRY_ROWS]  # of about equal length, so that padding them costs little
        entry = offsets[rows][:, None] + np.arange(lengths[rows].max())
        inside = entry < offsets[rows + 1][:, None]
        entry = np.where(inside, entry, 0)
        padded = np.where(inside, scores.data[entry], NOTHING)
        place, values[rows] = top_k(padded, k)
        items[rows] = np.where(place < 0, -1, scores.indices[np.take_along_axis(entry, np.maximum(place, 0), 1)])
    return items, values


def _candidates(chunk: FloatMatrix, k: int) -> AnyArray:
    """(rows, n_items) bool: the k best of each row and at most a few more."""
    wanted: AnyArray = chunk >= _reached(chunk, k)[:, None]
    crowded = np.flatnonzero(np.count_nonzero(wanted, axis=1) > 2 * k + 32)
    if len(crowded):
        wanted[crowded] = _exactly(chunk[crowded], k)
    return wanted


def _reached(chunk: FloatMatrix, k: int) -> FloatVector:
    """(rows,) a finite score that at least k items of the row reach, near the k-th best; the lowest where k do not."""
    groups = 1 << max(6, (4 * k - 1).bit_length())
    n_items = chunk.shape[1]
    deep = n_items // groups
    if deep < 2:
        return _kth_best(chunk, k)
    maxima = np.fmax.reduce(chunk[:, : deep * groups].reshape(len(chunk), deep, groups), axis=1)
    return _kth_best(maxima, k)


def _kth_best(rows: FloatMatrix, k: int) -> FloatVector:
    """(rows,) the k-th best score of each row; the lowest finite number where fewer than k are above `NOTHING`."""
    lowest = np.finfo(rows.dtype).min
    if k >= rows.shape[1]:
        return np.full(len(rows), lowest, rows.dtype)
    known = np.fmax(rows, lowest)  # a NaN, too, becomes the lowest
    place = rows.shape[1] - k
    kth: FloatVector = np.partition(known, place, axis=1)[:, place]
    return kth


def _exactly(rows: FloatMatrix, k: int) -> AnyArray:
    """(rows, n_items) bool: exactly the k best; of those that share the k-th score, the smallest item numbers."""
    kth = _kth_best(rows, k)[:, None]
    wanted: AnyArray = rows > kth
    room = k - np.count_nonzero(wanted, axis=1)
    place = np.flatnonzero(rows == kth)
    row = place // rows.shape[1]
    first = np.searchsorted(row, np.arange(len(rows)))
    wanted.ravel()[place[np.arange(len(place)) - first[row] < room[row]]] = True
    return wanted


def _sort_into(items: IntMatrix, values: FloatMatrix, chunk: FloatMatrix, wanted: AnyArray) -> None:
    """Write the best of the wanted items of each row, in order, to `items` and `values` (rows, k)."""
    counts = np.count_nonzero(wanted, axis=1)
    place = np.flatnonzero(wanted)
    row = np.repeat(np.arange(len(chunk)), counts)
    column = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = max(int(counts.max(initial=0)), items.shape[1])
    scores = np.full((len(chunk), width), NOTHING, np.float32)
    numbers = np.full((len(chunk), width), -1, np.int32)
    scores[row, column] = chunk.ravel()[place]
    numbers[row, column] = place - row * chunk.shape[1]
    # Candidates stand in the order of their numbers, and a stable sort keeps it among equals.
    order = np.argsort(-scores, axis=1, kind="stable")[:, : items.shape[1]]
    items[:] = np.take_along_axis(numbers, order, 1)
    values[:] = np.where(items < 0, np.float32(np.nan), np.take_along_axis(scores, order, 1))


def search(
    queries: FloatMatrix,
    vectors: FloatMatrix,
    k: int,
    *,
    seen: Histories | None = None,
    allowed: BoolVector | None = None,
    run: Run | None = None,
) -> tuple[IntMatrix, FloatMatrix]:
    """The `k` items whose vectors have the largest product with each query vector, without ever holding all products.

    Args:
        queries: (n, d) float32.
        vectors: (n_items, d) float32.
        k: at most this many.
        seen: n histories whose items must not appear.
        allowed: (n_items,) which items may appear; all of them when None.
        run: threads, and the memory that the blocks of products may take together.

    Returns:
        (n, k) item numbers, padded with -1, and (n, k) their products, padded with NaN.
    """
    chosen = None if allowed is None else np.flatnonzero(allowed).astype(np.int32)
    found = vectors if chosen is None else vectors[chosen]
    place = None if chosen is None else _places(chosen, len(vectors))

    def block(start: int, stop: int) -> tuple[IntMatrix, FloatMatrix]:
        hidden = None if seen is None else _columns(seen.slice(start, stop), place)
        best: tuple[IntMatrix, FloatMatrix] | None = None
        for first in range(0, max(1, len(found)), ITEMS_AT_ONCE):
            scores = queries[start:stop] @ found[first : first + ITEMS_AT_ONCE].T
            if hidden is not None:
                owner, column = hidden
                within = (column >= first) & (column < first + ITEMS_AT_ONCE)
                scores[owner[within], column[within] - first] = NOTHING
            items, values = top_k(scores, k)
            items[items >= 0] += first
            best = (items, values) if best is None else _merged(best, (items, values))
        assert best is not None
        return best

    row_bytes = SCORE_BYTES * max(1, min(len(found), ITEMS_AT_ONCE))
    parts = in_blocks(block, len(queries), row_bytes, run or Run(), "search")
    items = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, k), np.int32)
    values = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, k), np.float32)
    return items if chosen is None else _numbers(items, chosen), values


def _places(chosen: IntVector, n_items: int) -> IntVector:
    """(n_items,) the column of each item among the chosen ones, -1 for the others."""
    place = np.full(n_items, -1, np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    return place


def _columns(seen: Histories, place: IntVector | None) -> tuple[IntVector, IntVector]:
    """The row and the column of each event; column -1 where its item is not among the chosen ones."""
    return seen.owner(), seen.item if place is None else place[seen.item]


def _merged(
    earlier: tuple[IntMatrix, FloatMatrix], later: tuple[IntMatrix, FloatMatrix]
) -> tuple[IntMatrix, FloatMatrix]:
    """The best of two padded lists for each row, where the items of the first have smaller numbers."""
    k = earlier[0].shape[1]
    items, values = (np.concatenate(both, axis=1) for both in zip(earlier, later, strict=True))
    order = np.argsort(-np.where(items < 0, NOTHING, values), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(items, order, 1), np.take_along_axis(values, order, 1)


def _numbers(columns: IntMatrix, chosen: IntVector) -> IntMatrix:
    """The item numbers of columns, -1 where there is none."""
    numbers = np.append(chosen, np.int32(-1))  # column -1 is the last
    return numbers[columns]


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
