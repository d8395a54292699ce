from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.engine import DuckDBEngine
from zhiyin.data.sources.base import Column, rows_of
from zhiyin.data.times import UNITS, read_times, unit_name
from zhiyin.errors import ConfigError, DataError

NOW = 1_750_000_000
MORNING = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
MICROS = 1_577_934_245_000_000


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine() as one:
        one.execute("SET TimeZone = 'UTC'")
        yield one


def read(
    engine: DuckDBEngine, values: Any, **options: Any
) -> tuple[list[int | None], list[str | None], tuple[str, ...]]:
    """The microseconds of each value, the first reason against it, and the notes."""
    engine.register("seen", pa.table({"c0": values}))
    (kind,) = (row[1] for row in rows_of(engine, "DESCRIBE SELECT * FROM seen"))
    reading = read_times(engine, "seen", Column("when", "c0", kind), now=NOW, **options)
    cases = " ".join(f"WHEN {condition} THEN '{reason}'" for reason, condition in reading.faults)
    found = rows_of(engine, f"SELECT {reading.value}, CASE {cases} END, ({reading.good}) IS TRUE FROM seen")
    assert all((micros is not None) == (reason is None) == good for micros, reason, good in found)
    return [row[0] for row in found], [row[1] for row in found], reading.notes


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["int", "float", "text", "decimal text"])
def test_the_unit_is_guessed_from_the_magnitude(engine: DuckDBEngine, unit: str, kind: str) -> None:
    number = 1_577_934_245 * UNITS[unit]
    values = {
        "int": pa.array([number, None]),
        "float": pa.array([float(number), None]),
        "text": pa.array([str(number), ""]),
        "decimal text": pa.array([f"{number}.0", None]),
    }[kind]
    micros, reasons, notes = read(engine, values)
    assert micros == [MICROS, None]
    assert reasons == [None, "time is missing"]
    assert "guessed from their magnitude" in notes[0]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_a_day_that_no_calendar_has_costs_only_its_row(engine: DuckDBEngine, kind: pa.DataType) -> None:
    micros, reasons, _ = read(engine, pa.array([20200102, 20200231, 20201301], pa.int64()).cast(kind))
    assert micros == [MICROS // 86_400_000_000 * 86_400_000_000, None, None]
    assert reasons == [None, "time is no day of the calendar", "time is no day of the calendar"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["2020-01-02T03:04:05Z", "2020-01-02T03:04:05+02:00"], None),
        (["2020-01-02T03:04:05Z", "2020-01-02T03:04:05"], "some times of 'when' carry no zone and are read as UTC"),
        (["2020-01-02T03:04:05", "2020-01-02"], "times of 'when' carry no zone and are read as UTC"),
    ],
)
def test_times_without_a_zone_are_said(engine: DuckDBEngine, texts: list[str], said: str | None) -> None:
    assert read(engine, pa.array(texts))[2][1:] == (() if said is None else (said,))


def test_fractions_of_seconds_keep_their_microseconds(engine: DuckDBEngine) -> None:
    assert read(engine, [1577934245.123456, 1577934245.0])[0] == [MICROS + 123_456, MICROS]
    assert read(engine, ["1577934245.123456", "1577934245"])[0] == [MICROS + 123_456, MICROS]


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2020-01-02", 1_577_923_200_000_000),
        ("2020-01-02T03:04:05Z", MICROS),
        ("2020-01-02 03:04:05", MICROS),
        ("2020-01-02 03:04:05 UTC", MICROS),
        ("2020-01-02T05:04:05+02:00", MICROS),
        ("2020-01-01T22:04:05.250-05:00", MICROS + 250_000),
        ("2020-01-02 03:04", MICROS - 5_000_000),
        ("01/13/2020 03:04", 1_578_884_640_000_000),
        ("13/01/2020 03:04", 1_578_884_640_000_000),
        ("13.01.2020", 1_578_873_600_000_000),
        ("05 3, 2014", 1_399_075_200_000_000),
        ("Jan 13, 2020", 1_578_873_600_000_000),
        ("Wed Aug 27 13:08:45 +0200 2008", 1_219_835_325_000_000),
        ("Thu, 02 Jan 2020 05:04:05 +0200", MICROS),
        ("1/13/2020 3:04:05 PM", 1_578_927_845_000_000),
    ],
)
def test_forms_of_text(engine: DuckDBEngine, text: str, micros: int) -> None:
    assert read(engine, [text, text])[0] == [micros, micros]


def test_what_has_no_zone_is_utc_and_said_to_be(engine: DuckDBEngine) -> None:
    assert any("read as UTC" in note for note in read(engine, ["2020-01-02 03:04:05"])[2])
    assert not any("read as UTC" in note for note in read(engine, ["2020-01-02 03:04:05Z"])[2])


def test_typed_columns_need_no_guess(engine: DuckDBEngine) -> None:
    for unit in ("s", "ms", "us", "ns"):
        assert read(engine, pa.array([MORNING.replace(tzinfo=None)], pa.timestamp(unit)))[0] == [MICROS]
    berlin = pa.array([MORNING], pa.timestamp("us", tz="Europe/Berlin"))
    micros, _, notes = read(engine, berlin)
    assert micros == [MICROS]
    assert notes == ()
    assert read(engine, pa.array([dt.date(2020, 1, 2)]))[0] == [1_577_923_200_000_000]


