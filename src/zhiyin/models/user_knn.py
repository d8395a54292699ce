"""User neighbourhoods: the training users whose histories are most like the query speak for the items that they used.

Resnick et al., "GroupLens: an open architecture for collaborative filtering of netnews", CSCW 1994; Herlocker et al.,
"An algorithmic framework for performing collaborative filtering", SIGIR 1999.
"""

from __future__ import annotations

import numpy as np

from zhiyin._parallel import in_blocks
from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, IntVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.models._neighbourhoods import Neighbourhood, NeighbourhoodConfig, Pairs, in_double, nearest
from zhiyin.models._signals import Signal, means, with_data
from zhiyin.models._similarities import Profiles, Similarity, Sparse
from zhiyin.run import Run


class UserKNNConfig(NeighbourhoodConfig):
    """Settings of `user_knn`."""


class UserKNN(Neighbourhood):
    """Score item i by the sum over the query's neighbours v of sim(query, v) x strength(v, i).

    The neighbours are the `neighbours` training users whose history is most similar to the query's, which needs no
    id: a stranger is compared like anybody else, and a training user's own earlier history is their nearest neighbour
    (it speaks only for what they have seen). Memory is that of the training events.

    `predict` answers f(u, i) = sum over v in N(u) of sim(u, v) r_vi / sum over v in N(u) of sim(u, v), where N(u) are
    those `neighbours` of the training users with a value for i which are most similar to the query. With `centred`:
    mean(u) + sum of sim(u, v) (r_vi - mean(v)) / sum of |sim(u, v)|, where mean(u) is the mean value of the query's
    own events (the mean of all values, when it has none). Where N(u) is empty: the mean value of the query's own
    events, without any the mean value of the item, without any the mean of all values. It needs values in training.
    Ask it about items outside the history: about others a training user's own row would answer.
    """

    config: UserKNNConfig

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        self._check(train)
        self._remember(train.histories)
        self._prepare()

    def _prepare(self) -> None:
        super()._prepare()
        self._votes = in_double(self._past.strength)
        rows = self._past.compared(self.config)[0]
        self._signal = Signal(self.config, rows)
        self._profiles = self._signal.of(rows)
        self._compare = Similarity(self.config, self._profiles, whole=self.config.half_life_days is None)

    def _row_bytes(self) -> int:
        return super()._row_bytes() + self._compare.row_bytes

    def _profile(self, queries: Queries) -> Profiles:
        """The queries' vectors over items."""
        return self._signal.of(*self._told(queries).compared(self.config))

    def _neighbours(self, profiles: Profiles) -> Sparse:
        """(n_queries, n_users) sparse float32: the similarity of each query's nearest training users."""
        return nearest(self._compare, profiles, self.config)

    def _factors(self, queries: Queries) -> tuple[Sparse, Sparse]:
        return in_double(self._neighbours(self._profile(queries))), self._votes

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Exact, as a similarity is a sum over common items (`log_likelihood`: equal parts), and so is the score."""
        profile = self._profile(query)
        near = self._neighbours(profile)
        own = profile.weighted()
        theirs = self._profiles.vectors[near.indices]
        terms = theirs[:, own.indices].toarray().astype(np.float64) * own.data  # (neighbours, distinct items)
        total = terms.sum(axis=1, keepdims=True)
        parts = np.divide(terms, total, out=np.zeros_like(terms), where=np.abs(total) > 1e-12) * near.data[:, None]
        shares = parts.T @ self._past.strength[near.indices][:, items].toarray()
        return self._to_events(query, own.indices, shares)

    def _to_events(self, query: Queries, distinct: AnyArray, shares: AnyArray) -> FloatMatrix:
        """Deal the shares (distinct items, n_items) of the history's items out to its events, by their strength."""
        freshness = self._freshness(query)
        strength = query.histories.strength().astype(np.float64) * (1 if freshness is None else freshness)
        place = np.full(self.n_items, len(distinct))
        place[distinct] = np.arange(len(distinct))
        row = place[query.histories.item]
        total = np.bincount(row, strength, len(distinct) + 1)[row]
        part = np.divide(strength, total, out=np.zeros(len(row)), where=total > 0)
        padded = np.vstack([shares, np.zeros((1, shares.shape[1]))])  # the last row: events that were not compared
        dealt: FloatMatrix = (padded[row] * part[:, None]).astype(np.float32)
        return dealt

    def _means(self, queries: Queries, like: LongVector, items: IntVector) -> DoubleVector:
        centred, past = self.config.centred, self._past
        lists = past.by_item
        if centred:
            lists = with_data(lists, lists.data - past.user_means[lists.indices])

        def block(start: int, stop: int) -> DoubleVector:
            here = slice(*np.searchsorted(like, [start, stop]))
            pairs = Pairs(like[here] - start, lists, items[here], np.full(here.stop - here.start, -1))
            return pairs.means(self._compare(self._profile(queries.slice(start, stop))), self.config)

        parts = in_blocks(block, len(queries), self._row_bytes(), Run(), f"{self.name}: predict")
        found = np.concatenate(parts) if parts else np.zeros(0)
        return found + self._own_means(queries)[like] if centred else found

    def _own_means(self, queries: Queries) -> DoubleVector:
        """(n_queries,) the mean value of each query's own events, the mean of all values where it has none."""
        own = means(self._told(queries).rating)
        return np.where(np.isnan(own), self._past.mean, own)
