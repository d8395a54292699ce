"""What list metrics look at: recommended lists beside the targets, the histories and the catalogue."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntMatrix, IntVector, LongVector, offsets_of
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError

IdLists: TypeAlias = Sequence[Sequence[Hashable]]
"""Lists of any ids, as a person writes them."""

Categories: TypeAlias = Mapping[Hashable, Sequence[Hashable]]
"""The categories of each item, as a person writes them."""

TABLE = 2**22
"""Cells of the look-up table of `contains`: 4 MiB, so that it stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class World:
    """What list metrics may know beside the lists: the catalogue and how it was used in training.

    `n_items`: size of the catalogue; `popularity` (n_items,) training events of each item; `n_users`: training users;
    `categories` (n_items, n_categories) sparse 0/1, or None where items have none.
    """

    n_items: int
    popularity: LongVector
    n_users: int = 1
    categories: sparse.csr_array | None = None

    def __post_init__(self) -> None:
        if len(self.popularity) != self.n_items:
            raise DataError(f"popularity has {len(self.popularity)} entries for a catalogue of {self.n_items} items")
        if self.categories is not None and self.categories.shape[0] != self.n_items:
            raise DataError(f"categories have {self.categories.shape[0]} rows for a catalogue of {self.n_items} items")

    @cached_property
    def popularity_rank(self) -> LongVector:
        """(n_items,) the place of each item, from 0, in the list of all by training events; ties by item number."""
        rank = np.empty(self.n_items, np.int64)
        rank[np.argsort(-self.popularity, kind="stable")] = np.arange(self.n_items)
        return rank

    @cached_property
    def popularity_ties(self) -> tuple[LongVector, LongVector]:
        """(n_items,) the first rank of the items that are as popular as this one, and the rank after their last."""
        ordered = np.sort(self.popularity)
        first = self.n_items - np.searchsorted(ordered, self.popularity, side="right")
        stop = self.n_items - np.searchsorted(ordered, self.popularity, side="left")
        return first.astype(np.int64), stop.astype(np.int64)

    @cached_property
    def category_sets(self) -> sparse.csr_array | None:
        """(n_items, n_categories) float64, 1 where the item has the category; None where no item has one."""
        if self.categories is None or not self.categories.nnz:
            return None
        sets = sparse.csr_array(self.categories != 0, dtype=np.float64)
        sets.sum_duplicates()
        return sets

    @cached_property
    def category_counts(self) -> LongVector:
        """(n_items,) the number of categories of each item."""
        sets = self.category_sets
        return np.zeros(self.n_items, np.int64) if sets is None else np.diff(sets.indptr).astype(np.int64)

    def category_vectors(self, power: float) -> sparse.csr_array | None:
        """(n_items, n_categories): each item's 0/1 row over its number of categories to the `power`.

        Power 1 gives shares, p(category | item), that sum to 1; power ½ gives unit vectors. An item without categories
        has a row of zeros.
        """
        sets = self.category_sets
        if sets is None:
            return None
        scale = np.maximum(self.category_counts, 1) ** -float(power)
        return sparse.csr_array((np.repeat(scale, self.category_counts), sets.indices, sets.indptr), shape=sets.shape)


