"""Item neighbourhoods: each item of the history speaks for the items most like it.

Deshpande & Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1), 2004 (ranking, section 4); Sarwar et
al., "Item-based collaborative filtering recommendation algorithms", WWW 2001 (predicting values, section 3.2.1).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from zhiyin._parallel import in_blocks
from zhiyin.arrays import DoubleVector, FloatMatrix, IntVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models._neighbourhoods import Neighbourhood, NeighbourhoodConfig, Pairs, has_values, in_double, nearest
from zhiyin.models._signals import Signal, Told, with_data
from zhiyin.models._similarities import Profiles, Similarity, Sparse
from zhiyin.run import Run


class ItemKNNConfig(NeighbourhoodConfig):
    """Settings of `item_knn`."""


class ItemKNN(Neighbourhood):
    """Score item i by the sum over the history's events j of strength(j) x sim(j, i), where i is a neighbour of j.

    Every item keeps its `neighbours` most similar items (not itself). Fitting takes O(sum over users of history length
    squared) sparse or O(n_users x n_items^2) dense operations, whichever part by part is less; memory is O(n_items x
    neighbours).

    `predict` answers f(u, i) = sum over j in N(i) of sim(i, j) r_uj / sum over j in N(i) of sim(i, j), where N(i) are
    those `neighbours` of the items that the query has a value for which are most similar to i (not i itself). With
    `centred`: mean(i) + sum of sim(i, j) (r_uj - mean(j)) / sum of |sim(i, j)|. Where N(i) is empty: the mean value
    of the query's own events, without any the mean value of the item, without any the mean of all values. It needs
    values in training; only then are the training histories kept in the model. Values older than `half_life_days`
    count less.
    """

    config: ItemKNNConfig
    learns = ("similarity", *Neighbourhood.learns)
    similarity: Sparse
    """(n_items, n_items) sparse float32: row j holds the neighbours of item j."""

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        self._check(train)
        profiles = self._profiles(Told(train.histories, train.n_items))
        self.similarity = self._neighbours(profiles, run)
        nobody = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32))
        self._remember(train.histories if has_values(train.histories) else nobody)
        self._prepare()

    def _prepare(self) -> None:
        super()._prepare()
        self._votes = in_double(self.similarity)
        self._compared: tuple[Profiles, Similarity] | None = None

    def _profiles(self, told: Told) -> Profiles:
        """The items' vectors over users."""
        rows = told.compared(self.config)[0].T.tocsr()
        return Signal(self.config, rows).of(rows)

    def _neighbours(self, profiles: Profiles, run: Run) -> Sparse:
        compare = Similarity(self.config, profiles)

        def block(start: int, stop: int) -> Sparse:
            return nearest(compare, profiles.take(start, stop), self.config, own=start)

        parts = in_blocks(block, self.n_items, compare.row_bytes, run, f"{self.name}: compare items")
        return sparse.vstack(parts, format="csr")

    def _factors(self, queries: Queries) -> tuple[Sparse, Sparse]:
        return self._told(queries).events, self._votes

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        freshness = self._freshness(query)
        strength = query.histories.strength() * (1 if freshness is None else freshness)
        shares: FloatMatrix = self.similarity[query.histories.item][:, items].toarray() * strength[:, None]
        return shares.astype(np.float32, copy=False)

    def _comparison(self) -> tuple[Profiles, Similarity]:
        """The vectors of all items and their comparison, which only `predict` needs."""
        if self._compared is None:
            profiles = self._profiles(self._past)
            self._compared = profiles, Similarity(self.config, profiles)
        return self._compared

    def _means(self, queries: Queries, like: LongVector, items: IntVector) -> DoubleVector:
        profiles, compare = self._comparison()
        told, middle = self._told(queries), self._past.item_means
        lists = told.rating
        if self.config.centred:
            lists = with_data(lists, lists.data - _or(middle, self._past.mean)[lists.indices])
        asked, row = np.unique(items, return_inverse=True)

        def block(start: int, stop: int) -> tuple[LongVector, DoubleVector]:
            here = np.flatnonzero((row >= start) & (row < stop))
            pairs = Pairs(row[here] - start, lists, like[here], items[here], told.rating_freshness)
            return here, pairs.means(compare(Profiles(profiles.vectors[asked[start:stop]])), self.config)

        found = np.full(len(items), np.nan)
        for here, part in in_blocks(block, len(asked), compare.row_bytes, Run(), f"{self.name}: predict"):
            found[here] = part
        return found + middle[items] if self.config.centred else found


def _or(column: DoubleVector, instead: float) -> DoubleVector:
    """The column with `instead` in the place of NaN."""
    return np.where(np.isnan(column), instead, column)
