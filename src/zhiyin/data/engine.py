"""Engine: where the relational steps of the preparation run.

Every step is one SQL text in a portable subset, so that the same text runs on DuckDB today and on Spark tomorrow:
no timestamps after ingest (times are BIGINT microseconds), no lists, no functions of one engine. Common ground that may
be used: SELECT, WHERE, GROUP BY, HAVING, JOIN, LEFT SEMI JOIN, window functions, CASE, CAST, COALESCE, PERCENTILE_DISC.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from zhiyin.errors import DataError
from zhiyin.run import Run


class Engine(Protocol):
    """What an engine must offer; tables are named and live until they are dropped or the engine closes."""

    def materialise(self, name: str, sql: str) -> int:
        """Make (or replace) the table `name` from a query; return its number of rows."""
        ...

    def scalar(self, sql: str) -> Any:
        """The one value that a query gives."""
        ...

    def fetch(self, sql: str) -> pa.Table:
        """The whole result of a query that is known to be small."""
        ...

    def batches(self, sql: str, rows: int = 1_000_000) -> Iterator[pa.RecordBatch]:
        """The result of a query of any size, in batches of about `rows`."""
        ...

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under `name`."""
        ...

    def drop(self, *names: str) -> None:
        """Forget tables, where they exist."""
        ...


class DuckDBEngine:
    """DuckDB over a database file in a temporary folder: it spills to disk instead of growing beyond its memory limit."""

    def __init__(self, run: Run | None = None, memory_mib: int = 2048, folder: Path | None = None) -> None:
        import duckdb

        self._folder = Path(tempfile.mkdtemp(prefix="zhiyin-", dir=folder))
        self.connection = duckdb.connect(str(self._folder / "work.duckdb"))
        self.connection.execute(f"SET memory_limit = '{memory_mib}MiB'")
        self.connection.execute(f"SET threads = {(run or Run()).threads}")
        self.connection.execute(f"SET temp_directory = '{str(self._folder / 'spill').replace(chr(39), chr(39) * 2)}'")
        self.connection.execute("SET enable_progress_bar = false")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session and remove everything that it kept on disk."""
        self.connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def execute(self, sql: str) -> Any:
        """Run one statement; a failure of the engine becomes a `DataError` with its first line."""
        return self._asked(self.connection.execute, sql)

    def _relation(self, sql: str) -> Any:
        return self._asked(self.connection.sql, sql)

    def _asked(self, action: Callable[[str], Any], sql: str) -> Any:
        import duckdb

        try:
            return action(sql)
        except duckdb.Error as error:
            raise DataError(str(error).strip().splitlines()[0]) from error

    def materialise(self, name: str, sql: str) -> int:
        """Make (or replace) the table `name` from a query; return its number of rows."""
        self.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")
        return int(self.scalar(f"SELECT count(*) FROM {name}"))

    def scalar(self, sql: str) -> Any:
        """The one value that a query gives."""
        row = self.execute(sql).fetchone()
        return None if row is None else row[0]

    def fetch(self, sql: str) -> pa.Table:
        """The whole result of a query that is known to be small."""
        return self._relation(sql).to_arrow_table()

    def batches(self, sql: str, rows: int = 1_000_000) -> Iterator[pa.RecordBatch]:
        """The result of a query of any size, in batches of about `rows`."""
        yield from self._relation(sql).to_arrow_reader(rows)

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under `name`."""
        self.connection.register(name, table)

    def drop(self, *names: str) -> None:
        """Forget tables, where they exist."""
        for name in names:
            self.execute(f"DROP TABLE IF EXISTS {name}")
