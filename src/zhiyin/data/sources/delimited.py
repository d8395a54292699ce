"""Delimited text files: CSV, TSV and their relatives, with or without a header, delimiters of several letters too."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin.data.sources.base import QUARANTINE, Column, Header, Staged, numbered, quote_text, rows_of, spelt
from zhiyin.data.sources.dialect import SAMPLE, Dialect, Wish, count_rows, sniff
from zhiyin.data.sources.files import (
    Print,
    engine_path,
    fingerprint,
    head_of,
    is_gzip,
    label_of,
    names_of,
    rewrite,
)
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine

_REASONS = {
    "MISSING COLUMNS": "too few columns",
    "TOO MANY COLUMNS": "too many columns",
    "UNQUOTED VALUE": "a quote in the wrong place",
    "INVALID ENCODING": "bytes that are not UTF-8",
    "INVALID STATE": "the row cannot be taken apart",
    "LINE SIZE OVER MAXIMUM": "longer than two million bytes",
}


@dataclass(frozen=True, slots=True)
class Delimited:
    """One or several delimited text files with the same columns (in any order)."""

    paths: tuple[Path, ...]
    wish: Wish = field(default_factory=Wish)

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return label_of(self.paths)

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The columns of the first file; every value is text."""
        dialect = self._dialect(self.paths[0], mapping)
        notes = [f"delimiter {dialect.delimiter!r}" + ("" if dialect.header else ", no header (columns count from 0)")]
        return Header(numbered(dialect.names), (*notes, *dialect.notes))

    def _dialect(self, path: Path, mapping: Mapping[str, str | int]) -> Dialect:
        raw = head_of(path, SAMPLE)
        text = _decoded(raw, self.wish.codec)
        if len(raw) == SAMPLE:  # the last line is cut off
            text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text
        if not text.strip():
            raise DataError(f"{path} is empty")
        return sniff(text, path.name, self.wish, mapping)

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """Read the wanted columns of every file, in order, into one table."""
        spelled = ", ".join(f"{column.sql} VARCHAR" for column in wanted)
        engine.execute(f"CREATE OR REPLACE TABLE {table} ({spelled})")
        engine.execute(f"CREATE OR REPLACE TABLE {table}_gaps (first BIGINT, shift BIGINT)")
        facts: list[Mapping[str, Any]] = []
        notes: list[str] = []
        for path, name in zip(self.paths, names_of(self.paths), strict=True):
            before = sum(fact["rows"] for fact in facts)
            seen = fingerprint(path, name, text=True)
            if self.wish.codec is not None:
                seen = replace(seen, encoding=self.wish.codec, notes=())
            part = _Part(engine, path, seen, self._fitting(path, header), table)
            facts.append(seen.fact(part.read(header, wanted, before)))
            notes.extend((*seen.notes, *part.notes))
        return Staged(*_numbers(engine, table), tuple(facts), tuple(notes))

    def _fitting(self, path: Path, header: Header) -> Dialect:
        """The dialect of a further file, which must have the columns of the first."""
        headless = header.names == tuple(f"column{place}" for place in range(len(header.names)))
        known = replace(self, wish=replace(self.wish, header=False)) if headless else self
        dialect = known._dialect(path, {name: name for name in header.names})
        if not dialect.header and len(dialect.names) == len(header.names):  # a part that only continues the first
            return replace(dialect, names=header.names)
        if set(dialect.names) != set(header.names):
            raise DataError(
                f"{path.name} has the columns {', '.join(dialect.names)}, but {self.paths[0].name} has "
                f"{', '.join(header.names)}; files that are read together need the same ones"
            )
        return dialect


def _decoded(raw: bytes, encoding: str | None) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    return raw.decode(encoding or "utf-8-sig", "replace")


def _numbers(engine: DuckDBEngine, table: str) -> tuple[str, str]:
    """The relation and the expression of row numbers: where rows were refused, their numbers are left free."""
    if not engine.scalar(f"SELECT count(*) FROM {table}_gaps"):
        return table, "rowid"
    engine.execute(
        f"CREATE OR REPLACE TABLE {table}_shifts AS SELECT first, max(shift) AS shift FROM {table}_gaps GROUP BY first"
    )
    joined = f"{table} AS kept ASOF LEFT JOIN {table}_shifts AS shifts ON kept.rowid >= shifts.first"
    engine.execute(
        f"CREATE OR REPLACE TABLE {table}_numbered AS "
        f"SELECT kept.*, kept.rowid + coalesce(shifts.shift, 0) AS row_number FROM {joined}"
    )
    return f"{table}_numbered", "row_number"


