"""What an item is and who a person is, by their tables: prices, years, types, ages, regions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix
from zhiyin.artifacts import to_json
from zhiyin.config import Config, names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.models._columns import Column, first_of
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
    learns = ("of_items", "of_users", "told", "people")
    of_items: FloatMatrix
    """(n_items, a) float32 numbers, or the numbers of categories; NaN where not known."""
    of_users: FloatMatrix
    """(n_users, b) the same."""
    told: list[str]
    """The columns, those of items first, as JSON: the side, the name and the texts that are told apart."""
    people: list[str]
    """The users' ids; none where nothing is told of them."""
    _sides: dict[str, list[Column]]
    _ids: Vocabulary

    def suits(self, train: Dataset) -> bool:
        """Whether there is any attribute."""
        own = self.config
        named = own.items or own.users
        return bool(named or self._usable(train.item_table, "item") or self._usable(train.user_table, "user"))

    def _fit(self, train: Dataset, run: Run) -> None:
        items = self.config.items or self._usable(train.item_table, "item")
        users = self.config.users or self._usable(train.user_table, "user")
        sides = {"item": (train.item_table, items), "user": (train.user_table, users)}
        fitted = {what: [Column.fit(table, name, what) for name in named] for what, (table, named) in sides.items()}
        self.of_items, self.of_users = (_read(table, fitted[what], what) for what, (table, _) in sides.items())
        self.told = [to_json([what, one.to_dict()]) for what, columns in fitted.items() for one in columns]
        self.people = train.users.ids.to_pylist() if users else []
        self.derive()

    def derive(self) -> None:
        """Make what is not saved."""
        self._ids, self._sides = Vocabulary(self.people), {"item": [], "user": []}
        for one in self.told:
            what, content = json.loads(one)
            self._sides[what].append(Column.from_dict(content))

    def _usable(self, table: pa.Table, what: str) -> tuple[str, ...]:
        found = {name: Column.fit(table, name, what) for name in shared_columns(table, what)}
        most = self.config.most_values
        return tuple(name for name, column in found.items() if column.values is None or len(column.values) <= most)

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many values each column of categories may have."""
        named = {what: [one for one in columns if one.values is not None] for what, columns in self._sides.items()}
        found = {f"{one.name} of the item": one.size for one in named["item"]}
        return found | {f"{one.name} of the person": one.size for one in named["user"]}

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        found = {
            f"{one.name} of the item": _typed(self.of_items[candidates.item, at], one)
            for at, one in enumerate(self._sides["item"])
        }
        return found | self._of_people(candidates)

    def _of_people(self, candidates: Candidates) -> dict[str, AnyArray]:
        queries, found = candidates.queries, {}
        row = self._ids.encode(list(queries.users or [""] * len(queries)))
        for at, one in enumerate(self._sides["user"]):
            values = np.full(len(queries), np.nan, np.float32)
            values[row >= 0] = self.of_users[row[row >= 0], at]
            if one.name in queries.context:
                given, said = _said(one, queries.context[one.name])
                values = np.where(given, said, values)
            found[f"{one.name} of the person"] = _typed(values[candidates.owner()], one)
        return found


def _said(column: Column, values: AnyArray) -> tuple[BoolVector, AnyArray]:
    """(n,) whether a query says anything of a column, and what.

    Raises:
        DataError: it says something else where a number is expected.
    """
    given, bucket = column.told(values)
    if column.values is not None:
        return given, np.where(bucket < column.size - 1, bucket, np.nan)
    found = np.full(len(values), np.nan)
    for at in np.flatnonzero(given):
        one = first_of(values[at])
        try:
            found[at] = float(one)
        except (TypeError, ValueError):
            raise DataError(f"context {column.name!r} says {str(one)!r}; a number, or None, is expected") from None
    return given, found


def _typed(values: AnyArray, column: Column) -> AnyArray:
    """Numbers as they are; categories as whole numbers, -1 where not known."""
    if column.values is None:
        return values
    return np.where(np.isnan(values), -1, values).astype(np.int32)


def _read(table: pa.Table, columns: Sequence[Column], what: str) -> FloatMatrix:
    """(n_rows, n_columns) numbers, and the first known category of texts."""
    found = np.full((table.num_rows, len(columns)), np.nan, np.float32)
    for at, column in enumerate(columns):
        if column.values is None:
            numbers = table.column(column.name).cast(pa.float64(), safe=False)
            found[:, at] = np.asarray(pc.fill_null(numbers, np.nan))
            continue
        rows, numbers = column.entries(table, what)
        found[rows[::-1], at] = numbers[::-1]
        found[found[:, at] == column.size - 1, at] = np.nan
    return found
