"""Sources: CSV, JSON lines, Parquet, databases and dataframes, and the way from any of them to a raw events table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine
    from zhiyin.data.sources.intake import Ingested as Ingested
    from zhiyin.data.tables import EventLog

__all__ = ["Ingested", "ingest"]


def ingest(engine: DuckDBEngine, log: EventLog, table: str = "raw_events") -> Ingested:
    """Make the raw events readable in the engine, and put bad rows into the quarantine.

    Afterwards the engine has (as tables or views):

    - `table`: row_number BIGINT (from 0, in the order of the source), user_id VARCHAR, item_id VARCHAR (never null);
      time BIGINT (microseconds since 1970 UTC), position BIGINT, kind VARCHAR, value DOUBLE, session_id VARCHAR (null
      where unknown); then the context columns of the log;
    - `quarantine`: source VARCHAR, row_number BIGINT, reason VARCHAR, raw VARCHAR (the row as JSON, or the raw line).

    Raises:
        DataError: the source cannot be read, a role is not found, or hardly any row is usable.
    """
    from zhiyin.data.sources.intake import ingest_events

    return ingest_events(engine, log, table)


def __getattr__(name: str) -> Any:
    if name == "Ingested":
        from zhiyin.data.sources.intake import Ingested

        return Ingested
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
