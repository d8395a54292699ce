"""Repeat rate at k: how much of a list the user has had before (Li et al., TOIS 2023, repetition ratio).

REP@k = |listed places whose item is in the history| / |listed places|

Right where people come back to the same things (groceries, music), useless where they do not (films).
"""

from __future__ import annotations

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists, positive


class RepeatRate(ListMetric):
    """Share of the list that is in the query's own history; NaN for an empty list.

    >>> RepeatRate(k=2)([["a", "b"]], histories=[["b", "c"]])
    0.5
    """

    config: AtK
    higher_is_better = None

    def _per_query(self, lists: Lists) -> DoubleVector:
        k = self.config.k
        found: DoubleVector = lists.seen[:, :k].sum(axis=1) / positive(lists.n_listed(k))
        return found
