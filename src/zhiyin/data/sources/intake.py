"""Intake: roles, types and faults of raw events, as one view over the source and one aggregated check of it.

The events themselves are never copied here: what the next step reads is a view that converts on the way (Parquet and
dataframes in place, other sources from the table into which they were staged). The rows are checked by one scan that
counts each reason; only when it finds something are bad rows written to the quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zhiyin.data.dataset import Clock
from zhiyin.data.schema import EVENTS, Match, match_roles
from zhiyin.data.sources.base import QUARANTINE, Column, Header, Staged, quote_name, quote_text, rows_of
from zhiyin.data.sources.convert import Reading, context_of, id_of, label_of, number_of, position_of
from zhiyin.data.times import read_times
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine
    from zhiyin.data.tables import EventLog

WORST = 0.95
"""The share of bad rows above which the fault is the file's, not the rows'."""

_TYPES = {"user_id": "VARCHAR", "item_id": "VARCHAR", "time": "BIGINT", "position": "BIGINT", "kind": "VARCHAR",
          "value": "DOUBLE", "session_id": "VARCHAR"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a raw event log: counts, decisions and where it came from."""

    rows_read: int
    rows_kept: int
    reasons: Mapping[str, int]
    """Why rows are in the quarantine, with their counts, the most frequent first."""
    clock: Clock
    columns: tuple[Match, ...]
    """Which role was read from which column, and how that was decided."""
    sources: tuple[Mapping[str, Any], ...]
    """Per file, table or frame its name and rows; for files also their size and the blake2b hash of their content."""
    notes: tuple[str, ...] = ()

    @property
    def rows_bad(self) -> int:
        """The number of rows in the quarantine."""
        return self.rows_read - self.rows_kept

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest or `--json`."""
        columns = {match.role: {"column": match.column, "how": match.how} for match in self.columns}
        return {
            "rows_read": self.rows_read, "rows_kept": self.rows_kept, "reasons": dict(self.reasons),
            "clock": self.clock, "columns": columns, "sources": [dict(one) for one in self.sources],
            "notes": list(self.notes),
        }  # fmt: skip


def ingest_events(engine: DuckDBEngine, log: EventLog, table: str) -> Ingested:
    """See `zhiyin.data.sources.ingest`."""
    engine.execute("SET TimeZone = 'UTC'")
    engine.drop(table, QUARANTINE)
    engine.execute(f"CREATE TABLE {QUARANTINE} (source VARCHAR, row_number BIGINT, reason VARCHAR, raw VARCHAR)")
    header = log.source.look(engine, log.roles)
    matches = match_roles(header.names, log.roles, EVENTS, log.source.label)
    columns = {match.role: header.columns[header.names.index(match.column)] for match in matches}
    context = _context(log, header, matches)
    wanted = tuple(dict.fromkeys((*columns.values(), *context)))
    staged = log.source.stage(engine, header, wanted, f"{table}_staged")
    if not staged.rows:
        raise DataError(f"{log.source.label} holds no rows, only the columns {', '.join(header.names)}")
    intake = _Intake(engine, log, staged, columns, context)
    intake.make_view(table)
    return intake.result(header, matches)


def _context(log: EventLog, header: Header, matches: Sequence[Match]) -> tuple[Column, ...]:
    names = dict.fromkeys(log.context)
    played = {match.column for match in matches}
    for name in names:
        if name in EVENTS.aliases or name == "row_number":
            raise DataError(f"a context column may not be called {name!r}, which is a role; rename it in the source")
        if name not in header.names or name in played:
            free = [one for one in header.names if one not in played]
            raise DataError(
                f"{log.source.label}: context column {name!r} is not there; free are {', '.join(free) or 'none'}"
            )
    return tuple(header.columns[header.names.index(name)] for name in names)


class _Intake:
    """The making of the view and the quarantine from a staged source."""

    def __init__(
        self,
        engine: DuckDBEngine,
        log: EventLog,
        staged: Staged,
        columns: Mapping[str, Column],
        context: Sequence[Column],
    ) -> None:
        self.engine, self.log, self.staged, self.columns, self.context = engine, log, staged, dict(columns), context
        self.notes: list[str] = []
        self.faults: list[tuple[str, str]] = []
        self.readings: dict[str, str] = {}
        self.good: list[str] = []
        self._again()
        for role in _TYPES:
            if role in self.columns:
                self._read(role, self.columns[role])

    def _again(self) -> None:
        """A header in the middle, as it is left behind where files were joined, is a fault of its own."""
        user, item = self.columns["user_id"], self.columns["item_id"]
        if user.type == item.type == "VARCHAR":
            same = " AND ".join(f"{one.sql} = {quote_text(one.name)}" for one in (user, item))
            self.faults.append(("the header again", same))
            self.good.append(f"({same}) IS NOT TRUE")

    def _read(self, role: str, column: Column) -> None:
        reading = self._reading(role, column)
        if reading is None:
            del self.columns[role]
            self.notes.append(f"column {column.name!r} holds nothing, so {role} is unknown")
            return
        self.readings[role] = reading.value
        self.faults.extend(reading.faults)
        self.good.append(reading.good)
        self.notes.extend(reading.notes)

    def _reading(self, role: str, column: Column) -> Reading | None:
        engine, relation = self.engine, self.staged.relation
        if role in ("user_id", "item_id"):
            return id_of(engine, relation, column, role)
        if not engine.scalar(f"SELECT true FROM {relation} WHERE {column.given} IS NOT NULL LIMIT 1"):
            return None
        if role == "time":
            return read_times(engine, relation, column, self.log.time_format, self.log.time_unit)
        if role == "position":
            return position_of(column, needed="time" not in self.readings)
        if role == "value":
            return number_of(column, role)
        return label_of(engine, relation, column)

    @property
    def clock(self) -> Clock:
        """What is known of when."""
        if "time" in self.readings:
            return "time"
        return "position" if "position" in self.readings else "none"

    def make_view(self, table: str) -> None:
        """Check all rows in one scan, move bad ones to the quarantine, and make the view of the good ones."""
        found = self._faults_found()
        self.reasons = self._counted(found)
        self._judge(sum(self.reasons.values()))
        if found:
            self._quarantine()
        fields = [f"CAST({self.staged.row} AS BIGINT) AS row_number"]
        for role, kind in _TYPES.items():
            value = self.readings.get(role)
            fields.append(f"{value if value is not None else f'CAST(NULL AS {kind})'} AS {role}")
        fields.extend(f"{context_of(column)} AS {quote_name(column.name)}" for column in self.context)
        only = f"WHERE {self._is_good()}" if found else ""
        self.engine.execute(
            f"CREATE OR REPLACE VIEW {table} AS SELECT {', '.join(fields)} FROM {self.staged.relation} {only}"
        )
        self._said_missing(table)

    def _is_good(self) -> str:
        """SQL that is true where a row has no fault at all; false or null otherwise."""
        return " AND ".join(f"({one})" for one in self.good)

    def _fault(self) -> str:
        """SQL of the number of the first fault of a row; NULL where it has none."""
        cases = " ".join(f"WHEN {condition} THEN {number}" for number, (_, condition) in enumerate(self.faults))
        return f"CASE {cases} END"

    def _faults_found(self) -> list[tuple[str, int]]:
        """The faults of rows that the source could take apart, and how many rows have each."""
        found = rows_of(
            self.engine,
            f"SELECT {self._fault()} AS fault, count(*) AS rows FROM {self.staged.relation} "
            f"WHERE ({self._is_good()}) IS NOT TRUE GROUP BY fault",
        )
        return [(self.faults[number][0], rows) for number, rows in found]

    def _counted(self, found: Sequence[tuple[str, int]]) -> dict[str, int]:
        """How many rows have each fault, those that the source refused included, the most frequent first."""
        counts: dict[str, int] = {}
        refused = rows_of(self.engine, f"SELECT reason, count(*) AS rows FROM {QUARANTINE} GROUP BY reason")
        for reason, count in (*refused, *found):
            counts[reason] = counts.get(reason, 0) + count
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))

    def _judge(self, bad: int) -> None:
        if bad <= WORST * self.staged.rows:
            return
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self.reasons.items())
        self._quarantine(limit=3)
        examples = rows_of(self.engine, f"SELECT raw FROM {QUARANTINE} LIMIT 2")
        shown = "; ".join(str(raw)[:120] for (raw,) in examples)
        raise DataError(
            f"{self.log.source.label}: {bad:,} of {self.staged.rows:,} rows are unusable: {reasons}. "
            f"For example {shown}. Are the roles mapped to the right columns, and is the delimiter right?"
        )

    def _quarantine(self, limit: int | None = None) -> None:
        reasons = " ".join(f"WHEN {number} THEN {quote_text(reason)}" for number, (reason, _) in enumerate(self.faults))
        used = dict.fromkeys((*self.columns.values(), *self.context))
        raw = ", ".join(f"{quote_text(column.name)}, CAST({column.sql} AS VARCHAR)" for column in used)
        bad = (
            f"SELECT CAST({self.staged.row} AS BIGINT) AS place, {self._fault()} AS fault, "
            f"CAST(json_object({raw}) AS VARCHAR) AS raw FROM {self.staged.relation} "
            f"WHERE ({self._is_good()}) IS NOT TRUE"
        )
        self.engine.execute(
            f"INSERT INTO {QUARANTINE} SELECT parts.name, bad.place, CASE bad.fault {reasons} END, bad.raw "
            f"FROM ({bad}) AS bad JOIN ({self._parts()}) AS parts "
            "ON bad.place >= parts.first AND bad.place < parts.beyond "
            f"ORDER BY bad.place {'' if limit is None else f'LIMIT {limit}'}"
        )

    def _parts(self) -> str:
        """A query of the parts of the source: name, first row, the row beyond its last."""
        rows, lines = 0, []
        for fact in self.staged.facts:
            lines.append(f"({quote_text(str(fact['name']))}, {rows}, {rows + int(fact['rows'])})")
            rows += int(fact["rows"])
        return f"SELECT * FROM (VALUES {', '.join(lines)}) AS parts (name, first, beyond)"

    def _said_missing(self, table: str) -> None:
        """Ids that are the text of a missing value are kept, but said: they are mostly an export's mistake."""
        words = "('nan', 'NaN', 'None', 'NULL', 'null', '<NA>', 'N/A', 'undefined')"
        for role in ("user_id", "item_id"):
            if self.columns[role].type != "VARCHAR":
                continue
            found = rows_of(
                self.engine,
                f"SELECT {role}, count(*) AS n FROM {table} WHERE {role} IN {words} GROUP BY {role} ORDER BY n DESC",
            )
            self.notes.extend(
                f"{count:,} rows have the {role} {text!r}, which looks like a missing value; they were kept"
                for text, count in found
            )

    def result(self, header: Header, matches: Sequence[Match]) -> Ingested:
        """Everything that is worth knowing of this intake."""
        bad = int(self.engine.scalar(f"SELECT count(*) FROM {QUARANTINE}"))
        kept = tuple(match for match in matches if match.role in self.readings)
        played = {match.column for match in matches} | {column.name for column in self.context}
        unused = [name for name in header.names if name not in played]
        notes = [str(match) for match in kept if match.how != "named"] + [
            *header.notes,
            *self.staged.notes,
            *self.notes,
        ]
        if self.clock != "time":
            known = {"position": "only the order of events is known, no times", "none": "no order of events is known"}
            notes.append(known[self.clock])
        if unused:
            notes.append(f"columns that were not read: {', '.join(unused[:20])}" + (" ..." if len(unused) > 20 else ""))
        return Ingested(
            self.staged.rows, self.staged.rows - bad, self.reasons, self.clock, kept, self.staged.facts,
            tuple(dict.fromkeys(notes)),
        )  # fmt: skip
