"""Histories: what users did, flat and without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, FloatVector, IntMatrix, IntVector, LongVector
from zhiyin.errors import DataError

COLUMNS = ("item", "time", "value", "kind", "weight", "session")
"""The columns of an event beside its owner; all but `item` may be absent."""

Column: TypeAlias = AnyArray | None

NO_TIME = np.iinfo(np.int64).min
"""The time of an event, or the moment of a query, of which nothing is known."""

NO_KIND = 255
"""The kind of an event whose kind is not known."""

NO_SESSION = -1
"""The session of an event whose session is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Many histories in flat arrays: history `i` is `column[offsets[i]:offsets[i + 1]]`, oldest event first.

    Shapes: `offsets` (n + 1,) int64; the others (n_events,): `item` int32, `time` int64 (microseconds since 1970, or
    the place in the history where only the order is known; `NO_TIME` for none), `value` float32 (a rating, a watch
    ratio; NaN for none), `kind` uint8 (a number in `Dataset.kinds`; `NO_KIND` for none), `weight` float32 (how much it
    speaks for the item; 1 when absent), `session` int32 (counts from 0 inside a history; `NO_SESSION` for none).
    """

    offsets: LongVector
    item: IntVector
    time: LongVector | None = None
    value: FloatVector | None = None
    kind: AnyArray | None = None
    weight: FloatVector | None = None
    session: IntVector | None = None

    def __post_init__(self) -> None:
        for name in COLUMNS:
            column = getattr(self, name)
            if column is not None and len(column) != self.n_events:
                raise DataError(f"column {name} has {len(column)} events, the offsets say {self.n_events}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Histories: {len(self):,}, of {self.n_events:,} events ({', '.join(self.columns())})"

    @property
    def n_events(self) -> int:
        """The number of events of all histories together."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> LongVector:
        """(n,) the number of events of each history."""
        return np.diff(self.offsets)

    def owner(self) -> IntVector:
        """(n_events,) the number of the history that each event belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def columns(self) -> dict[str, AnyArray]:
        """The columns that are there, by name."""
        return {name: column for name in COLUMNS if (column := getattr(self, name)) is not None}

    def of(self, index: int) -> IntVector:
        """The items of one history, oldest first."""
        return self.item[self.offsets[index] : self.offsets[index + 1]]

    def strength(self) -> FloatVector:
        """(n_events,) the weight of each event, 1 where none was given."""
        return np.ones(self.n_events, np.float32) if self.weight is None else self.weight

    @classmethod
    def of_lengths(cls, lengths: AnyArray, **columns: Column) -> Histories:
        """Make histories from the number of events of each and the flat columns."""
        return cls(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), **columns)  # type: ignore[arg-type]

    @classmethod
    def of_lists(cls, items: Sequence[Sequence[int]]) -> Histories:
        """Make histories from lists of item numbers."""
        flat = [number for one in items for number in one]
        return cls.of_lengths(np.array([len(one) for one in items], np.int64), item=np.array(flat, np.int32))

    def take(self, rows: AnyArray) -> Histories:
        """Some of the histories, in the order of `rows` (numbers, or a mask of all)."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        starts = self.offsets[:-1][rows]
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return self.of_lengths(lengths, **{name: column[places] for name, column in self.columns().items()})

    def slice(self, start: int, stop: int) -> Histories:
        """The histories `start` to `stop`, without copying their events."""
        low, high = self.offsets[start], self.offsets[stop]
        flat = {name: column[low:high] for name, column in self.columns().items()}
        return Histories(self.offsets[start : stop + 1] - low, **flat)

    def keep(self, mask: BoolVector) -> Histories:
        """The same histories with only the events where `mask` (n_events,) is true; some may become empty."""
        counts = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
        flat = {name: column[mask] for name, column in self.columns().items()}
        return Histories(counts[self.offsets], **flat)

    def reorder(self, places: LongVector) -> Histories:
        """The same histories with their events in the order of `places` (a permutation inside each history)."""
        flat = {name: column[places] for name, column in self.columns().items()}
        return Histories(self.offsets, **flat)

    def last(self, n: int) -> Histories:
        """The last `n` events of each history."""
        return self.keep(self.from_end() < n)

    def last_items(self, n: int) -> IntMatrix:
        """(n_histories, n) the last `n` items of each, the newest last, -1 in front where there are fewer."""
        found = np.full((len(self), n), -1, np.int32)
        back = self.from_end()
        kept = back < n
        found[self.owner()[kept], n - 1 - back[kept]] = self.item[kept]
        return found

    def from_end(self) -> LongVector:
        """(n_events,) how many events of the same history come after this one."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(self.n_events)

    def without(self, *names: str) -> Histories:
        """The same histories without some of the columns."""
        flat = {name: column for name, column in self.columns().items() if name not in names}
        return Histories(self.offsets, **flat)

    def matrix(self, n_items: int, values: FloatVector | None = None) -> sparse.csr_array:
        """(n, n_items) sparse float32: the summed strength (or `values`) of each item in each history."""
        data = self.strength() if values is None else values
        # copies throughout: summing what occurs twice works in place, and these histories must stay as they are
        parts = (np.array(data, np.float32), self.item.astype(np.int32), self.offsets.copy())
        raw = sparse.csr_array(parts, shape=(len(self), n_items))
        raw.sum_duplicates()
        return raw
