"""MRR at k: one over the place of the first hit (Voorhees, TREC-8, 1999).

RR@k = 1 / (place of the first hit), from 1; 0 if none of the first k places is a hit.   MRR@k is their mean
"""

from __future__ import annotations

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists, where_targets


class MRR(ListMetric):
    """Mean reciprocal rank; NaN for a query without targets.

    >>> MRR(k=3)([["a", "b", "c"], ["d", "e"]], [["b", "c"], ["z"]])
    0.25
    """

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        hits = lists.hits[:, : self.config.k]
        if not hits.shape[1]:  # no list has any place
            return where_targets(lists, hits.sum(axis=1).astype(float))
        return where_targets(lists, hits.any(axis=1) / (1 + hits.argmax(axis=1)))