def test_days_as_numbers(engine: DuckDBEngine) -> None:
    assert read(engine, [20200102, 20200103])[0] == [1_577_923_200_000_000, 1_578_009_600_000_000]
    assert read(engine, ["20200102"], time_format="%Y%m%d")[0] == [1_577_923_200_000_000]
    assert read(engine, [20200102], time_format="%Y%m%d")[0] == [1_577_923_200_000_000]


def test_day_and_month_are_told_apart_by_the_whole_column_or_not_at_all(engine: DuckDBEngine) -> None:
    many = ["03/04/2020"] * 2_000 + ["25/04/2020"] * 200  # the tell-tale day comes after the sample
    assert read(engine, many)[0][0] == 1_585_872_000_000_000
    with pytest.raises(DataError, match=r"'%d/%m/%Y' or '%m/%d/%Y'.*time_format="):
        read(engine, ["03/04/2020", "04/05/2020"])
    assert read(engine, ["03/04/2020"], time_format="%m/%d/%Y")[0] == [1_583_280_000_000_000]
    assert read(engine, ["04/04/2020", "05/05/2020"])[0][0] == 1_585_958_400_000_000  # both ways are one


def test_every_kind_of_bad_time_has_its_reason(engine: DuckDBEngine) -> None:
    good = [1_600_000_000.0] * 10
    _, reasons, _ = read(engine, [*good, -5.0, 0.0, float(NOW + 90_000), float("nan"), float("inf"), float("-inf")])
    assert reasons[10:] == [
        "time is negative", "time is before 1971", "time is in the future",
        "time is not a number", "time is not a number", "time is not a number",
    ]  # fmt: skip
    _, reasons, _ = read(engine, ["2020-01-02"] * 9 + ["yesterday", "1970-01-01", "1960-01-01", "2099-01-01", "", None])
    assert reasons[9:] == [
        "time cannot be read", "time is before 1971", "time is negative", "time is in the future",
        "time is missing", "time is missing",
    ]  # fmt: skip
    _, reasons, _ = read(engine, ["1600000000"] * 9 + ["soon", "99999999999999999999"])
    assert reasons[9:] == ["time is not a number", "time is in the future"]


def test_tomorrow_is_allowed_as_clocks_differ(engine: DuckDBEngine) -> None:
    assert read(engine, [NOW, NOW + 86_000])[1] == [None, None]


def test_mixed_units_are_said(engine: DuckDBEngine) -> None:
    micros, reasons, notes = read(engine, [1_600_000_000] * 5 + [1_600_000_000_000] * 2)
    assert reasons[5:] == ["time is in the future"] * 2
    assert micros[0] == 1_600_000_000_000_000
    assert "2 values look like milliseconds" in notes[0]


def test_a_counter_is_not_taken_for_a_time(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match=r"from 0 to 99: hardly any.*position"):
        read(engine, list(range(100)))


def test_a_wrong_mapped_unit_suggests_the_right_one(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match="but as seconds they are: use time_unit='s'"):
        read(engine, [1_600_000_000] * 9, time_unit="ms")
    with pytest.raises(DataError, match="use time_unit='ms'"):
        read(engine, [1_600_000_000_000] * 9, time_unit="s")


def test_text_that_is_no_time_shows_examples(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match=r"such as 'yesterday', 'today'.*time_format"):
        read(engine, ["yesterday", "today"])
    with pytest.raises(DataError, match=r"0\.0% of its values"):
        read(engine, ["2020-01-02"] * 3, time_format="%d/%m/%Y")


def test_other_types_are_refused(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match=r"VARCHAR\[\], which is no time"):
        read(engine, [["a"]])


def test_dates_of_things_may_be_long_ago(engine: DuckDBEngine) -> None:
    days = [dt.datetime(1939, 12, 15, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)]
    micros = read(engine, [f"{day:%Y-%m-%d}" for day in days], of_events=False)[0]
    assert micros == [int(day.timestamp()) * 1_000_000 for day in days]


def test_unit_names() -> None:
    assert [unit_name(one) for one in ("Seconds", "MS", "µs", "nanos")] == ["s", "ms", "us", "ns"]
    with pytest.raises(ConfigError, match="known: s, ms, us, ns"):
        unit_name("fortnight")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(31_536_000, NOW), min_size=1, max_size=20),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["int", "float", "text", "iso", "stamp"]),
)
def test_any_plausible_moment_comes_back_exactly(
    engine: DuckDBEngine, moments: list[int], unit: str, form: str
) -> None:
    numbers = [one * UNITS[unit] for one in moments]
    values = {
        "int": lambda: pa.array(numbers),
        "float": lambda: pa.array(np.array(numbers, np.float64)),
        "text": lambda: pa.array([str(one) for one in numbers]),
        "iso": lambda: pa.array([dt.datetime.fromtimestamp(one, dt.UTC).isoformat() for one in moments]),
        "stamp": lambda: pa.array([one * 1_000 for one in moments], pa.timestamp("ms", "UTC")),
    }[form]()
    assert read(engine, values)[0] == [one * 1_000_000 for one in moments]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=30), st.floats().map(str)), min_size=1, max_size=20))
def test_no_text_breaks_the_reader(engine: DuckDBEngine, values: list[str | None]) -> None:
    # anything but a DataError would be a crash; `read` itself checks that each row has a time or a reason
    with suppress(DataError):
        read(engine, pa.array(values, pa.string()))
