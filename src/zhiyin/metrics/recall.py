"""Recall at k: the share of what the user took that the list foretold (Herlocker et al., TOIS 2004).

R@k = |first k places ∩ targets| / |targets|
R@k = |first k places ∩ targets| / min(k, |targets|)        truncated: a perfect list reaches 1 (Liang et al., WWW 2018)
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import AtK, ListMetric, Lists, positive


class RecallConfig(AtK):
    """Settings of `recall`."""

    truncated: bool = False
    """Divide by min(k, targets), as many papers of autoencoders do, instead of by all targets."""


class Recall(ListMetric):
    """Hits per target; NaN for a query without targets.

    >>> Recall(k=2)([["a", "b"]], [["b", "x", "y", "z"]])
    0.25
    >>> Recall(k=2, truncated=True)([["a", "b"]], [["b", "x", "y", "z"]])
    0.5
    """

    config: RecallConfig

    def _per_query(self, lists: Lists) -> DoubleVector:
        k = self.config.k
        wanted = np.minimum(lists.n_targets, k) if self.config.truncated else lists.n_targets
        found: DoubleVector = lists.hits[:, :k].sum(axis=1) / positive(wanted)
        return found
