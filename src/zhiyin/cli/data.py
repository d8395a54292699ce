"""`zhiyin data`: public data sets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zhiyin.cli import _options as opt

app = typer.Typer(help="Public data sets by name: list, describe, get.", no_args_is_help=True)


@app.command("list")
def list_sets(json: opt.Json = False) -> None:
    """List the public data sets, and which are on this machine already."""
    from zhiyin.cli._terminal import say, say_json, table
    from zhiyin.data import catalog

    found = {name: catalog.describe(name) for name in catalog.available()}
    if json:
        say_json(found)
        return
    rows = [
        (name, one["title"], one["counts"].get("events"), "yes" if one["here"] else "no")
        for name, one in found.items()
        if not name.startswith("amazon-")
    ]
    say(table(["name", "what it is", "events", "here"], rows))
    amazon = [name for name in found if name.startswith("amazon-")]
    for year, prefix in (("2014", "amazon-"), ("2018", "amazon-2018-")):
        own = [name for name in amazon if name.startswith("amazon-2018-") == (year == "2018")]
        names = ", ".join(name.removeprefix(prefix) for name in own)
        say(f"{prefix}NAME   Amazon reviews of {year}, 5-core; NAME is one of: {names}\n")
    say("[dim]next: zhiyin data describe NAME (its licence and source), zhiyin data get NAME[/]")


@app.command()
def describe(name: Annotated[str, typer.Argument(help="The set's name.")], json: opt.Json = False) -> None:
    """Say what a data set is, under which licence, where it comes from and which files `--from` expects."""
    from zhiyin.cli._terminal import plain, say, say_json
    from zhiyin.data import catalog

    found = catalog.describe(name)
    if json:
        say_json(found)
        return
    for line in catalog.lines(name):
        say(plain(line), wrap=False)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="The set's name.")],
    source: Annotated[Path | None, typer.Option("--from", help="A folder that has the set's files already.")] = None,
    json: opt.Json = False,
) -> None:
    """Fetch a data set from its official place, or read it from a folder, into the cache."""
    from zhiyin.cli._terminal import Bars, note, plain, say, say_json
    from zhiyin.data import catalog

    for line in catalog.lines(name):
        note(line)
    folder = catalog.get(name, folder=source, progress=Bars())
    if json:
        say_json({"name": name, "folder": str(folder)})
        return
    say(plain(str(folder)), wrap=False)
    note(f"next: zhiyin compare --data {name} --models popularity,item_knn,ease")
