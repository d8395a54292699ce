"""What an item is and who a person is, by their tables: prices, years, types, ages, regions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from zhiyin.arrays import AnyArray
from zhiyin.config import Config, names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.models._columns import Column
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.affinity import shared_columns
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run


class AttributesConfig(Config):
    """Settings of `attributes`."""

    items: tuple[str, ...] = ()
    """Columns of the catalogue; none: all numbers, and all texts of at most `most_values`."""
    users: tuple[str, ...] = ()
    """Columns of the users; none: the same of them. A query's context says it of a stranger."""
    most_values: int = setting(50, ge=2)
    """A text of more values is left out where columns are not named: a ranker would learn single items by it. What a
    person thinks of such values `affinity` tells."""

    @field_validator("items", "users", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


class Attributes(Family):
    """Numbers as they are, texts as categories (the first value of a list); of a person by id, or by context."""

    config: AttributesConfig
    _items: dict[str, AnyArray]
    _users: dict[str, AnyArray]
    _columns_of_users: dict[str, Column]
    _ids: Vocabulary

    def suits(self, train: Dataset) -> bool:
        """Whether there is any attribute."""
        own = self.config
        named = own.items or own.users
        return bool(named or self._usable(train.item_table, "item") or self._usable(train.user_table, "user"))

    def _fit(self, train: Dataset, run: Run) -> None:
        items = self.config.items or self._usable(train.item_table, "item")
        users = self.config.users or self._usable(train.user_table, "user")
        self._items = {name: _read(train.item_table, name, "item")[0] for name in items}
        self._columns_of_users = {name: Column.fit(train.user_table, name, "user") for name in users}
        self._users = {name: _read(train.user_table, name, "user")[0] for name in users}
        self._sizes = {
            **{f"{name} of the item": _size(column) for name, column in self._items.items()},
            **{f"{name} of the person": _size(column) for name, column in self._users.items()},
        }
        self._ids = train.users

    def _usable(self, table: pa.Table, what: str) -> tuple[str, ...]:
        found = {name: Column.fit(table, name, what) for name in shared_columns(table, what)}
        most = self.config.most_values
        return tuple(name for name, column in found.items() if column.values is None or len(column.values) <= most)

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many values each column of categories may have."""
        return {name: size for name, size in self._sizes.items() if size}

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        found = {f"{name} of the item": column[candidates.item] for name, column in self._items.items()}
        if self._users:
            found |= {f"{name} of the person": column for name, column in self._of_people(candidates).items()}
        return found

    def _of_people(self, candidates: Candidates) -> dict[str, AnyArray]:
        queries, owner = candidates.queries, candidates.owner()
        known = queries.users is not None
        row = self._ids.encode(list(queries.users or ())) if known else np.full(len(queries), -1, np.int32)
        found = {}
        for name, column in self._users.items():
            empty = np.nan if column.dtype.kind == "f" else -1
            values = np.where(row >= 0, column[row], empty).astype(column.dtype)
            if name in queries.context:
                values = self._told(name, queries.context[name], values)
            found[name] = values[owner]
        return found

    def _told(self, name: str, said: AnyArray, values: AnyArray) -> AnyArray:
        """The values with those that queries say in their context."""
        given = np.array([one is not None for one in said.tolist()])
        if not given.any():
            return values
        column = self._columns_of_users[name]
        if values.dtype.kind == "f":
            told = np.array([np.nan if one is None else float(one) for one in said.tolist()], np.float32)
        else:
            table = pa.table({name: pa.array([None if one is None else str(one) for one in said.tolist()])})
            told = _first(column, table, "user")
        return np.where(given, told, values).astype(values.dtype)


def _read(table: pa.Table, name: str, what: str) -> tuple[AnyArray, Column]:
    """(n_rows,) numbers, or the categories of texts."""
    column = Column.fit(table, name, what)
    if column.values is not None:
        return _first(column, table, what), column
    numbers = pc.fill_null(table.column(name).cast(pa.float32(), safe=False), np.nan)
    return np.asarray(numbers), column


def _first(column: Column, table: pa.Table, what: str) -> AnyArray:
    """(n_rows,) the first known value of each row, -1 where there is none."""
    rows, numbers = column.entries(table, what)
    found = np.full(table.num_rows, -1, np.int32)
    found[rows[::-1]] = numbers[::-1]
    found[found == column.size - 1] = -1
    return found


def _size(column: AnyArray) -> int:
    return int(column.max(initial=0)) + 1 if column.dtype.kind == "i" else 0
