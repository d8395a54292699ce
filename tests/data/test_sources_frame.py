from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from zhiyin.data.tables import EventLog
from zhiyin.errors import DataError

COLUMNS: dict[str, list[Any]] = {
    "user_id": ["007", "b", "ü😀"],
    "item_id": ["x", "y", "z"],
    "timestamp": [1_600_000_000, 1_600_000_001, 1_600_000_002],
    "rating": [1.0, 2.5, 5.0],
}


class OnlyCapsule:
    """A frame of a library that nobody knows, but that speaks the Arrow PyCapsule interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "frame",
    [
        COLUMNS,
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).astype({"user_id": "category", "item_id": "string"}),
        pl.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS).with_columns(pl.col("user_id").cast(pl.Categorical)),
        pl.DataFrame(COLUMNS).lazy(),
        pa.table(COLUMNS),
        pa.table(COLUMNS).to_batches()[0],
        pa.RecordBatchReader.from_batches(pa.table(COLUMNS).schema, pa.table(COLUMNS).to_batches()),
        OnlyCapsule(pa.table(COLUMNS)),
    ],
    ids=str.split("mapping pandas category polars categorical lazy arrow batch reader capsule"),
)
def test_any_dataframe_gives_the_same_events(read_log: Any, frame: Any) -> None:
    found = read_log(EventLog.of(frame, name="mine"))
    assert found.pairs == list(zip(COLUMNS["user_id"], COLUMNS["item_id"], strict=True))
    assert found.column("value") == COLUMNS["rating"]
    assert found.column("time") == [one * 1_000_000 for one in COLUMNS["timestamp"]]
    assert found.column("row_number") == [0, 1, 2]
    assert found.facts.sources == ({"name": "the dataframe", "rows": 3},)


def test_floats_as_ids_are_whole_where_the_whole_column_is(read_log: Any) -> None:
    frame = pd.DataFrame({"user_id": [1.0, np.nan, 3.0], "item_id": [1.0, 2.0, 2.5]})
    found = read_log(EventLog.of(frame))
    assert found.pairs == [("1", "1.0"), ("3", "2.5")]
    assert found.reasons == ["user_id is empty"]
    assert any("'item_id' holds fractions" in note for note in found.facts.notes)


def test_floats_too_large_to_tell_ids_apart_are_said(read_log: Any) -> None:
    found = read_log(EventLog.of({"user_id": [1.0], "item_id": pa.array([2.0**60])}))
    assert found.pairs == [("1", str(2**60))]
    assert any("too large to be exact" in note for note in found.facts.notes)
    small = read_log(EventLog.of({"user_id": [1.0], "item_id": pa.array([2.0**25], pa.float32())}))
    assert any("too large to be exact" in note for note in small.facts.notes)


def test_columns_of_mixed_types_become_text(read_log: Any) -> None:
    frame = pd.DataFrame({"user_id": [1, "a", None, 2.5], "item_id": ["x"] * 4, "value": [1, "many", 2, None]})
    found = read_log(EventLog.of(frame))
    assert found.pairs == [("1", "x"), ("2.5", "x")]
    assert found.reasons == ["value is not a number", "user_id is empty"]
    assert any("column 'user_id' mixes" in note for note in found.facts.notes)


def test_numpy_types_and_moments(read_log: Any) -> None:
    frame = pd.DataFrame({
        "user_id": np.array([1, 2], np.uint8),
        "item_id": [True, False],
        "time": pd.to_datetime(["2020-01-01", "2020-01-02"]).tz_localize("Asia/Shanghai"),
        "value": np.array([1, 2], np.float16),
    })  # fmt: skip
    found = read_log(EventLog.of(frame))
    assert found.pairs == [("1", "true"), ("2", "false")]
    assert found.column("time")[0] == int(dt.datetime(2019, 12, 31, 16, tzinfo=dt.UTC).timestamp()) * 1_000_000
    assert found.column("value") == [1.0, 2.0]


def test_strange_column_names(read_log: Any) -> None:
    frame = pd.DataFrame([["a", "b", "c"]], columns=["user_id", 5, 5])
    found = read_log(EventLog.of(frame, roles={"item_id": "5"}))
    assert found.pairs == [("a", "b")]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (5, "a int came; expected a dataframe"),
        ("events.csv", "a str came.*EventLog.read"),
        ({"user_id": ["a"], "item_id": ["b", "c"]}, "cannot be read as a table"),
        (pd.DataFrame(), "no columns"),
        (pd.DataFrame({"user_id": [], "item_id": []}), "holds no rows"),
        ({"user_id": [{"a": 1}], "item_id": ["b"]}, r"'user_id' holds STRUCT"),
    ],
)
def test_what_is_no_event_log_is_refused(read_log: Any, frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_log(EventLog.of(frame))


def test_a_second_column_of_one_name_is_told(read_log: Any) -> None:
    frame = pd.DataFrame([["u", "first", "second"]], columns=["user_id", "item_id", "item_id"])
    found = read_log(EventLog.of(frame))
    assert found.pairs == [("u", "first")]
    assert "a second column is named 'item_id', called 'item_id_2' here" in found.facts.notes
