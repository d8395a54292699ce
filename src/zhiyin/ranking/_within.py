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
    found = np.asarray(values, np.float64).copy()
    lengths = np.diff(offsets)
    starts, owner = offsets[:-1][lengths > 0], np.repeat(np.arange(np.count_nonzero(lengths)), lengths[lengths > 0])
    if not len(owner):
        return found
    known = np.isfinite(found)
    found[~known] = 0
    count = np.maximum(np.add.reduceat(known, starts, dtype=np.float64), 1)
    mean = np.add.reduceat(found, starts) / count
    found -= mean[owner]
    found[~known] = 0
    spread = np.sqrt(np.add.reduceat(found**2, starts) / count)
    scale = np.divide(1, spread, where=spread > ROUNDING * np.abs(mean), out=np.zeros_like(spread))
    found *= scale[owner]
    found[~known] = np.nan
    return found


def blocks(offsets: LongVector, rows: int) -> Iterator[tuple[slice, LongVector]]:
    """Whole queries of about so many rows together: where their rows are, and their own offsets."""
    edges = np.unique([*np.searchsorted(offsets, np.arange(0, offsets[-1], rows)), len(offsets) - 1])
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own = offsets[first : last + 1]
        yield slice(int(own[0]), int(own[-1])), own - own[0]
