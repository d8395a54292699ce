"""Intra-list diversity at k: how different the items of one list are (Ziegler et al., WWW 2005).

ILD@k = 2 / (m (m − 1)) · Σ_{i < j} (1 − sim(cᵢ, cⱼ)),   c the category sets of the m listed items that have any

sim = "cosine": |cᵢ ∩ cⱼ| / √(|cᵢ| · |cⱼ|)
sim = "jaccard": |cᵢ ∩ cⱼ| / |cᵢ ∪ cⱼ|
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy import sparse

from zhiyin.arrays import DoubleVector, IntMatrix
from zhiyin.metrics.base import AtK, ListMetric, Lists, positive


class IntraListDiversityConfig(AtK):
    """Settings of `intra_list_diversity`."""

    similarity: Literal["cosine", "jaccard"] = "cosine"
    """How alike the categories of two items are. Jaccard visits every pair of places, cosine does not."""


class IntraListDiversity(ListMetric):
    """Mean distance of all pairs of the list; NaN for fewer than two items with categories.

    >>> kinds = {"a": ["crime"], "b": ["crime"], "c": ["love"]}
    >>> round(IntraListDiversity(k=3)([["a", "b", "c"]], categories=kinds), 4)
    0.6667
    """

    config: IntraListDiversityConfig

    def _per_query(self, lists: Lists) -> DoubleVector:
        if lists.world.category_sets is None:
            return np.full(len(lists), np.nan)
        items = lists.items[:, : self.config.k]
        described = (items >= 0) & (lists.world.category_counts > 0)[items]
        size = np.count_nonzero(described, axis=1)
        alike = self._cosines(lists, size) if self.config.similarity == "cosine" else _jaccards(lists, items)
        found: DoubleVector = 1 - alike / positive(size * (size - 1) // 2)
        return found

    def _cosines(self, lists: Lists, size: DoubleVector) -> DoubleVector:
        """(n,) the sum of the cosines of all pairs: for unit vectors, (‖Σ c‖² − m) / 2."""
        total = lists.category_mix(self.config.k, lists.world.category_vectors(0.5))
        squares: DoubleVector = np.asarray(total.multiply(total).sum(axis=1)).ravel()
        return (squares - size) / 2


def _jaccards(lists: Lists, items: IntMatrix) -> DoubleVector:
    """(n,) the sum of the Jaccard similarities of all pairs; that of an item without categories is 0."""
    sets: Any = lists.world.category_sets
    empty = sparse.csr_array((1, sets.shape[1]))
    at_place = [sparse.vstack([sets, empty], format="csr")[column] for column in items.T]  # -1 is the empty row
    sizes = [np.diff(one.indptr) for one in at_place]
    total = np.zeros(len(items))
    for first, second in combinations(range(items.shape[1]), 2):
        both = np.asarray(at_place[first].multiply(at_place[second]).sum(axis=1)).ravel()
        total += both / np.maximum(sizes[first] + sizes[second] - both, 1)
    return total
