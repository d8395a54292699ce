"""Every step against a plain Python oracle, on random logs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhiyin.data import steps
from zhiyin.data.engine import DuckDBEngine
from zhiyin.data.steps.base import DAY, Events, PreparationStep
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run

SECOND = 1_000_000
MINUTE = 60 * SECOND
KINDS = ("buy", "odd", "rating", "view")
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(Run(threads=1)) as opened:
        yield opened


def load(engine: DuckDBEngine, rows: Rows, clock: str = "time", kinds: tuple[str, ...] = KINDS) -> Events:
    types = {
        "row_number": pa.int64(), "user_number": pa.int32(), "item_number": pa.int32(), "time": pa.int64(),
        "position": pa.int64(), "kind_number": pa.int32(), "value": pa.float64(), "session_number": pa.int64(),
    }  # fmt: skip
    columns = tuple(name for name in types if name in rows[0])
    table = pa.table({name: pa.array([row[name] for row in rows], types[name]) for name in columns})
    engine.register("arrow", table)
    engine.materialise("events_0", "SELECT * FROM arrow")
    return Events("events_0", len(rows), clock, columns, kinds if "kind_number" in columns else ())  # type: ignore[arg-type]


def run(engine: DuckDBEngine, rows: Rows, name: str, clock: str = "time", **options: Any) -> Rows:
    """The rows that a step leaves, in the order of the source, checked against what it says of itself."""
    events = load(engine, rows, clock)
    after, line = steps.get(name)(**options).apply(engine, events)
    assert (line.name, line.rows_before, line.rows_after) == (name, len(rows), after.rows)
    assert line.note
    assert PreparationStep.read({"name": name, **line.settings}).spec() == {"name": name, **line.settings}
    left = engine.scalar("SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'scratch%'")
    assert left == 0
    found = engine.fetch(f"SELECT {', '.join(after.columns)} FROM {after.table} ORDER BY row_number").to_pylist()
    assert len(found) == after.rows
    engine.drop(after.table)
    return list(found)


def kept(found: Rows) -> list[int]:
    return [row["row_number"] for row in found]


def history(rows: Rows, *by: str) -> dict[tuple[Any, ...], Rows]:
    """The rows in groups, in order of time inside each."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in sorted(rows, key=lambda row: (row["time"], row["row_number"])):
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return groups


event = st.fixed_dictionaries(
    {
        "user_number": st.integers(0, 3),
        "item_number": st.integers(0, 3),
        "time": st.integers(-40, 40).map(lambda t: t * SECOND),
        "kind_number": st.sampled_from([0, 1, 2, 3, None]),
        "value": st.sampled_from([None, 1.0, 2.5, 5.0]),
    }
)
logs = st.lists(event, min_size=1, max_size=30).map(
    lambda rows: [{"row_number": place, **row} for place, row in enumerate(rows)]
)
often = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def log(*rows: tuple[Any, ...], names: str = "user_number item_number time") -> Rows:
    return [{"row_number": n, **dict(zip(names.split(), row, strict=True))} for n, row in enumerate(rows)]


# ---------------------------------------------------------------------- duplicates


@often
@given(logs)
def test_exact_duplicates_keeps_the_first_of_equal_events(engine: DuckDBEngine, rows: Rows) -> None:
    seen: set[tuple[Any, ...]] = set()
    expected = []
    for row in rows:
        key = tuple(row[name] for name in sorted(row) if name != "row_number")  # fields come in any order
        if key not in seen:
            expected.append(row)
        seen.add(key)
    assert run(engine, rows, "exact_duplicates") == expected


def test_exact_duplicates_where_only_the_position_is_known(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 5), (0, 0, 5), (0, 0, 6), names="user_number item_number position")
    assert kept(run(engine, rows, "exact_duplicates", clock="position")) == [0, 2]


def test_exact_duplicates_ignores_position_and_session_where_times_are_known(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 9, 1, 4), (0, 0, 9, 0, 2), names="user_number item_number time position session_number")
    assert run(engine, rows, "exact_duplicates") == rows[:1]


