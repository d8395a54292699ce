"""The cells of a table as rules and formulas need them: every value as it is, none left out as too rare."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from zhiyin.arrays import BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._columns import column_of, is_list


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The values of a column of texts, or of lists of them."""

    names: list[str]
    """In the order of letters, so that `places_in` finds one."""
    of: sparse.csr_array
    """(n_rows, n_names) bool."""

    @classmethod
    def read(cls, table: pa.Table, name: str, what: str) -> Cells:
        """The trimmed texts of a column; whole numbers, and true and false, as they are written; nulls and blanks none.

        Raises:
            ConfigError: there is no such column, or it holds something else.
        """
        column = column_of(table, name, what)
        if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            raise ConfigError(f"{what} column {name!r} holds {column.type}; values that are equal or not are expected")
        n, rows = len(column), np.arange(len(column))
        if is_list(column.type):
            rows, column = np.asarray(pc.list_parent_indices(column)), pc.list_flatten(column)
        texts = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
        known = np.asarray(pc.fill_null(pc.not_equal(texts, ""), False))
        coded = texts.filter(pa.array(known)).dictionary_encode()
        order = np.asarray(pc.sort_indices(coded.dictionary))
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        parts = (np.ones(int(known.sum()), bool), (rows[known], place[np.asarray(coded.indices)]))
        found = sparse.csr_array(parts, shape=(n, len(order)))
        found.sum_duplicates()
        return cls(coded.dictionary.take(order).to_pylist(), found)

    def known(self) -> BoolVector:
        """(n_rows,) which rows have any."""
        return np.asarray(np.diff(self.of.indptr) > 0)

    def having(self, values: tuple[str, ...]) -> BoolVector:
        """(n_rows,) which rows have one of some values."""
        columns = [at for at, name in enumerate(self.names) if name in values]
        return np.asarray(self.of[:, columns].sum(1) > 0).ravel()


def places_in(ordered: Sequence[str], texts: Sequence[str]) -> IntVector:
    """(n,) the place of each of n texts among others in the order of letters, the last of equals; -1 for none.

    By halving, so that nobody reads a million ids to find one, and no memory holds them twice.

    >>> places_in(["alien", "matrix"], ["matrix", "who?"])
    array([ 1, -1], dtype=int32)
    """
    found = np.full(len(texts), -1, np.int32)
    for row, one in enumerate(map(str, texts)):
        place = bisect_right(ordered, one) - 1
        if place >= 0 and ordered[place] == one:
            found[row] = place
    return found


def is_number(kind: pa.DataType) -> bool:
    """Whether a column is of numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def numbers_of(table: pa.Table, name: str) -> DoubleVector:
    """(n_rows,) NaN where there is none.

    Raises:
        ConfigError: there is no such column, or it holds something else.
    """
    column = column_of(table, name, "item")
    if not is_number(column.type):
        raise ConfigError(f"item column {name!r} holds {column.type}; numbers are expected")
    return np.array(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan), np.float64)


def times_of(table: pa.Table, name: str, empty: int) -> LongVector:
    """(n_rows,) microseconds since 1970, `empty` where there is none; all so without such a column.

    Raises:
        ConfigError: it holds no times.
    """
    if name not in table.column_names:
        return np.full(table.num_rows, empty, np.int64)
    column = table[name].combine_chunks()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz))
    elif not pa.types.is_integer(column.type):
        raise ConfigError(f"item column {name!r} holds {column.type}; microseconds since 1970 or times are expected")
    return np.array(pc.fill_null(column.cast(pa.int64()), empty), np.int64)


def aligned(items: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    """An item table with row `i` for item `i` of a vocabulary; of an item that it lacks nothing is known.

    Raises:
        DataError: it has no column item_id.
    """
    if "item_id" not in items.column_names:
        raise DataError(f"an item table needs a column item_id; it has {', '.join(items.column_names) or 'none'}")
    place = pc.index_in(vocabulary.ids, value_set=items["item_id"].cast(pa.large_string()).combine_chunks())
    return items.take(place).set_column(items.column_names.index("item_id"), "item_id", vocabulary.ids)
