"""What every source of a raw table offers, and the SQL spelling of names and texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine

QUARANTINE = "quarantine"
"""The table of bad rows: `source, row_number, reason, raw`."""

BLANKS = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)"
"""SQL of the letters that make a text blank."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a source: its name there, its SQL name in the staged relation, and the engine's name of its type."""

    name: str
    sql: str
    type: str = "VARCHAR"

    @property
    def given(self) -> str:
        """SQL of the value, NULL also where a text is blank."""
        return f"nullif(trim({self.sql}), '')" if self.type == "VARCHAR" else self.sql


@dataclass(frozen=True, slots=True)
class Header:
    """What can be known of a source before its rows are read."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class Staged:
    """A source that the engine can read.

    `relation` stands after FROM; `row` is the SQL expression of a row's number from 0, in the order of the source;
    `facts` describes each part (a file, a table): `name`, `rows` and, for files, `size` and `blake2b`. Rows that could
    not even be taken apart are in the quarantine already; they are counted in `rows`.
    """

    relation: str
    row: str
    facts: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows of all parts, broken ones included."""
        return sum(int(fact["rows"]) for fact in self.facts)


class Source(Protocol):
    """A place where a raw table comes from."""

    @property
    def label(self) -> str:
        """What to call it in messages."""
        ...

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The columns, from a glance; `mapping` (role -> column) helps to tell a header from data."""
        ...

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """Make the wanted columns readable in the engine, in tables or views whose names start with `table`.

        The quarantine table exists already; rows that cannot be taken apart go there.
        """
        ...


def quote_name(name: str) -> str:
    '''An SQL identifier.

    >>> quote_name('the "id"')
    '"the ""id"""'
    '''
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """An SQL text literal.

    >>> quote_text("it's")
    "'it''s'"
    """
    if "\0" in text:
        pieces = ("'" + piece.replace("'", "''") + "'" for piece in text.split("\0"))
        return "(" + " || chr(0) || ".join(pieces) + ")"
    return "'" + text.replace("'", "''") + "'"


def spelt(setting: str, value: str) -> str:
    """How a person says a setting of the reading of a table, in Python and at the prompt.

    >>> spelt("time_unit", "ms")
    "time_unit='ms' (at the prompt --read 'time_unit=ms')"
    """
    return f"{setting}={value!r} (at the prompt --read '{setting}={value}')"


def rows_of(engine: DuckDBEngine, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a small result, read to its end at once, so that every failure shows here."""
    table = engine.fetch(sql)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def numbered(names: Iterable[str], types: Iterable[str] | None = None) -> tuple[Column, ...]:
    """Columns that are called c0, c1, ... in the engine, so that no name of the source can hurt there."""
    listed = list(names)
    kinds = ["VARCHAR"] * len(listed) if types is None else list(types)
    return tuple(Column(name, f"c{place}", kind) for place, (name, kind) in enumerate(zip(listed, kinds, strict=True)))


def distinct(names: Iterable[str], fold: bool = False) -> list[str]:
    """The names with later copies told apart by a number; empty names become column0, column1, ...

    With `fold`, names that differ in their capitals alone are copies too, as in SQL.

    >>> distinct(["id", "", "id"])
    ['id', 'column1', 'id_2']
    """
    given: dict[str, str] = {}
    for place, name in enumerate(names):
        plain = name or f"column{place}"
        options = itertools.chain([plain], (f"{plain}_{copy}" for copy in itertools.count(2)))
        keys = ((one.casefold() if fold else one, one) for one in options)
        key, free = next((key, one) for key, one in keys if key not in given)
        given[key] = free
    return list(given.values())


def copies(names: Sequence[str], told_apart: Sequence[str]) -> tuple[str, ...]:
    """What to say of columns of one name: which name each later one has after `distinct`.

    >>> copies(["id", "id"], ["id", "id_2"])
    ("a second column is named 'id', called 'id_2' here",)
    """
    pairs = zip(names, told_apart, strict=True)
    return tuple(
        f"a second column is named {name!r}, called {other!r} here"
        for name, other in pairs
        if name and name != other and name in told_apart
    )