@dataclass(frozen=True, eq=False)
class Lists:
    """Recommended lists beside what really followed.

    `items` (n, width) int32, best first, padded with -1; `targets` and `histories` have one row per list. Targets that
    occur twice count once.

    Raises:
        DataError: rows are missing, or an item number is not in the catalogue.
    """

    items: IntMatrix
    targets: Histories
    histories: Histories
    world: World

    def __post_init__(self) -> None:
        for what, rows in (("targets", self.targets), ("histories", self.histories)):
            if len(rows) != len(self.items):
                raise DataError(f"{len(self.items)} lists came with {len(rows)} {what}; one row for each is expected")
            _check_range(what, rows.item, 0, self.world.n_items)
        _check_range("lists", self.items, -1, self.world.n_items)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def hits(self) -> BoolVector:
        """(n, width) whether the item at that place is a target; a repeated item hits only once."""
        return contains(self.targets, self.items, self.world.n_items) & ~repeated(self.items)

    @cached_property
    def seen(self) -> BoolVector:
        """(n, width) whether the item at that place is in the history."""
        return contains(self.histories, self.items, self.world.n_items)

    @cached_property
    def n_targets(self) -> LongVector:
        """(n,) the number of different targets of each list."""
        keys = self.targets.owner().astype(np.int64) * self.world.n_items + self.targets.item
        return np.bincount(np.unique(keys) // self.world.n_items, minlength=len(self)).astype(np.int64)

    def n_listed(self, k: int) -> LongVector:
        """(n,) how many of the first `k` places hold an item."""
        listed: LongVector = (self.items[:, :k] >= 0).sum(axis=1, dtype=np.int64)
        return listed

    def mean_over_places(self, k: int, worth: AnyArray) -> DoubleVector:
        """(n,) the mean `worth` (n_items,) of the items at the first `k` places; NaN for an empty list."""
        items = self.items[:, :k]
        total: DoubleVector = np.where(items >= 0, worth[items], 0).sum(axis=1)
        return total / positive(self.n_listed(k))

    def category_mix(self, k: int, vectors: sparse.csr_array) -> sparse.csr_array:
        """(n, n_categories) the sum of the category `vectors` (n_items, n_categories) of the first `k` places."""
        items = self.items[:, :k]
        flat = items[items >= 0]
        parts = (np.ones(len(flat)), flat, offsets_of(self.n_listed(k)))
        listed = sparse.csr_array(parts, shape=(len(self), self.world.n_items))
        return sparse.csr_array(listed @ vectors)

    @cached_property
    def history_mix(self) -> sparse.csr_array | None:
        """(n, n_categories) how much of each category the history holds, each event by its weight (if positive)."""
        shares = self.world.category_vectors(1)
        if shares is None:
            return None
        past = self.histories
        weight = np.maximum(past.strength(), 0).astype(np.float64)
        used = sparse.csr_array((weight, past.item, past.offsets), shape=(len(self), self.world.n_items))
        return sparse.csr_array(used @ shares)

    def take(self, rows: AnyArray) -> Lists:
        """Some of the lists, in the order of `rows` (numbers, or a mask of all)."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        return replace(
            self, items=self.items[rows], targets=self.targets.take(rows), histories=self.histories.take(rows)
        )

    @classmethod
    def of(
        cls,
        recommended: IdLists,
        targets: IdLists | None = None,
        histories: IdLists | None = None,
        categories: Categories | None = None,
        catalogue: Iterable[Hashable] = (),
    ) -> Lists:
        """Lists of any ids, for a person at the prompt.

        Popularity is counted in the histories. The catalogue is every id that occurs anywhere, and `catalogue`.
        """
        known = {} if categories is None else categories
        groups = [
            _rows(what, rows, recommended)
            for what, rows in (("lists", recommended), ("targets", targets), ("histories", histories))
        ]
        number: dict[Hashable, int] = {}
        for one in (*(one for group in groups for row in group for one in row), *known, *catalogue):
            number.setdefault(one, len(number))
        lists, wanted, past = ([[number[one] for one in row] for row in group] for group in groups)
        n_items = max(1, len(number))
        history = Histories.of_lists(past)
        popularity = np.bincount(history.item, minlength=n_items).astype(np.int64)
        world = World(n_items, popularity, len(past), _category_matrix(known, number, n_items))
        return cls(_padded(lists), Histories.of_lists(wanted), history, world)


def _rows(what: str, rows: IdLists | None, recommended: IdLists) -> IdLists:
    if rows is None:
        return [() for _ in recommended]
    if len(rows) != len(recommended):
        raise DataError(f"{len(recommended)} lists came with {len(rows)} rows of {what}; one for each is expected")
    for row in rows:
        if isinstance(row, str):
            raise DataError(f"{what} must be lists of ids, one text came: {row!r}; write [{row!r}]")
    return rows


def _padded(lists: Sequence[Sequence[int]]) -> IntMatrix:
    width = max((len(row) for row in lists), default=0)
    return np.array([[*row, *[-1] * (width - len(row))] for row in lists], np.int32).reshape(len(lists), width)


def _category_matrix(categories: Categories, number: Mapping[Hashable, int], n_items: int) -> sparse.csr_array | None:
    names: dict[Hashable, int] = {}
    pairs = [(number[item], names.setdefault(one, len(names))) for item, row in categories.items() for one in set(row)]
    if not pairs:
        return None
    rows, columns = np.array(pairs).T
    return sparse.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(n_items, len(names)))


def _check_range(what: str, numbers: AnyArray, low: int, high: int) -> None:
    if numbers.size and (numbers.min() < low or numbers.max() >= high):
        raise DataError(
            f"the {what} hold item numbers from {numbers.min()} to {numbers.max()}, the catalogue has 0 to {high - 1}; "
            "translate them into the numbers of the catalogue first"
        )


def contains(sets: Histories, items: IntMatrix, n_items: int) -> BoolVector:
    """(n, width) whether the item at that place is in the set of its row; -1 never is.

    Marks the sets of a block of rows in one small table, reads it, and wipes the marks: linear time, no sorting.
    """
    found = np.zeros(items.shape, bool)
    rows = max(1, min(len(items), TABLE // max(1, n_items)))
    table = np.zeros(rows * n_items, bool)
    for start in range(0, len(items), rows):
        block = items[start : start + rows]
        part = sets.slice(start, start + len(block))
        marked = part.owner().astype(np.int64) * n_items + part.item
        table[marked] = True
        found[start : start + rows] = table[np.arange(len(block))[:, None] * n_items + block] & (block >= 0)
        table[marked] = False
    return found


def repeated(items: IntMatrix) -> BoolVector:
    """(n, width) whether the item at that place stood in the same row before."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    found = np.zeros(items.shape, bool)
    np.put_along_axis(found, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return found


def positive(counts: AnyArray) -> DoubleVector:
    """(n,) the counts to divide by: NaN instead of 0, so that what is not defined becomes NaN."""
    return np.where(counts > 0, counts, np.nan)


def listed_counts(items: IntMatrix, n_items: int) -> IntVector:
    """(n_items,) in how many places each item stands."""
    return np.bincount(items.ravel() + 1, minlength=n_items + 1)[1:].astype(np.int32)
