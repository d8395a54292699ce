"""Engine: where the relational steps of the preparation run.

Every step is one SQL text in a portable subset, so that the same text runs on DuckDB today and on Spark tomorrow:
no timestamps after ingest (times are BIGINT microseconds), no lists, no functions of one engine. Common ground that may
be used: SELECT, WHERE, GROUP BY, HAVING, JOIN, SEMI JOIN, ANTI JOIN, UNION ALL, window functions, CASE, CAST, COALESCE,
LN, PERCENTILE_DISC.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import pyarrow as pa

from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.run import Run

T = TypeVar("T")


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

    def scan(self, name: str, path: Path) -> None:
        """Make a Parquet file readable under `name`, without reading it now."""
        ...

    def write(self, name: str, path: Path) -> None:
        """Write the table `name` to one Parquet file, in the order of its rows."""
        ...

    def tables(self) -> tuple[str, ...]:
        """The names of all tables and views."""
        ...

    def drop(self, *names: str) -> None:
        """Forget tables or views, where they exist."""
        ...


class DuckDBEngine:
    """DuckDB with its tables in memory; beyond `memory_mib` they spill to a temporary folder, made inside `folder`."""

    def __init__(self, run: Run | None = None, memory_mib: int = 2048, folder: Path | None = None) -> None:
        import duckdb

        try:
            self._folder = Path(tempfile.mkdtemp(prefix="zhiyin-", dir=folder))
        except OSError as error:
            raise DataError(f"cannot make a temporary folder in {folder or tempfile.gettempdir()}: {error}") from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zhiyin-engine")
        self.connection = duckdb.connect(":memory:")
        self.execute(f"SET memory_limit = '{memory_mib}MiB'")
        self.execute(f"SET threads = {(run or Run()).threads}")
        self.execute(f"SET temp_directory = {_quoted(self._folder / 'spill')}")
        self.execute("SET enable_progress_bar = false")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session and remove everything that it kept on disk."""
        self._break_off()
        self._thread.shutdown()
        self.connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def execute(self, sql: str) -> Any:
        """Run one statement; a failure of the engine becomes a `DataError` with its first line."""
        return self._wait(lambda: self.connection.execute(sql))

    def _wait(self, work: Callable[[], T]) -> T:
        """Let another thread do it, so that this one is free to notice Ctrl-C at any moment.

        (DuckDB's own client misses it whenever it waits for one of its threads.)
        """
        with _failures():
            doing = self._thread.submit(work)
            try:
                while not wait([doing], timeout=0.2).done:
                    pass
            except KeyboardInterrupt:
                self._break_off()
                raise
            return doing.result()

    def _break_off(self) -> None:
        """End what the thread is at: again and again, as an interrupt is lost where the query had not begun yet."""
        idle = self._thread.submit(lambda: None)  # its turn comes when nothing else is left
        while not wait([idle], timeout=0.1).done:
            self.connection.interrupt()

    def _relation(self, sql: str) -> Any:
        self.connection.complete()  # a result of `execute` that was not read to its end blocks the connection
        return self.connection.sql(sql)

    def materialise(self, name: str, sql: str) -> int:
        """Make (or replace) the table `name` from a query; return its number of rows."""
        return int(self.scalar(f"CREATE OR REPLACE TABLE {name} AS {sql}"))

    def scalar(self, sql: str) -> Any:
        """The one value that a query gives."""
        rows = self._wait(lambda: self.connection.execute(sql).fetchall())
        return rows[0][0] if rows else None

    def fetch(self, sql: str) -> pa.Table:
        """The whole result of a query that is known to be small."""
        return self._wait(lambda: self._relation(sql).to_arrow_table())

    def batches(self, sql: str, rows: int = 1_000_000) -> Iterator[pa.RecordBatch]:
        """The result of a query of any size, in batches of about `rows`."""
        reader = self._wait(lambda: self._relation(sql).to_arrow_reader(rows))
        while (batch := self._wait(lambda: next(reader, None))) is not None:
            yield batch

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under `name`."""
        self.connection.register(name, table)

    def scan(self, name: str, path: Path) -> None:
        """Make a Parquet file readable under `name`, without reading it now."""
        self.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet({_quoted(path)})")

    def write(self, name: str, path: Path) -> None:
        """Write the table `name` to one Parquet file, in the order of its rows."""
        self.execute(f"COPY {name} TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)")

    def tables(self) -> tuple[str, ...]:
        """The names of all tables and views."""
        return tuple(self._kinds())

    def drop(self, *names: str) -> None:
        """Forget tables or views, where they exist."""
        kinds = self._kinds()
        for name in names:
            if name in kinds:
                self.execute(f"DROP {'VIEW' if kinds[name] == 'VIEW' else 'TABLE'} {name}")

    def _kinds(self) -> dict[str, str]:
        return dict(self.execute("SELECT table_name, table_type FROM information_schema.tables").fetchall())


ENGINES = {"local": DuckDBEngine}
"""The engines that a person can name."""


@contextmanager
def open_engine(
    engine: Engine | str, run: Run | None = None, memory_mib: int = 2048, folder: Path | None = None
) -> Iterator[Engine]:
    """An engine by its name, closed at the end of the block; one that the caller made passes through and stays open.

    Raises:
        ConfigError: there is no engine of that name.
    """
    if not isinstance(engine, str):
        yield engine
        return
    if engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    with ENGINES[engine](run, memory_mib, folder) as opened:
        yield opened


@contextmanager
def _failures() -> Iterator[None]:
    """Turn a failure of DuckDB, also one that reaches us through Arrow, into a `DataError` with its first line."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"{_said(str(error))}; give it more memory (memory_mib, at the prompt --memory) or more disk"
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(_said(str(error))) from error


FULL = ("No space left on device", "File too large", "Disk quota exceeded")
"""What the operating system says where a disk or a quota is full."""


def _said(message: str) -> str:
    """The first line of a message; of a failed write, what the operating system said, and of which file."""
    inner = re.search(r'"exception_message":"((?:[^"\\]|\\.)*)"', message)
    line = inner.group(1).replace("\\", "") if inner else message.strip().splitlines()[0]
    if any(words in line for words in FULL):
        line = re.sub(r'Could not write file "(?:[^"]*/)?([^"]*)"', r"cannot write \1", line)
        return f"{line}; free some space on that disk, or write elsewhere; nothing was left half-written"
    return line


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
