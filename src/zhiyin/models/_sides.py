"""Sides: the columns of the item and user tables that a model reads, as numbers of values and buckets.

Text has a number for each value that occurs often enough, numbers fall into buckets of about equally many rows. What is
left (a null, a rare value, one that was not there in training) has a bucket of its own, the last one of its column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntMatrix, IntVector, LongVector
from zhiyin.artifacts import read_json, to_json
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError, unknown

LEAST = 2
"""A text of fewer rows links nothing, and falls into the last bucket."""

MOST = 10_000
"""At most so many different texts of a column are told apart, those of the most rows."""

BUCKETS = 32
"""At most so many of numbers, of at least `LEAST` rows on average; where no more different numbers are there, each has
its own."""

COLUMNS, TABLE, ITEM_COLUMNS = "users.json", "users.parquet", "items.json"
"""The files of users' columns, of the users themselves and of items' columns in a saved model."""

Entries: TypeAlias = tuple[LongVector, IntVector]
"""(m,) rows, in rising order, and the number of a value that each has."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: the texts, or the borders of numbers, that are told apart."""

    name: str
    values: tuple[str, ...] | None = None
    edges: DoubleVector | None = None
    """Rising; a number that equals one falls below it."""

    @classmethod
    def fit(cls, table: pa.Table, name: str, what: str) -> Column:
        """What a column of a table of `what` ("item" or "user") tells apart.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
            DataError: it tells no two rows apart.
        """
        column = _column(table, name, what)
        if _is_number(column.type):
            edges = _edges(_floats(column))
            if not len(edges):
                raise DataError(f"{what} feature {name!r} has no two different numbers; leave it out")
            return cls(name, edges=edges)
        values = _frequent(column)
        if not values:
            raise DataError(
                f"no two {what}s have the same {name!r}, so it says nothing of one that it does not say of that one "
                f"alone; take {what} features that {what}s share"
            )
        return cls(name, values=values)

    @property
    def size(self) -> int:
        """The number of buckets; the last one stands for what is not known."""
        if self.values is not None:
            return len(self.values) + 1
        assert self.edges is not None
        return len(self.edges) + 2

    def entries(self, table: pa.Table, what: str) -> Entries:
        """The buckets that each row of a table has, at least one: lists have one for each of their known values.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
        """
        column = _column(table, self.name, what)
        if self.values is None:
            return np.arange(len(column)), self._of_numbers(_as_floats(column, self.name, what))
        rows, texts = _texts(column)
        numbers = np.asarray(pc.fill_null(pc.index_in(texts, value_set=pa.array(self.values, pa.large_string())), -1))
        rows, numbers = _distinct(rows[numbers >= 0], numbers[numbers >= 0], self.size)
        without = np.setdiff1d(np.arange(len(column)), rows)
        rows = np.concatenate([rows, without])
        numbers = np.concatenate([numbers, np.full(len(without), self.size - 1)])
        order = np.argsort(rows, kind="stable")
        return rows[order], numbers[order].astype(np.int32)

    def told(self, values: AnyArray) -> tuple[BoolVector, IntVector]:
        """(n,) whether a query says anything of this (None and NaN do not), and the bucket of what it says.

        Raises:
            DataError: there is not one value for each query.
        """
        if values.ndim != 1:
            raise DataError(f"context {self.name!r} holds lists; one text or number for each query is expected")
        given = np.array([one is not None and one == one for one in values.tolist()], bool)  # NaN is not itself
        if self.values is None:
            return given, self._of_numbers(np.array([_number(one) for one in values.tolist()], np.float64))
        number = {value: place for place, value in enumerate(self.values)}
        found = [number.get(_text(one), self.size - 1) for one in values.tolist()]
        return given, np.array(found, np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {"name": self.name, "values": self.values, "edges": None if self.edges is None else self.edges.tolist()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Column:
        """Read what `to_dict` wrote."""
        values, edges = content["values"], content["edges"]
        if (values is None) == (edges is None):
            raise ValueError("a column has either values or edges")
        return cls(
            str(content["name"]),
            None if values is None else tuple(map(str, values)),
            None if edges is None else np.array(edges, np.float64),
        )

    def _of_numbers(self, numbers: DoubleVector) -> IntVector:
        assert self.edges is not None
        found = np.where(np.isfinite(numbers), np.searchsorted(self.edges, numbers, side="left"), self.size - 1)
        return found.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class ItemSides:
    """The columns of items that a model reads."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, table: pa.Table, names: Sequence[str]) -> ItemSides:
        """What the named columns of a table tell apart.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
            DataError: a column tells no two items apart.
        """
        return cls(tuple(Column.fit(table, name, "item") for name in dict.fromkeys(names)))

    def of(self, table: pa.Table) -> sparse.csr_array:
        """(n_items, n_values) float32, at each value of an item 1 / how many it has in that column.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
        """
        parts = [_shares(table, column) for column in self.columns]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    @property
    def silent(self) -> IntVector:
        """(n_columns,) the values that stand for missing and rare ones."""
        return (np.cumsum([column.size for column in self.columns]) - 1).astype(np.int32)

    def write(self, folder: Path) -> None:
        """Write it to a file of a folder."""
        _write(self.columns, folder / ITEM_COLUMNS)

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> ItemSides:
        """Read what `write` wrote of the named columns.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            return cls(_read(folder / ITEM_COLUMNS, names))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder} is damaged: the features of items: {error}; save the model anew") from None


def saved_item_sides(arrays: Mapping[str, AnyArray], n_items: int, file: Path) -> sparse.csr_array:
    """The matrix of `ItemSides` from the saved arrays of a net whose items are a `SideItems`.

    Raises:
        DataError: it is not there, or damaged.
    """
    try:
        parts = tuple(arrays[f"items.{name}"] for name in ("shares", "places", "offsets"))
        found = sparse.csr_array(parts, shape=(n_items, len(arrays["items.weight"])))
        found.check_format(full_check=True)
    except KeyError as error:
        raise DataError(f"{file} has no {error.args[0]}, the features of items; save the model anew") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{file} is damaged: the features of items: {error}; save the model anew") from None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class UserSides:
    """The columns of users that a model reads, and the users of whom it keeps what they say.

    A query that says what a column holds of its user (`Query.context`) is believed; of what it does not say, the table
    knows something if it names a user of the table; else nothing is known.
    """

    columns: tuple[Column, ...]
    ids: Vocabulary
    """Of the users of whom anything is known."""
    numbers: IntMatrix
    """(n_users, n_columns) their buckets; those of a column are counted from where those of the last one end."""

    @classmethod
    def fit(cls, table: pa.Table, names: Sequence[str], learning: BoolVector) -> tuple[UserSides, IntMatrix]:
        """The named columns, and (n_users, n_columns) the buckets of all users of the table.

        Args:
            table: of all users, with a column `user_id`.
            names: of columns.
            learning: (n_users,) whom training sees: values that none of them has are not told apart.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
            DataError: a column tells no two users apart.
        """
        seen = table.filter(pa.array(learning))
        for name in names:
            kind = _column(table, name, "user").type
            if _is_list(kind):
                raise ConfigError(f"user feature {name!r} holds {kind}; text, true or false, or numbers are expected")
        made = cls(
            tuple(Column.fit(seen, name, "user") for name in dict.fromkeys(names)),
            Vocabulary([]),
            np.zeros((0, len(set(names))), np.int32),
        )
        every = made.encode(table)
        known = np.flatnonzero((every != made.nobody).any(1))
        return cls(made.columns, Vocabulary(table.column("user_id")).take(known.astype(np.int32)), every[known]), every

    @property
    def sizes(self) -> dict[str, int]:
        """How many buckets each column has."""
        return {f"user: {column.name}": column.size for column in self.columns}

    @property
    def nobody(self) -> IntVector:
        """(n_columns,) the buckets of a user of whom nothing is known."""
        return (np.cumsum([column.size for column in self.columns]) - 1).astype(np.int32)

    def encode(self, table: pa.Table) -> IntMatrix:
        """(n_users, n_columns) the buckets of the users of a table."""
        return np.stack([column.entries(table, "user")[1] for column in self.columns], 1) + self._starts()

    def asked(self, queries: Queries) -> IntMatrix:
        """(n_queries, n_columns) the buckets of the user of each query.

        Raises:
            DataError: a context holds lists.
        """
        found = np.tile(self.nobody, (len(queries), 1))
        if queries.users is not None:
            rows = self.ids.encode(queries.users)
            found[rows >= 0] = self.numbers[rows[rows >= 0]]
        for place, (column, start) in enumerate(zip(self.columns, self._starts(), strict=True)):
            if column.name in queries.context:
                given, buckets = column.told(np.asarray(queries.context[column.name]))
                found[given, place] = start + buckets[given]
        return found

    def write(self, folder: Path) -> None:
        """Write it to two files of a folder."""
        _write(self.columns, folder / COLUMNS)
        numbers = {str(place): column for place, column in enumerate(self.numbers.T)}
        pq.write_table(pa.table({"user_id": self.ids.ids, **numbers}), folder / TABLE, compression="zstd")

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> UserSides:
        """Read what `write` wrote of the named columns.

        Raises:
            DataError: a file is missing or damaged.
        """
        try:
            columns = _read(folder / COLUMNS, names)
            table = pq.read_table(folder / TABLE)
            numbers = [np.asarray(table.column(str(place)), np.int32) for place in range(len(columns))]
            found = cls(columns, Vocabulary(table.column("user_id")), np.stack(numbers, 1))
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise DataError(f"{folder} is damaged: the features of users: {error}; save the model anew") from None
        if ((found.numbers < found._starts()) | (found.numbers > found.nobody)).any():
            raise DataError(f"{folder / TABLE} is not of {folder / COLUMNS}: buckets out of range; save the model anew")
        return found

    def _starts(self) -> IntVector:
        """(n_columns,) the first bucket of each."""
        return self.nobody + 1 - np.array([column.size for column in self.columns], np.int32)


def _write(columns: Sequence[Column], file: Path) -> None:
    file.write_text(to_json([column.to_dict() for column in columns]), encoding="utf-8")


def _read(file: Path, names: Sequence[str]) -> tuple[Column, ...]:
    columns = tuple(Column.from_dict(one) for one in read_json(file))
    if [column.name for column in columns] != list(dict.fromkeys(names)):
        raise ValueError(f"{', '.join(column.name for column in columns) or 'none'}, not {', '.join(names)}")
    return columns


def _shares(table: pa.Table, column: Column) -> sparse.csr_array:
    """(n_items, size) float32 of one column."""
    rows, numbers = column.entries(table, "item")
    count = np.bincount(rows, minlength=table.num_rows)
    offsets = np.concatenate([[0], np.cumsum(count)])
    shares = (1 / count[rows]).astype(np.float32)
    return sparse.csr_array((shares, numbers, offsets), shape=(table.num_rows, column.size))


def _column(table: pa.Table, name: str, what: str) -> pa.Array:
    """A column of a table, if it can be read."""
    known = [one for one in table.column_names if one != f"{what}_id"]
    if name not in known:
        raise ConfigError(unknown(f"{what} feature", name, known))
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunk, or of too many bytes for one
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if not (_is_number(column.type) or _is_text(column.type) or _is_list(column.type)):
        raise ConfigError(
            f"{what} feature {name!r} holds {column.type}; text, lists of text, true or false, or numbers are expected"
        )
    return column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_boolean(kind))


