"""Parts: ingested events in numbers, also on disk, so that what comes later can be appended to what is there.

ingested/00000/
  part.json                                   clock, rows read and kept, what was refused and why, sources
  events.parquet                              the columns of `steps.base`, in numbers of this part alone
  user.parquet item.parquet (+ kind, session) the text (`id`) behind each `number`
  item_table.parquet user_table.parquet       the catalogue and the users that came with this part, where given
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zhiyin.artifacts import read_json, to_json
from zhiyin.data.dataset import Clock
from zhiyin.data.engine import Engine
from zhiyin.data.sources.lists import is_list, is_text, split
from zhiyin.data.steps.base import Events
from zhiyin.errors import DataError

TEXTS = {"user": "user_id", "item": "item_id", "kind": "kind", "session": "session_id"}
"""The text columns of raw events; each becomes a number (`user_number`) and a table of its texts (`user_ids`)."""

TYPES = {
    "row_number": "BIGINT",
    "user_number": "INT",
    "item_number": "INT",
    "time": "BIGINT",
    "position": "BIGINT",
    "kind_number": "INT",
    "value": "DOUBLE",
    "session_number": "INT",
}
"""The columns of numbered events."""

TABLES = ("item_table", "user_table")
FIRST = "events_0"


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of one portion of ingested events."""

    clock: Clock
    columns: tuple[str, ...]
    rows_read: int
    rows_kept: int
    next_row: int
    """One more than the largest row number: where the rows of the next part begin."""
    reasons: Mapping[str, int]
    """How many rows were refused, by reason."""
    sources: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    """What was said of how the source was read."""

    @classmethod
    def load(cls, folder: Path) -> Part:
        """Read `part.json`."""
        content = read_json(folder / "part.json")
        names: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in content.items()}
        return cls(**names)


def number(engine: Engine, raw: str, clock: Clock, known: Iterable[str]) -> Events:
    """Turn the raw events of `raw` into numbers; the texts behind them go to `user_ids`, `item_ids`, ...

    Numbers count from 0 in the byte order of the texts.

    Args:
        engine: where the raw events are.
        raw: their table or view, with the columns of `zhiyin.data.sources.ingest`.
        clock: what they know of time.
        known: the columns of `raw` that hold anything, beside `row_number` and the ids.

    Raises:
        DataError: there are no events, or some lack an id or what the clock says is known.
    """
    there = {"row_number", "user_id", "item_id", *known} - ({"time"} if clock != "time" else set())
    chosen, joins = {}, []
    for column in TYPES:
        side = column.removesuffix("_number")
        text = TEXTS.get(side, column)
        if text not in there:
            continue
        chosen[column] = f"r.{column}" if text == column else f"{side}_ids.number AS {column}"
        if text != column:
            distinct = f"SELECT DISTINCT {text} AS id FROM {raw} WHERE {text} IS NOT NULL"
            engine.materialise(f"{side}_ids", _numbered(distinct))
            joins.append(f"LEFT JOIN {side}_ids ON r.{text} = {side}_ids.id")
    rows = engine.materialise(FIRST, f"SELECT {', '.join(chosen.values())} FROM {raw} AS r {' '.join(joins)}")
    kinds = texts(engine, "kind") if "kind_number" in chosen else ()
    events = Events(FIRST, rows, clock, tuple(chosen), kinds)
    _check_complete(engine, events)
    return events


def _numbered(distinct: str) -> str:
    return f"SELECT id, CAST(ROW_NUMBER() OVER (ORDER BY id) - 1 AS INT) AS number FROM ({distinct}) AS ids"


def _check_complete(engine: Engine, events: Events) -> None:
    """Make sure that there are events, and that nothing is missing which all of them must have."""
    if not events.rows:
        raise DataError("there are no events: all rows were refused, or none were given")
    moment = {"time": ("time",), "position": ("position",), "none": ()}[events.clock]
    for name in ("row_number", "user_number", "item_number", *moment):
        given = events.rows
        if name in events.columns:
            given -= engine.scalar(f"SELECT COUNT(*) FROM {events.table} WHERE {name} IS NULL")
        else:
            given = 0
        if given < events.rows:
            role = name.replace("user_number", "user_id").replace("item_number", "item_id")
            raise DataError(f"{events.rows - given:,} of {events.rows:,} events have no {role}; all must have one")


def texts(engine: Engine, side: str) -> tuple[str, ...]:
    """The texts of one side in the order of their numbers; only for the few kinds of events."""
    return tuple(engine.fetch(f"SELECT id FROM {side}_ids ORDER BY number").column("id").to_pylist())


def sides(events: Events) -> list[str]:
    """The sides whose texts are known, of `user`, `item`, `kind` and `session`."""
    return [side for side in TEXTS if f"{side}_number" in events.columns]


def keep(
    engine: Engine, events: Events, folder: Path, part: Part, items: pa.Table | None, users: pa.Table | None
) -> None:
    """Write a part, just numbered, to a new folder."""
    folder.mkdir(parents=True)
    engine.write(events.table, folder / "events.parquet")
    for side in sides(events):
        engine.write(f"{side}_ids", folder / f"{side}.parquet")
    for name, table in zip(TABLES, (items, users), strict=True):
        if table is not None:
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    (folder / "part.json").write_text(to_json(asdict(part)), encoding="utf-8")


