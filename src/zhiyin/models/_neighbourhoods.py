"""What `item_knn` and `user_knn` share: settings, what a history says, and the weighted means that predict a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy import sparse

from zhiyin.arrays import (
    AnyArray,
    BoolVector,
    DoubleVector,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    LongVector,
    offsets_of,
)
from zhiyin.config import Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.models._signals import Told, means, with_data
from zhiyin.models._similarities import Profiles, Similarity, SimilarityConfig, Sparse, in_order, is_thin
from zhiyin.models.base import RatingPredictor
from zhiyin.retrieval.exact import NOTHING, among_best, top_k_entries

DAY = 86_400_000_000

ROWS_AT_ONCE = 128
"""So many rows of a sparse product are made dense at a time."""

PAIRS_AT_ONCE = 1_000_000
"""So many (neighbour, value) pairs are weighed at a time when values are predicted."""


class NeighbourhoodConfig(SimilarityConfig):
    """Settings of a neighbourhood model."""

    neighbours: int = setting(100, ge=1, search=Search(10, 500, log=True))
    """How many of the nearest neighbours count."""
    minimum_similarity: float = setting(0.0, ge=-1)
    """Only what is more similar than this is a neighbour."""
    half_life_days: float | None = setting(None, gt=0, search=Search(1, 1000, log=True))
    """An event of the query's history counts half when it is this old, seen from the query's present moment. None:
    age does not matter. Needs times; events of a query that comes without times count fully."""
    centred: bool = False
    """Whether `predict` adds weighted deviations from means to a mean, instead of averaging the values themselves."""


def nearest(compare: Similarity, left: Profiles, config: NeighbourhoodConfig, own: int | None = None) -> Sparse:
    """(m, n) sparse float32: the similarity of each vector on the left to its nearest neighbours.

    `own` says that row i on the left is the fixed vector `own + i`, which is no neighbour of itself.
    """
    if config.minimum_similarity >= 0 and compare.thin(left):
        numbers, values, counts = _nearest_entries(compare.entries(left), config, own)
    else:
        numbers, values, counts = _nearest_of(compare(left), config, own)
    return sparse.csr_array((values, numbers, offsets_of(counts)), shape=(len(counts), compare.n))


def _nearest_entries(
    found: Sparse, config: NeighbourhoodConfig, own: int | None
) -> tuple[IntVector, FloatVector, LongVector]:
    """What `_nearest_of` gives, from the similarities that are not 0."""
    able = found.data > np.float32(config.minimum_similarity)
    if own is not None:
        able &= found.indices != own + np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    numbers, values = top_k_entries(with_data(found, np.where(able, found.data, NOTHING)), config.neighbours)
    counts = np.count_nonzero(numbers >= 0, axis=1)
    order = np.argsort(np.where(numbers < 0, np.iinfo(np.int32).max, numbers), axis=1)
    numbers, values = np.take_along_axis(numbers, order, 1), np.take_along_axis(values, order, 1)
    return numbers[numbers >= 0], values[numbers >= 0], counts


def _nearest_of(
    similarity: FloatMatrix, config: NeighbourhoodConfig, own: int | None
) -> tuple[IntVector, FloatVector, LongVector]:
    """The neighbours' numbers in ascending order, their similarity, and how many each row has."""
    if own is not None:
        rows = np.arange(len(similarity))
        similarity[rows, own + rows] = NOTHING
    np.copyto(similarity, NOTHING, where=similarity <= np.float32(config.minimum_similarity))
    best = among_best(similarity, config.neighbours)
    counts = np.count_nonzero(best, axis=1)
    place = np.flatnonzero(best)
    first = np.repeat(np.arange(len(similarity)) * similarity.shape[1], counts)
    return (place - first).astype(np.int32), similarity.ravel()[place], counts


def in_double(matrix: Sparse) -> Sparse:
    """The same numbers as float64, in which the sums of scores are made: so equal evidence gives equal scores."""
    return with_data(matrix, matrix.data.astype(np.float64))


def evidence(left: Sparse, right: Sparse) -> FloatMatrix:
    """`left @ right`, both float64, as dense float32; `NOTHING` where no term met."""
    scores = np.empty((left.shape[0], right.shape[1]), np.float32)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        part = scores[start : start + ROWS_AT_ONCE]
        part[:] = (left[start : start + ROWS_AT_ONCE] @ right).toarray()
        np.copyto(part, NOTHING, where=part == 0)
    return scores


