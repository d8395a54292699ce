"""Candidates: pairs of queries and items, flat and without padding; what features are made of and rankers judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from zhiyin.arrays import AnyArray, IntMatrix, IntVector, LongVector, offsets_of
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The items that may be listed for each query: those of query `i` are `item[offsets[i]:offsets[i + 1]]`.

    Raises:
        DataError: offsets, items and columns do not fit together.
    """

    queries: Queries
    offsets: LongVector
    """(n_queries + 1,)."""
    item: IntVector
    """(n,) numbers of the vocabulary of the queries."""
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    """(n,) each: what is known of a pair beside, such as the score that a retriever gave it."""

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.queries) + 1 or int(self.offsets[-1]) != len(self.item):
            raise DataError(
                f"{len(self.queries)} queries came with {len(self.offsets)} offsets up to {int(self.offsets[-1])} and "
                f"{len(self.item)} items; one offset more than queries is expected, the last is the number of items"
            )
        for name, column in self.columns.items():
            if len(column) != len(self.item):
                raise DataError(f"column {name!r} has {len(column)} values for {len(self.item)} candidates")

    def __len__(self) -> int:
        return len(self.item)

    @classmethod
    def of_lists(cls, queries: Queries, items: IntMatrix, **columns: AnyArray) -> Candidates:
        """From lists (n_queries, k) of items, -1 where there is none, and columns of the same shape."""
        there = items >= 0
        return cls(queries, offsets_of(there.sum(1)), items[there], {name: one[there] for name, one in columns.items()})

    @property
    def lengths(self) -> LongVector:
        """(n_queries,) how many candidates each query has."""
        return np.diff(self.offsets)

    def owner(self) -> IntVector:
        """(n,) the number of the query of each candidate."""
        return np.repeat(np.arange(len(self.queries), dtype=np.int32), self.lengths)

    def now(self) -> LongVector:
        """(n_queries,) the moment of each query; the end of time where none is known: all that is known counts then."""
        if self.queries.now is None:
            return np.full(len(self.queries), np.iinfo(np.int64).max)
        return np.where(self.queries.now == NO_TIME, np.iinfo(np.int64).max, self.queries.now)

    def slice(self, start: int, stop: int) -> Candidates:
        """Those of the queries `start` to `stop`."""
        low, high = self.offsets[start], self.offsets[stop]
        columns = {name: column[low:high] for name, column in self.columns.items()}
        return Candidates(
            self.queries.slice(start, stop), self.offsets[start : stop + 1] - low, self.item[low:high], columns
        )

    def blocks(self, pairs: int) -> Iterator[Candidates]:
        """Runs of queries of at most `pairs` candidates together, or of one query that has more."""
        start = 0
        while start < len(self.queries):
            stop = int(np.searchsorted(self.offsets, self.offsets[start] + pairs, side="right")) - 1
            stop = max(start + 1, stop)
            yield self.slice(start, stop)
            start = stop

    def with_columns(self, **columns: AnyArray) -> Candidates:
        """The same with further columns."""
        return replace(self, columns={**self.columns, **columns})
