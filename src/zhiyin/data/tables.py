"""Raw tables with roles: the event log, the catalogue and the users, wherever they are.

    log = EventLog.read("events.csv", roles={"user_id": "uid"})
    log = EventLog.of(frame, time_unit="ms")
    items = Catalogue.read("items.jsonl.gz").to_arrow()

or, in a recipe (TOML), `EventLog.from_recipe("shop.toml")`:

    [events]
    path = "events/*.csv"
    time_format = "%d/%m/%Y %H:%M"
    [events.roles]
    user_id = "uid"
    [items]
    path = "items.csv"
    lists = ["region", "language"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote as escaped

from pydantic import field_validator

from zhiyin.config import Config, names, setting
from zhiyin.data.schema import EVENTS, ITEMS, USERS, Schema
from zhiyin.data.sources.base import Source
from zhiyin.data.sources.lists import Lists, wanted
from zhiyin.data.sources.resolve import Where
from zhiyin.errors import ConfigError, DataError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

    from zhiyin.data.sources.attributes import Attributes

Roles = Mapping[str, str | int]
"""Role -> the column that plays it, by name or by its number from 0."""


class TableRecipe(Config):
    """Where a raw table is and how it is to be read: the sections [events], [items] and [users] of a recipe."""

    path: str | list[str]
    """A file, glob, folder, list of them (relative to the recipe) or the URL of a database."""
    table: str | None = None
    """The table, where the path is a database."""
    query: str | None = None
    """A query instead of a table, where the path is a database."""
    roles: dict[str, str | int] = setting({})
    """Role -> column, by name or by its number from 0; what is not given is found by name and alias."""
    name: str | None = None
    """What people call it; the file's name by default."""
    time_format: str | None = None
    """How times are written: a strptime format, or "iso"; guessed when absent."""
    time_unit: str | None = None
    """The unit of Unix times: s, ms, us or ns; guessed from their magnitude when absent."""
    context: list[str] = setting([])
    """Further columns of events to keep."""
    lists: list[str] | dict[str, str | None] = setting([])
    """Columns of items or users of which one cell may hold several values: their names, also as text ("region,
    blocked"), or with what stands between the values (`{region = "/"}`); "" says that a column is no list."""
    delimiter: str | None = None
    """Between the cells of a text file, of one or several letters; found out when absent."""
    quote: str | None = None
    """Around cells of a text file; "" when quotes mean nothing there; found out when absent."""
    header: bool | None = None
    """Whether the first row of a text file names the columns; found out when absent."""
    encoding: str | None = None
    """Of a text file; UTF-8, UTF-16 and Latin-1 are told apart when absent."""

    @field_validator("lists", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return list(names(value)) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """A table as it came: a source, the roles that were mapped, and how its times are written."""

    schema: ClassVar[Schema]

    source: Source
    roles: Roles = field(default_factory=dict)
    name: str = "by hand"
    time_format: str | None = None
    time_unit: str | None = None
    context: tuple[str, ...] = ()
    """Columns without a role that are kept beside the roles."""
    lists: Mapping[str, str | None] = field(default_factory=dict)
    """Columns of several values, each with what stands between them in a text; None: to be found out, "": no list."""

    def __post_init__(self) -> None:
        from zhiyin.data.times import unit_name

        for role in self.roles:
            if role not in self.schema.aliases:
                raise DataError(unknown(f"role for {self.schema.what}", role, self.schema.aliases))
        if self.time_unit is not None:
            unit_name(self.time_unit)
        if self.lists and self.schema is EVENTS:
            raise ConfigError(f"lists = {list(self.lists)} came for events; an event has one value in each column")

    @classmethod
    def read(
        cls,
        path: Where,
        *,
        roles: Roles | None = None,
        name: str | None = None,
        time_format: str | None = None,
        time_unit: str | None = None,
        context: tuple[str, ...] | list[str] = (),
        table: str | None = None,
        query: str | None = None,
        lists: Lists = (),
        delimiter: str | None = None,
        quote: str | None = None,
        header: bool | None = None,
        encoding: str | None = None,
    ) -> Self:
        """A table in files (CSV and relatives, JSON lines, Parquet; also a glob, a folder or a list) or in a database.

        Args:
            path: where it is; databases as `sqlite:///file.db` or `postgresql://user@host/name`.
            roles: role -> column, by name or by its number from 0; the others are found by name and alias.
            name: what people call it; the name of the file by default.
            time_format: how times are written, as a strptime format or "iso"; guessed when absent.
            time_unit: the unit of Unix times (s, ms, us, ns); guessed when absent.
            context: further columns to read and check beside the roles.
            table: the table of a database.
            query: a query of a database, instead of a table.
            lists: columns of several values: their names, or each with what stands between the values; see `Catalogue`.
            delimiter: between the cells of a text file.
            quote: around cells of a text file; "" when quotes mean nothing there.
            header: whether the first row of a text file names its columns.
            encoding: of a text file.

        Raises:
            DataError: nothing is there, or it cannot be read.
        """
        from zhiyin.data.sources.dialect import Wish
        from zhiyin.data.sources.resolve import resolve

        source = resolve(path, table, query, Wish(delimiter, quote, header, encoding))
        called = name or (Path(path).name.partition(".")[0] if isinstance(path, (str, Path)) else "") or source.label
        return cls(source, dict(roles or {}), called, time_format, time_unit, tuple(context), wanted(lists))

    @classmethod
    def of(
        cls,
        frame: Any,
        *,
        roles: Roles | None = None,
        name: str = "by hand",
        time_format: str | None = None,
        time_unit: str | None = None,
        context: tuple[str, ...] | list[str] = (),
        lists: Lists = (),
    ) -> Self:
        """A dataframe (pandas, polars, Arrow, ...) or a mapping of column names to values; see `read` for the rest.

        Raises:
            DataError: it is no dataframe.
        """
        from zhiyin.data.sources.frame import Frame

        told = wanted(lists)
        return cls(Frame.of(frame), dict(roles or {}), name, time_format, time_unit, tuple(context), told)

    @classmethod
    def from_recipe(cls, path: str | Path) -> Self:
        """The table that a TOML recipe describes in its section for this kind of table.

        Raises:
            DataError: the recipe or the table is not there.
            ConfigError: the recipe is not TOML, lacks the section, or has an unknown or wrong setting.
        """
        section = cls.schema.what
        content = _read_toml(Path(path))
        if not isinstance(content.get(section), dict):
            raise ConfigError(
                f"{path} has no section [{section}] with the path of its {section}; its sections are "
                f"{', '.join(content) or 'none'}"
            )
        recipe = TableRecipe.read(content[section], f"[{section}] in {path}")
        values = recipe.model_dump()
        where = _beside(Path(path).parent, values.pop("path"))
        return cls.read(where, **values)


def _read_toml(path: Path) -> dict[str, Any]:
    from zhiyin.data.sources.files import find_one

    try:
        return tomllib.loads(find_one(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _beside(folder: Path, where: str | list[str]) -> Where:
    """Paths of a recipe are relative to it; so is that of a SQLite file."""
    from zhiyin.data.sources.database import is_url

    if isinstance(where, list):
        return [folder / one for one in where]
    if where.startswith("sqlite:///") and not where.startswith("sqlite:////"):
        return f"sqlite:///{escaped(folder.as_posix())}/{where.removeprefix('sqlite:///')}"
    return where if is_url(where) else folder / where


@dataclass(frozen=True, slots=True, eq=False)
class EventLog(RawTable):
    """What users did: `user_id, item_id`, `time` or `position`, and `kind`, `value`, `session_id` where known.

    >>> log = EventLog.of({"userId": ["ada"], "movieId": [7], "timestamp": [1_600_000_000]})
    >>> log.name
    'by hand'
    """

    schema: ClassVar[Schema] = EVENTS


class _Described(RawTable):
    __slots__ = ()

    def parsed(self, known: Collection[str] = ()) -> Attributes:
        """The table with its roles, and what there is to say about it.

        Args:
            known: columns that hold several values in what it is added to.

        Raises:
            DataError: the source cannot be read, or its ids, or columns that `lists` names, are not found.
        """
        from zhiyin.data.sources.attributes import read_attributes

        return read_attributes(self, known)

    def to_arrow(self) -> pa.Table:
        """One row per id: the id first, then the roles that are there, then all other columns under their own names."""
        return self.parsed().table


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue(_Described):
    """The items: `item_id`, and what is known of them.

    Roles and their types: title, description, image, audio (text), language, creator, type (text, or lists of it where
    the source has lists), categories (list of text, also from "A|B" or "['A', 'B']"), price (double), available_from,
    available_until (int64 microseconds since 1970).

    Columns of lists stay lists, those of whole numbers become lists of text, as ids are. Text is read as lists where it
    is JSON or Python (`["A", "B"]`), where `|` stands between values that mostly occur in other cells, too, or are ids,
    and where `lists` says so: then at the first of `|`, `;` and `,` that occurs in the column, or at what is told.

    >>> Catalogue.of({"movieId": [7], "title": ["Alien"], "genres": ["Horror|Sci-Fi"]}).to_arrow().to_pylist()
    [{'item_id': '7', 'title': 'Alien', 'categories': ['Horror', 'Sci-Fi']}]
    >>> Catalogue.of({"sku": ["a"], "region": ["north; west"]}, lists=["region"]).to_arrow().to_pylist()
    [{'item_id': 'a', 'region': ['north', 'west']}]
    """

    schema: ClassVar[Schema] = ITEMS


@dataclass(frozen=True, slots=True, eq=False)
class Users(_Described):
    """The users: `user_id`, and all other columns under their own names; of several values as in `Catalogue`."""

    schema: ClassVar[Schema] = USERS
