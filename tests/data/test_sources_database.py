from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zhiyin.data.sources import database
from zhiyin.data.sources.database import Database
from zhiyin.data.tables import EventLog
from zhiyin.errors import ConfigError, DataError, MissingExtra

ROWS = [
    ("007", "x", 1_600_000_000, 4.5),
    ("ü😀", "a,\n\"b\"", 1_600_000_001, None),
    (3, "y", 1_600_000_002.25, 0.1),
    (None, "z", 1_600_000_003, 1.0),
]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "my shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (uid, item_id TEXT, ts, rating REAL)")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", ROWS)
        connection.execute('CREATE VIEW "five stars" AS SELECT * FROM events WHERE rating > 4')
    connection.close()
    return path


def check(found: Any) -> None:
    assert found.pairs == [("007", "x"), ("ü😀", 'a,\n"b"'), ("3", "y")]
    assert found.column("value") == [4.5, None, 0.1]
    assert found.column("time") == [1_600_000_000_000_000, 1_600_000_001_000_000, 1_600_000_002_250_000]
    assert found.reasons == ["user_id is empty"]
    assert found.quarantine[0]["row_number"] == 3


def test_sqlite_by_url_and_by_path(shop: Path, read_log: Any) -> None:
    for log in (
        EventLog.read(f"sqlite:///{shop}?table=events"),
        EventLog.read(f"sqlite:///{shop}", table="events"),
        EventLog.read(shop, table="events"),
        EventLog.read(shop, query="SELECT * FROM events;"),
    ):
        check(read_log(log))
    view = read_log(EventLog.read(shop, table="five stars"))
    assert view.pairs == [("007", "x")]
    assert view.facts.sources == ({"name": "five stars of my shop.db", "rows": 1},)


def test_a_sqlite_table_may_have_a_dot_in_its_name(shop: Path, read_log: Any) -> None:
    with sqlite3.connect(shop) as connection:
        connection.execute('CREATE TABLE "log.2024" AS SELECT * FROM events')
    connection.close()
    check(read_log(EventLog.read(shop, table="log.2024")))


def test_sqlite_relative_to_the_folder(shop: Path, read_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.parent)
    check(read_log(EventLog.read("sqlite:///my%20shop.db?table=events")))


