"""A table or a query of SQLite or PostgreSQL, read-only and in batches.

SQLite comes with Python; PostgreSQL needs psycopg (`pip install "zhiyin[postgres]"`). Values are turned into text by
the database itself, exactly (times as ISO 8601 in UTC), so that one way leads from all text sources to roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, quote, unquote, urlsplit

from zhiyin.data.sources.base import Column, Header, Staged, numbered, quote_name, spelt
from zhiyin.data.sources.files import find_one
from zhiyin.errors import ConfigError, DataError, MissingExtra, unknown

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine

BATCH = 50_000
"""Rows that are fetched at once."""

SCHEMES = ("sqlite", "postgresql", "postgres")


def is_url(path: object) -> bool:
    """Whether a path is the URL of a database."""
    return isinstance(path, str) and path.partition("://")[0] in SCHEMES and "://" in path


class _Session(Protocol):
    """An open connection that only reads."""

    def names(self, selection: str) -> list[str]:
        """The columns of a selection (what stands after FROM)."""
        ...

    def rows(self, selection: str, columns: Sequence[str]) -> Iterator[list[tuple[str | float | None, ...]]]:
        """The rows in batches, every value as text (or a float, to lose no digit)."""
        ...

    def tables(self) -> dict[str, str]:
        """The names of the tables and views, each with its spelling in SQL."""
        ...


@dataclass(frozen=True, slots=True)
class Database:
    """A table, or the result of a query."""

    url: str
    table: str | None = None
    query: str | None = None

    @classmethod
    def of(cls, url: str, table: str | None = None, query: str | None = None) -> Database:
        """Read `?table=` or `?query=` out of the URL, where they are not given apart.

        Raises:
            ConfigError: neither or both are given.
        """
        parts = urlsplit(url)
        asked = parse_qs(parts.query)
        table = table or asked.pop("table", [None])[0]
        query = query or asked.pop("query", [None])[0]
        if (table is None) == (query is None):
            raise ConfigError(
                f"{_safe(url)}: give either a table or a query: ?table=NAME at the end of the address, or "
                f"{spelt('table', 'NAME')}, or likewise with query"
            )
        kept = "&".join(f"{quote(name)}={quote(one)}" for name, values in asked.items() for one in values)
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{kept}" if kept else "")
        return cls(bare, table, query.strip().rstrip(";") if query else None)

    @property
    def label(self) -> str:
        """What to call it in messages, without the password."""
        return f"{self.table if self.table is not None else 'the query'} of {_safe(self.url)}"

    def look(self, engine: DuckDBEngine, mapping: Mapping[str, str | int]) -> Header:
        """The columns of the table or the result."""
        with self._session() as session:
            return Header(numbered(session.names(self._selection(session))))

    def stage(self, engine: DuckDBEngine, header: Header, wanted: Sequence[Column], table: str) -> Staged:
        """Stream the wanted columns into one table, in the order in which the database gives the rows."""
        import pyarrow as pa

        fields = pa.schema([(column.sql, pa.large_string()) for column in wanted])
        engine.execute(f"CREATE OR REPLACE TABLE {table} ({', '.join(f'{column.sql} VARCHAR' for column in wanted)})")
        with self._session() as session:
            for rows in session.rows(self._selection(session), [column.name for column in wanted]):
                columns = [_texts(values) for values in zip(*rows, strict=True)]
                engine.register(f"{table}_batch", pa.Table.from_arrays(columns, schema=fields))
                engine.execute(f"INSERT INTO {table} SELECT * FROM {table}_batch")
                engine.drop(f"{table}_batch")
        rows_read = int(engine.scalar(f"SELECT count(*) FROM {table}"))
        return Staged(table, "rowid", ({"name": self.label, "rows": rows_read},))

    def _selection(self, session: _Session) -> str:
        if self.query is not None:
            return f"({self.query}) AS asked"
        assert self.table is not None
        known = session.tables()
        if self.table not in known:
            raise DataError(f"{_safe(self.url)}: {unknown('table', self.table, known)}")
        return known[self.table]

    def _session(self) -> AbstractContextManager[_Session]:
        return _sqlite(self.url) if self.url.startswith("sqlite") else _postgres(self.url)


def _texts(values: Sequence[str | float | None]) -> Any:
    """One column of a batch as text; floats with the fewest digits that tell them apart."""
    import pyarrow as pa

    if any(isinstance(one, float) for one in values):
        return pa.array([repr(one) if isinstance(one, float) else one for one in values], pa.large_string())
    return pa.array(values, pa.large_string())


def _safe(url: str) -> str:
    """What may be shown of the URL: the file's name, or the server's address with *** for a password."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return unquote(parts.path.rpartition("/")[2])
    place = parts.netloc
    if parts.password:
        place = f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"
    return f"{parts.scheme}://{place}{parts.path}"