@often
@given(logs, st.integers(0, 20))
def test_near_duplicates_drops_what_follows_closely(engine: DuckDBEngine, rows: Rows, seconds: int) -> None:
    expected = []
    for group in history(rows, "user_number", "item_number", "kind_number").values():
        expected.append(group[0]["row_number"])
        expected += [
            row["row_number"] for before, row in pairwise(group) if row["time"] - before["time"] > seconds * SECOND
        ]
    assert kept(run(engine, rows, "near_duplicates", seconds=seconds)) == sorted(expected)


@often
@given(logs, st.sampled_from(["first", "last"]))
def test_one_per_pair_keeps_one_event_of_a_user_and_item(engine: DuckDBEngine, rows: Rows, keep: str) -> None:
    place = {"first": 0, "last": -1}[keep]
    expected = [group[place]["row_number"] for group in history(rows, "user_number", "item_number").values()]
    assert kept(run(engine, rows, "one_per_pair", keep=keep)) == sorted(expected)


@often
@given(logs, st.booleans())
def test_repeats_keeps_the_first_of_a_run(engine: DuckDBEngine, rows: Rows, same_kind: bool) -> None:
    expected = []
    names = ["item_number", "kind_number"] if same_kind else ["item_number"]
    for group in history(rows, "user_number").values():
        for before, row in zip([None, *group], group, strict=False):
            if before is None or any(before[name] != row[name] for name in names):
                expected.append(row["row_number"])
    assert kept(run(engine, rows, "repeats", same_kind=same_kind)) == sorted(expected)


# ---------------------------------------------------------------------- bots and outliers


def test_bots_by_rate_repetition_and_before_1970(engine: DuckDBEngine) -> None:
    fast = [(0, place, place) for place in range(6)]  # 6 events within one minute
    slow = [(1, place, place * MINUTE) for place in range(6)]
    around_1970 = [(2, place, (place - 3) * 10 * SECOND) for place in range(6)]  # 3 before, 3 after midnight
    hammer = [(3, 0, place * DAY) for place in range(9)] + [(3, 1, 0)]
    rows = log(*fast, *slow, *around_1970, *hammer)
    options = {"per_minute": 5, "per_day": None, "one_item_share": 0.8, "one_item_events": 10}
    left = run(engine, rows, "bots", **options)
    assert {row["user_number"] for row in left} == {1, 2}
    assert len(left) == 12
    assert {row["user_number"] for row in run(engine, rows, "bots", **{**options, "one_item_events": 11})} == {1, 2, 3}
    assert {row["user_number"] for row in run(engine, rows, "bots", per_minute=None, per_day=5)} == {2, 3}


def test_bots_without_times_apply_only_the_rule_on_repetition(engine: DuckDBEngine) -> None:
    rows = log(*[(0, 0)] * 10, (1, 1), names="user_number item_number")
    left = run(engine, rows, "bots", clock="none", one_item_share=0.9, one_item_events=10)
    assert kept(left) == [10]
    with pytest.raises(DataError, match="bots with per_day needs the times"):
        run(engine, rows, "bots", clock="none", per_day=3)


@often
@given(logs, st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, 2.5, 4.0]))
def test_outliers_by_value(engine: DuckDBEngine, rows: Rows, low: float | None, high: float | None) -> None:
    expected = [
        row["row_number"]
        for row in rows
        if row["value"] is None or ((low is None or row["value"] >= low) and (high is None or row["value"] <= high))
    ]
    if expected:
        assert kept(run(engine, rows, "outliers", low=low, high=high)) == expected
    else:
        with pytest.raises(DataError, match=r"step outliers .* removed all"):
            run(engine, rows, "outliers", low=low, high=high)


def test_outliers_by_activity_uses_robust_deviations_of_the_log_counts(engine: DuckDBEngine) -> None:
    counts = [1, 2, 2, 3, 3, 4, 4, 5, 6, 200]
    rows = log(*[(user, 0, n) for user, count in enumerate(counts) for n in range(count)])
    logs = [math.log(count) for count in counts]
    median = sorted(logs)[4]
    spread = sorted(abs(one - median) for one in logs)[4]
    z = [0.6744897501960817 * (one - median) / spread for one in logs]
    for limit in (1.0, 3.5):
        expected = {user for user, one in enumerate(z) if one <= limit}
        assert expected < set(range(10))
        left = run(engine, rows, "outliers", activity_z=limit)
        assert {row["user_number"] for row in left} == expected


