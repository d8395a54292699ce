"""From what a person names (a path, a glob, a folder, a database URL) to the source that reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from zhiyin.data.sources.base import Source
from zhiyin.data.sources.dialect import Wish
from zhiyin.data.sources.files import Form, find, form_of
from zhiyin.errors import DataError

Where = str | Path | Sequence[str | Path]
"""A path, a glob, a folder, several of them, or the URL of a database."""


def resolve(where: Where, table: str | None = None, query: str | None = None, wish: Wish | None = None) -> Source:
    """The source that reads `where`; what a file is is told by its first bytes, then by its suffix.

    Raises:
        DataError: nothing is there, or the files are of several forms.
        ConfigError: a database without a table or query.
    """
    from zhiyin.data.sources.database import Database, is_url

    if isinstance(where, str) and is_url(where):
        return Database.of(where, table, query)
    if isinstance(where, str) and (scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+(?=://)", where)):
        raise DataError(
            f"addresses of {scheme.group()}:// cannot be read, only those of sqlite:/// and postgresql://; fetch or "
            "export it to a CSV, JSON lines or Parquet file first"
        )
    paths = find(where)
    forms = {path: form_of(path) for path in paths}
    if len(set(forms.values())) > 1:
        said = ", ".join(f"{path.name} ({form})" for path, form in list(forms.items())[:10])
        raise DataError(f"files of several forms cannot be read as one table: {said}")
    return _of_files(forms[paths[0]], paths, table, query, wish or Wish())


def _of_files(form: Form, paths: tuple[Path, ...], table: str | None, query: str | None, wish: Wish) -> Source:
    from zhiyin.data.sources.database import Database
    from zhiyin.data.sources.delimited import Delimited
    from zhiyin.data.sources.jsonl import JSONLines
    from zhiyin.data.sources.parquet import Parquet

    if form == "sqlite":
        if len(paths) > 1:
            raise DataError("several SQLite files came; read them one by one")
        return Database.of(f"sqlite:///{quote(paths[0].as_posix())}", table, query)
    if table is not None or query is not None:
        raise DataError(f"{paths[0].name} is no database, so it has no table or query; leave them out")
    if form == "parquet":
        return Parquet(paths)
    if form == "json":
        return JSONLines(paths)
    return Delimited(paths, wish)
