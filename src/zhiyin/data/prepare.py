"""Prepare: raw tables in, a dataset out, whole or not at all; and append: the same dataset with what came since.

    dataset = zhiyin.prepare("events.csv", "items.csv", out="my-data", steps=["exact_duplicates", "minimum_counts"])
    dataset = append("my-data", "events-of-today.csv")

Appending keeps the ingested events beside the dataset and runs the recorded steps again on all of them, so that its
outcome is the same, to the byte, as if everything had been prepared at once.
"""

from __future__ import annotations

import logging
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import numpy as np
import pyarrow as pa

from zhiyin.artifacts import new_folder
from zhiyin.config import Config, setting
from zhiyin.data import parts
from zhiyin.data.dataset import Dataset, Manifest, Step
from zhiyin.data.engine import Engine, open_engine
from zhiyin.data.histories import Histories
from zhiyin.data.parts import Part
from zhiyin.data.steps.base import Events, PreparationStep
from zhiyin.data.writer import CatalogueRule, write_dataset
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine
    from zhiyin.data.tables import Catalogue, EventLog, Users

logger = logging.getLogger(__name__)

RAW = "raw_events"
PARTS = "ingested"
QUARANTINE = "quarantine.parquet"

_PLACE = ("path", "table", "query", "name")
_READING = ("roles", "time_format", "time_unit", "context", "lists")

StepSpec: TypeAlias = PreparationStep | str | Mapping[str, Any]
"""A step as people give it: made already, its name, or a mapping with `name` and settings."""

_Described: TypeAlias = "tuple[pa.Table | None, pa.Table | None]"
"""The rows of the catalogue and of the users, where they were given."""


