"""NDCG at k: hits count by their place, against the best possible order (Järvelin & Kekäläinen, TOIS 2002).

DCG@k = Σ_{place p ≤ k} hit_p / log₂(p + 1),   NDCG@k = DCG@k / Σ_{p ≤ min(k, |targets|)} 1 / log₂(p + 1)

Relevance is 0 or 1 here, for which the two usual gains (rel and 2^rel − 1) agree.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists


class NDCG(ListMetric):
    """Normalised discounted cumulative gain with binary relevance; 0 for no hit, NaN for a query without targets.

    >>> round(NDCG(k=2)([["a", "b"], ["c"]], [["b"], ["d"]]), 4)
    0.3155
    """

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        k = self.config.k
        discount = 1 / np.log2(np.arange(2, k + 2))
        ideal = np.append(np.nan, np.cumsum(discount))[np.minimum(lists.n_targets, k)]
        hits = lists.hits[:, :k]
        found: DoubleVector = hits @ discount[: hits.shape[1]] / ideal
        return found