def best_evidence(
    left: Sparse, right: Sparse, k: int, seen: Histories | None, allowed: BoolVector | None
) -> tuple[IntMatrix, FloatMatrix]:
    """`top_k` of `evidence`, without ever holding the items on which there is none; for a thin product."""
    found = in_order(left @ right)
    hidden = found.data.astype(np.float32) == 0
    if seen is not None:
        met = np.zeros(found.shape, bool)
        met[seen.owner(), seen.item] = True
        hidden |= met[np.repeat(np.arange(len(met)), np.diff(found.indptr)), found.indices]
    if allowed is not None:
        hidden |= ~allowed[found.indices]
    return top_k_entries(with_data(found, np.where(hidden, NOTHING, found.data).astype(np.float32)), k)


def distinct(queries: Queries) -> tuple[LongVector, LongVector]:
    """Which queries differ from the one before, and for each query the place of its like among those."""
    histories = queries.histories
    lengths = histories.lengths
    new = np.ones(len(queries), bool)
    new[1:] = lengths[1:] != lengths[:-1]
    if queries.now is not None:
        new[1:] |= queries.now[1:] != queries.now[:-1]
    events = np.flatnonzero(np.repeat(~new, lengths))
    before = events - np.repeat(lengths, lengths)[events]
    owner = histories.owner()[events]
    for column in histories.columns().values():
        differ = column[events] != column[before]
        if column.dtype.kind == "f":
            differ &= ~(np.isnan(column[events]) & np.isnan(column[before]))
        new[owner[differ]] = True
    return np.flatnonzero(new), np.cumsum(new) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """(query, item) pairs whose value is asked for, and where their possible neighbours stand.

    Pair `p` has the neighbours `lists[chosen[p]]` (their numbers and their values), whose similarity is in row
    `row[p]` of a matrix. `own` (pairs,) is a number that is no neighbour of the pair, -1 for none; `freshness`
    belongs to the entries of `lists`.
    """

    row: AnyArray
    lists: Sparse
    chosen: AnyArray
    own: AnyArray
    freshness: FloatVector | None = None

    def means(self, similarity: FloatMatrix, config: NeighbourhoodConfig) -> DoubleVector:
        """(pairs,) the mean of the nearest neighbours' values, weighted by similarity; NaN without neighbours."""
        lengths = np.diff(self.lists.indptr)[self.chosen]
        parts = [self._part(similarity, config, span) for span in _spans(lengths, PAIRS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _part(self, similarity: FloatMatrix, config: NeighbourhoodConfig, span: slice) -> DoubleVector:
        row, chosen, own = self.row[span], self.chosen[span], self.own[span]
        owner, entry = _entries(self.lists.indptr, chosen)
        number = self.lists.indices[entry]
        alike = similarity[row[owner], number]
        able = np.flatnonzero((alike > config.minimum_similarity) & (number != own[owner]))
        best = able[_nearest_of_each(owner[able], alike[able], config.neighbours)]
        weight = alike[best].astype(np.float64)
        if self.freshness is not None:
            weight *= self.freshness[entry[best]]
        size = np.abs(weight) if config.centred else weight
        above = np.bincount(owner[best], weight * self.lists.data[entry[best]], len(row))
        below = np.bincount(owner[best], size, len(row))
        found: DoubleVector = np.divide(above, below, out=np.full(len(row), np.nan), where=np.abs(below) > 1e-12)
        return found


def _spans(lengths: AnyArray, most: int) -> Iterator[slice]:
    """Consecutive slices whose lengths sum to at most `most`, or of one element."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        limit = most + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, stop)
        start = stop


def _entries(offsets: AnyArray, rows: AnyArray) -> tuple[AnyArray, AnyArray]:
    """For all entries of some rows of a CSR matrix: the place in `rows`, and the place among the entries."""
    lengths = np.diff(offsets)[rows]
    ends = np.cumsum(lengths)
    shift = np.repeat(offsets[rows] - (ends - lengths), lengths)
    return np.repeat(np.arange(len(rows)), lengths), np.arange(int(lengths.sum())) + shift


def _nearest_of_each(owner: AnyArray, alike: AnyArray, k: int) -> AnyArray:
    """The places of the `k` most alike entries of each owner (ascending numbers); ties to the first."""
    order = np.lexsort((-alike, owner))
    grouped = owner[order]
    rank = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    found: AnyArray = order[rank < k]
    return found


class Neighbourhood(RatingPredictor):
    """Base of the neighbourhood models: remembers the training histories, fades old events, answers with a mean."""

    config: NeighbourhoodConfig
    learns: ClassVar[tuple[str, ...]] = ("offsets", "item", "weight", "value")
    offsets: LongVector
    item: IntVector
    weight: FloatVector
    value: FloatVector
    _past: Told
    """What the remembered histories say."""

    def _prepare(self) -> None:
        """Derive from what was learnt whatever answers are made of; called after `fit` and after `load`."""
        weight, value = (column if len(column) else None for column in (self.weight, self.value))
        self._past = Told(Histories(self.offsets, self.item, weight=weight, value=value), self.n_items)

    def _read(self, folder: Path) -> None:
        self._prepare()

    def _remember(self, histories: Histories) -> None:
        """Keep training histories, without their times and whatever else no neighbourhood needs."""
        nothing = np.zeros(0, np.float32)
        self.offsets, self.item = np.asarray(histories.offsets), np.asarray(histories.item)
        self.weight = nothing if histories.weight is None else np.asarray(histories.weight)
        self.value = nothing if histories.value is None else np.asarray(histories.value)

    def _check(self, train: Dataset) -> None:
        if self.config.needs_values and not has_values(train.histories):
            raise DataError(
                f"{self.name} with similarity={self.config.similarity} and signal={self.config.signal} compares values "
                f"(ratings), but the events of {train.name!r} have none; use similarity=cosine with signal=strength"
            )
        if self.config.half_life_days is not None:
            train.need("time", f"{self.name} with half_life_days={self.config.half_life_days:g}")

    def _factors(self, queries: Queries) -> tuple[Sparse, Sparse]:
        """Two sparse float64 matrices whose product (n_queries, n_items) is the score."""
        raise NotImplementedError

    def _score(self, queries: Queries) -> FloatMatrix:
        return evidence(*self._factors(queries))

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        left, right = self._factors(block)
        if is_thin(left, right):
            return best_evidence(left, right, k, block.histories if exclude_seen else None, allowed)
        return self._best_of(evidence(left, right), block, k, exclude_seen, allowed)

    def _told(self, queries: Queries) -> Told:
        return Told(queries.histories, self.n_items, self._freshness(queries))

    def _freshness(self, queries: Queries) -> FloatVector | None:
        """(n_events,) how much each event counts for its age; None when age does not matter."""
        half_life, histories = self.config.half_life_days, queries.histories
        if half_life is None:
            return None
        if histories.time is None or queries.now is None:
            return np.ones(histories.n_events, np.float32)
        now = np.repeat(queries.now, histories.lengths)
        known = (histories.time != NO_TIME) & (now != NO_TIME)
        age = np.maximum(now - np.where(known, histories.time, now), 0)
        fresh: FloatVector = np.exp2(-age / (half_life * DAY)).astype(np.float32)
        return fresh

    def _predict(self, queries: Queries, items: IntVector) -> FloatVector:
        if not has_values(self._past.histories):
            raise DataError(
                f"{self.name} cannot predict values: the events of {self.trained_on.get('data')!r}, on which it was "
                "fitted, have none (a rating, a watch ratio); only `recommend` works"
            )
        first, like = distinct(queries)
        few = queries.take(first)
        found = self._means(few, like, items)
        user, item = means(self._told(few).rating)[like], self._past.item_means[items]
        return _first_known(found, user, item, np.full(len(items), self._past.mean)).astype(np.float32)

    def _means(self, queries: Queries, like: LongVector, items: IntVector) -> DoubleVector:
        """(pairs,) the predicted value of query `like[p]` and item `items[p]`; NaN where the neighbourhood is empty."""
        raise NotImplementedError


def has_values(histories: Histories) -> bool:
    """Whether some event has a value."""
    return histories.value is not None and not bool(np.isnan(histories.value).all())


def _first_known(*columns: DoubleVector) -> DoubleVector:
    """For each place, the first of the columns that is not NaN there."""
    found = columns[0]
    for column in columns[1:]:
        found = np.where(np.isnan(found), column, found)
    return found
