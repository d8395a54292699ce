"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.errors import ConfigError

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.run import Run
    from zhiyin.splitting.base import Splitter

Data = Annotated[
    str,
    typer.Option("--data", help="A prepared folder, the name of a public data set, or folder:PATH (uniform Parquet)."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("-o", "--set", help="A setting, name=value; for one of several models MODEL.name=value. Repeatable."),
]
OwnSettings = Annotated[
    list[str] | None,
    typer.Option("-o", "--set", help="A setting, name=value; see `zhiyin list models MODEL`. Repeatable."),
]
SplitName = Annotated[str, typer.Option("--split", help="How to split; see `zhiyin list splits`.")]
SplitSettings = Annotated[
    list[str] | None, typer.Option("--split-set", help="A setting of the split, name=value. Repeatable.")
]
Device = Annotated[str | None, typer.Option("--device", help="Where a neural encoder works: cpu, cuda, ...")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write; whole or not at all.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there already.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all of this machine's by default.")]
K = Annotated[int, typer.Option("-k", "--k", min=1, help="Length of a list.")]


def make_run(seed: int, threads: int | None, device: str | None = None) -> Run:
    """How to run: with progress bars in the terminal."""
    from dataclasses import replace

    from zhiyin.cli._terminal import Bars
    from zhiyin.run import Run

    made = Run(seed=seed, progress=Bars(), device=device)
    return made if threads is None else replace(made, threads=threads)


def settings_of(texts: Sequence[str] | None) -> dict[str, str]:
    """Names and values of `name=value` texts.

    Raises:
        ConfigError: a text has no "=".
    """
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"a setting is written name=value, {text!r} came")
        found[name.strip()] = value.strip()
    return found


def settings_by_model(texts: Sequence[str] | None, models: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings of each model; without a model's name in front a setting is for the only model.

    Raises:
        ConfigError: a setting is for a model that is not compared, or does not say for which.
    """
    found: dict[str, dict[str, str]] = {model: {} for model in models}
    for name, value in settings_of(texts).items():
        model, dot, setting = name.rpartition(".")
        if not dot and len(models) == 1:
            model = models[0]
        if model not in found or not setting:
            raise ConfigError(f"{name}={value}: write MODEL.name=value with one of the models {', '.join(models)}")
        found[model][setting] = value
    return found


def command(*parts: object) -> str:
    """A command to run next, written so that a shell understands it."""
    return shlex.join(["zhiyin", *map(str, parts)])


def csv_line(ids: Sequence[str]) -> str:
    """Ids as one CSV line, as `recommend --history` takes them."""
    import csv
    import io

    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(ids)
    return line.getvalue()


def names_of(text: str, option: str) -> list[str]:
    """The names in a comma-separated list.

    Raises:
        ConfigError: there are none, one came twice, or blanks stand where commas should.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ConfigError(f"{option} came empty; write names, separated by commas")
    if joined := [name for name in found if len(name.split()) > 1 and "[" not in name]:
        raise ConfigError(f"{option} came as {text!r}; names are separated by commas: {','.join(joined[0].split())}")
    if twice := [name for name in found if found.count(name) > 1]:
        raise ConfigError(f"{option} names {twice[0]!r} twice; once is enough")
    return found


def read_value(text: str) -> Any:
    """A setting's text as a TOML value where it is one (numbers, true, lists), else as it stands."""
    import tomllib

    try:
        return tomllib.loads(f"it = {text}")["it"]
    except tomllib.TOMLDecodeError:
        return text


def read_values(texts: Mapping[str, str]) -> dict[str, Any]:
    """`read_value` for every setting."""
    return {name: read_value(text) for name, text in texts.items()}


def make_splitter(name: str, texts: Sequence[str] | None, seed: int) -> Splitter:
    """The splitter of that name with its settings."""
    from zhiyin import splitting

    made: Splitter = splitting.get(name)(**{"seed": seed, **read_values(settings_of(texts))})
    return made


def open_data(text: str, run: Run) -> Dataset:
    """Open a prepared folder; fetch and prepare a public set or a uniform folder first where that is not done yet.

    Raises:
        DataError: nothing is there; the message says what was looked for.
    """
    from zhiyin.data.dataset import Dataset

    folder = Path(text).expanduser()
    if (folder / "manifest.json").is_file():
        return Dataset.load(folder)
    return _prepared(text, run)


def _prepared(text: str, run: Run) -> Dataset:
    from zhiyin.data import catalog
    from zhiyin.data.dataset import Dataset
    from zhiyin.data.prepare import prepare
    from zhiyin.data.sources.folder import open_folder

    folder = catalog.resolve(text)
    if (folder / "manifest.json").is_file():
        return Dataset.load(folder)
    events, items, users = open_folder(folder)
    return prepare(events, items, users, name=folder.name, run=run)
