"""Every feature of an event by hand, with what is not known."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from zhiyin.data.histories import NO_KIND, NO_SESSION, NO_TIME, Histories
from zhiyin.nn.reading import MOMENT, SECOND, SPANS, STEPS, VALUES, Feature, Reading, span_buckets

ALL: tuple[Feature, ...] = ("position", "wait", "gap", "hour", "weekday", "kind", "value", "session")
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


def moment(*when: int) -> int:
    """Microseconds since 1970 of a date in UTC."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) * SECOND


def read(
    name: Feature,
    asked: list[int] | None = None,
    position: list[int] | None = None,
    blind: list[bool] | None = None,
    edges: tuple[float, ...] = (),
    n_kinds: int = 3,
    **columns: list[float],
) -> list[int]:
    """The buckets of one feature."""
    dtypes = {"time": np.int64, "kind": np.uint8, "value": np.float32, "session": np.int32}
    events = {column: np.array(values, dtypes[column]) for column, values in columns.items()}
    n = len(next(iter(columns.values()), position or []))
    reading = Reading((name,), 4, n_kinds, np.array(edges, np.float32))
    found = reading.numbers(
        events,
        None if asked is None else np.array(asked, np.int64),
        np.array(range(n) if position is None else position, np.int64),
        None if blind is None else np.array(blind),
    )
    assert found.dtype == np.int64
    assert found.shape == (n, 1)
    assert ((found >= 0) & (found < reading.sizes[name])).all()
    return found[:, 0].tolist()


# ---------------------------------------------------------------------- feature by feature


def test_position_ends_with_the_longest_window() -> None:
    assert read("position", position=[0, 1, 2, 3, 4, 9]) == [0, 1, 2, 3, 3, 3]


