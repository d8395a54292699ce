"""Dataset: the prepared form of an event log, on disk as flat arrays that are memory-mapped, never padded.

dataset/
  manifest.json                         what it is, how it was made, its content hash
  events/offsets.npy item.npy time.npy  (+ value, kind, weight, session where known)
  items.parquet  users.parquet          row i describes item i / user i
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zhiyin.arrays import AnyArray, BoolVector, LongVector
from zhiyin.artifacts import new_folder, read_json, to_json
from zhiyin.data.histories import COLUMNS, Histories
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError

FORMAT = 1

Clock = Literal["time", "position", "none"]
"""What is known of when: real times, only the order inside each history, or not even that."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the preparation, as the manifest remembers it."""

    name: str
    settings: Mapping[str, Any]
    rows_before: int
    rows_after: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a dataset was made, and what is in it."""

    name: str
    clock: Clock
    kinds: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()
    content_hash: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `manifest.json`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Manifest:
        """Read what `to_dict` wrote."""
        came = content.get("format") if isinstance(content, Mapping) else None
        if came != FORMAT:
            raise DataError(f"the dataset has format {came!r}, this version reads {FORMAT}; prepare it anew")
        names = {name: content[name] for name in cls.__slots__ if name in content}
        names["steps"] = tuple(Step(**step) for step in content.get("steps", ()))
        names["kinds"] = tuple(content.get("kinds", ()))
        names["sources"] = tuple(content.get("sources", ()))
        return cls(**names)


class Dataset:
    """Users' histories in the numbers of a vocabulary, with tables that describe the items and users.

    `histories` has one row per user of `users`; `item_table` and `user_table` are Arrow tables whose row `i` describes
    item or user `i` (their first column is the id).
    """

    def __init__(self, histories: Histories, item_table: pa.Table, user_table: pa.Table, manifest: Manifest) -> None:
        if len(histories) != user_table.num_rows:
            raise DataError(
                f"{len(histories)} histories came with {user_table.num_rows} users; one for each is expected"
            )
        self.histories = histories
        self.item_table, self.user_table = item_table, user_table
        self.manifest = manifest

    @classmethod
    def of(
        cls,
        histories: Histories,
        items: Sequence[str] | Vocabulary | pa.Table,
        users: Sequence[str] | Vocabulary | pa.Table | None = None,
        clock: Clock | None = None,
        kinds: Sequence[str] = (),
        name: str = "by hand",
    ) -> Dataset:
        """Build a dataset from arrays that are prepared already.

        `clock`: what is known of when; by default "time" where the histories have times, else "position".

        Raises:
            DataError: `clock` is "time" and the histories have no times, or there is not one user for each history.
        """
        if clock is None:
            clock = "position" if histories.time is None else "time"
        if clock == "time" and histories.time is None:
            raise DataError('histories without times came with clock="time"; say clock="position" or "none"')
        if users is None:
            users = [f"u{number}" for number in range(len(histories))]
        return cls(histories, _table(items, "item_id"), _table(users, "user_id"), Manifest(name, clock, tuple(kinds)))

    def __repr__(self) -> str:
        return f"Dataset {self.name!r}: {self.n_users:,} users, {self.n_items:,} items, {self.n_events:,} events"

    @property
    def name(self) -> str:
        """What people call it."""
        return self.manifest.name

    @property
    def clock(self) -> Clock:
        """What is known of when: "time", "position" or "none"."""
        return self.manifest.clock

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the event kinds, in the order of their numbers."""
        return self.manifest.kinds

    @property
    def n_users(self) -> int:
        """The number of users, including those whose history is empty here."""
        return len(self.histories)

    @property
    def n_items(self) -> int:
        """The size of the catalogue, including items that nobody has touched."""
        return int(self.item_table.num_rows)

    @property
    def n_events(self) -> int:
        """The number of events."""
        return self.histories.n_events

    @cached_property
    def items(self) -> Vocabulary:
        """The items' ids."""
        return Vocabulary(self.item_table.column("item_id"))

    @cached_property
    def users(self) -> Vocabulary:
        """The users' ids."""
        return Vocabulary(self.user_table.column("user_id"))

    @cached_property
    def popularity(self) -> LongVector:
        """(n_items,) the number of events on each item."""
        return np.bincount(self.histories.item, minlength=self.n_items).astype(np.int64)

    @cached_property
    def content_hash(self) -> str:
        """A hash of the events, ids and tables: equal for equal contents, wherever and whenever they were prepared."""
        if self.manifest.content_hash:
            return self.manifest.content_hash
        digest = hashlib.blake2b(digest_size=16)
        digest.update(to_json([self.clock, self.kinds]).encode())
        digest.update(np.ascontiguousarray(self.histories.offsets).data)
        for name, column in self.histories.columns().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(column).data)
        for table in (self.item_table, self.user_table):
            digest.update(_digest(table))
        return digest.hexdigest()

    def has_order(self) -> bool:
        """Whether the order of events inside a history is known."""
        return self.clock != "none"

    def need(self, clock: Clock, purpose: str, instead: str = "") -> None:
        """Make sure that times (or at least the order) of events are known.

        Raises:
            DataError: they are not; the message ends with what may be done `instead`.
        """
        hint = f"; {instead}" if instead else ""
        if clock == "time" and self.clock != "time":
            known = "only the order inside each history is" if self.clock == "position" else "not even the order is"
            raise DataError(f"{purpose} needs the times of events, but {known} known in {self.name!r}{hint}")
        if clock == "position" and self.clock == "none":
            raise DataError(f"{purpose} needs the order of events, which is not known in {self.name!r}{hint}")

    def keep(self, mask: BoolVector, note: str = "") -> Dataset:
        """The same users and items with only the events where `mask` (n_events,) is true."""
        return self.with_histories(self.histories.keep(mask), note)

    def with_histories(self, histories: Histories, note: str = "") -> Dataset:
        """The same users and items with other histories (one per user)."""
        manifest = replace(self.manifest, content_hash="", counts={}, name=f"{self.name}{note}")
        other = Dataset(histories, self.item_table, self.user_table, manifest)
        other.__dict__.update(items=self.items, users=self.users)
        return other

    def queries(self, rows: AnyArray | None = None, now: LongVector | None = None) -> Queries:
        """The histories of some users (numbers, or ids; all by default) as queries at the present moment.

        Raises:
            DataError: there is no such user.
        """
        rows = np.arange(self.n_users) if rows is None else np.asarray(rows)
        if rows.dtype.kind in "UO":
            rows = np.array([self.users.number(str(one), "user") for one in rows.tolist()], np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.n_users:
            raise DataError(
                f"users {rows.min()} to {rows.max()} came; those of {self.name!r} are 0 to {self.n_users - 1}"
            )
        histories = self.histories.take(rows)
        if now is None and self.clock == "time" and self.n_events:
            now = np.full(len(rows), int(self.histories.time.max()) + 1, np.int64)  # type: ignore[union-attr]
        return Queries(histories, self.items, now, tuple(self.users.decode(rows)), kinds=self.kinds)

    def query_of(self, user_id: str) -> Queries:
        """The history of one user, by id, as a query.

        Raises:
            DataError: there is no such user; the message names the nearest.
        """
        return self.queries(np.array([self.users.number(user_id, "user")]))

    def item_titles(self) -> list[str]:
        """A name to show for each item: its title where there is one, else its id."""
        ids: list[str] = self.items.ids.to_pylist()
        if "title" not in self.item_table.column_names:
            return ids
        titles = self.item_table.column("title").to_pylist()
        return [title or one for title, one in zip(titles, ids, strict=True)]

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the dataset to a folder, whole or not at all."""
        with new_folder(path, overwrite, "manifest.json") as folder:
            events = folder / "events"
            events.mkdir()
            np.save(events / "offsets.npy", self.histories.offsets)
            for name, column in self.histories.columns().items():
                np.save(events / f"{name}.npy", column)
            write_tables(folder, self.item_table, self.user_table)
            (folder / "manifest.json").write_text(to_json(self.sealed().manifest.to_dict()), encoding="utf-8")
        return Path(path)

    def sealed(self) -> Dataset:
        """The same dataset with its counts and content hash written into the manifest."""
        counts = {"users": self.n_users, "items": self.n_items, "events": self.n_events}
        manifest = replace(self.manifest, content_hash=self.content_hash, counts=counts)
        return Dataset(self.histories, self.item_table, self.user_table, manifest)

    @classmethod
    def load(cls, path: str | Path) -> Dataset:
        """Open a prepared dataset; its events stay on disk and are memory-mapped.

        Raises:
            DataError: the folder is missing, damaged, or was not written by zhiyin.
        """
        folder = Path(path)
        if not (folder / "manifest.json").is_file():
            raise DataError(f"{folder} is not a prepared dataset (no manifest.json); make one with `zhiyin prepare`")
        manifest = Manifest.from_dict(read_json(folder / "manifest.json"))
        columns = {name: _map(folder / "events" / f"{name}.npy") for name in ("offsets", *COLUMNS)}
        if columns["offsets"] is None or columns["item"] is None:
            raise DataError(f"{folder} is damaged: its events are missing; prepare it anew")
        tables = _read_table(folder / "items.parquet"), _read_table(folder / "users.parquet")
        return cls(Histories(**columns), *tables, manifest)  # type: ignore[arg-type]


def write_tables(folder: Path, item_table: pa.Table, user_table: pa.Table) -> None:
    """Write the item and user tables of a dataset folder."""
    pq.write_table(item_table, folder / "items.parquet", compression="zstd")
    pq.write_table(user_table, folder / "users.parquet", compression="zstd")


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        said = "is missing" if not path.is_file() else f"is damaged: {str(error).splitlines()[0]}"
        raise DataError(f"{path} {said}; prepare the dataset anew") from error


def _map(path: Path) -> AnyArray | None:
    if not path.is_file():
        return None
    try:
        mapped: AnyArray = np.load(path, mmap_mode="r")
        return mapped
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}; prepare the dataset anew") from error


def _table(rows: Sequence[str] | Vocabulary | pa.Table, column: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    vocabulary = rows if isinstance(rows, Vocabulary) else Vocabulary(rows)
    return pa.table({column: vocabulary.ids})


def _digest(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None).combine_chunks())
    return hashlib.blake2b(sink.getvalue(), digest_size=16).digest()