def test_outliers_by_activity_removes_nobody_where_most_are_alike(engine: DuckDBEngine) -> None:
    rows = log(*[(user, 0, 0) for user in range(5)], *[(5, 0, n) for n in range(50)])
    assert len(run(engine, rows, "outliers", activity_z=3.5)) == 55


# ---------------------------------------------------------------------- weights


def weighed(engine: DuckDBEngine, rows: Rows, **options: Any) -> list[float]:
    return [row["weight"] for row in run(engine, rows, "weights", **options)]


def test_weights_by_kind_synonym_and_setting(engine: DuckDBEngine) -> None:
    rows = log(*[(0, 0, kind) for kind in (0, 1, 2, 3, None)], names="user_number item_number kind_number")
    assert weighed(engine, rows) == [5, 1, 2, 1, 1]
    assert weighed(engine, rows, kinds={"Buy": 7, "view": 0.5}, other=0.1) == [7, 0.1, 2, 0.5, 0.1]
    assert weighed(engine, rows, kinds={"purchase": 9}, other=None) == [9, 2, 1]


def test_every_rule_for_a_usual_kind_holds_for_its_other_names(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 0, 1.0), (0, 1, 1, 3.0), names="user_number item_number kind_number value")
    events = load(engine, rows, kinds=("Buy", "page view"))
    for options, left in (
        ({"drop": ["purchase"]}, [1]),
        ({"least": {"purchase": 2, "view": 2}}, [1]),
        ({"log_of_value": ["view"]}, [5, math.log(4)]),
    ):
        after, line = steps.get("weights")(**options).apply(engine, events)
        found = engine.fetch(f"SELECT weight FROM {after.table} ORDER BY item_number").column("weight").to_pylist()
        assert found == pytest.approx(left)
        assert "no event is of the kind" not in line.note


@pytest.mark.parametrize(("below", "expected"), [("drop", [2, 2, 1]), ("zero", [2, 0, 2, 1])])
def test_weights_with_a_least_value(engine: DuckDBEngine, below: str, expected: list[float]) -> None:
    cells = [(0, 0, 2, 4.0), (0, 1, 2, 3.9), (0, 2, 2, None), (0, 3, 3, 1.0)]
    rows = log(*cells, names="user_number item_number kind_number value")
    assert weighed(engine, rows, least={"rating": 4}, below=below) == expected


def test_weights_of_counted_plays(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 1.0), (0, 1, 99.0), (0, 2, None), (0, 3, -5.0), names="user_number item_number value")
    expected = [math.log(2), math.log(100), math.log(2), 0]
    np.testing.assert_allclose(weighed(engine, rows, log_of_value=["*"]), expected)


def test_weights_change_nothing_without_kinds_and_rules(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 1.0), names="user_number item_number value")
    events = load(engine, rows)
    after, line = steps.get("weights")().apply(engine, events)
    assert after == events
    assert "no kinds" in line.note


def test_what_was_merely_shown_is_told_and_can_be_dropped(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 0), (0, 1, 1), (0, 2, 0), names="user_number item_number kind_number")
    events = load(engine, rows, kinds=("click", "Shown"))
    _, line = steps.get("weights")().apply(engine, events)
    assert 'weights drop=["Shown"] leaves it out' in line.note
    after, line = steps.get("weights")(drop=["shown"]).apply(engine, events)
    assert (after.rows, line.rows_after) == (2, 2)
    assert line.note == "weights: click 1, Shown dropped"
    _, line = steps.get("weights")(kinds={"shown": 0}).apply(engine, events)
    assert line.note == "weights: click 1, Shown 0"


# ---------------------------------------------------------------------- minimum counts


