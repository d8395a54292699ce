"""How like what a person used a candidate is, by what both say: the last item, the last few, all, the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import field_validator
from scipy import sparse

from zhiyin import encoders
from zhiyin._whitening import Whitening
from zhiyin.arrays import AnyArray, FloatMatrix
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.encoders._reader import Reader, reader_of
from zhiyin.encoders.base import Encoder, unit
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run

FEW = 20_000
"""So many pairs of candidates and last items are compared in one call; more, one last item after the other."""


class SemanticConfig(Config):
    """Settings of `semantic`."""

    encoder: Reader = Reader(encoder="tfidf")
    """Who reads the items: a name of `zhiyin list encoders`, or `{"encoder": ..., "settings": ...}`."""
    size: int = setting(64, ge=1, le=4096)
    """The leading directions of what they say that are kept."""
    recent: int = setting(5, ge=1)
    """So many last items are the present interest."""
    nearest: int = setting(10, ge=1)
    """Among so many last items the nearest is looked for."""

    @field_validator("encoder", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return reader_of(value)


class Semantic(Family):
    """Cosines of a candidate with the history; NaN for an item that says nothing, and without a history."""

    config: SemanticConfig
    learns = ("vectors",)
    vectors: FloatMatrix
    """(n_items, d) of length 1; zeros for an item that says nothing."""

    def suits(self, train: Dataset) -> bool:
        """Whether items have any text."""
        return bool({"title", "text", "description", "abstract", "categories"} & set(train.item_table.column_names))

    def _fit(self, train: Dataset, run: Run) -> None:
        reader = self.config.encoder
        encoder: Encoder = encoders.get(reader.encoder)(**reader.settings)
        if encoder.learns:
            encoder.fit(train, run)
        said = encoder.encode(train, run=run).values
        self.vectors = Whitening.fit(said, self.config.size, scaled=False).apply(said)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        past, owner = candidates.queries.histories, candidates.owner()
        told = self.vectors[candidates.item]
        found = {
            "likeness to the last item": self._likeness(told, past.last(1), owner),
            f"likeness to the last {self.config.recent} items": self._likeness(
                told, past.last(self.config.recent), owner
            ),
            "likeness to all of the history": self._likeness(told, past, owner),
            f"likeness to the nearest of {self.config.nearest} items": self._nearest(told, past, owner),
        }
        silent = ~told.any(1)
        for column in found.values():
            column[silent] = np.nan
        return found

    def _likeness(self, told: FloatMatrix, past: Histories, owner: AnyArray) -> AnyArray:
        """(n,) the cosine of each with the mean of a history."""
        ones = np.ones(past.n_events, np.float32)
        mean = sparse.csr_array((ones, past.item, past.offsets), shape=(len(past), len(self.vectors))) @ self.vectors
        some = mean.any(1)
        found: AnyArray = np.einsum("nd,nd->n", told, unit(mean)[owner])
        found[~some[owner]] = np.nan
        return found

    def _nearest(self, told: FloatMatrix, past: Histories, owner: AnyArray) -> AnyArray:
        """(n,) the largest cosine of each with one of the last items of a history."""
        n, found = self.config.nearest, np.full(len(told), np.nan, np.float32)
        if len(told) * n <= FEW:
            last = past.last_items(n)[owner]  # (n, nearest)
            likeness = np.einsum("nd,nd->n", np.repeat(told, n, 0), self.vectors[last.ravel()]).reshape(last.shape)
            likeness[last < 0] = np.nan
            nearest: AnyArray = np.fmax.reduce(likeness, 1, initial=np.nan)
            return nearest
        for back in range(1, self.config.nearest + 1):
            there = past.lengths >= back
            if not there.any():
                break
            rows = np.flatnonzero(there[owner])
            item = past.item[past.offsets[1:][owner[rows]] - back]
            found[rows] = np.fmax(found[rows], np.einsum("nd,nd->n", told[rows], self.vectors[item]))
        return found