class Preparation(Config):
    """How to prepare a dataset: a recipe, written as TOML or kept in a manifest."""

    name: str | None = None
    """What to call the dataset."""
    events: dict[str, Any] = setting({})
    """Where the events are and which column plays which role; read by `EventLog.from_recipe`."""
    items: dict[str, Any] = setting({})
    """Likewise for the catalogue."""
    users: dict[str, Any] = setting({})
    """Likewise for the users."""
    steps: tuple[dict[str, Any], ...] = ({"name": "exact_duplicates"}, {"name": "weights"})
    """The steps in order, each a `name` with its settings."""
    catalogue: CatalogueRule = "all"
    """`all`: items of the catalogue that nobody has touched are in the dataset, so that they can be recommended;
    `with_events`: only items with events are."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a TOML recipe.

        Raises:
            ConfigError: it is not there, is not TOML, or holds something unknown.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            hint = "; the names of steps are given in a list" if isinstance(path, str) and "." not in path else ""
            raise ConfigError(f"cannot read the recipe {path}: {error.strerror}{hint}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not a TOML recipe: {error}") from error
        return cls.read(content, f"the recipe {path}")

    @classmethod
    def plan(
        cls, steps: Sequence[StepSpec] | Preparation | str | Path | None
    ) -> tuple[Preparation, list[PreparationStep]]:
        """From what `prepare` takes for `steps`: a recipe with all settings spelt out, and its steps.

        A path is that of a TOML recipe; steps that are made already are taken as they are.
        """
        recipe: Preparation
        specs: Sequence[StepSpec]
        if steps is None or isinstance(steps, (Preparation, str, Path)):
            recipe = cls() if steps is None else steps if isinstance(steps, Preparation) else cls.load(steps)
            specs = recipe.steps
        else:
            recipe, specs = cls(), steps
        made = [PreparationStep.read(one) for one in specs]
        return recipe.model_copy(update={"steps": tuple(step.spec() for step in made)}), made


def prepare(
    events: EventLog | Any | None = None,
    items: Catalogue | Any | None = None,
    users: Users | Any | None = None,
    *,
    steps: Sequence[StepSpec] | Preparation | str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    catalogue: CatalogueRule | None = None,
    run: Run | None = None,
    memory_mib: int = 2048,
    engine: Engine | str = "local",
    overwrite: bool = False,
    appendable: bool = True,
) -> Dataset:
    """Turn a raw event log (with a catalogue and users, where known) into a dataset.

    Args:
        events: an `EventLog`, a path (file, glob, folder, database address), or any dataframe; None takes those that a
            recipe file in `steps` names.
        items: a `Catalogue`, a path or a dataframe; None takes that of a recipe file, where it names one.
        users: `Users`, a path or a dataframe; likewise.
        steps: what to do to the events in order: steps, names, or mappings with `name` and settings; or a whole recipe
            (`Preparation`, or the path of a TOML file). None removes exact duplicates and weighs kinds of events only.
        out: the folder to write; None keeps the dataset in memory alone.
        name: what to call the dataset; by default the recipe's name, or that of `out`.
        catalogue: whether items without events are in the dataset; by default as the recipe says.
        run: threads and progress.
        memory_mib: the memory of the engine; beyond it, it spills to disk beside `out`.
        engine: "local", or an engine that is open already.
        overwrite: replace a folder that is there.
        appendable: keep the ingested events beside the dataset, for `append`.

    Returns:
        The dataset, memory-mapped from `out`.

    Raises:
        DataError: the source cannot be read, no event is left, `out` is there already, or the disk is full; nothing is
            left half-written.
        ConfigError: an unknown step or setting.
    """
    recipe, made = Preparation.plan(steps)
    events, items, users = _from_recipe(recipe, steps, events, items, users)
    log = _log(events, recipe)
    recipe = recipe.but(
        name=name or recipe.name or (log.name if out is None else Path(out).name),
        catalogue=catalogue or recipe.catalogue,
        events=recipe.events or _reading(log),
        items=recipe.items or _reading(items),
        users=recipe.users or _reading(users),
    )
    run = run or Run()
    if out is not None:
        _Work(recipe, made, run, memory_mib, engine, appendable).prepare(Path(out), log, items, users, overwrite)
        return Dataset.load(out)
    with tempfile.TemporaryDirectory(prefix="zhiyin-") as folder:
        target = Path(folder) / "dataset"
        _Work(recipe, made, run, memory_mib, engine, appendable=False).prepare(target, log, items, users)
        return _in_memory(Dataset.load(target))


def append(
    path: str | Path,
    events: EventLog | Any,
    items: Catalogue | Any | None = None,
    users: Users | Any | None = None,
    *,
    run: Run | None = None,
    memory_mib: int = 2048,
    engine: Engine | str = "local",
) -> Dataset:
    """Add events (and rows of the catalogue and users) to a prepared dataset, in place, whole or not at all.

    The outcome has the same content hash as preparing all events at once, the old before the new. A new row of the
    catalogue or the users replaces the one with the same id. Tables that are given as a path or a dataframe are read
    with the roles and time format of the first time.

    Raises:
        DataError: the folder is no dataset, was prepared with `appendable=False`, or is changed by somebody else
            meanwhile; or the new events cannot be read.
    """
    target = Path(path)
    manifest = Dataset.load(target).manifest
    if not (target / PARTS).is_dir():
        raise DataError(f"{target} cannot be appended to: prepare it with appendable=True, which keeps its raw events")
    recipe, made = Preparation.plan(Preparation.read(manifest.recipe, f"the manifest of {target}"))
    work = _Work(recipe, made, run or Run(), memory_mib, engine, appendable=True)
    work.append(target, _log(events, recipe), items, users)
    return Dataset.load(target)


@dataclass(frozen=True, slots=True)
class _Work:
    """One preparation: what to do, how to run it."""

    recipe: Preparation
    steps: list[PreparationStep]
    run: Run
    memory_mib: int
    engine: Engine | str
    appendable: bool

    def prepare(self, target: Path, log: EventLog, items: Any, users: Any, overwrite: bool = False) -> None:
        with new_folder(target, overwrite, "manifest.json") as folder, self._opened(folder) as engine:
            table, part, tables = self._read(engine, log, items, users)
            if self.appendable:
                parts.keep(engine, table, folder / PARTS / "00000", part, *tables)
            _write_quarantine(engine, folder, None)
            self._finish(engine, table, folder, [part], *tables)

    def append(self, target: Path, log: EventLog, items: Any, users: Any) -> None:
        before = _stamp(target)
        with new_folder(target, overwrite=True) as folder:
            with self._opened(folder) as engine:
                old = sorted((target / PARTS).iterdir())
                for one in old:
                    parts.adopt(one, folder / PARTS / one.name)
                known = [parts.lists_of(old, name) for name in parts.TABLES]
                table, part, described = self._read(engine, log, items, users, known)
                new = folder / PARTS / f"{len(old):05d}"
                parts.keep(engine, table, new, part, *described)
                _write_quarantine(engine, folder, target / QUARANTINE)
                every = [*(folder / PARTS / one.name for one in old), new]
                tables = parts.table_of(every, "item_table"), parts.table_of(every, "user_table")
                self._finish(engine, parts.join(engine, every), folder, [Part.load(one) for one in every], *tables)
            if _stamp(target) != before:
                raise DataError(f"{target} was changed by somebody else meanwhile; nothing was appended, try again")

    def _read(
        self, engine: Engine, log: EventLog, items: Any, users: Any, known: Sequence[Collection[str]] = ((), ())
    ) -> tuple[Events, Part, _Described]:
        """The events in numbers, and the rows of the catalogue and of the users, read as the recipe says.

        `known`: which columns of either hold several values already.
        """
        from zhiyin.data.tables import Catalogue, Users

        events, part = _ingested(engine, log)
        catalogue, said_of_items = _rows_of(Catalogue, items, self.recipe.items, known[0])
        people, said_of_users = _rows_of(Users, users, self.recipe.users, known[1])
        notes = (*part.notes, *said_of_items, *said_of_users)
        for note in notes:
            logger.info("%s", note)
        return events, replace(part, notes=notes), (catalogue, people)

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[Engine]:
        """The engine; what was made in it is gone afterwards, also from one that the caller keeps."""
        with open_engine(self.engine, self.run, self.memory_mib, folder) as engine:
            before = engine.tables()
            yield engine
            engine.drop(*(name for name in engine.tables() if name not in before))

    def _finish(
        self,
        engine: Engine,
        events: Events,
        folder: Path,
        ingested: Sequence[Part],
        items: pa.Table | None,
        users: pa.Table | None,
    ) -> None:
        """Run the steps and write the dataset."""
        done = [_as_step(ingested)]
        for step in self.run.progress.track(self.steps, len(self.steps), "prepare"):
            after, line = step.apply(engine, events)
            if after.table != events.table:
                engine.drop(events.table)
            events = after
            done.append(line)
        manifest = Manifest(
            str(self.recipe.name),
            events.clock,
            steps=tuple(done),
            sources=tuple(source for part in ingested for source in part.sources),
            recipe=self.recipe.model_dump(mode="json"),
        )
        write_dataset(engine, events, folder, manifest, items, users, self.recipe.catalogue, self.run)


def _from_recipe(recipe: Preparation, steps: Any, events: Any, items: Any, users: Any) -> tuple[Any, Any, Any]:
    """The tables that a recipe file names; those that were given beat its own."""
    from zhiyin.data.tables import Catalogue, EventLog, Users

    if isinstance(steps, (str, Path)):
        if events is None:
            events = EventLog.from_recipe(steps)
        if items is None and recipe.items:
            items = Catalogue.from_recipe(steps)
        if users is None and recipe.users:
            users = Users.from_recipe(steps)
    if events is None:
        raise ConfigError("where are the events? give `events`, or the path of a recipe with a section [events]")
    return events, items, users


def _log(events: Any, recipe: Preparation) -> EventLog:
    """An event log from itself, a path or a dataframe, read as the recipe says."""
    from zhiyin.data.tables import EventLog

    log: EventLog = _table(EventLog, events, recipe.events)
    return log


def _table(kind: Any, given: Any, section: Mapping[str, Any]) -> Any:
    """An `EventLog`, `Catalogue` or `Users` from itself, or from a path or a dataframe as a recipe's section says."""
    if isinstance(given, kind):
        return given
    reading = {name: one for name, one in section.items() if name not in _PLACE}
    if isinstance(given, (str, Path)) or (
        isinstance(given, list) and all(isinstance(one, (str, Path)) for one in given)
    ):
        return kind.read(given, **reading)
    return kind.of(given, **{name: one for name, one in reading.items() if name in _READING})