def test_wait_is_the_time_to_the_moment_of_the_answer() -> None:
    time = [0, 10 * SECOND, 20 * SECOND, 30 * SECOND, 40 * SECOND]
    asked = [SECOND // 2, 11 * SECOND, 20 * SECOND + MINUTE, 30 * SECOND + DAY, 39 * SECOND]
    # 1.7 ** 7 = 41.0, ** 8 = 69.8; 1.7 ** 21 = 69 092, ** 22 = 117 456; an answer before its event waits for nothing
    assert read("wait", asked, time=time) == [0, 1, 8, 22, 0]


def test_gap_is_the_time_since_the_event_before_in_the_same_window() -> None:
    time = [0, SECOND // 2, MINUTE, 5 * DAY, 5 * DAY + MINUTE, 0]
    position = [0, 1, 2, 0, 1, 0]
    asked = [7 * DAY] * 6
    # 0 for the first of a window; else 1 + its bucket: 59.5 s and 60 s are between 1.7 ** 7 and 1.7 ** 8
    assert read("gap", asked, position, time=time) == [0, 1, 9, 0, 9, 0]


def test_hour_and_weekday_are_those_of_the_moment_in_utc() -> None:
    asked = [
        moment(1970, 1, 1, 0, 59, 59),  # a Thursday
        moment(2024, 2, 29, 23, 0, 0),  # a Thursday
        moment(2024, 3, 4, 12, 30, 0),  # a Monday
        moment(1969, 12, 28, 5, 0, 0),  # a Sunday, before 1970
    ]
    time = [0, 0, 0, 0]
    assert read("hour", asked, time=time) == [0, 23, 12, 5]
    assert read("weekday", asked, time=time) == [3, 3, 0, 6]


def test_kind() -> None:
    assert read("kind", kind=[0, 2, NO_KIND, 1]) == [0, 2, 3, 1]


def test_value_falls_between_edges() -> None:
    found = read("value", value=[-math.inf, 1.49, 1.5, 2.0, 99.0, math.nan], edges=(1.5, 2.5))
    assert found == [0, 0, 1, 1, 2, 3]
    assert read("value", value=[7.0, math.nan]) == [0, 1]  # where only one value was known


def test_session_counts_its_events_in_steps_that_double() -> None:
    n = 300
    found = read("session", position=list(range(n)), session=[4] * n)
    assert found[:9] == [0, 1, 2, 2, 3, 3, 3, 3, 4]
    assert found[63:65] == [6, 7]
    assert found[-1] == STEPS - 1
    # another session, or another window of the same one, begins anew
    assert read("session", position=[0, 1, 2, 3, 4, 0, 1], session=[0, 0, 1, 1, 1, 1, 1]) == [0, 1, 0, 1, 2, 0, 1]
    assert read("session", position=[0, 1, 2], session=[NO_SESSION] * 3) == [STEPS] * 3


# ---------------------------------------------------------------------- what is not known


LAST = {"wait": SPANS, "gap": SPANS + 1, "hour": 24, "weekday": 7, "kind": 3, "value": 1, "session": STEPS}


@pytest.mark.parametrize(("name", "last"), LAST.items())
def test_a_column_that_is_not_there_is_not_known(name: Feature, last: int) -> None:
    assert read(name, position=[0, 1, 2]) == [last] * 3
    if name not in MOMENT:
        assert read(name, asked=[0, 1, 2], position=[0, 1, 2]) == [last] * 3


@pytest.mark.parametrize("name", ["wait", "gap", "hour", "weekday"])
def test_without_a_moment_nothing_of_time_is_known(name: Feature) -> None:
    assert read(name, time=[0, 1, 2]) == [LAST[name]] * 3


@pytest.mark.parametrize("name", ["wait", "gap", "hour", "weekday"])
def test_unknown_times_and_moments(name: Feature) -> None:
    found = read(name, [DAY, DAY, NO_TIME, DAY], time=[0, NO_TIME, DAY, DAY])
    assert found[2] == LAST[name]
    assert (found[1] == LAST[name]) == (name not in MOMENT)
    assert found[0] != LAST[name]


def test_gap_after_an_event_of_unknown_time_is_not_known() -> None:
    found = read("gap", [9 * DAY] * 4, time=[NO_TIME, DAY, DAY + MINUTE, NO_TIME])
    assert found == [SPANS + 1, SPANS + 1, 9, SPANS + 1]
    assert read("gap", [9 * DAY] * 2, [0, 0], time=[NO_TIME, DAY]) == [SPANS + 1, 0]  # another window


@pytest.mark.parametrize(("name", "last"), LAST.items())
def test_blind_events_are_told_nothing_but_their_position(name: Feature, last: int) -> None:
    columns: dict[str, list[float]] = {"time": [0, 0], "kind": [1, 1], "value": [2.0, 2.0], "session": [0, 0]}
    found = read(name, [MINUTE, MINUTE], blind=[False, True], **columns)
    assert found[0] != last
    assert found[1] == last
    assert read("position", position=[0, 1], blind=[True, True]) == [0, 1]


# ---------------------------------------------------------------------- buckets and edges


def test_span_buckets_rise_by_a_factor() -> None:
    spans = np.unique(np.geomspace(1, 2**62, 4000).astype(np.int64))
    buckets = span_buckets(spans)
    assert (np.diff(buckets) >= 0).all()
    assert (buckets[0], buckets[-1]) == (0, SPANS - 1)
    within = buckets[(spans >= SECOND) & (buckets < SPANS - 1)]
    seconds = spans[(spans >= SECOND) & (buckets < SPANS - 1)] / SECOND
    assert (seconds >= 1.7 ** (within - 1) * (1 - 1e-9)).all()
    assert (seconds <= 1.7**within * (1 + 1e-9)).all()
    assert span_buckets(np.array([-5, -(2**62)])).tolist() == [0, 0]
    assert len(span_buckets(np.zeros(0, np.int64))) == 0


def histories(**columns: np.ndarray) -> Histories:
    n = len(next(iter(columns.values())))
    return Histories.of_lengths(np.array([n]), item=np.zeros(n, np.int32), **columns)


def test_edges_between_few_values_tell_each_apart() -> None:
    values = np.array([5, 1, 3, np.nan, 1, 4], np.float32)
    reading = Reading.fit(["value"], 4, histories(value=values), 0)
    assert reading.edges.tolist() == [2.0, 3.5, 4.5]
    found = reading.numbers({"value": values}, None, np.arange(6))[:, 0]
    assert found.tolist() == [3, 0, 1, 4, 0, 2]


def test_edges_of_many_values_are_quantiles() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1000)).astype(np.float32)
    reading = Reading.fit(["value"], 4, histories(value=values), 0)
    assert reading.edges.dtype == np.float32
    assert len(reading.edges) == VALUES - 1
    assert (np.diff(reading.edges) > 0).all()
    counts = np.bincount(reading.numbers({"value": values}, None, np.arange(1000))[:, 0], minlength=VALUES)
    assert len(counts) == VALUES
    assert counts[1:-1].max() - counts[1:-1].min() <= 2  # those at both ends are half as wide
    assert reading.sizes == {"value": VALUES + 1}


