"""MAP at k: the mean of the precisions at the places of the hits (Manning et al., Introduction to IR 2008, §8.4).

AP@k = Σ_{place p ≤ k} hit_p · P@p / min(k, |targets|),   P@p = (hits among the first p places) / p
AP@k = Σ_{place p ≤ k} hit_p · P@p / |targets|        truncated = false, the `map_cut` of trec_eval

MAP@k is the mean of AP@k over queries.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.config import setting
from zhiyin.metrics.base import AtK, ListMetric, Lists, positive


class MAPConfig(AtK):
    """Settings of `map`."""

    truncated: bool = setting(True)
    """Divide by min(k, targets), so that a perfect list reaches 1, instead of by all targets."""


class MAP(ListMetric):
    """Mean average precision; NaN for a query without targets.

    >>> round(MAP(k=3)([["a", "b", "c"]], [["a", "c"]]), 4)  # (1/1 + 2/3) / 2
    0.8333
    """

    config: MAPConfig

    def _per_query(self, lists: Lists) -> DoubleVector:
        k = self.config.k
        hits = lists.hits[:, :k]
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        wanted = np.minimum(lists.n_targets, k) if self.config.truncated else lists.n_targets
        found: DoubleVector = (hits * precision).sum(axis=1) / positive(wanted)
        return found
