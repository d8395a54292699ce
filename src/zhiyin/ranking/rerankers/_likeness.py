"""How alike two items are, by columns of the catalogue or by what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from scipy import sparse

from zhiyin import encoders
from zhiyin._whitening import Whitening
from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._reader import Reader
from zhiyin.encoders.base import Encoder
from zhiyin.errors import DataError
from zhiyin.ranking.features.affinity import shared_columns, values_of
from zhiyin.run import Run

Told: TypeAlias = "sparse.csr_array | FloatMatrix"
"""(n_items, d) rows of length 1, or of zeros for an item of which nothing is known; their products are likenesses."""


def columns_of(table: pa.Table, named: Sequence[str]) -> tuple[str, ...]:
    """The columns that are named; else the categories; else all that items share.

    Raises:
        DataError: there is none.
    """
    found = tuple(named)
    if not found:
        shared = shared_columns(table)
        found = ("categories",) if "categories" in shared else tuple(shared)
    if not found:
        raise DataError(
            "the catalogue has no column of which items share values, so nothing says how alike they are; add one "
            "(categories, creator), or take the likeness of texts (by: text)"
        )
    return found


def by_columns(table: pa.Table, named: Sequence[str]) -> sparse.csr_array:
    """Likeness is the cosine of the values of columns, each column a part alike."""
    parts = [_unit(values_of(table, name)) for name in columns_of(table, named)]
    return _unit(sparse.csr_array(sparse.hstack(parts, "csr")))


def by_text(train: Dataset, reader: Reader, size: int, run: Run) -> FloatMatrix:
    """Likeness is the cosine of what an encoder makes of the items, on its leading directions."""
    encoder: Encoder = encoders.get(reader.encoder)(**reader.settings)
    if encoder.learns:
        encoder.fit(train, run)
    said = encoder.encode(train, run=run).values
    return Whitening.fit(said, size, scaled=False).apply(said)


def alike(told: Told, items: AnyArray, others: AnyArray) -> DoubleVector:
    """(n,) the likeness of pairs of items; 0 where nothing is known of one."""
    if isinstance(told, np.ndarray):
        return np.asarray(np.einsum("nd,nd->n", told[items], told[others]), np.float64)
    return np.asarray(told[items].multiply(told[others]).sum(1), np.float64).ravel()


def is_told(told: Told) -> BoolVector:
    """(n_items,) of which items anything is known."""
    return np.asarray((told if isinstance(told, np.ndarray) else np.diff(told.indptr)[:, None]).any(axis=1))


def _unit(values: sparse.csr_array) -> sparse.csr_array:
    """With rows of length 1."""
    length = np.sqrt(np.asarray(values.multiply(values).sum(1)).ravel())
    found = values.copy()
    found.data /= np.repeat(length, np.diff(values.indptr)).astype(found.data.dtype)
    return found
