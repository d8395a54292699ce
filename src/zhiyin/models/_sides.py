"""Sides: what the item and user tables tell a model, each of the columns that it reads as a `Column`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, IntMatrix, IntVector
from zhiyin.artifacts import read_json, to_json
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._answers import learnt_values
from zhiyin.models._columns import Column, column_of, is_list

COLUMNS, TABLE, ITEM_COLUMNS, LEARNT = "users.json", "users.parquet", "items.json", "items-unlearnt.json"
"""The files of users' columns, of the users themselves, of items' columns and of the numbers of those of their values
that say nothing, in a saved model."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemSides:
    """The columns of items that a model reads."""

    columns: tuple[Column, ...]
    learnt: BoolVector | None = None
    """(n_values,) the values of items that training met, but for those that say nothing; None where nobody noted it."""

    @classmethod
    def fit(cls, table: pa.Table, names: Sequence[str], words: Sequence[str] = ()) -> ItemSides:
        """What the named columns of a table tell apart, and the words of some.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers, or no text that has words.
            DataError: a column tells no two items apart.
        """
        whole = [Column.fit(table, name, "item") for name in dict.fromkeys(names)]
        return cls((*whole, *(Column.fit(table, name, "item", words=True) for name in dict.fromkeys(words))))

    def of(self, table: pa.Table) -> sparse.csr_array:
        """(n_items, n_values) float32, at each value of an item how much of that column it is, see `Column.shares`.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
        """
        parts = [_shares(table, column) for column in self.columns]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    def of_texts(self, texts: Sequence[str]) -> sparse.csr_array:
        """(n, n_values) what items would have in common with others if their columns of words held these texts.

        What a text says in words that are not known is no part of it: of a long wish, the one word that titles happen
        to have must not stand for all.
        """
        given = pa.array(texts, pa.large_string())
        parts = [
            column.heard(given) if column.words else sparse.csr_array((len(texts), column.size), dtype=np.float32)
            for column in self.columns
        ]
        found = sparse.csr_array(sparse.hstack(parts, format="csr"))
        found.data[~self.telling[found.indices]] = 0
        found.eliminate_zeros()
        return found

    def taught(self, met: BoolVector, sides: sparse.csr_array) -> ItemSides:
        """The same after training has met some items (n_items,) of these values (n_items, n_values)."""
        learnt = learnt_values(met, sides, self.silent)
        return replace(self, learnt=learnt if self.learnt is None else learnt | self.learnt)

    def know(self, sides: sparse.csr_array) -> BoolVector:
        """(n,) which items of these values (n, n_values) have one that says something."""
        found: BoolVector = sides @ self.telling > 0
        return found

    @property
    def telling(self) -> BoolVector:
        """(n_values,) the values whose vectors say something."""
        if self.learnt is not None:
            return self.learnt
        found = np.ones(sum(column.size for column in self.columns), bool)
        found[self.silent] = False
        return found

    @property
    def silent(self) -> IntVector:
        """(n_columns,) the values that stand for missing and rare ones."""
        return (np.cumsum([column.size for column in self.columns]) - 1).astype(np.int32)

    def write(self, folder: Path) -> None:
        """Write it to two files of a folder."""
        _write(self.columns, folder / ITEM_COLUMNS)
        (folder / LEARNT).write_text(to_json(np.flatnonzero(~self.telling).tolist()), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, names: Sequence[str], words: Sequence[str] = ()) -> ItemSides:
        """Read what `write` wrote of the named columns, and of words.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            found = cls(_read(folder / ITEM_COLUMNS, names, words))
            if not (folder / LEARNT).is_file():  # of an older model
                return found
            telling = np.ones(len(found.telling), bool)
            telling[np.array(read_json(folder / LEARNT), np.int64)] = False
            return replace(found, learnt=telling)
        except (IndexError, KeyError, TypeError, ValueError) as error:
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
            kind = column_of(table, name, "user").type
            if is_list(kind):
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


def _read(file: Path, names: Sequence[str], words: Sequence[str] = ()) -> tuple[Column, ...]:
    columns = tuple(Column.from_dict(one) for one in read_json(file))
    expected = [*((name, False) for name in dict.fromkeys(names)), *((name, True) for name in dict.fromkeys(words))]
    if [(column.name, column.words) for column in columns] != expected:
        found = ", ".join(column.name for column in columns) or "none"
        raise ValueError(f"{found}, not {', '.join(name for name, _ in expected)}")
    return columns


def _shares(table: pa.Table, column: Column) -> sparse.csr_array:
    """(n_items, size) float32 of one column."""
    rows, numbers, shares = column.shares(table, "item")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=table.num_rows))])
    return sparse.csr_array((shares, numbers, offsets), shape=(table.num_rows, column.size))