def _reading(table: Any) -> dict[str, Any]:
    """How a raw table was read, for what is appended to it."""
    found = {name: one for name in _READING if (one := getattr(table, name, None))}
    return {name: dict(one) if isinstance(one, Mapping) else one for name, one in found.items()}


def _ingested(engine: Engine, log: EventLog) -> tuple[Events, Part]:
    """Read the raw events and turn them into numbers; the raw table is gone afterwards."""
    from zhiyin.data.sources import ingest

    found = ingest(cast("DuckDBEngine", engine), log, RAW)
    table = parts.number(engine, RAW, found.clock, [match.role for match in found.columns])
    next_row = int(engine.scalar(f"SELECT MAX(row_number) FROM {table.table}")) + 1
    engine.drop(*(name for name in engine.tables() if name.startswith(RAW)))
    notes = [*found.notes]
    if log.context:
        notes.append(f"context that a dataset does not keep: {', '.join(log.context)}")
    part = Part(
        found.clock,
        table.columns,
        found.rows_read,
        found.rows_kept,
        next_row,
        dict(found.reasons),
        tuple(dict(source) for source in found.sources),
        tuple(notes),
    )
    return table, part


def _rows_of(
    kind: Any, given: Any, section: Mapping[str, Any], known: Collection[str]
) -> tuple[pa.Table | None, tuple[str, ...]]:
    """The rows of a catalogue or of users, one for each id, the id first; and what is to be said of their reading."""
    if given is None:
        return None, ()
    read = _table(kind, given, section).parsed(known)
    return read.table, tuple(f"{kind.schema.what}: {note}" for note in read.notes)


