"""Calibration: the list's mix of categories near that of the history (Steck, RecSys 2018).

Who uses comedies and, a third of the time, documentaries, wants some of both in a list; what fits best one at a time
is all comedies. The list I is made greedily, as in the paper, one item after the other, each the one with the most

(1 - s) * Σ_{i in I} relevance(i)  −  s * KL(p || q̃),   s the strength,   KL(p || q̃) = Σ_c p(c) log₂(p(c) / q̃(c))

p(c) of the history, older events fading by half every `half_life` days; q(c) of the list, each place alike;
q̃ = (1 − α) q + α p. An item has 1 / (number of its values) of each of them; items of which none is known do not count.
A person without any such event gets the order that came. The first places move most: of one or two items the divergence
is large whichever are taken, and what is the best first item alone is what stands for most of the history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import field_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, LongVector, offsets_of
from zhiyin.config import names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.ranking._events import since
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.features.affinity import DAY, Ties, values_of
from zhiyin.ranking.limits import spans
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.rerankers._likeness import columns_of
from zhiyin.ranking.rerankers.base import ReRanker, Weighing
from zhiyin.run import Run


class CalibrationConfig(Weighing):
    """Settings of `calibration`."""

    columns: tuple[str, ...] = ()
    """Columns of the catalogue whose mix is kept, each a part alike; none: the categories, or all that items share."""
    half_life: float = setting(30.0, gt=0)
    """In so many days an event counts half; where times are not known, all count alike."""
    alpha: float = setting(0.01, gt=0, lt=1)
    """How much of the history's mix is stirred into the list's, so that a missing value costs a finite amount."""

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


class Calibration(ReRanker):
    """Greedy by relevance and the divergence of the mix so far, in bits."""

    config: CalibrationConfig
    learns = ("values",)
    values: sparse.csr_array
    """(n_items, n_values) the values of each item, with its share of each."""

    def _fit(self, train: Dataset, run: Run) -> None:
        found = [values_of(train.item_table, name) for name in columns_of(train.item_table, self.config.columns)]
        stacked = sparse.csr_array(sparse.hstack(found, "csr"))
        total = np.asarray(stacked.sum(1)).ravel()
        stacked.data /= np.repeat(total, np.diff(stacked.indptr))  # of several columns, those that are known alike
        self.values = stacked

    def _rerank(self, ranked: Ranked, draft: Draft, run: Run) -> None:
        own = self.config
        mix = _Mix.of(self.values, ranked, own.half_life, own.alpha)
        relevance = draft.relevance(own.relevance)
        while draft.unfinished:
            cost = draft.padded(mix.with_each())
            mix.add(draft.pick((1 - own.strength) * relevance - own.strength * cost))


@dataclass(slots=True, eq=False)
class _Mix:
    """The mix of values of histories, and of lists in the making. A key is a query and a value of its history."""

    ties: Ties
    ranked: Ranked
    alpha: float
    whose: LongVector
    """(n_keys,) the query of each key."""
    p: DoubleVector
    """(n_keys,) the history's mix."""
    listed: DoubleVector
    """(n_keys,) the shares of the listed items, summed."""
    count: DoubleVector
    """(n_queries,) listed items of which a value is known."""
    told: AnyArray
    """(n,) whether any value of a candidate is known."""
    first: LongVector
    """(n + 1,) where the ties of each candidate begin."""

    @classmethod
    def of(cls, values: sparse.csr_array, ranked: Ranked, half_life: float, alpha: float) -> _Mix:
        found = ranked.candidates
        one_column = np.zeros(values.shape[1], np.int32)  # whatever they are of, values are of one mix here
        ties, past = Ties.of(values, one_column, 1, found), found.queries.histories
        weight = past.strength().astype(np.float64)
        if past.time is not None and found.queries.now is not None:
            weight = weight * np.exp2(-np.nan_to_num(since(past.time, found.now()[past.owner()], DAY)) / half_life)
        sums = np.bincount(ties.key, weight[ties.event] * ties.share, ties.n_keys)
        whose = np.zeros(ties.n_keys, np.int64)
        whose[ties.key] = past.owner()[ties.event]
        total = np.bincount(whose, sums, len(past))
        p = np.divide(sums, total[whose], out=np.zeros(ties.n_keys), where=total[whose] > 0)
        told = np.diff(values.indptr)[found.item] > 0
        first = offsets_of(np.bincount(ties.pair, minlength=len(found)))
        return cls(ties, ranked, alpha, whose, p, np.zeros(ties.n_keys), np.zeros(len(past)), told, first)

    def with_each(self) -> DoubleVector:
        """(n,) the divergence in bits of the list so far with each candidate."""
        owner = self.ranked.candidates.owner()
        usual = self._sum(self._summand(self.listed, self.count[self.whose]))
        more = self._summand(self.listed, self.count[self.whose] + 1)
        key = self.ties.key_of_pair
        with_it = self._of_pairs(self.listed[key] + self.ties.share_of_pair, key) - more[key]
        change = np.bincount(self.ties.pair, with_it, len(owner))
        return np.where(self.told, self._sum(more)[owner] + change, usual[owner])

    def _summand(self, listed: DoubleVector, count: DoubleVector) -> DoubleVector:
        """(n_keys,) of each value p log2(p / q~)."""
        return _bits(self.p, listed / np.maximum(count, 1), self.alpha)

    def _of_pairs(self, listed: DoubleVector, key: LongVector) -> DoubleVector:
        count = self.count[self.whose[key]] + 1
        return _bits(self.p[key], listed / count, self.alpha)

    def _sum(self, of_keys: DoubleVector) -> DoubleVector:
        return np.asarray(np.bincount(self.whose, of_keys, len(self.count)), np.float64)

    def add(self, columns: LongVector) -> None:
        """Count what was listed now: (n_queries,) columns, -1 for nothing."""
        queries = np.flatnonzero(columns >= 0)
        row = self.ranked.candidates.offsets[queries] + columns[queries]
        self.count[queries] += self.told[row]
        at = spans(self.first[row], self.first[row + 1])
        self.listed[self.ties.key_of_pair[at]] += self.ties.share_of_pair[at]


def _bits(p: DoubleVector, q: DoubleVector, alpha: float) -> DoubleVector:
    """(n,) the summands p log2(p / q~), 0 where p is."""
    stirred = (1 - alpha) * q + alpha * p
    found: DoubleVector = p * np.log2(np.divide(p, stirred, out=np.ones(len(p)), where=p > 0))
    return found
