from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin.data.engine import DuckDBEngine
from zhiyin.data.prepare import prepare
from zhiyin.data.sources import Ingested, ingest
from zhiyin.data.sources.folder import open_folder
from zhiyin.data.tables import EventLog
from zhiyin.errors import DataError


def write(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_a_clean_file_is_read_in_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", user_id=["b", "a"], item_id=[1, 2], time=[1_600_000_000, 1_600_000_001])
    with DuckDBEngine() as engine:
        facts = ingest(engine, EventLog.read(path), "mine")
        assert isinstance(facts, Ingested)
        assert facts.to_dict()["columns"]["user_id"] == {"column": "user_id", "how": "named"}
        found = engine.fetch("SELECT * FROM mine")
        assert found.column_names == [
            "row_number", "user_id", "item_id", "time", "position", "kind", "value", "session_id",
        ]  # fmt: skip
        kinds = [str(kind) for kind in found.schema.types]
        assert kinds == ["int64", "string", "string", "int64", "int64", "string", "double", "string"]
        assert engine.scalar("SELECT count(*) FROM duckdb_tables() WHERE estimated_size > 0") == 0  # nothing was copied


def test_typed_columns_and_faults(tmp_path: Path, read_log: Any) -> None:
    moment = dt.datetime(2020, 1, 1)
    path = write(
        tmp_path / "a.parquet",
        user_id=pa.array([1.0, 2.0, None, 3.0]),
        item_id=pa.array(["x", "", "y", "z"]).dictionary_encode(),
        time=pa.array([moment, moment, moment, dt.datetime(2999, 1, 1)]),
        value=pa.array([1, 2, 3, 4], pa.float32()),
    )
    found = read_log(EventLog.read(path))
    assert found.pairs == [("1", "x")]
    assert found.reasons == ["item_id is empty", "user_id is empty", "time is in the future"]
    assert '"time":"2999-01-01 00:00:00"' in found.quarantine[-1]["raw"]


def test_binary_text_and_large_numbers(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.parquet", user_id=[b"ada", b"bob"], item_id=pa.array([2**63 - 1, 2**53 + 1]))
    assert read_log(EventLog.read(path)).pairs == [("ada", str(2**63 - 1)), ("bob", str(2**53 + 1))]


def test_not_finite_values(tmp_path: Path, read_log: Any) -> None:
    values = [1.0, float("nan"), float("inf"), None]
    path = write(tmp_path / "a.parquet", user_id=list("abcd"), item_id=list("efgh"), value=pa.array(values))
    found = read_log(EventLog.read(path))
    assert found.column("value") == [1.0, None]
    assert found.reasons == ["value is not finite"] * 2


def test_row_numbers_go_on_over_files(tmp_path: Path, read_log: Any) -> None:
    write(tmp_path / "log" / "2.parquet", item_id=["d", "e"], user_id=["v", "v"])
    write(tmp_path / "log" / "1.parquet", user_id=["u", None, "u"], item_id=["a", "b", "c"])
    found = read_log(EventLog.read(tmp_path / "log"))
    assert found.column("item_id") == ["a", "c", "d", "e"]
    assert found.column("row_number") == [0, 2, 3, 4]
    assert [(one["name"], one["rows"]) for one in found.facts.sources] == [("1.parquet", 3), ("2.parquet", 2)]
    assert [(one["source"], one["row_number"]) for one in found.quarantine] == [("1.parquet", 1)]
    write(tmp_path / "log" / "3.parquet", user_id=["u"])
    with pytest.raises(DataError, match=r"3\.parquet lacks the columns item_id"):
        read_log(EventLog.read(tmp_path / "log"))


def test_a_column_that_is_text_in_one_file_alone_is_checked_as_text(tmp_path: Path, read_log: Any) -> None:
    write(tmp_path / "log" / "1.parquet", user_id=[1, 2], item_id=["a", "b"])
    write(tmp_path / "log" / "2.parquet", user_id=["x", " ", ""], item_id=["c", "d", "e"])
    found = read_log(EventLog.read(tmp_path / "log"))
    assert found.pairs == [("1", "a"), ("2", "b"), ("x", "c")]
    assert found.reasons == ["user_id is empty"] * 2


def test_values_that_single_precision_cannot_hold(tmp_path: Path, read_log: Any) -> None:
    values = [3.4e38, -1e39, 1e300]
    path = write(tmp_path / "a.parquet", user_id=list("abc"), item_id=list("efg"), value=values)
    found = read_log(EventLog.read(path))
    assert found.column("value") == [3.4e38]
    assert found.reasons == ["value is too large"] * 2


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -4, -30])
def test_a_file_that_was_cut_off(tmp_path: Path, read_log: Any, keep: int) -> None:
    path = write(tmp_path / "a.parquet", user_id=["a"] * 50, item_id=[str(n) for n in range(50)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.parquet"):
        read_log(EventLog.read(path))


def test_lists_are_no_ids(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.parquet", user_id=["a"], item_id=[["b"]])
    with pytest.raises(DataError, match=r"'item_id' holds VARCHAR\[\], which cannot be an id"):
        read_log(EventLog.read(path))


def test_an_empty_file(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.parquet", user_id=pa.array([], pa.string()), item_id=pa.array([], pa.string()))
    with pytest.raises(DataError, match="holds no rows"):
        read_log(EventLog.read(path))


def test_column_names_that_sql_dislikes(tmp_path: Path, read_log: Any) -> None:
    path = write(tmp_path / "a.parquet", **{'the "user"': ["a"], "select": ["b"], "place": ["c"], "row number": [5]})
    log = EventLog.read(path, roles={"user_id": 'the "user"', "item_id": "select"}, context=["place", "row number"])
    assert read_log(log).events[0] | {"row_number": 0} == {
        "row_number": 0, "user_id": "a", "item_id": "b", "time": None, "position": None, "kind": None, "value": None,
        "session_id": None, "place": "c", "row number": 5.0,
    }  # fmt: skip


def test_uniform_folders(tmp_path: Path, read_log: Any) -> None:
    folder = tmp_path / "tiny"
    write(folder / "events.parquet", user_id=["u"], item_id=["i"], time=[1_600_000_000], time_is_exact=[True])
    write(folder / "items.parquet", item_id=["i"], title=["It"])
    log, items, users = open_folder(f"folder:{folder}")
    assert log.name == "tiny"
    assert read_log(log).column("time") == [1_600_000_000_000_000]
    assert users is None
    assert items is not None
    assert items.to_arrow().to_pylist() == [{"item_id": "i", "title": "It"}]
    write(folder / "users.parquet", user_id=["u"], age=[7])
    *_, users = open_folder(folder)
    assert users is not None
    assert users.to_arrow().to_pylist() == [{"user_id": "u", "age": 7}]


def test_a_folder_without_events_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        open_folder(tmp_path / "nowhere")
    write(tmp_path / "items.parquet", item_id=["i"])
    with pytest.raises(DataError, match=r"no events\.parquet, only items\.parquet"):
        open_folder(tmp_path)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_moments_in_one_file_and_numbers_in_another_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    ids = {"user_id": ["u"], "item_id": ["i"]}
    for name, time in (("a", pa.array([1_600_000_000])), ("b", pa.array([1_600_000_000_000_000], pa.timestamp("us")))):
        pq.write_table(pa.table({**ids, "time": time}), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"column 'time' holds (BIGINT|TIMESTAMP) in [ab].parquet and"):
        prepare([tmp_path / f"{name}.parquet" for name in names], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
