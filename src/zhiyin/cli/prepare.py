"""`zhiyin prepare`: raw tables in, a prepared dataset and its quality report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.run import Run

Source = "A file, a glob, a folder, or a database address such as sqlite:///shop.db?table=orders."


def prepare(
    events: Annotated[str | None, typer.Option("--events", help=f"The event log. {Source}")] = None,
    items: Annotated[str | None, typer.Option("--items", help="The catalogue, likewise.")] = None,
    users: Annotated[str | None, typer.Option("--users", help="The users' attributes, likewise.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; whole or not at all.")] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A TOML recipe: sources, roles, steps.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Instead: a public set's name, or folder:PATH.")] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="Which column plays a role: user_id=uid, time=ts, ... Repeatable."),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", help="A step in order: 'minimum_counts users=5 items=5'; see `zhiyin list steps`."),
    ] = None,
    append_to: Annotated[
        Path | None, typer.Option("--append-to", help="Add the events to this prepared folder.")
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
    from zhiyin.errors import ConfigError

    run = opt.make_run(seed, threads)
    if append_to is not None:
        if events is None:
            raise ConfigError("--append-to needs the new events: --events FILE")
        dataset = append(append_to, _log(events, role), run=run)
        _tell(dataset, append_to, json)
        return
    if out is None:
        raise ConfigError("where to? name a folder with --out DIR")
    sources = _sources(events, items, users, data, recipe, role)
    dataset = prepare(
        **sources,
        steps=recipe if recipe is not None and not step else _steps(step),
        out=out,
        name=name,
        run=run,
        memory_mib=memory,
        overwrite=overwrite,
    )
    _tell(dataset, out, json)


def _log(text: str, roles: list[str] | None) -> Any:
    from zhiyin.data.tables import EventLog

    return EventLog.read(text, roles=opt.settings_of(roles))


def _sources(
    events: str | None,
    items: str | None,
    users: str | None,
    data: str | None,
    recipe: Path | None,
    roles: list[str] | None,
) -> dict[str, Any]:
    from zhiyin.data import catalog
    from zhiyin.data.prepare import Preparation
    from zhiyin.data.sources.folder import open_folder
    from zhiyin.data.tables import Catalogue, EventLog, Users
    from zhiyin.errors import ConfigError

    if sum(one is not None for one in (events, data, recipe)) != 1:
        raise ConfigError("say where the events are: one of --events FILE, --data NAME or --recipe FILE")
    if data is not None:
        found = open_folder(catalog.resolve(data))
        return {"events": found[0], "items": found[1], "users": found[2]}
    if recipe is not None:
        written = Preparation.load(recipe)
        return {
            "events": EventLog.from_recipe(recipe),
            "items": Catalogue.from_recipe(recipe) if written.items else None,
            "users": Users.from_recipe(recipe) if written.users else None,
        }
    return {
        "events": _log(str(events), roles),
        "items": Catalogue.read(items) if items else None,
        "users": Users.read(users) if users else None,
    }


def _steps(texts: list[str] | None) -> list[Any] | None:
    """The steps of `name setting=value setting=value` texts; None for the defaults."""
    from zhiyin.data import steps

    if not texts:
        return None
    found = []
    for text in texts:
        name, *settings = text.split()
        found.append(steps.get(name)(**opt.read_values(opt.settings_of(settings))))
    return found


def _tell(dataset: Dataset, out: Path, json: bool) -> None:
    from zhiyin.cli._terminal import note, say, say_json, table

    if json:
        say_json(dataset.manifest.to_dict())
        return
    say(repr(dataset))
    rows = [
        (one.name, one.rows_before, one.rows_after, one.rows_before - one.rows_after, one.note)
        for one in dataset.manifest.steps
    ]
    say(table(["step", "rows before", "rows after", "removed", "what happened"], rows))
    note(f"prepared: {out}   next: zhiyin quality --data {out} --out quality.html")


def prepare_public(name: str, out: Path, run: Run, overwrite: bool) -> Dataset:
    """Prepare a public data set (or folder:PATH) with the default steps."""
    from zhiyin.data.prepare import prepare

    return prepare(**_sources(None, None, None, name, None, None), out=out, name=name, run=run, overwrite=overwrite)
