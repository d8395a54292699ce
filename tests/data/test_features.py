import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.features import DAY, HOUR, WEEKDAYS, context_features, item_features, price_bands, user_features
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.testing.worlds import tastes

MONDAY = 4 * DAY  # 5 January 1970


def shop() -> Dataset:
    """Ann buys a (Monday 1:00), a (Monday 13:00), b (Sunday 7:00); Bob b (the Monday after, 0:00); Cy nothing."""
    histories = Histories(
        np.array([0, 3, 4, 4]),
        np.array([0, 0, 1, 1], np.int32),
        time=np.array([MONDAY + HOUR, MONDAY + 13 * HOUR, MONDAY + 6 * DAY + 7 * HOUR, MONDAY + 7 * DAY]),
        value=np.array([4, np.nan, 2, np.nan], np.float32),
        kind=np.array([0, 1, 0, 1], np.uint8),
    )
    items = pa.table({"item_id": ["a", "b", "c"], "price": [10.0, 30.0, None]})
    return Dataset.of(histories, items, ["ann", "bob", "cy"], kinds=["buy", "view"])


def test_user_features_by_hand() -> None:
    ann, bob, cy = user_features(shop(), price_bands=2, recent_days=1).to_pylist()
    assert (ann["events"], ann["distinct_items"], ann["active_days"], ann["recent_events"]) == (3, 2, 2, 1)
    assert (ann["first_seen"], ann["last_seen"]) == (MONDAY + HOUR, MONDAY + 6 * DAY + 7 * HOUR)
    assert ann["recency_days"] == pytest.approx(17 / 24)
    assert [ann[f"day_part_{part}"] for part in range(4)] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert [ann[day] for day in WEEKDAYS] == pytest.approx([2 / 3, 0, 0, 0, 0, 0, 1 / 3])
    assert (ann["mean_value"], ann["kind_buy"], ann["kind_view"]) == (3.0, 2, 1)
    assert ann["mean_price"] == pytest.approx(50 / 3)
    assert ann["price_band"] == pytest.approx(1 / 3)
    assert (bob["events"], bob["mean_value"], bob["recency_days"], bob["monday"]) == (1, None, 0, 1)
    assert (cy["events"], cy["active_days"], cy["distinct_items"]) == (0, 0, 0)
    assert {cy[name] for name in ("first_seen", "recency_days", "monday", "day_part_0", "mean_price")} == {None}


def test_item_features_by_hand() -> None:
    a, b, c = item_features(shop(), price_bands=2).to_pylist()
    assert (a["item_id"], a["events"], a["distinct_users"], a["share"], a["price"], a["price_band"]) == (
        "a", 2, 1, 0.5, 10.0, 0,
    )  # fmt: skip
    assert (b["events"], b["distinct_users"], b["price_band"], b["recent_events"]) == (2, 2, 1, 2)
    assert (c["events"], c["share"], c["price"], c["price_band"], c["last_seen"]) == (0, 0, None, None, None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_what_comes_later_changes_nothing_before(day: int) -> None:
    world = tastes(n_users=30)
    past = world.keep(world.histories.time < day * DAY)  # type: ignore[operator]
    for features in (user_features, item_features):
        assert features(world, until=day * DAY).equals(features(past, until=day * DAY))


def test_counts_agree_with_a_loop_on_a_larger_world() -> None:
    world = tastes()
    table = user_features(world, day_parts=24)
    for user in (0, 7, 119):
        row, time = table.slice(user, 1).to_pylist()[0], world.histories.slice(user, user + 1).time
        assert time is not None
        hours = np.bincount(time % DAY // HOUR, minlength=24) / len(time)
        np.testing.assert_allclose([row[f"day_part_{hour}"] for hour in range(24)], hours)
        assert row["active_days"] == len(set((time // DAY).tolist()))
        assert row["distinct_items"] == len(set(world.histories.of(user).tolist()))


def test_without_times_there_is_nothing_about_time() -> None:
    flat = Dataset.of(Histories.of_lists([[0, 1], [1]]), ["a", "b"], clock="position")
    assert user_features(flat).column_names == ["user_id", "events", "distinct_items"]
    with pytest.raises(DataError, match="needs the times"):
        user_features(flat, until=5)


def test_context_features_before_and_after_1970() -> None:
    moments = np.array(["1969-12-31T23:59", "2024-02-29T12:00", "2024-03-03T05:30"], "datetime64[us]").astype(np.int64)
    last, leap, sunday = context_features(moments).to_pylist()
    assert (last["hour"], last["weekday"], last["month"], last["day_part"]) == (23, 2, 12, 3)
    assert (leap["hour"], leap["weekday"], leap["month"], leap["weekend"]) == (12, 3, 2, False)
    assert (sunday["weekday"], sunday["weekend"], sunday["day_part"]) == (6, True, 0)
    assert (leap["day_sine"], leap["day_cosine"]) == pytest.approx((0, -1), abs=1e-12)
    monday = context_features(np.array([MONDAY])).to_pylist()[0]
    assert (monday["week_sine"], monday["week_cosine"]) == pytest.approx((0, 1), abs=1e-12)


def test_price_bands_are_about_equally_full_and_keep_equal_prices_together() -> None:
    prices = np.random.default_rng(0).lognormal(size=1_000)
    assert np.bincount(price_bands(prices, 5).astype(int)).tolist() == [200] * 5
    assert len(set(price_bands(np.full(10, 3.0), 4))) == 1
    assert np.isnan(price_bands(np.array([np.nan]), 4)).all()


@pytest.mark.parametrize("options", [{"day_parts": 5}, {"price_bands": 1}, {"day_part": 4}])
def test_wrong_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        user_features(shop(), **options)
    with pytest.raises(ConfigError, match="divisor of 24"):
        context_features(np.array([0]), day_parts=7)


def test_prices_that_are_no_numbers_are_said() -> None:
    world = shop()
    bad = Dataset.of(world.histories, pa.table({"item_id": ["a", "b", "c"], "price": ["1", "2", "?"]}))
    with pytest.raises(DataError, match="prices are not numbers"):
        item_features(bad)