def core(rows: Rows, users: int, items: int, distinct: bool) -> list[int]:
    while True:
        pairs = [(row["user_number"], row["item_number"]) for row in rows]
        pairs = list(set(pairs)) if distinct else pairs
        of_user, of_item = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
        left = [row for row in rows if of_user[row["user_number"]] >= users and of_item[row["item_number"]] >= items]
        if len(left) == len(rows):
            return [row["row_number"] for row in rows]
        rows = left


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60).map(
    lambda cells: log(*cells, names="user_number item_number")
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs, st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_minimum_counts_is_the_core(engine: DuckDBEngine, rows: Rows, users: int, items: int, distinct: bool) -> None:
    expected = core(rows, users, items, distinct)
    options = {"users": users, "items": items, "count": "distinct" if distinct else "events"}
    if expected:
        assert kept(run(engine, rows, "minimum_counts", clock="none", **options)) == expected
    else:
        with pytest.raises(
            DataError, match=f"minimum_counts .*users = {users}.* removed all of the {len(rows)} events"
        ):
            run(engine, rows, "minimum_counts", clock="none", **options)


def test_minimum_counts_follows_a_long_chain(engine: DuckDBEngine) -> None:
    """A path of users and items, where each removal makes the next, beside a square that stays."""
    path = [(n, n) for n in range(20)] + [(n + 1, n) for n in range(19)]
    square = [(user, item) for user in (50, 51) for item in (60, 61)]
    rows = log(*path, *square, names="user_number item_number")
    left = run(engine, rows, "minimum_counts", clock="none", users=2, items=2)
    assert {(row["user_number"], row["item_number"]) for row in left} == set(square)


# ---------------------------------------------------------------------- sessions, windows, samples


@often
@given(logs, st.integers(1, 20))
def test_sessions_begin_after_a_gap(engine: DuckDBEngine, rows: Rows, gap: int) -> None:
    expected = {}
    for group in history(rows, "user_number").values():
        session = 0
        for before, row in zip([group[0], *group], group, strict=False):
            session += row["time"] - before["time"] > gap * SECOND
            expected[row["row_number"]] = session
    found = run(engine, rows, "sessions", gap_minutes=gap / 60)
    assert {row["row_number"]: row["session_number"] for row in found} == expected


def test_sessions_replace_those_of_the_source(engine: DuckDBEngine) -> None:
    rows = log((0, 0, 0, 8), (0, 1, DAY, 8), names="user_number item_number time session_number")
    assert [row["session_number"] for row in run(engine, rows, "sessions")] == [0, 1]


def test_time_window(engine: DuckDBEngine) -> None:
    start = 19_723 * DAY  # 2024-01-01
    rows = log(*[(0, day, start + day * DAY) for day in range(10)])
    assert kept(run(engine, rows, "time_window", since="2024-01-03", until="2024-01-06")) == [2, 3, 4]
    assert kept(run(engine, rows, "time_window", since="2024-01-09T00:00:01+00:00")) == [9]
    assert kept(run(engine, rows, "time_window", last_days=2)) == [8, 9]
    assert kept(run(engine, rows, "time_window", until=start + 5 * DAY, last_days=1.5)) == [3, 4]
    assert kept(run(engine, rows, "time_window", since="2024-01-04T02:00+02:00", until=str(start + 4 * DAY))) == [3]
    assert len(run(engine, rows, "time_window", since="1970-01-01")) == 10
    with pytest.raises(ConfigError, match="since"):
        steps.get("time_window")(since="yesterday")
    with pytest.raises(DataError, match=r"time_window .* removed all of the 10 events"):
        run(engine, rows, "time_window", since="2025-01-01")


@pytest.mark.parametrize("moment", [1_704_067_200, 1_704_067_200_000, "20240131"])
def test_a_moment_in_another_unit_than_microseconds_is_refused(moment: int | str) -> None:
    with pytest.raises(ConfigError, match=r"since.*of time_window.*moment of 1970"):
        steps.get("time_window")(since=moment)


@pytest.mark.parametrize(
    ("name", "setting"), [("sessions", "gap_minutes"), ("near_duplicates", "seconds"), ("time_window", "last_days")]
)
def test_spans_beyond_the_range_of_times_are_refused(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        steps.get(name)(**{setting: 1e300})


def test_settings_that_meet_no_event_are_said(engine: DuckDBEngine) -> None:
    events = load(engine, log((0, 0, 0, 0), (0, 1, 1, 3), names="user_number item_number time kind_number"))
    options: dict[str, Any] = {"kinds": {"purchase": 9, "purchse": 9}, "drop": ["Impresion"], "least": {"*": 3}}
    _, line = steps.get("weights")(**options).apply(engine, events)
    assert "no event is of the kind 'purchse' or 'Impresion'; the log has no values" in line.note
    _, line = steps.get("outliers")(low=1, activity_z=3).apply(engine, events)
    assert line.note.startswith("removed 0 events; half of the users are equally active")
    assert line.note.endswith("the log has no values, so their bounds do nothing")


def test_weights_that_single_precision_cannot_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"kinds.view"):
        steps.get("weights")(kinds={"view": 1e300})


def test_of_a_moment_the_event_without_a_position_is_the_last(engine: DuckDBEngine) -> None:
    rows = [
        {"row_number": place, "user_number": 0, "item_number": 0, "time": 5, "position": position}
        for place, position in enumerate([None, 7, 3])
    ]
    assert kept(run(engine, rows, "one_per_pair", keep="last")) == [0]
    assert kept(run(engine, rows, "one_per_pair", keep="first")) == [2]


def test_sample_users_keeps_whole_users_and_depends_on_the_seed_alone(engine: DuckDBEngine) -> None:
    rows = log(*[(user, item, 0) for item in range(3) for user in range(0, 200, 2)])
    drawn = run(engine, rows, "sample_users", users=20, seed=1)
    users = Counter(row["user_number"] for row in drawn)
    assert len(users) == 20
    assert set(users.values()) == {3}
    turned = [{**row, "row_number": len(rows) - row["row_number"]} for row in reversed(rows)]
    again = run(engine, turned, "sample_users", users=20, seed=1)
    assert {row["user_number"] for row in again} == set(users)
    other = {row["user_number"] for row in run(engine, rows, "sample_users", share=0.2, seed=2)}
    assert len(other) == 20
    assert other != set(users)
    assert len(run(engine, rows, "sample_users", users=1_000)) == 300


def test_sample_users_draws_every_user_about_equally_often(engine: DuckDBEngine) -> None:
    rows = log(*[(user, 0) for user in range(50)], names="user_number item_number")
    drawn = Counter(
        row["user_number"]
        for seed in range(100)
        for row in run(engine, rows, "sample_users", clock="none", users=10, seed=seed)
    )
    counts = np.array([drawn[user] for user in range(50)])  # each binomial(100, 0.2)
    assert counts.min() >= 5
    assert counts.max() <= 37
    assert ((counts - 20) ** 2 / 16).sum() < 90  # chi-square of 50 cells, 99.9 % point 85.4 for independent ones


@pytest.mark.parametrize("options", [{}, {"users": 3, "share": 0.5}])
def test_sample_users_wants_one_way_of_saying_how_many(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one of `users`"):
        steps.get("sample_users")(**options)


# ---------------------------------------------------------------------- the room


@pytest.mark.parametrize("name", ["near_duplicates", "sessions", "time_window"])
def test_steps_on_times_refuse_a_log_without_them(engine: DuckDBEngine, name: str) -> None:
    rows = log((0, 0, 1), names="user_number item_number position")
    with pytest.raises(DataError, match=f"{name} needs the times"):
        run(engine, rows, name, clock="position")


def test_repeats_refuse_a_log_without_order(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match="repeats needs the order"):
        run(engine, log((0, 0), names="user_number item_number"), "repeats", clock="none")


def test_every_step_is_named_after_its_file_and_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for name in steps.available():
        assert steps.get(name).__module__.endswith(name)
        assert f'"{name}"' in source


def test_steps_use_no_words_beyond_the_portable_subset() -> None:
    forbidden = (
        "EPOCH",
        "TIMESTAMP",
        "QUALIFY",
        "QUANTILE",
        "LIST(",
        "ARRAY",
        "HASH(",
        "EXCLUDE",
        "FILTER",
        "ILIKE",
        "::",
    )
    for file in Path(steps.__file__).parent.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not [word for word in forbidden if word in text], file.name


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("exact_duplicate", "did you mean 'exact_duplicates'"),
        ({"name": "sessions", "gap": 3}, "unknown setting of sessions 'gap'"),
        ({"users": 3}, "a step is a name"),
        (7, "a step is a name"),
        ("zhiyin.run:Run", "is no preparation step"),
    ],
)
def test_wrong_steps_are_refused_with_a_reason(spec: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PreparationStep.read(spec)
