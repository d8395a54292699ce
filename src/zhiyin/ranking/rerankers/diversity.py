"""Diversity: a list whose items differ, by maximal marginal relevance or a determinantal point process.

With s the strength, at each place the candidate is taken that has the most of

mmr   (1 - s) * relevance(i) - s * max over listed j of likeness(i, j)      Carbonell & Goldstein, SIGIR 1998
dpp   (1 - s) * relevance(i) + s * log d(i)²                                Chen, Zhang & Zhou, NeurIPS 2018

d(i)² is what is left of i beside all listed ones: by it the determinant of their likenesses grows. So the second looks
at the whole list, where the first looks at the nearest item alone. d is kept by an incremental Cholesky decomposition
(their algorithm 1), O(k) a candidate and place. The kernel is exp(a r) S exp(a r) with a = (1 - s) / (2 s).

Two items of which the same is told are not the same item: likenesses of different items count 0.9 in the determinant,
or all but one of them would be worth minus infinity. Of an item about which nothing is told nobody knows whether it is
like others or not; at each place it counts as the mean of those of which something is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import field_validator

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.config import names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._reader import Reader, reader_of
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.rerankers._likeness import Told, alike, by_columns, by_text, is_told
from zhiyin.ranking.rerankers.base import ReRanker, Weighing
from zhiyin.run import Run

SAME = 0.9
"""The likeness, in a determinant, of two items of which the same is told."""


class DiversityConfig(Weighing):
    """Settings of `diversity`."""

    method: Literal["mmr", "dpp"] = "mmr"
    """Unlike the nearest listed one, or adding most to the whole list."""
    by: Literal["columns", "text"] = "columns"
    """What likeness is of: columns of the catalogue, or what an encoder makes of the items' texts."""
    columns: tuple[str, ...] = ()
    """Columns of the catalogue; none: the categories, or, where there are none, all that items share."""
    encoder: Reader = Reader(encoder="tfidf")
    """Who reads the items: a name of `zhiyin list encoders`, or `{"encoder": ..., "settings": ...}`."""
    size: int = setting(64, ge=1, le=4096)
    """The leading directions of what it makes that are kept."""

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)

    @field_validator("encoder", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return reader_of(value)


class Diversity(ReRanker):
    """Greedy, a place at a time."""

    config: DiversityConfig
    learns = ("told",)
    told: Told
    """(n_items, d)."""

    def _fit(self, train: Dataset, run: Run) -> None:
        own = self.config
        if own.by == "columns":
            self.told = by_columns(train.item_table, own.columns)
        else:
            self.told = by_text(train, own.encoder, own.size, run)

    def _rerank(self, ranked: Ranked, draft: Draft, run: Run) -> None:
        own = self.config
        relevance = (1 - own.strength) * draft.relevance(own.relevance)
        known = draft.padded(is_told(self.told)[ranked.candidates.item], False)
        step = (_mmr if own.method == "mmr" else _dpp)(draft, self._to)
        brought = np.zeros(known.shape)
        while draft.unfinished:
            column = draft.pick(relevance + own.strength * _as_usual(brought, known, draft))
            brought = step(column)

    def _to(self, draft: Draft, items: AnyArray) -> AnyArray:
        """(n, width) the likeness of each candidate to an item of its query; 0 to -1, no item."""
        found, other = draft.ranked.candidates, items[draft.ranked.candidates.owner()]
        near = np.where(other < 0, 0, alike(self.told, found.item, np.maximum(other, 0)))
        return draft.padded(near, 0.0)


Likeness = Callable[[Draft, AnyArray], AnyArray]
Step = Callable[[LongVector], AnyArray]
"""The columns that were taken -> (n, width) what each candidate brings now."""


def _mmr(draft: Draft, likeness: Likeness) -> Step:
    most = np.full(draft.there.shape, -np.inf)

    def step(columns: LongVector) -> AnyArray:
        near = np.where((columns >= 0)[:, None], likeness(draft, draft.item_at(columns)), -np.inf)
        np.maximum(most, near, out=most)
        return np.where(np.isfinite(most), -most, 0.0)

    return step


def _dpp(draft: Draft, likeness: Likeness) -> Step:
    n, width = draft.there.shape
    left, rows = np.ones((n, width)), np.zeros((n, width, draft.k))
    taken = 0

    def step(columns: LongVector) -> AnyArray:
        nonlocal taken
        here, at = np.arange(n), np.maximum(columns, 0)
        near = SAME * likeness(draft, draft.item_at(columns))
        near[here, at] = 1.0
        deep = np.sqrt(left[here, at])[:, None]
        new = (near - np.einsum("nwk,nk->nw", rows[:, :, :taken], rows[here, at, :taken])) / deep
        new[columns < 0] = 0
        rows[:, :, taken] = new
        taken += 1
        np.maximum(left - new**2, 1e-12, out=left)
        return np.log(left)

    return step


def _as_usual(brought: AnyArray, known: AnyArray, draft: Draft) -> AnyArray:
    """What candidates bring, those of which nothing is known as much as the mean of the others that are free."""
    counted = known & draft.pool & draft.open
    n = counted.sum(1, keepdims=True)
    usual = np.sum(brought, 1, keepdims=True, where=counted) / np.maximum(n, 1)
    return np.where(known, brought, usual)
