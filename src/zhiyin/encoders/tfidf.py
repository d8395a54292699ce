"""TF-IDF: words weighted by how few items share them, on the leading directions of a truncated SVD.

Latent semantic indexing (Deerwester et al., JASIS 1990): words that stand in the same texts point the same way. It
needs no download, and learns from the catalogue itself, in any language; two languages do not meet in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from zhiyin._svd import right_vectors
from zhiyin.arrays import DoubleVector, FloatMatrix
from zhiyin.config import setting
from zhiyin.encoders._terms import Fields, Limits, TermSpace
from zhiyin.encoders.base import WINDOW, TextConfig, TextEncoder
from zhiyin.run import Run

COLUMN = "what items say"


class TFIDFConfig(TextConfig):
    """Settings of `tfidf`."""

    embedding_size: int = setting(256, ge=1, le=4096)
    """The length of a vector, at most: a small catalogue has fewer directions."""
    min_items: int = setting(2, ge=1)
    """Leave out a word that fewer items have."""
    max_share: float = setting(0.5, gt=0, le=1)
    """Leave out a word that a larger share of the items has, and more than 50 of them."""
    max_terms: int = setting(50_000, ge=1)
    """Keep at most this many words, those of the most items."""


class TFIDF(TextEncoder):
    """The vector of a text is its TF-IDF vector times (n_terms, d) directions."""

    config: TFIDFConfig
    learns = ("terms", "idf", "directions")
    worth_keeping = False
    _batch = WINDOW
    terms: list[str]
    idf: DoubleVector
    """(n_terms,)."""
    directions: FloatMatrix
    """(n_terms, d)."""

    def _fit(self, items: pa.Table, run: Run) -> None:
        settings = self.config
        limits = Limits(settings.min_items, settings.max_share, settings.max_terms)
        space, found = TermSpace.fit(_column(self._contents(items)), Fields((COLUMN,), ()), limits)
        drawn = run.generator(f"{self.name}: directions")
        self.directions = right_vectors(found, settings.embedding_size, drawn)
        self.terms, self.idf = list(space.terms), space.idf

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        space = TermSpace(tuple(self.terms), self.idf, Fields((COLUMN,), ()))
        found: FloatMatrix = space.encode(_column(contents)) @ self.directions
        return np.asarray(found, np.float32)


def _column(texts: Sequence[str]) -> pa.Table:
    return pa.table({COLUMN: pa.array(texts, pa.large_string())})