class _Part:
    """The reading of one file into the table."""

    def __init__(self, engine: DuckDBEngine, path: Path, seen: Print, dialect: Dialect, table: str) -> None:
        self.engine, self.path, self.seen, self.dialect, self.table = engine, path, seen, dialect, table
        self.notes: list[str] = []

    def read(self, header: Header, wanted: Sequence[Column], before: int) -> int:
        """Insert the rows; return how many the file has, refused ones included.

        The engine's reader gives up (or, worse, loses rows) where line ends are mixed: then it gets a copy in which
        they are not. Either way the rows are counted against the lines of the file.
        """
        places = {name: place for place, name in enumerate(self.dialect.names)}
        chosen = ", ".join(f"c{places[column.name]}" for column in wanted)
        kept_before = self._count(self.table)
        if self.seen.encoding != "utf-8" or not self._whole(chosen, kept_before):
            with tempfile.TemporaryDirectory(prefix="zhiyin-") as folder:
                copy = rewrite(self.path, self.seen.encoding, Path(folder) / "copy.csv")
                if not self._whole(chosen, kept_before, copy):
                    raise DataError(
                        f"{self.path.name} cannot be taken apart into rows; are its quotes and line ends in order?"
                    )
            if self.seen.encoding == "utf-8":
                self.notes.append(f"{self.seen.name} mixes kinds of line ends; all were read as line feeds")
        kept = self._count(self.table) - kept_before
        return kept + self._refuse(kept_before, before)

    def _count(self, table: str) -> int:
        return int(self.engine.scalar(f"SELECT count(*) FROM {table}"))

    def _whole(self, chosen: str, kept_before: int, copy: Path | None = None) -> bool:
        """Insert all rows and return True, or none and return False."""
        newline = "\n" if copy is not None else self.dialect.newline
        packed = copy is None and is_gzip(self.path)
        self.engine.execute("BEGIN")
        try:
            self._insert(chosen, copy or self.path, newline, packed)
            self._list_refused()
            rows = self._count(self.table) - kept_before + self._count(f"{self.table}_bad")
            whole = rows >= self._expected(rows)
        except DataError as error:
            self.engine.execute("ROLLBACK")
            if "state machine" in str(error):
                return False
            raise DataError(f"{self.path.name}: {error}") from error
        self.engine.execute("COMMIT" if whole else "ROLLBACK")
        return whole

    def _expected(self, rows: int) -> int:
        """How many rows there must be: as many as lines, or (rows hold line ends, lines are blank) as Python counts."""
        header = int(self.dialect.header)
        if rows == self.seen.lines - header:
            return rows
        return count_rows(self.path, self.seen.encoding, self.dialect) - header

    def _insert(self, chosen: str, path: Path, newline: str, packed: bool) -> None:
        dialect = self.dialect
        self.engine.execute(f"DROP TABLE IF EXISTS {self.table}_refused")
        self.engine.execute(f"DROP TABLE IF EXISTS {self.table}_scans")
        columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(dialect.names)))
        options = {
            "auto_detect": "false",
            "strict_mode": "true",
            "delim": quote_text(dialect.delimiter),
            "quote": quote_text(dialect.quote),
            "escape": quote_text(dialect.escape),
            "header": str(dialect.header).lower(),
            "columns": f"{{{columns}}}",
            "compression": "'gzip'" if packed else "'none'",
            "store_rejects": "true",
            "rejects_table": f"'{self.table}_refused'",
            "rejects_scan": f"'{self.table}_scans'",
        }
        if newline == "\n":  # else the reader finds it out; told "\r\n", it merges rows
            options["new_line"] = "'\\n'"
        said = ", ".join(f"{name}={value}" for name, value in options.items())
        source = f"read_csv({quote_text(engine_path(path))}, {said})"
        self.engine.execute(f"INSERT INTO {self.table} SELECT {chosen} FROM {source}")

    def _list_refused(self) -> None:
        """List each refused row: its place in the file from 0 (the reader counts from 1, with the header), why, raw."""
        first = 2 if self.dialect.header else 1
        self.engine.execute(
            f"CREATE OR REPLACE TABLE {self.table}_bad AS SELECT line - {first} AS place, "
            "first(CAST(error_type AS VARCHAR)) AS kind, first(csv_line) AS raw, "
            f"row_number() OVER (ORDER BY line) - 1 AS rank FROM {self.table}_refused GROUP BY line"
        )
        self._check_quotes()

    def _check_quotes(self) -> None:
        """A quote that never closes swallows the rows after it; which ones they were cannot be known."""
        swallowed = rows_of(
            self.engine,
            f"SELECT place, raw FROM {self.table}_bad WHERE kind = 'UNQUOTED VALUE' "
            "AND regexp_matches(raw, '[\\r\\n].') ORDER BY place LIMIT 1",
        )
        for place, raw in swallowed:
            line = re.split(r"[\r\n]", raw)[0][:80]
            raise DataError(
                f"row {place + 1} opens a quote that is not closed before the next line ({line!r}), so the rows "
                "after it cannot be told apart; mend that row or, if quotes mean nothing in this file, say "
                f"{spelt('quote', '')}"
            )

    def _refuse(self, kept_before: int, before: int) -> int:
        """Put the refused rows into the quarantine, and leave their numbers free; return how many they are."""
        bad, gaps, lost = f"{self.table}_bad", f"{self.table}_gaps", before - kept_before
        cases = " ".join(f"WHEN '{kind}' THEN {quote_text(said)}" for kind, said in _REASONS.items())
        self.engine.execute(
            f"INSERT INTO {QUARANTINE} SELECT {quote_text(self.seen.name)}, {before} + place, "
            f"CASE kind {cases} ELSE lower(kind) END, raw FROM {bad} ORDER BY place"
        )
        self.engine.execute(
            f"INSERT INTO {gaps} SELECT {kept_before} + greatest(place - rank, 0), {lost} + rank + 1 FROM {bad}"
        )
        if lost:  # rows of earlier files were refused
            self.engine.execute(f"INSERT INTO {gaps} VALUES ({kept_before}, {lost})")
        return self._count(bad)