@contextmanager
def _sqlite(url: str) -> Iterator[_Session]:
    import sqlite3

    path = unquote(url.removeprefix("sqlite://").partition("?")[0]).removeprefix("/")
    file = find_one(Path(path))
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
            yield _SQLite(connection)
    except sqlite3.Error as error:
        raise DataError(f"{_safe(url)}: {error}") from error


@dataclass(frozen=True, slots=True)
class _SQLite:
    connection: Any

    def tables(self) -> dict[str, str]:
        """The names of the tables and views, each with its spelling in SQL."""
        found = self.connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return {str(name): quote_name(str(name)) for (name,) in found}

    def names(self, selection: str) -> list[str]:
        """The columns of a selection."""
        return [str(one[0]) for one in self.connection.execute(f"SELECT * FROM {selection} LIMIT 0").description]

    def rows(self, selection: str, columns: Sequence[str]) -> Iterator[list[tuple[str | float | None, ...]]]:
        """The rows in batches; floats stay floats, as SQLite does not print all their digits."""
        asked = ", ".join(
            f"CASE typeof({name}) WHEN 'real' THEN {name} ELSE CAST({name} AS TEXT) END"
            for name in map(quote_name, columns)
        )
        cursor = self.connection.execute(f"SELECT {asked} FROM {selection}")
        while batch := cursor.fetchmany(BATCH):
            yield batch


@contextmanager
def _postgres(url: str) -> Iterator[_Session]:
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("postgres", "psycopg", "reading from PostgreSQL") from None
    password = unquote(urlsplit(url).password or "")
    try:
        with psycopg.connect(url, connect_timeout=15) as connection:
            connection.read_only = True
            connection.execute("SET LOCAL TIME ZONE 'UTC'")
            connection.execute("SET LOCAL DateStyle = 'ISO'")
            yield _Postgres(connection)
    except psycopg.Error as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{_safe(url)}: {said.replace(password, '***') if password else said}") from None


@dataclass(frozen=True, slots=True)
class _Postgres:
    connection: Any

    def tables(self) -> dict[str, str]:
        """The names of the tables and views, with and without their schema, each with its spelling in SQL."""
        found = self.connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        bare = {table: quote_name(table) for _, table in found}
        return bare | {f"{schema}.{table}": f"{quote_name(schema)}.{quote_name(table)}" for schema, table in found}

    def names(self, selection: str) -> list[str]:
        """The columns of a selection."""
        return [one.name for one in self.connection.execute(f"SELECT * FROM {selection} LIMIT 0").description]

    def rows(self, selection: str, columns: Sequence[str]) -> Iterator[list[tuple[str | float | None, ...]]]:
        """The rows in batches from a cursor on the server."""
        asked = ", ".join(f"CAST({quote_name(name)} AS text)" for name in columns)
        with self.connection.cursor(name="zhiyin") as cursor:
            cursor.execute(f"SELECT {asked} FROM {selection}")
            while batch := cursor.fetchmany(BATCH):
                yield batch
