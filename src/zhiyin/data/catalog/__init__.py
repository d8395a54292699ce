"""Public data sets by name: from their official place, a package that carries them, or a folder that you have.

One file here declares one set or one family of sets, with its licence, its addresses and how its files are read; adding
a file adds its sets. Whatever the source looked like, a set ends as a folder of Parquet in one form: `events.parquet`
(`user_id, item_id` text, `time` in seconds since 1970 or `position` where only the order is known, `kind, value`),
`items.parquet`, `users.parquet`, and `source.json`, which says where it came from and under which terms.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable
from functools import cache as remember
from pathlib import Path
from typing import Any

from zhiyin.data.catalog.base import PublicSet
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.run import Progress

__all__ = ["PublicSet", "available", "describe", "get", "lines", "public_set", "resolve"]


@remember
def _sets() -> dict[str, PublicSet]:
    files = Path(__file__).parent.glob("*.py")
    stems = sorted(file.stem for file in files if file.stem != "base" and not file.stem.startswith("_"))
    found = [one for stem in stems for one in importlib.import_module(f"{__name__}.{stem}").SETS]
    return {one.name: one for one in found}


def available() -> tuple[str, ...]:
    """The names of all public sets, sorted."""
    return tuple(sorted(_sets()))


def public_set(name: str) -> PublicSet:
    """The declaration of a set.

    Raises:
        ConfigError: there is no such set; the message names the nearest.
    """
    if name not in _sets():
        raise ConfigError(_unknown(name))
    return _sets()[name]


def describe(name: str, *, cache: str | Path | None = None) -> dict[str, Any]:
    """What a set is, as plain values.

    Keys: `name, title, about, counts, clock, citation, homepage, sources, addresses`, `licence` (`short` and `where`),
    `folder_expects` (what `folder` of `get` must hold, one text for each source), `here` (whether it is in the cache).

    Raises:
        ConfigError: there is no such set; the message names the nearest.
    """
    from zhiyin.artifacts import cache_folder
    from zhiyin.data.catalog._fetch import is_kept

    folder = Path(cache) if cache is not None else cache_folder()
    return {**public_set(name).to_dict(), "here": is_kept(folder / name)}


def lines(name: str) -> list[str]:
    """What a person should read before they use a set, line by line; the licence is among it.

    Raises:
        ConfigError: there is no such set; the message names the nearest.
    """
    one = public_set(name)
    counts = ", ".join(f"{count:,} {what}" for what, count in one.counts.items())
    return [
        f"{one.title}: {one.about}",
        *([f"counts:   {counts}"] if counts else []),
        f"licence:  {one.licence.short}",
        f"          full text: {one.licence.where}",
        f"cite:     {one.citation}",
        f"from:     {', else '.join(source.place for source in one.sources)}",
        f"--from:   a folder with {', or '.join(one.expects)}",
    ]


def get(
    name: str,
    *,
    folder: str | Path | None = None,
    cache: str | Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
    accept_licence: Callable[[PublicSet], bool] | None = None,
) -> Path:
    """The folder of a public set in uniform Parquet, fetched and read once and then kept in the cache.

    Args:
        name: one of `available()`.
        folder: where you have the files already (archives or unpacked); nothing is downloaded then.
        cache: where sets are kept; by default `ZHIYIN_CACHE`, else the platform's cache folder for this user.
        refresh: fetch again what is in the cache already.
        progress: who is shown how far a download is.
        accept_licence: called with the set before anything is fetched or read; the set is left alone if it says no.
            By default the licence is written to the log.

    Raises:
        ConfigError: there is no such set.
        DataError: no source can be reached or read; the message names each reason and what to do by hand.
    """
    from zhiyin.data.catalog._fetch import fetch

    wanted = public_set(name)
    return fetch(
        wanted,
        folder=None if folder is None else Path(folder),
        cache=None if cache is None else Path(cache),
        refresh=refresh,
        progress=progress,
        accept_licence=accept_licence,
    )


def resolve(
    text: str,
    *,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    accept_licence: Callable[[PublicSet], bool] | None = None,
) -> Path:
    """The folder that a person means by `movielens-100k`, `folder:PATH` or a path.

    A path stands before a name: a folder called `movielens-100k` here is that folder.

    Raises:
        DataError: it is neither a folder nor the name of a public set.
    """
    if text.startswith("folder:"):
        return _existing(Path(text.removeprefix("folder:")).expanduser(), text)
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if text in _sets():
        return get(text, cache=cache, progress=progress, accept_licence=accept_licence)
    if len(path.parts) > 1 or path.suffix or path.exists():
        return _existing(path, text)
    raise DataError(f"{_unknown(text)} (there is no folder of that name either)")


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, _sets(), n=3, cutoff=0.6)
    return unknown("data set", name, near) if near else f"unknown data set {name!r}; `zhiyin data list` names them all"


def _existing(path: Path, text: str) -> Path:
    if path.is_dir():
        return path
    if path.exists():
        raise DataError(
            f"{text!r} came as data, but it is a file; a prepared folder is expected: "
            f"zhiyin prepare --events {shlex.quote(text)} --out DIR makes one"
        )
    raise DataError(
        f"{text!r} came as data, but {path} does not exist; a prepared folder, or one with events.parquet, is expected"
    )
