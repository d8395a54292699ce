"""Numbers as they differ among the candidates of a query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zhiyin.arrays import AnyArray, DoubleMatrix, LongVector

ROUNDING = 2 * float(np.finfo(np.float32).eps)
"""Numbers that differ by a smaller part of their mean are alike: they were kept in single precision."""


def standard(values: AnyArray, offsets: LongVector) -> DoubleMatrix:
    """How many standard deviations each number is above the mean of its query; NaN stays, and so becomes infinity.

    >>> standard(np.array([[1.0], [3.0], [7.0]]), np.array([0, 2, 3])).ravel().tolist()
    [-1.0, 1.0, 0.0]

    Args:
        values: (n, n_columns).
        offsets: (n_queries + 1,) where the rows of each query begin.
    """
    found, unknown = standard_or_mean(values, offsets)
    found[unknown] = np.nan
    return found


def standard_or_mean(values: AnyArray, offsets: LongVector) -> tuple[DoubleMatrix, AnyArray]:
    """The same with 0 for NaN and infinity, and (n, n_columns) where these are."""
    found = np.array(values, np.float64)
    unknown = ~np.isfinite(found)
    lengths = np.diff(offsets)
    lengths = lengths[lengths > 0]
    if not len(lengths):
        return found, unknown
    starts = np.cumsum(lengths) - lengths
    some = bool(unknown.any())
    count = np.broadcast_to(lengths[:, None], (len(lengths), found.shape[1]))
    if some:
        found[unknown] = 0
        count = np.maximum(count - np.add.reduceat(unknown.astype(np.float64), starts), 1)
    mean = np.add.reduceat(found, starts) / count
    found -= _of_rows(mean, lengths)
    if some:
        found[unknown] = 0
    spread = np.sqrt(np.add.reduceat(np.square(found), starts) / count)
    scale = np.divide(1, spread, where=spread > ROUNDING * np.abs(mean), out=np.zeros_like(spread))
    found *= _of_rows(scale, lengths)
    return found, unknown


def _of_rows(values: DoubleMatrix, lengths: LongVector) -> DoubleMatrix:
    """(n, n_columns) the values of its query for each row; of one query (1, n_columns), which is as good."""
    return values if len(lengths) == 1 else np.repeat(values, lengths, axis=0)


def blocks(offsets: LongVector, rows: int) -> Iterator[tuple[slice, LongVector]]:
    """Whole queries of about so many rows together: where their rows are, and their own offsets."""
    edges = np.unique([*np.searchsorted(offsets, np.arange(0, offsets[-1], rows)), len(offsets) - 1])
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own = offsets[first : last + 1]
        yield slice(int(own[0]), int(own[-1])), own - own[0]
