"""Attributes of items and users: one row per id, with the columns that have a role brought into one form."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.data.schema import Match, match_roles, untyped
from zhiyin.data.sources import lists
from zhiyin.data.sources.base import QUARANTINE, Column, Staged, distinct, quote_name
from zhiyin.data.sources.convert import id_of
from zhiyin.data.times import read_times
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine
    from zhiyin.data.tables import RawTable

logger = logging.getLogger(__name__)

_TIMES = ("available_from", "available_until")


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """A table of items or users, how its roles were decided, and what there is to say."""

    table: pa.Table
    columns: tuple[Match, ...]
    notes: tuple[str, ...]


def read_attributes(raw: RawTable, known: Collection[str] = ()) -> Attributes:
    """Read a catalogue or users; of rows with the same id the first is kept, rows without an id are left out.

    Args:
        raw: the table.
        known: columns that hold several values in what it is added to, whether it has them or not.

    Raises:
        DataError: the source cannot be read, or lacks its ids, or a column that `raw.lists` names.
    """
    from zhiyin.data.engine import DuckDBEngine

    with DuckDBEngine() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"CREATE TABLE {QUARANTINE} (source VARCHAR, row_number BIGINT, reason VARCHAR, raw VARCHAR)")
        return _Reader(engine, raw, known).read()


class _Reader:
    """The reading of one table of attributes."""

    def __init__(self, engine: DuckDBEngine, raw: RawTable, known: Collection[str]) -> None:
        self.engine, self.raw, self.known = engine, raw, known
        self.header = raw.source.look(engine, raw.roles)
        self.matches = match_roles(self.header.names, raw.roles, raw.schema, raw.source.label)
        self.told = lists.resolved(raw.lists, self.header.names, self.matches, raw.source.label)
        self.staged: Staged = raw.source.stage(engine, self.header, self.header.columns, "attributes")
        self.usable = "true"
        self.notes: list[str] = [str(match) for match in self.matches if match.how != "named"]
        self.notes += [*self.header.notes, *self.staged.notes]

    def read(self) -> Attributes:
        """The table: the id, the roles, the rest."""
        if not self.staged.rows:
            raise DataError(f"{self.raw.source.label} holds no rows, only the columns {', '.join(self.header.names)}")
        played = {match.role: self._column(match) for match in self.matches}
        others = [column for column in self.header.columns if column not in played.values()]
        fields = [f"{self._expression(role, column)} AS {role}" for role, column in played.items()]
        names = distinct([*played, *(untyped(column.name) for column in others)], fold=True)[len(played) :]
        fields += [f"{column.sql} AS {quote_name(name)}" for name, column in zip(names, others, strict=True)]
        table = self._select(fields, self.raw.schema.required[0])
        came = [*(column.name for column in played.values()), *(column.name for column in others)]
        for place, name in enumerate(table.column_names):
            role = name if place < len(played) else ""
            column = self._finished(table.column(place), came[place], name, role, table.column(0))
            table = table.set_column(place, name, column)
        return Attributes(table, self.matches, tuple(dict.fromkeys(self.notes)))

    def _column(self, match: Match) -> Column:
        return self.header.columns[self.header.names.index(match.column)]

    def _select(self, fields: Sequence[str], key: str) -> pa.Table:
        """The first row of each id, in the order of the source."""
        usable = f"FROM {self.staged.relation} WHERE ({self.usable}) IS TRUE"
        rows = f'SELECT {", ".join(fields)}, {self.staged.row} AS "#row" {usable}'
        firsts = f'SELECT min("#row") FROM ({rows}) GROUP BY {key}'
        table = self.engine.fetch(f'SELECT * EXCLUDE ("#row") FROM ({rows}) WHERE "#row" IN ({firsts}) ORDER BY "#row"')
        whole = int(self.engine.scalar(f"SELECT count(*) FROM {self.staged.relation}"))
        empty = whole - int(self.engine.scalar(f"SELECT count(*) {usable}"))
        refused = int(self.engine.scalar(f"SELECT count(*) FROM {QUARANTINE}"))
        again = self.staged.rows - refused - empty - table.num_rows
        self._say(again, f"rows repeat an {key} that came before; the first of each was kept")
        self._say(empty, f"rows without a usable {key} were left out")
        self._say(refused, "rows could not be taken apart and were left out")
        if not table.num_rows:
            raise DataError(f"{self.raw.source.label}: none of its {self.staged.rows:,} rows has a usable {key}")
        return table

    def _say(self, count: int, what: str) -> None:
        if count:
            self.notes.append(f"{count:,} {what}")

    def _expression(self, role: str, column: Column) -> str:
        if role in self.raw.schema.required:
            reading = id_of(self.engine, self.staged.relation, column, role)
            self.notes.extend(reading.notes)
            self.usable = reading.good
            return reading.value
        if role in _TIMES:
            return self._moment(column)
        if role == "price":
            return self._known(column, _price(column), "a price")
        if role == "categories" or (role in lists.KEYWORDS and column.type.endswith("]")):
            return column.sql
        return _text(column, joined=role not in lists.KEYWORDS)

    def _known(self, column: Column, value: str, what: str) -> str:
        """The expression `value`; how many cells it leaves empty is said."""
        lost = f"SELECT count(*) FROM {self.staged.relation} WHERE {column.given} IS NOT NULL AND ({value}) IS NULL"
        self._say(int(self.engine.scalar(lost)), f"values of {column.name!r} are not {what} and were left empty")
        return value

    def _moment(self, column: Column) -> str:
        """Times of things may be long ago or ahead; what cannot be read at all is unknown, and said."""
        try:
            reading = read_times(
                self.engine, self.staged.relation, column, self.raw.time_format, self.raw.time_unit, of_events=False
            )
        except DataError as error:
            self.notes.append(f"{error}; it was left empty")
            return "CAST(NULL AS BIGINT)"
        self.notes.extend(reading.notes)
        return self._known(column, reading.value, "a time")

    def _finished(
        self, column: pa.ChunkedArray, came: str, name: str, role: str, ids: pa.ChunkedArray
    ) -> pa.ChunkedArray:
        """A column in its form: that of a role, lists of several values, numbers, or as it came.

        Args:
            column: what was read.
            came: its name in the source.
            name: its name from now on.
            role: the role that it plays; empty for none.
            ids: of the table.
        """
        if self.told.get(came) == "" and role != "categories":
            return column if role else _typed(column)
        if role == "categories" or came in self.told:
            return self._split(column, came, self.told.get(came))
        if role and role not in lists.KEYWORDS:
            return column
        if name in self.known:
            return self._split(column, came, "|")
        if role and lists.is_list(column.type):
            return self._split(column, came, None)
        if not lists.is_text(column.type):
            return lists.plain(column)
        found = lists.guess(column, came, self.raw.schema.what, ids)
        if found.note:
            self.notes.append(found.note)
        if found.doubtful:
            logger.warning("%s: %s", self.raw.source.label, found.note)
        return found.lists if found.lists is not None else column if role else _typed(column)

    def _split(self, column: pa.ChunkedArray, came: str, separator: str | None) -> pa.ChunkedArray:
        found, at = lists.split(column, separator)
        if separator is None and at == ",":
            self.notes.append(f"{came} were split at commas")
        return found


def _text(column: Column, joined: bool = True) -> str:
    """Text; a list of texts (also one in JSON) is joined, unless the text is one of values."""
    if column.type.endswith("]"):
        return f"nullif(array_to_string({column.sql}, ', '), '')"
    if column.type != "VARCHAR":
        return f"CAST({column.sql} AS VARCHAR)"
    if not joined:
        return f"nullif({column.sql}, '')"
    whole = f"array_to_string(TRY_CAST(TRY_CAST({column.sql} AS JSON) AS VARCHAR[]), ', ')"
    plain = f"CASE WHEN starts_with({column.sql}, '[\"') THEN coalesce({whole}, {column.sql}) ELSE {column.sql} END"
    return f"nullif({plain}, '')"


def _price(column: Column) -> str:
    r"""A number; of text like "$1,299.00", "1.299,00 €" or "12,50 €" the currency and the thousands are taken off."""
    if column.type != "VARCHAR":
        return f"TRY_CAST({column.sql} AS DOUBLE)"
    bare = f"regexp_replace({column.sql}, '[^0-9.,+-]', '', 'g')"
    thousands = f"regexp_full_match({bare}, '[+-]?[0-9]{{1,3}}(,[0-9]{{3}})+([.][0-9]*)?')"
    comma = f"regexp_full_match({bare}, '[+-]?([0-9]+|[0-9]{{1,3}}([.][0-9]{{3}})+),[0-9]+')"
    english, german = f"replace({bare}, ',', '')", f"replace(replace({bare}, '.', ''), ',', '.')"
    return f"TRY_CAST(CASE WHEN {thousands} THEN {english} WHEN {comma} THEN {german} ELSE {bare} END AS DOUBLE)"


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text column as numbers where all of its values are some; "007" is none. Other columns stay as they are."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    given = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    if given.null_count == len(given):
        return column
    if pc.any(pc.match_substring_regex(given, r"^\s*[+-]?0\d")).as_py():
        return given
    for kind in (pa.int64(), pa.float64()):
        try:
            return given.cast(kind)
        except pa.ArrowInvalid:
            continue
    return given
