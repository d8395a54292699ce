"""`zhiyin prepare`: raw tables in, a prepared dataset out; or later events appended to one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt
from zhiyin.errors import ConfigError, unknown

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.run import Run

Source = "A file, a glob, a folder, or a database address such as sqlite:///shop.db?table=orders."

TABLES = ("events", "items", "users")

_TOKEN = re.compile(r"""(?:[^\s"'\[{]|"[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|["'\[{])+""")
"""A word of a step; blanks inside quotes and brackets do not end it."""


def prepare(
    events: Annotated[str | None, typer.Option("--events", help=f"The event log. {Source}")] = None,
    items: Annotated[str | None, typer.Option("--items", help="The catalogue, likewise.")] = None,
    users: Annotated[str | None, typer.Option("--users", help="The users' attributes, likewise.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; whole or not at all.")] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A TOML recipe: sources, roles, steps.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Instead: a public set's name, or folder:PATH.")] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="Which column plays a role: user_id=uid, time=ts; of another table items.item_id=sku. Repeatable.",
        ),
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option(
            "--read",
            help="How a table is written: delimiter=^, time_format=%d/%m/%Y, time_unit=ms, header=false, encoding=gbk, "
            "table=orders; of another table items.delimiter=^. Repeatable.",
        ),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", help="A step in order: 'minimum_counts users=5 items=5'; see `zhiyin list steps`."),
    ] = None,
    append_to: Annotated[
        Path | None, typer.Option("--append-to", help="Add the events (items, users) to this prepared folder.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the dataset.")] = None,
    memory: Annotated[int, typer.Option("--memory", min=256, help="Memory limit of the engine, MiB.")] = 2048,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Prepare raw events (and items, users) as a dataset: parsed, cleaned, sorted, counted; bad rows set aside."""
    from zhiyin.data.prepare import append, prepare

    run = opt.make_run(seed, threads)
    if append_to is not None:
        _refuse("--append-to", out=out, recipe=recipe, data=data, step=step, name=name, overwrite=overwrite)
        if events is None:
            raise ConfigError("--append-to needs the new events: --events FILE")
        tables = _tables({"events": events, "items": items, "users": users}, role, read, _known(append_to))
        dataset = append(append_to, **tables, run=run, memory_mib=memory)
        _tell(dataset, append_to, json)
        return
    if out is None:
        raise ConfigError("where to? name a folder with --out DIR")
    dataset = prepare(
        **_sources(events, items, users, data, recipe, role, read),
        steps=_steps(step, recipe, seed),
        out=out,
        name=name,
        run=run,
        memory_mib=memory,
        overwrite=overwrite,
    )
    _tell(dataset, out, json, timeless=data is None and not dataset.has_order())


def prepare_public(name: str, out: Path, run: Run, overwrite: bool) -> Dataset:
    """Prepare a public data set (or folder:PATH) with the default steps."""
    from zhiyin.data.prepare import prepare

    tables = _public(name)
    return prepare(**tables, out=out, name=tables["events"].name, run=run, overwrite=overwrite)


def show(dataset: Dataset) -> None:
    """Print what came out: the counts, the rows that each step removed, and what happened there."""
    from zhiyin.cli._terminal import plain, say, table

    steps = dataset.manifest.steps
    say(plain(repr(dataset)))
    rows = [(one.name, one.rows_before, one.rows_after, one.rows_before - one.rows_after) for one in steps]
    say(table(["step", "rows before", "rows after", "removed"], rows))
    say(table(["step", "what happened"], [(one.name, one.note.split("; ")) for one in steps]))


def _tell(dataset: Dataset, out: Path, json: bool, timeless: bool = False) -> None:
    from zhiyin.cli._terminal import note, say_json

    say_json(dataset.manifest.to_dict()) if json else show(dataset)
    if timeless:
        note("note: neither times nor order are known; if a column says when, prepare again with --role time=COLUMN")
    if (out / "quarantine.parquet").is_file():
        note(f"the refused rows, each with its reason: {out / 'quarantine.parquet'}")
    note(f"prepared: {out}   next: {opt.command('quality', '--data', out, '--out', 'quality.html')}")


# ---------------------------------------------------------------------- where the tables are


def _sources(
    events: str | None,
    items: str | None,
    users: str | None,
    data: str | None,
    recipe: Path | None,
    roles: list[str] | None,
    readings: list[str] | None,
) -> dict[str, Any]:
    """The tables of `prepare`; those that a recipe names are left to it."""
    if data is not None:
        _refuse("--data", events=events, items=items, users=users, recipe=recipe, role=roles, read=readings)
        return _public(data)
    if events is None and recipe is None:
        raise ConfigError("say where the events are: --events FILE, --data NAME or --recipe FILE")
    return _tables({"events": events, "items": items, "users": users}, roles, readings)


def _public(name: str) -> dict[str, Any]:
    from zhiyin.data import catalog
    from zhiyin.data.sources.folder import open_folder

    return dict(zip(TABLES, open_folder(catalog.resolve(name)), strict=True))


def _refuse(option: str, **others: Any) -> None:
    """Refuse options that mean nothing beside one, rather than to pass them over."""
    given = [f"--{name}" for name, value in others.items() if value]
    if given:
        raise ConfigError(f"{' and '.join(given)} cannot be said together with {option}; leave one of them out")


def _known(folder: Path) -> dict[str, Mapping[str, Any]]:
    """How the tables of a prepared folder were read, by table."""
    from zhiyin.data.dataset import Dataset

    recipe = Dataset.load(folder).manifest.recipe
    return {table: recipe.get(table, {}) for table in TABLES}


def _tables(
    places: Mapping[str, str | None],
    roles: list[str] | None,
    readings: list[str] | None,
    known: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The raw tables at some places; a table of which nothing is said is left to be read as its recipe says.

    What is said of a table joins, and beats, what is `known` of its reading.
    """
    from zhiyin.data.tables import Catalogue, EventLog, Users

    mapped, written = _by_table(roles, "--role"), _by_table(readings, "--read")
    for table in (*mapped, *written):
        if places[table] is None:
            raise ConfigError(f"--role and --read of {table} need --{table} FILE")
    kinds, known = {"events": EventLog, "items": Catalogue, "users": Users}, known or {}
    return {
        table: _table(kinds[table], place, mapped[table], opt.read_values(written[table]), known.get(table, {}))
        if place is not None and (table in mapped or table in written)
        else place
        for table, place in places.items()
    }


def _by_table(texts: list[str] | None, option: str) -> dict[str, dict[str, str]]:
    """Names and values by table; without a table's name in front they are for the events."""
    from collections import defaultdict

    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, value in opt.settings_of(texts).items():
        table, dot, own = name.rpartition(".")
        if dot and table not in TABLES:
            raise ConfigError(f"{option} {name}={value}: {unknown('table', table, TABLES)}")
        found[table or "events"][own] = value
    return found


def _table(
    kind: Any, place: str, roles: Mapping[str, str], reading: Mapping[str, Any], known: Mapping[str, Any]
) -> Any:
    from zhiyin.data.tables import TableRecipe

    for name in ("path", "roles"):
        if name in reading:
            raise ConfigError(f"--read {name}=... came; write --{kind.schema.what} FILE and --role ROLE=COLUMN instead")
    if reading.get("delimiter") == r"\t":  # as people write it
        reading = {**reading, "delimiter": "\t"}
    known_roles = {**known.get("roles", {}), **roles}
    values = TableRecipe.read({**known, **reading, "path": place, "roles": known_roles}, "--read").model_dump()
    return kind.read(values.pop("path"), **values)


# ---------------------------------------------------------------------- steps


def _steps(texts: Sequence[str] | None, recipe: Path | None, seed: int) -> Any:
    """The steps of `name setting=value setting=value` texts, or the recipe; None for the defaults."""
    if not texts:
        return recipe
    if recipe is not None:
        raise ConfigError("--step came beside --recipe: write all steps in the recipe, or leave it out")
    return [_step(text, seed) for text in texts]


def _step(text: str, seed: int) -> Any:
    from zhiyin.data import steps

    words = _TOKEN.findall(text)
    if not words:
        raise ConfigError("--step came empty; write for example --step 'minimum_counts users=5 items=5'")
    kind, settings = steps.get(words[0]), opt.read_values(opt.settings_of(words[1:]))
    drawn = {"seed": seed} if "seed" in kind.settings().model_fields else {}
    return kind(**drawn | settings)
