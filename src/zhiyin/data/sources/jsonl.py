"""JSON lines: one object per line, .gz or not. Lines are read as text first, so that a broken one costs only itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin.data.sources.base import BLANKS, QUARANTINE, Column, Header, Staged, numbered, quote_text
from zhiyin.data.sources.files import (
    Print,
    count_lines,
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

SAMPLE = 1 << 20
"""How many bytes at the beginning are looked at for the names of the fields."""


@dataclass(frozen=True, slots=True)
class JSONLines:
    """One or several files of JSON objects, one per line."""

    paths: tuple[Path, ...]

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return label_of(self.paths)

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The fields of the objects in the first megabyte, in the order in which they appear; every value is text."""
        raw = head_of(self.paths[0], SAMPLE)
        text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig", "replace")
        lines = [line for line in text.split("\n") if line.strip()]
        if len(raw) == SAMPLE and len(lines) > 1:  # the last line is cut off
            lines.pop()
        objects = [one for one in map(_object, lines) if one is not None]
        if not objects:
            raise DataError(self._not_json(text))
        fields = dict.fromkeys(name for one in objects for name in one)
        if not fields:
            raise DataError(f"{self.label}: its objects have no fields")
        return Header(numbered(fields, [_type(name, objects) for name in fields]))

    def _not_json(self, text: str) -> str:
        first = text.strip()[:80]
        hint = "one JSON object per line is expected"
        if first.startswith("["):
            hint += "; this looks like one JSON array: write each of its objects on a line of its own"
        elif "':" in first:
            hint += "; this looks like Python dictionaries: names and texts need double quotes"
        return f"{self.label}: no JSON object was found ({first!r}); {hint}"

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """Read the wanted fields of every file, in order, into one table; lines that are no objects are refused."""
        spelled = ", ".join(f"{column.sql} VARCHAR" for column in wanted)
        engine.execute(f"CREATE OR REPLACE TABLE {table} ({spelled}, refused VARCHAR)")
        facts: list[Mapping[str, Any]] = []
        notes: list[str] = []
        for path, name in zip(self.paths, names_of(self.paths), strict=True):
            seen = fingerprint(path, name, text=True)
            before = int(engine.scalar(f"SELECT count(*) FROM {table}"))
            _insert(engine, path, seen, wanted, table)
            rows = int(engine.scalar(f"SELECT count(*) FROM {table}")) - before
            _refuse(engine, table, name, before)
            facts.append(seen.fact(rows))
            notes.extend(seen.notes)
        bad = engine.scalar(f"SELECT count(refused) FROM {table}")
        relation = f"(SELECT *, rowid AS row_number FROM {table} WHERE refused IS NULL)" if bad else table
        return Staged(relation, "row_number" if bad else "rowid", tuple(facts), tuple(notes))


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _type(name: str, objects: Sequence[Mapping[str, Any]]) -> str:
    """STRUCT for a field that holds objects alone, which is neither an id nor a label; all others are read as text."""
    values = [one[name] for one in objects if one.get(name) is not None]
    return "STRUCT" if values and all(isinstance(value, dict) for value in values) else "VARCHAR"


def _insert(engine: DuckDBEngine, path: Path, seen: Print, wanted: Sequence[Column], table: str) -> None:
    """Insert all lines of a file; where its line ends are mixed, of a copy in which they are not."""
    if seen.encoding == "utf-8" and _whole(engine, path, seen, is_gzip(path), wanted, table):
        return
    with tempfile.TemporaryDirectory(prefix="zhiyin-") as folder:
        copy = rewrite(path, seen.encoding, Path(folder) / "copy.jsonl")
        if not _whole(engine, copy, seen, False, wanted, table):
            raise DataError(f"{path.name} cannot be taken apart into lines reliably; are its line ends in order?")


def _whole(engine: DuckDBEngine, path: Path, seen: Print, packed: bool, wanted: Sequence[Column], table: str) -> bool:
    """Insert all lines and return True, or none and return False."""
    engine.execute("BEGIN")
    try:
        before = int(engine.scalar(f"SELECT count(*) FROM {table}"))
        _insert_lines(engine, path, packed, wanted, table)
        rows = int(engine.scalar(f"SELECT count(*) FROM {table}")) - before
    except DataError as error:
        engine.execute("ROLLBACK")
        if "state machine" in str(error):
            return False
        raise DataError(f"{path.name}: {error}") from error
    whole = rows >= seen.lines or rows >= count_lines(path, "utf-8")
    engine.execute("COMMIT" if whole else "ROLLBACK")
    return whole


def _insert_lines(engine: DuckDBEngine, path: Path, packed: bool, wanted: Sequence[Column], table: str) -> None:
    # No letter of JSON text is \x1f unless escaped, so it can stand for "no delimiter": one column, the line. Lines
    # that the reader refuses (not UTF-8, too long) are kept by their raw text, at the end, as those that are not JSON.
    engine.execute(f"DROP TABLE IF EXISTS {table}_refused")
    engine.execute(f"DROP TABLE IF EXISTS {table}_scans")
    paths = ", ".join(quote_text(_pointer(column.name)) for column in wanted)
    fields = ", ".join(f"field[{place + 1}]" for place in range(len(wanted)))
    lines = (
        f"read_csv({quote_text(engine_path(path))}, auto_detect=false, delim='\x1f', quote='', escape='', "
        f"header=false, columns={{'line': 'VARCHAR'}}, compression='{'gzip' if packed else 'none'}', "
        f"store_rejects=true, rejects_table='{table}_refused', rejects_scan='{table}_scans')"
    )
    good = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    engine.execute(
        f"INSERT INTO {table} SELECT {fields}, CASE WHEN field IS NULL THEN line END FROM (SELECT line, "
        f"CASE WHEN {good} THEN json_extract_string(line, [{paths}]) END AS field FROM {lines} "
        f"WHERE trim(line, {BLANKS}) <> '')"
    )
    nothing = ", ".join("NULL" for _ in wanted)
    engine.execute(
        f"INSERT INTO {table} SELECT {nothing}, coalesce(nullif(first(csv_line), ''), '?') FROM {table}_refused "
        "GROUP BY line ORDER BY line"
    )


def _pointer(name: str) -> str:
    """The JSON pointer of a top-level field, whatever letters are in its name (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _refuse(engine: DuckDBEngine, table: str, name: str, before: int) -> None:
    engine.execute(
        f"INSERT INTO {QUARANTINE} SELECT {quote_text(name)}, rowid, 'not a JSON object', refused FROM {table} "
        f"WHERE refused IS NOT NULL AND rowid >= {before} ORDER BY rowid"
    )
