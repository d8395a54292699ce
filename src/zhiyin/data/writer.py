"""Writer: from the cleaned events in an engine to the folder of a dataset.

The engine sorts; what it streams is appended to plain `.npy` files. They are not written through a memory map, since a
full disk is an error for a write but kills the process for a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, IntVector, LongVector
from zhiyin.artifacts import to_json
from zhiyin.data.blocks import blocks_of
from zhiyin.data.dataset import Dataset, Manifest, write_tables
from zhiyin.data.engine import Engine
from zhiyin.data.histories import NO_KIND
from zhiyin.data.steps.base import Events
from zhiyin.errors import DataError
from zhiyin.run import Run

CatalogueRule = Literal["all", "with_events"]
"""Which items a dataset has: those with events and all of the catalogue, or only those with events."""

UNKNOWN_KIND = "unknown"
"""The kind of an event that states none, in a log where others do."""

ROWS = 1_000_000
"""Events of one batch."""


class ColumnFile:
    """One column in an `.npy` file that grows batch by batch."""

    def __init__(self, path: Path, dtype: Any, rows: int) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        self.file = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (rows,)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def add(self, values: AnyArray) -> None:
        """Append the next values."""
        self.file.write(np.ascontiguousarray(values, self.dtype).data)

    def close(self) -> None:
        """Write what is still in memory."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class _Tables:
    """The item and user tables with, for each number of the engine, the row there (-1 for none)."""

    items: pa.Table
    users: pa.Table
    item_rows: IntVector
    kind_rows: IntVector
    kinds: tuple[str, ...]


def write_dataset(
    engine: Engine,
    events: Events,
    folder: Path,
    manifest: Manifest,
    items: pa.Table | None = None,
    users: pa.Table | None = None,
    catalogue: CatalogueRule = "all",
    run: Run | None = None,
) -> Manifest:
    """Write the dataset of the events into a folder that is there; return the manifest with counts and content hash.

    Args:
        engine: where `events`, `user_ids`, `item_ids` (and `kind_ids`) are.
        events: the cleaned events.
        folder: where to write.
        manifest: what is known already; clock, kinds, counts and hash are filled in.
        items: the catalogue, `item_id` first; None for ids alone.
        users: attributes of users, `user_id` first; None for ids alone.
        catalogue: whether items of the catalogue without events are in the dataset.
        run: threads and progress.

    Raises:
        DataError: there are more kinds of events than a dataset can hold.
    """
    tables = _tables(engine, events, items, users, catalogue)
    (folder / "events").mkdir()
    lengths = _write_columns(engine, events, tables, folder / "events", run or Run())
    offsets = np.concatenate([[0], np.cumsum(lengths[lengths > 0], dtype=np.int64)])
    np.save(folder / "events" / "offsets.npy", offsets)
    if (folder / "events" / "session.npy").is_file():
        _count_sessions(folder / "events" / "session.npy", offsets)
    write_tables(folder, tables.items, tables.users)
    return _seal(folder, replace(manifest, clock=events.clock, kinds=tables.kinds))