@pytest.mark.parametrize(("n", "edges"), [(0, 0), (1, 0), (2, 1), (VALUES, VALUES - 1), (VALUES + 1, VALUES - 1)])
def test_numbers_of_edges(n: int, edges: int) -> None:
    values = np.concatenate([np.arange(n), [np.nan]]).astype(np.float32)
    assert len(Reading.fit(["value"], 4, histories(value=values), 0).edges) == edges


# ---------------------------------------------------------------------- together


def test_each_feature_begins_where_the_last_one_ends() -> None:
    reading = Reading(ALL, 5, 2, np.array([1.0, 2.0], np.float32))
    sizes = dict(zip(ALL, (5, SPANS + 1, SPANS + 2, 25, 8, 3, 4, STEPS + 1), strict=True))
    assert reading.sizes == sizes
    starts = np.cumsum([0, *sizes.values()])[:-1]
    nothing = reading.numbers({}, None, np.zeros(1, np.int64))
    assert nothing.tolist() == [
        [0, *(start + size - 1 for start, size in zip(starts[1:], list(sizes.values())[1:], strict=True))]
    ]
    events = {
        "time": np.array([DAY]),
        "kind": np.array([1], np.uint8),
        "value": np.array([1.5], np.float32),
        "session": np.array([0], np.int32),
    }
    found = reading.numbers(events, np.array([DAY + MINUTE]), np.array([0]))
    assert (found[0] - starts).tolist() == [0, 8, 0, 0, 4, 1, 1, 0]


def test_the_order_of_features_is_that_of_their_columns() -> None:
    reading = Reading(("kind", "position"), 5, 2)
    assert list(reading.sizes.items()) == [("kind", 3), ("position", 5)]
    assert reading.numbers({"kind": np.array([1], np.uint8)}, None, np.array([4])).tolist() == [[1, 3 + 4]]


def test_only_what_the_data_have_is_read() -> None:
    few = histories(kind=np.zeros(3, np.uint8))
    reading = Reading.fit(ALL, 4, few, 2)
    assert reading.features == ("position", "kind")
    assert reading.tells
    bare = Reading.fit(["position", "wait"], 4, few, 2)
    assert bare.features == ("position",)
    assert not bare.tells
    assert Reading.fit([], 4, few, 2).numbers({}, None, np.arange(3)).shape == (3, 0)
    full = histories(time=np.zeros(1, np.int64), value=np.zeros(1, np.float32), session=np.zeros(1, np.int32))
    assert Reading.fit(ALL, 4, full, 0).features == tuple(name for name in ALL if name != "kind")


def test_value_buckets_hold_about_as_many_events_each() -> None:
    """Most events have a small value: play counts, where quantiles of different values would leave one bucket full."""
    value = np.random.default_rng(0).zipf(1.6, 20_000).astype(np.float32)
    value[:5] = np.nan, np.inf, -np.inf, np.nan, np.inf
    reading = Reading.fit(
        ("value", "value"), 5, Histories.of_lengths([len(value)], item=np.zeros(len(value), np.int32), value=value), 0
    )
    assert reading.features == ("value",)
    found = reading.numbers({"value": value}, None, np.zeros(len(value), np.int64))[:, 0]
    share = np.bincount(found) / len(value)
    ones = np.mean(value == 1)
    assert share.max() <= ones + 0.02
