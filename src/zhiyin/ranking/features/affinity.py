"""How much a person is drawn to what an item is: its categories, its creator, its price, by what they did until now.

Of each value of a column (a genre, an author, a band of prices) a person has a share of interest, the part of their
events that are on items with it, and one in which older events fade by half every `half_life` days. A candidate's
affinity is the mean share of its own values. Where values (ratings) are known, an opinion is how much better than usual
the person rates such items.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import field_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleMatrix, DoubleVector, FloatVector, IntVector, LongVector
from zhiyin.config import Config, names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._columns import Column
from zhiyin.ranking._events import since
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.activity import mean_of
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run

DAY = 86_400_000_000

IDS, TEXTS = ("item_id", "user_id"), ("title", "text", "description", "abstract", "image", "audio")
STATE = ("available_from", "available_until", "stock")
"""Columns of a table that are no attributes: `STATE` is what is so today, and was not at earlier moments."""

PRIOR = 2.0
"""So many events of the usual value are added to an opinion, which few events would make extreme."""

logger = logging.getLogger(__name__)


class AffinityConfig(Config):
    """Settings of `affinity`."""

    columns: tuple[str, ...] = ()
    """Columns of the catalogue; none: all that items share values of, but for texts."""
    half_life: float = setting(30.0, gt=0)
    """In so many days an event counts half."""

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


class Affinity(Family):
    """Shares of interest, old and new, opinions, and how long ago, for each column of attributes."""

    config: AffinityConfig
    learns = ("attributes", "values", "widths")
    attributes: list[str]
    """The columns that are read."""
    values: sparse.csr_array
    """(n_items, n_values) float32 the values of all columns that each item has, with its share of each."""
    widths: LongVector
    """(n_columns,) how many of the values are of each column."""
    _column: IntVector
    """(n_values,) the column of each value."""

    def suits(self, train: Dataset) -> bool:
        """Whether items share any attribute."""
        return bool(self.config.columns or shared_columns(train.item_table))

    def _fit(self, train: Dataset, run: Run) -> None:
        columns = self.config.columns or tuple(shared_columns(train.item_table))
        found = [values_of(train.item_table, name) for name in columns]
        self.attributes, self.widths = list(columns), np.array([one.shape[1] for one in found], np.int64)
        self.values = sparse.csr_array(sparse.hstack(found, "csr"))
        self.derive()

    def derive(self) -> None:
        """Make what is not saved."""
        self._column = np.repeat(np.arange(len(self.widths), dtype=np.int32), self.widths)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        """All columns at once: what is told of a live query is a matter of few calls."""
        past, owner, now = candidates.queries.histories, candidates.owner(), candidates.now()
        ties = Ties.of(self.values, self._column, len(self.widths), candidates)
        whose, strength = past.owner(), past.strength().astype(np.float64)
        count = ties.summed(strength)
        told = {"interest in its": _divided(count, _per_person(strength, past)[owner])}
        if past.time is not None and candidates.queries.now is not None:
            age = np.nan_to_num(since(past.time, now[whose], DAY))
            fresh = strength * np.exp2(-age / self.config.half_life)
            told["recent interest in its"] = _divided(ties.summed(fresh), _per_person(fresh, past)[owner])
            told["days since its"] = since(ties.latest(past.time), np.repeat(now[owner, None], ties.columns, 1), DAY)
        if past.value is not None:
            above = np.nan_to_num(past.value - mean_of(whose, past.value, len(past))[whose])
            told["opinion of its"] = ties.summed(above) / (count + PRIOR)
        return {
            f"{what} {name}": values[:, at] for at, name in enumerate(self.attributes) for what, values in told.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """Which events of a history share a value with which candidates of its query.

    A key is a query and a value; events have some, and candidates have some of those. A pair is a candidate and the
    column of the value.
    """

    n: int
    """Candidates."""
    columns: int
    """Columns."""
    n_keys: int
    event: LongVector
    """(m,) an event, once for each of its values."""
    key: LongVector
    """(m,) the key of it and that value."""
    share: FloatVector
    """(m,) how much of its item that value is."""
    pair: LongVector
    """(k,) candidate * columns + column, once for each value of a candidate that its history has, too."""
    key_of_pair: LongVector
    """(k,)."""
    share_of_pair: FloatVector
    """(k,)."""

    @classmethod
    def of(cls, values: sparse.csr_array, column: IntVector, columns: int, candidates: Candidates) -> Ties:
        """By the values (n_items, n_values) of items, and the column of each value."""
        past, size = candidates.queries.histories, values.shape[1]
        event, value, share = entries(values, past.item)
        keys, key = np.unique(past.owner()[event].astype(np.int64) * size + value, return_inverse=True)
        row, value, share_of_pair = entries(values, candidates.item)
        wanted = candidates.owner()[row].astype(np.int64) * size + value
        at = np.searchsorted(keys, wanted)
        there = np.append(keys, -1)[at] == wanted
        pair = (row * columns + column[value])[there]
        return cls(len(candidates), columns, len(keys), event, key, share, pair, at[there], share_of_pair[there])

    def summed(self, of_events: AnyArray) -> DoubleMatrix:
        """(n, columns) what events (n_events,) come to for each candidate: sums by value, the mean over its values."""
        sums = np.bincount(self.key, of_events[self.event] * self.share, self.n_keys)
        total = np.bincount(self.pair, sums[self.key_of_pair] * self.share_of_pair, self.n * self.columns)
        return np.asarray(total, np.float64).reshape(self.n, self.columns)

    def latest(self, time: LongVector) -> AnyArray:
        """(n, columns) the last time of an event that shares a value; `NO_TIME` without any."""
        last, found = np.full(self.n_keys, NO_TIME), np.full(self.n * self.columns, NO_TIME)
        np.maximum.at(last, self.key, time[self.event])
        np.maximum.at(found, self.pair, last[self.key_of_pair])
        return found.reshape(self.n, self.columns)


def _per_person(of_events: AnyArray, past: Histories) -> DoubleVector:
    return np.asarray(np.bincount(past.owner(), of_events, len(past)), np.float64)


def shared_columns(table: pa.Table, what: str = "item") -> list[str]:
    """The columns of a table of `what` that say something of one which they say of others, too."""
    found = []
    for name in table.column_names:
        if name in (*IDS, *TEXTS, *STATE):
            continue
        try:
            Column.fit(table, name, what)
        except (ConfigError, DataError) as error:
            logger.info("column %r makes no features: %s", name, error)
        else:
            found.append(name)
    return found


def values_of(table: pa.Table, name: str) -> sparse.csr_array:
    """(n_items, n_values) float32 the values of a column, each with its share of the item; unknown ones left out."""
    column = Column.fit(table, name, "item")
    rows, numbers, shares = column.shares(table, "item")
    known = numbers < column.size - 1
    parts = (shares[known], (rows[known], numbers[known]))
    return sparse.csr_array(parts, shape=(table.num_rows, column.size - 1))


def entries(values: sparse.csr_array, rows: AnyArray) -> tuple[LongVector, AnyArray, AnyArray]:
    """(m,) each: the place of a row among `rows`, a value that it has, and its share."""
    lengths = np.diff(values.indptr)[rows]
    which = np.repeat(np.arange(len(rows)), lengths)
    ends = np.cumsum(lengths)
    flat = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(values.indptr[rows] - (ends - lengths), lengths)
    return which, values.indices[flat], values.data[flat]


def _divided(part: DoubleMatrix, whole: DoubleVector) -> DoubleMatrix:
    """(n, columns) rows by one number each, NaN where there is nothing to divide by."""
    some = np.where(whole > 0, whole, np.nan)
    found: DoubleMatrix = part / some[:, None]
    return found