def test_many_rows_come_in_batches_and_in_order(tmp_path: Path, read_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BATCH", 100)
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE e (user_id INTEGER, item_id INTEGER)")
        connection.executemany("INSERT INTO e VALUES (?, ?)", ((n % 7, n) for n in range(1_050)))
    connection.close()
    assert read_log(EventLog.read(path, table="e")).column("item_id") == [str(n) for n in range(1_050)]


def test_numbers_keep_all_their_digits(tmp_path: Path, read_log: Any) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE e (user_id REAL, item_id, time REAL, value REAL)")
        connection.execute("INSERT INTO e VALUES (1.0, 9007199254740993, 1600000000.123456, 0.1)")
        connection.execute("INSERT INTO e VALUES (2.0, 2, 1600000000.5, 9e999)")
    connection.close()
    found = read_log(EventLog.read(path, table="e"))
    assert found.events[0] | {"row_number": 0} == {
        "row_number": 0, "user_id": "1", "item_id": "9007199254740993", "time": 1_600_000_000_123_456,
        "position": None, "kind": None, "value": 0.1, "session_id": None,
    }  # fmt: skip
    assert found.reasons == ["value is not finite"]


def test_the_database_cannot_be_written_to(shop: Path, read_log: Any) -> None:
    with pytest.raises(DataError):
        read_log(EventLog.read(shop, query="DELETE FROM events RETURNING uid, item_id"))
    check(read_log(EventLog.read(shop, table="events")))


def test_wrong_names_are_told_with_the_right_ones(shop: Path, read_log: Any) -> None:
    with pytest.raises(DataError, match="unknown table 'event'; did you mean 'events'"):
        read_log(EventLog.read(shop, table="event"))
    with pytest.raises(ConfigError, match="either a table or a query"):
        EventLog.read(shop)
    with pytest.raises(DataError, match="no such column"):
        read_log(EventLog.read(shop, query="SELECT colour FROM events"))
    with pytest.raises(DataError, match=r"did you mean 'my shop\.db'"):
        read_log(EventLog.read(f"sqlite:///{shop.parent}/my_shop.db?table=events"))
    (shop.parent / "a.csv").write_text("user_id,item_id\na,b\n")
    with pytest.raises(DataError, match="is no database"):
        EventLog.read(shop.parent / "a.csv", table="events")


def test_a_damaged_database(shop: Path, read_log: Any) -> None:
    shop.write_bytes(shop.read_bytes()[:200])
    with pytest.raises(DataError, match=r"my shop\.db"):
        read_log(EventLog.read(shop, table="events"))


def test_passwords_are_never_shown() -> None:
    log = Database.of("postgresql://ada:s3cret@db.example:5433/shop?sslmode=require&table=public.events")
    assert log.url == "postgresql://ada:s3cret@db.example:5433/shop?sslmode=require"
    assert log.label == "public.events of postgresql://ada:***@db.example:5433/shop"


def test_postgres_without_its_driver(monkeypatch: pytest.MonkeyPatch, read_log: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"zhiyin\[postgres\]"):
        read_log(EventLog.read("postgresql://ada@localhost/shop", table="events"))


# ---- PostgreSQL, where a server is on the machine


def _run(command: list[str], folder: Path) -> None:
    """Run as a user that the server accepts: it refuses root."""
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    pytest.importorskip("psycopg")
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("no PostgreSQL server on this machine")
    folder = Path(tempfile.mkdtemp(prefix="zhiyin-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        data = folder / "data"
        _run(["initdb", "-D", str(data), "-U", "ada", "--auth=trust", "-E", "UTF8", "--no-sync"], folder)
        options = f"-c listen_addresses='' -c fsync=off -k {folder}"
        _run(["pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start"], folder)
        try:
            yield f"postgresql://ada@/postgres?host={folder}"
        finally:
            _run(["pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def events(postgres: str) -> str:
    import psycopg

    with psycopg.connect(postgres) as connection:
        connection.execute("SET TIME ZONE 'Asia/Shanghai'")
        connection.execute(
            "CREATE TABLE events (uid bigint, item_id text, at timestamptz, rating double precision, event text)"
        )
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.clicks AS SELECT 'a' AS user_id, 'b' AS item_id")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO events VALUES (%s, %s, %s, %s, %s)",
                [
                    (1, "ü,\n😀", "2020-01-02 03:04:05.25+00", 0.1, "view"),
                    (2, "007", "2020-01-02 11:04:05+08", None, "buy"),
                    (3, "x", "2020-01-02 03:04:05+00", float("nan"), "buy"),
                    *((4, str(n), "2020-01-02 03:04:05+00", 1.0, "view") for n in range(300)),
                ],
            )
    return postgres


def test_postgres_table_and_query(events: str, read_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BATCH", 64)
    found = read_log(EventLog.read(events, table="events", roles={"time": "at"}))
    assert found.pairs[:2] == [("1", "ü,\n😀"), ("2", "007")]
    assert found.column("item_id")[2:] == [str(n) for n in range(300)]
    assert found.column("time")[:2] == [1_577_934_245_250_000, 1_577_934_245_000_000]
    assert found.column("value")[:2] == [0.1, None]
    assert found.column("kind")[:2] == ["view", "buy"]
    assert found.reasons == ["value is not finite"]
    assert read_log(EventLog.read(events, table="shop.clicks")).pairs == [("a", "b")]
    query = "SELECT uid AS user_id, item_id FROM events WHERE event LIKE 'b%' ORDER BY uid DESC"
    assert read_log(EventLog.read(events, query=query)).pairs == [("3", "x"), ("2", "007")]


def test_postgres_is_only_read(events: str, read_log: Any) -> None:
    with pytest.raises(DataError):
        read_log(EventLog.read(events, query="DELETE FROM events RETURNING uid AS user_id, item_id"))
    assert read_log(EventLog.read(events, table="events", roles={"time": "at"})).facts.rows_read == 303


def test_postgres_errors_are_clear(events: str, read_log: Any) -> None:
    with pytest.raises(DataError, match="unknown table 'event'; did you mean"):
        read_log(EventLog.read(events, table="event"))
    with pytest.raises(DataError, match="does not exist"):
        read_log(EventLog.read(events, query="SELECT colour FROM events"))
    nowhere = "postgresql://ada:s3cret@/postgres?host=/nowhere"
    with pytest.raises(DataError, match="connection") as caught:
        read_log(EventLog.read(nowhere, table="events"))
    assert "s3cret" not in str(caught.value)
