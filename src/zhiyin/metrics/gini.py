"""Gini index at k of exposure: how unequally places are shared out among the items (Fleder & Hosanagar, 2009).

x₍₁₎ ≤ … ≤ x₍ₙ₎: at how many of the first k places each of the n items of the catalogue stands, in all lists together

G@k = Σᵢ (2i − n − 1) · x₍ᵢ₎ / (n · Σᵢ x₍ᵢ₎)

0 when every item has as many places as any other, (n − 1)/n when one item has them all. The paper:
Blockbuster Culture's Next Rise or Fall, Management Science 55(5). An item that stands twice in a list has two places.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import IntVector
from zhiyin.metrics.base import AtK, CorpusMetric


class Gini(CorpusMetric):
    """Inequality of exposure over the whole catalogue, with the items that are never listed; NaN for empty lists.

    >>> Gini(k=1)([["a"], ["a"]], catalogue=["a", "b"])
    0.5
    >>> Gini(k=1)([["a"], ["b"]], catalogue=["a", "b"])
    0.0
    """

    config: AtK
    higher_is_better = False

    def _of_counts(self, counts: IntVector) -> float:
        ordered, n = np.sort(counts).astype(float), len(counts)
        total = ordered.sum()
        if not total:
            return float("nan")
        return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))