def _seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the hash of what is really on disk."""
    file = folder / "manifest.json"
    file.write_text(to_json(replace(manifest, content_hash="", counts={}).to_dict()), encoding="utf-8")
    sealed = Dataset.load(folder).sealed().manifest
    file.write_text(to_json(sealed.to_dict()), encoding="utf-8")
    return sealed


def _tables(
    engine: Engine, events: Events, items: pa.Table | None, users: pa.Table | None, catalogue: CatalogueRule
) -> _Tables:
    item_ids = _used(engine, events, "item")
    extra = items if catalogue == "all" else None
    item_table = described(item_ids.column("id"), items, "item_id", extra)
    user_table = described(_used(engine, events, "user").column("id"), users, "user_id")
    rows = pc.index_in(item_ids.column("id").cast(pa.large_string()), value_set=_ids(item_table))
    kind_rows, kinds = _kinds(engine, events)
    return _Tables(item_table, user_table, _places(item_ids.column("number"), rows), kind_rows, kinds)


def _used(engine: Engine, events: Events, side: str) -> pa.Table:
    """`id` and `number` of those of one side that have events left, in order."""
    return engine.fetch(
        f"""SELECT id, number FROM {side}_ids
            SEMI JOIN (SELECT DISTINCT {side}_number FROM {events.table}) AS e ON number = e.{side}_number
            ORDER BY number"""
    )


def _ids(table: pa.Table) -> pa.Array:
    found = table.column(0).cast(pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _places(numbers: pa.ChunkedArray, rows: Any) -> IntVector:
    """An array that leads from the number of the engine to the row, -1 for numbers that are not there."""
    number = np.asarray(numbers)
    found = np.full(int(number.max()) + 1, -1, np.int32)
    found[number] = np.asarray(rows)
    return found


def described(ids: pa.ChunkedArray, table: pa.Table | None, name: str, extra: pa.Table | None = None) -> pa.Table:
    """A table with one row for each of the ids (and those of `extra`), in byte order, described by `table`."""
    chunks = [ids.cast(pa.large_string())] + ([extra.column(0).cast(pa.large_string())] if extra is not None else [])
    union = pc.unique(pa.chunked_array([chunk for column in chunks for chunk in column.chunks], pa.large_string()))
    union = union.take(pc.sort_indices(union))
    columns = {name: union}
    if table is not None:
        rows = pc.index_in(union, value_set=_ids(table))
        columns |= {one: table.column(one).take(rows).combine_chunks() for one in table.column_names[1:]}
    return pa.table(columns)


def _kinds(engine: Engine, events: Events) -> tuple[IntVector, tuple[str, ...]]:
    """Where the kinds of the engine are among those that still occur, the missing kind last, and their names."""
    if "kind_number" not in events.columns:
        return np.zeros(0, np.int32), ()
    found = engine.fetch(f"SELECT DISTINCT kind_number FROM {events.table}").column("kind_number").to_pylist()
    named = {number: UNKNOWN_KIND if number is None else events.kinds[number] for number in found}
    kinds = sorted(set(named.values()))
    if len(kinds) > NO_KIND:
        raise DataError(
            f"{len(kinds):,} kinds of events came, at most {NO_KIND} can be kept; is it the right column? If not, name "
            'another, or none: roles={"kind": ""} (at the prompt --role kind=)'
        )
    rows = np.full(len(events.kinds) + 1, -1, np.int32)
    for number, kind in named.items():
        rows[len(events.kinds) if number is None else number] = kinds.index(kind)
    return rows, tuple(kinds)


def _write_columns(engine: Engine, events: Events, tables: _Tables, folder: Path, run: Run) -> LongVector:
    """Stream the sorted events to the column files; return the number of events of each user number of the engine."""
    clock = {"time": "time", "position": "position", "none": ""}[events.clock]
    columns = ("user_number", "item_number", *events.only(clock, "kind_number", "value", "weight", "session_number"))
    sql = f"SELECT {', '.join(columns)} FROM {events.table} ORDER BY user_number, {events.order}"
    lengths = np.zeros(1, np.int64)
    writer = _Columns(folder, events.rows, tables, clock)
    batches = run.progress.track(engine.batches(sql, ROWS), -(-events.rows // ROWS), "write events")
    try:
        for batch in batches:
            counts = np.bincount(batch.column("user_number").to_numpy(zero_copy_only=False))
            if len(counts) > len(lengths):
                lengths = np.concatenate([lengths, np.zeros(len(counts) - len(lengths), np.int64)])
            lengths[: len(counts)] += counts
            writer.add(batch)
    finally:
        writer.close()
    return lengths


class _Columns:
    """The column files of one dataset; those that turn out to say nothing are removed at the end."""

    def __init__(self, folder: Path, rows: int, tables: _Tables, clock: str) -> None:
        self.folder, self.rows, self.tables, self.clock = folder, rows, tables, clock
        self.files: dict[str, ColumnFile] = {}
        self.telling = {"item", "time", "kind"}

    def add(self, batch: pa.RecordBatch) -> None:
        for name, values in self._converted(batch).items():
            if name not in self.files:
                self.files[name] = ColumnFile(self.folder / f"{name}.npy", values.dtype, self.rows)
            self.files[name].add(values)

    def _converted(self, batch: pa.RecordBatch) -> Mapping[str, AnyArray]:
        raw = {name: batch.column(name) for name in batch.schema.names}
        found: dict[str, AnyArray] = {"item": self.tables.item_rows[_numpy(raw["item_number"])]}
        if self.clock:
            found["time"] = _numpy(raw[self.clock]).astype(np.int64)
        if "value" in raw:
            found["value"] = self._told("value", _numpy(raw["value"]).astype(np.float32), np.nan)
        if "kind_number" in raw:
            numbers = _numpy(pc.fill_null(raw["kind_number"], len(self.tables.kind_rows) - 1))
            found["kind"] = self.tables.kind_rows[numbers].astype(np.uint8)
        if "weight" in raw:
            found["weight"] = self._told("weight", _numpy(raw["weight"]).astype(np.float32), 1)
        if "session_number" in raw:
            numbers = _numpy(pc.fill_null(raw["session_number"], -1)).astype(np.int64)
            found["session"] = self._told("session", numbers, -1)
        return found

    def _told(self, name: str, values: AnyArray, nothing: float) -> AnyArray:
        """The values, noting whether any of them says more than the column's absence would."""
        if name not in self.telling:
            same = np.isnan(values) if np.isnan(nothing) else values == nothing
            if not same.all():
                self.telling.add(name)
        return values

    def close(self) -> None:
        for name, file in self.files.items():
            file.close()
            if name not in self.telling:
                file.path.unlink()


def _numpy(column: pa.Array) -> AnyArray:
    found: AnyArray = column.to_numpy(zero_copy_only=False)
    return found


def _count_sessions(path: Path, offsets: LongVector) -> None:
    """Replace the session numbers of a column file by counts from 0 in each history."""
    raw = path.rename(path.with_name("session.raw.npy"))
    sessions: AnyArray = np.load(raw, mmap_mode="r")
    counted = ColumnFile(path, np.int32, len(sessions))
    try:
        for start, stop in blocks_of(offsets, ROWS):
            low, high = offsets[start], offsets[stop]
            counted.add(count_sessions(sessions[low:high], offsets[start : stop + 1] - low))
    finally:
        counted.close()
    raw.unlink()


def count_sessions(session: AnyArray, offsets: LongVector) -> IntVector:
    """(n_events,) the sessions of each history counted from 0, by their first event; equal numbers are one session.

    >>> count_sessions(np.array([7, 7, 3, 7, 3]), np.array([0, 4, 5]))
    array([0, 0, 1, 0, 0], dtype=int32)
    """
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    key = (owner << 32) | (np.asarray(session, np.int64) + 1)
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    _, first, which = np.unique(key[begins], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    of_run = place[which]
    runs = owner[begins]
    first_of_owner = np.append(True, runs[1:] != runs[:-1])[: len(runs)]
    start = of_run[first_of_owner][np.cumsum(first_of_owner) - 1]
    return np.repeat(of_run - start, np.diff(np.append(begins, len(key)))).astype(np.int32)
