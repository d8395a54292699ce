"""Hit rate at k: the share of queries with at least one hit (Deshpande & Karypis, TOIS 2004); also Success@k.

HR@k = 1 if |first k places ∩ targets| ≥ 1, else 0
"""

from __future__ import annotations

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists, where_targets


class HitRate(ListMetric):
    """Whether the list holds any target; NaN for a query without targets.

    >>> HitRate(k=2)([["a", "b"], ["c", "d"]], [["b"], ["z"]])
    0.5
    """

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        return where_targets(lists, lists.hits[:, : self.config.k].any(axis=1).astype(float))
