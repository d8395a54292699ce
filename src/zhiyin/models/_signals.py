"""What histories say of items, and the vectors that a neighbourhood model compares."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, FloatVector, offsets_of
from zhiyin.data.histories import Histories
from zhiyin.models._similarities import SETS, Profiles, SimilarityConfig, Sparse


class Told:
    """What histories say of items, as sparse matrices (n, n_items), each made when it is first asked for."""

    def __init__(self, histories: Histories, n_items: int, freshness: FloatVector | None = None) -> None:
        """`freshness` (n_events,): how much each event counts for its age, 0 to 1; None when age does not matter."""
        self.histories, self.n_items, self.freshness = histories, n_items, freshness

    @cached_property
    def strength(self) -> Sparse:
        """The summed strength of the events, faded with age."""
        found = self.events.tocsc().tocsr()  # sorts the items of each row in linear time
        found.sum_duplicates()
        return found.astype(np.float32)

    @cached_property
    def events(self) -> Sparse:
        """The same as single events in float64: an item that was used twice has two entries."""
        strength = self.histories.strength().astype(np.float64)
        if self.freshness is not None:
            strength *= self.freshness
        parts = (strength, self.histories.item, self.histories.offsets)
        return sparse.csr_array(parts, shape=(len(self.histories), self.n_items))

    @cached_property
    def _rated(self) -> tuple[Histories, FloatVector | None]:
        """The events that have a value, and their freshness."""
        value = self.histories.value
        known = np.zeros(self.histories.n_events, bool) if value is None else ~np.isnan(value)
        return self.histories.keep(known), None if self.freshness is None else self.freshness[known]

    @cached_property
    def rating(self) -> Sparse:
        """The latest value of each item; a value of 0 is an entry like any other."""
        rated = self._rated[0]
        return latest(rated, self.n_items, np.zeros(0, np.float32) if rated.value is None else rated.value)

    @cached_property
    def user_means(self) -> DoubleVector:
        """(n,) the mean value that each history gives, NaN where it gives none."""
        return means(self.rating)

    @cached_property
    def by_item(self) -> Sparse:
        """(n_items, n): `rating` the other way round."""
        return self.rating.T.tocsr()

    @cached_property
    def item_means(self) -> DoubleVector:
        """(n_items,) the mean value of each item, NaN for one without values."""
        return means(self.by_item)

    @property
    def mean(self) -> float:
        """The mean of all values."""
        return float(self.rating.data.mean(dtype=np.float64))

    @cached_property
    def rating_freshness(self) -> FloatVector | None:
        """(entries of `rating`,) the freshness of those values."""
        rated, freshness = self._rated
        found: FloatVector | None = None if freshness is None else latest(rated, self.n_items, freshness).data
        return found

    def compared(self, config: SimilarityConfig) -> tuple[Sparse, FloatVector | None]:
        """The matrix from which the similarity is made, and how much each of its entries counts."""
        if config.needs_values:
            return self.rating, self.rating_freshness
        if config.similarity in SETS and self.freshness is not None:
            return self.strength, latest(self.histories, self.n_items, self.freshness).data
        return self.strength, None


def latest(histories: Histories, n_items: int, data: FloatVector) -> Sparse:
    """(n, n_items) sparse float32: of several events of one item in one history, the datum of the last one."""
    key = histories.owner().astype(np.int64) * n_items + histories.item
    order = np.argsort(key, kind="stable")
    last = np.append(np.diff(key[order]) > 0, True)[: len(key)]
    chosen = order[last]
    counts = np.bincount(histories.owner()[chosen], minlength=len(histories))
    parts = (data[chosen].astype(np.float32), histories.item[chosen].astype(np.int32), offsets_of(counts))
    return sparse.csr_array(parts, shape=(len(histories), n_items))


def means(matrix: Sparse) -> DoubleVector:
    """(n,) the mean of the entries of each row, NaN for an empty row."""
    counts = np.diff(matrix.indptr)
    sums = np.bincount(np.repeat(np.arange(len(counts)), counts), matrix.data, len(counts))
    found: DoubleVector = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


class Signal:
    """Turns rows into the vectors that are compared, by the idf, lengths and means of training rows."""

    def __init__(self, config: SimilarityConfig, rows: Sparse) -> None:
        self.config = config
        n, n_columns = rows.shape
        if config.weighting != "none":
            self.idf = np.log(max(1, n)) - np.log1p(np.bincount(rows.indices, minlength=n_columns))
            self.mean_length = max(float(np.abs(rows.data).sum(dtype=np.float64)) / max(1, n), 1e-12)
        if config.similarity == "adjusted_cosine":
            self.column_means = np.nan_to_num(means(rows.T.tocsr()))

    def of(self, rows: Sparse, weight: FloatVector | None = None) -> Profiles:
        """The vectors of some rows (n, n_columns), and how much each of their entries counts."""
        if self.config.needs_values:
            return Profiles(self._deviations(rows), weight)
        if self.config.similarity in SETS:
            return Profiles(with_data(rows, np.ones(rows.nnz, np.float32)), weight)
        return Profiles(self._weighted(rows), weight)

    def _deviations(self, rating: Sparse) -> Sparse:
        if self.config.similarity == "adjusted_cosine":
            middle = self.column_means[rating.indices]
        elif self.config.similarity == "pearson" or self.config.signal == "deviation":
            middle = np.repeat(means(rating), np.diff(rating.indptr))
        else:
            return rating
        return with_data(rating, (rating.data - middle).astype(np.float32))

    def _weighted(self, strength: Sparse) -> Sparse:
        """BM25 (Robertson & Walker, SIGIR 1994) or TF-IDF, rows as documents and columns as terms.

        A dislike, of negative strength, weighs as much as a like of its size, the other way.
        """
        if self.config.weighting == "none":
            return strength
        sign, size = np.sign(strength.data), np.abs(strength.data).astype(np.float64)
        idf = sign * self.idf[strength.indices]
        if self.config.weighting == "tfidf":
            return with_data(strength, (np.sqrt(size) * idf).astype(np.float32))
        k1, b = self.config.k1, self.config.b
        length = np.asarray(with_data(strength, size).sum(axis=1)) / self.mean_length
        norm = np.repeat(1 - b + b * length, np.diff(strength.indptr))
        return with_data(strength, (size * (k1 + 1) / (k1 * norm + size) * idf).astype(np.float32))


def with_data(matrix: Sparse, data: AnyArray) -> Sparse:
    """A matrix with the same places and other data."""
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
