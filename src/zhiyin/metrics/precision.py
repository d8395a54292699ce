"""Precision at k: the share of the list that the user really took (Herlocker et al., TOIS 2004).

P@k = |first k places ∩ targets| / k        by = "k": also for a list shorter than k, whose empty places are misses
P@k = |first k places ∩ targets| / min(k, length of the list)        by = "length"
"""

from __future__ import annotations

from typing import Literal

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists, positive, where_targets


class PrecisionConfig(AtK):
    """Settings of `precision`."""

    by: Literal["k", "length"] = "k"
    """What the hits are divided by: `k`, or the number of items listed (then an empty list has no value)."""


class Precision(ListMetric):
    """Hits per place of the list; NaN for a query without targets.

    >>> Precision(k=4)([["a", "b"]], [["b", "z"]])
    0.25
    >>> Precision(k=4, by="length")([["a", "b"]], [["b", "z"]])
    0.5
    """

    config: PrecisionConfig

    def _per_query(self, lists: Lists) -> DoubleVector:
        k = self.config.k
        places = k if self.config.by == "k" else positive(lists.n_listed(k))
        return where_targets(lists, lists.hits[:, :k].sum(axis=1) / places)
