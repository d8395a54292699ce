"""Uniform Parquet folders: `events.parquet`, and `items.parquet` and `users.parquet` where they exist.

`events.parquet` has `user_id`, `item_id` and `time` (whole Unix seconds) or `position`, optionally `kind`, `value` and
`session_id`; without a time and a position no order is known. Further columns are context, left out unless asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.tables import Catalogue, EventLog, Users

PREFIX = "folder:"


def open_folder(path: str | Path) -> tuple[EventLog, Catalogue | None, Users | None]:
    """The tables of a uniform folder (`PATH` or `folder:PATH`).

    Raises:
        DataError: the folder or its `events.parquet` is missing.
    """
    from zhiyin.data.tables import Catalogue, EventLog, Users

    folder = Path(str(path).removeprefix(PREFIX)).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with events.parquet (items.parquet, users.parquet)")
    if not (folder / "events.parquet").is_file():
        inside = ", ".join(sorted(one.name for one in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"{folder} has no events.parquet, only {inside}, and is no prepared folder; other files are prepared "
            "first: zhiyin prepare --events FILES --out DIR"
        )
    name = folder.resolve().name
    items, users = folder / "items.parquet", folder / "users.parquet"
    return (
        EventLog.read(folder / "events.parquet", time_unit="s", name=name),
        Catalogue.read(items, name=name) if items.is_file() else None,
        Users.read(users, name=name) if users.is_file() else None,
    )