def adopt(old: Path, new: Path) -> None:
    """Put a part into another dataset folder without changing it: by hard links, or else copied."""
    new.mkdir(parents=True)
    for file in sorted(old.iterdir()):
        try:
            os.link(file, new / file.name)
        except OSError:
            shutil.copy2(file, new / file.name)


def join(engine: Engine, folders: Sequence[Path]) -> Events:
    """The events of several parts as one table, as if they had been ingested at once, in the order of the parts.

    Raises:
        DataError: the parts do not know the same of time.
    """
    parts = [Part.load(folder) for folder in folders]
    clocks = {part.clock for part in parts}
    if len(clocks) > 1:
        said = " and ".join(repr(clock) for clock in sorted(clocks))
        raise DataError(f"the events to append know something else of time than those that are there: {said}")
    columns = tuple(name for name in TYPES if any(name in part.columns for part in parts))
    for side in TEXTS:
        if f"{side}_number" in columns:
            _join_texts(engine, folders, parts, side)
    selects, first = [], 0
    for place, (folder, part) in enumerate(zip(folders, parts, strict=True)):
        engine.scan(f"part_{place}_events", folder / "events.parquet")
        selects.append(_renumbered(place, part, columns, first))
        first += part.next_row
    rows = engine.materialise(FIRST, " UNION ALL ".join(selects))
    return Events(FIRST, rows, parts[0].clock, columns, texts(engine, "kind") if "kind_number" in columns else ())


def _join_texts(engine: Engine, folders: Sequence[Path], parts: Sequence[Part], side: str) -> None:
    """Number the texts of all parts together; `part_0_user` leads from the numbers of part 0 to the common ones."""
    places = [place for place, part in enumerate(parts) if f"{side}_number" in part.columns]
    for place in places:
        engine.scan(f"part_{place}_{side}_texts", folders[place] / f"{side}.parquet")
    engine.materialise(
        f"{side}_ids", _numbered(" UNION ".join(f"SELECT id FROM part_{place}_{side}_texts" for place in places))
    )
    for place in places:
        engine.materialise(
            f"part_{place}_{side}",
            f"SELECT p.number AS old, a.number AS new FROM part_{place}_{side}_texts AS p "
            f"JOIN {side}_ids AS a ON p.id = a.id",
        )


def _renumbered(place: int, part: Part, columns: Sequence[str], first: int) -> str:
    """The query for the events of one part in the common numbers."""
    chosen, joins = [], []
    for column in columns:
        side = column.removesuffix("_number")
        if column not in part.columns:
            chosen.append(f"CAST(NULL AS {TYPES[column]}) AS {column}")
        elif column == "row_number":
            chosen.append(f"e.row_number + {first} AS row_number")
        elif side == column:
            chosen.append(f"e.{column}")
        else:
            chosen.append(f"{side}_map.new AS {column}")
            joins.append(f"LEFT JOIN part_{place}_{side} AS {side}_map ON e.{column} = {side}_map.old")
    return f"SELECT {', '.join(chosen)} FROM part_{place}_events AS e {' '.join(joins)}"


def table_of(folders: Sequence[Path], name: str) -> pa.Table | None:
    """The catalogue (`item_table`) or the users (`user_table`) of several parts: of equal ids, the later row wins."""
    files = [folder / f"{name}.parquet" for folder in folders]
    tables = [pq.read_table(file) for file in files if file.is_file()]
    return latest(tables) if tables else None


def lists_of(folders: Sequence[Path], name: str) -> frozenset[str]:
    """The columns of the catalogue (`item_table`) or the users (`user_table`) of some parts that hold lists of text."""
    files = [folder / f"{name}.parquet" for folder in folders]
    schemas = [pq.read_schema(file) for file in files if file.is_file()]
    return frozenset(field.name for schema in schemas for field in schema if _of_texts(field.type))


def _of_texts(kind: pa.DataType) -> bool:
    return is_list(kind) and is_text(kind.value_type)


def latest(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, whose first column is an id; of rows with the same id only the last.

    Where a column holds lists in one table, the texts of another are lists of one.

    Raises:
        DataError: a column holds kinds of values in different tables that do not fit together.
    """
    several = {field.name for table in tables for field in table.schema if _of_texts(field.type)}
    tables = [_with_lists(table, several) for table in tables]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the new table does not fit the one that is there: {error}") from error
    code = np.asarray(whole.column(0).combine_chunks().dictionary_encode().indices)
    last = np.zeros(code.max() + 1 if len(code) else 0, np.int64)
    last[code] = np.arange(len(code))  # of repeated places the last value stays
    return whole.take(pa.array(last))


def _with_lists(table: pa.Table, several: Iterable[str]) -> pa.Table:
    for name in several:
        if name in table.column_names and not is_list(table.schema.field(name).type):
            column = table.column(name)
            if is_text(column.type) and pc.any(pc.match_substring(column.cast(pa.string()), "|")).as_py():
                raise DataError(
                    f"column {name!r} holds lists in one table and texts with '|' in another; prepare all of it anew, "
                    f"or read the new table with lists={{{name!r}: ''}} to keep texts whole"
                )
            column = split(column, "")[0]
            table = table.set_column(table.column_names.index(name), name, column)
    return table
