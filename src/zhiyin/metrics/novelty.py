"""Novelty at k: how surprising it is to meet the listed items (Zhou et al., PNAS 2010; Vargas & Castells, RecSys 2011).

NOV@k = mean over the listed items i of −log₂ p(i),   p(i) = (events of i in training + 1) / (all events + n_items)

One is added to every count, so that an item that nobody has used yet has a finite novelty, log₂(all events + n_items).
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists


class Novelty(ListMetric):
    """Mean self-information of the listed items, in bits; NaN for an empty list.

    >>> Novelty(k=1)([["new"]], histories=[["old", "old", "old", "old", "old", "old"]])  # p = (0 + 1) / (6 + 2)
    3.0
    """

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        count = lists.world.popularity + 1.0
        return lists.mean_over_places(self.config.k, -np.log2(count / count.sum()))