def _is_list(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists) and _is_text(kind.value_type)


def _floats(column: pa.Array) -> DoubleVector:
    """(n,) NaN where there is none."""
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), math.nan), np.float64)


def _as_floats(column: pa.Array, name: str, what: str) -> DoubleVector:
    if not _is_number(column.type):
        raise ConfigError(f"{what} feature {name!r} holds {column.type}; numbers are expected, as in training")
    return _floats(column)


def _texts(column: pa.Array) -> tuple[LongVector, pa.Array]:
    """(m,) rows and trimmed texts, without nulls and blanks; of a list, each one."""
    if _is_list(column.type):
        rows, column = np.asarray(pc.list_parent_indices(column)), pc.list_flatten(column)
    else:
        rows = np.arange(len(column))
    texts = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    known = pc.fill_null(pc.not_equal(texts, ""), False)
    return rows[np.asarray(known)].astype(np.int64), texts.filter(known)


def _distinct(rows: LongVector, numbers: AnyArray, size: int) -> tuple[LongVector, LongVector]:
    """Pairs, each once, in the order of rows, then numbers (below `size`)."""
    pairs = np.unique(rows * size + numbers)
    return pairs // size, pairs % size


def _frequent(column: pa.Array) -> tuple[str, ...]:
    """The texts of at least `LEAST` rows, at most `MOST`, those of the most rows first."""
    rows, texts = _texts(column)
    coded = texts.dictionary_encode()
    _, numbers = _distinct(rows, np.asarray(coded.indices, np.int64), max(1, len(coded.dictionary)))
    counts = np.bincount(numbers, minlength=len(coded.dictionary))
    often = np.flatnonzero(counts >= LEAST)
    names = coded.dictionary.take(pa.array(often)).to_pylist()
    order = sorted(zip((-counts[often]).tolist(), names, strict=True))
    return tuple(name for _, name in order[:MOST])


def _edges(numbers: DoubleVector) -> DoubleVector:
    """Halfway between different numbers where there are few, else where quantiles lie; no bucket is empty."""
    known = np.sort(numbers[np.isfinite(numbers)])
    different = np.unique(known)
    below, most = np.arange(len(different) - 1), min(BUCKETS, max(2, len(known) // LEAST))
    if len(different) > most:
        quantiles = known[len(known) * np.arange(1, most) // most]
        below = np.unique(np.minimum(np.searchsorted(different, quantiles), len(different) - 2))
    return different[below] / 2 + different[below + 1] / 2


def _text(value: object) -> str:
    """As Arrow writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _number(value: Any) -> float:
    """NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