def _as_step(ingested: Sequence[Part]) -> Step:
    """Reading as the first line of the manifest's steps."""
    reasons: dict[str, int] = {}
    for part in ingested:
        for reason, rows in part.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + rows
    read, kept = sum(part.rows_read for part in ingested), sum(part.rows_kept for part in ingested)
    said = ", ".join(f"{rows:,} because {reason}" for reason, rows in sorted(reasons.items()))
    notes = [f"refused: {said}" if said else "all rows were accepted"]
    notes += list(dict.fromkeys(note for part in ingested for note in part.notes))
    return Step("ingest", {"refused": reasons}, read, kept, "; ".join(notes))


def _write_quarantine(engine: Engine, folder: Path, old: Path | None) -> None:
    """Write the rows that were refused, after those that were refused earlier; nothing where there are none."""
    whole = "quarantine"
    if old is not None and old.is_file():
        engine.scan("quarantine_before", old)
        whole = "quarantine_whole"
        engine.materialise(whole, "SELECT * FROM quarantine_before UNION ALL SELECT * FROM quarantine")
    if engine.scalar(f"SELECT COUNT(*) FROM {whole}"):
        engine.write(whole, folder / QUARANTINE)


def _stamp(folder: Path) -> tuple[int, int]:
    """What changes whenever the dataset in a folder is written anew."""
    found = (folder / "manifest.json").stat()
    return found.st_ino, found.st_mtime_ns


def _in_memory(dataset: Dataset) -> Dataset:
    """The same dataset without the files under it."""
    flat = {name: np.array(column) for name, column in dataset.histories.columns().items()}
    histories = Histories(np.array(dataset.histories.offsets), **flat)
    return Dataset(histories, dataset.item_table, dataset.user_table, dataset.manifest)
