"""Features: what counting alone says of users, items and moments, for rankers, slices and people who look at the data.

    user_features(dataset, until=moment)     one row per user
    item_features(dataset, until=moment)     one row per item
    context_features(times)                  one row per moment

With `until`, only events before that moment are counted and ages are measured to it, so that a model which is trained
on the features of a moment sees nothing of what came later. All times are in UTC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError, DataError

HOUR = 3_600_000_000
DAY = 24 * HOUR
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class FeaturesConfig(Config):
    """Settings of the features of users and items."""

    day_parts: int = setting(4, ge=1, le=24)
    """In how many equal parts the day is cut for shares by time of day; a divisor of 24 (4: night, morning, ...)."""
    recent_days: float = setting(7.0, gt=0)
    """How long ago an event may be to be counted as recent."""
    price_bands: int = setting(5, ge=2, le=100)
    """Into how many bands, about equally many items in each, the catalogue's prices are cut."""


def user_features(dataset: Dataset, until: int | None = None, **options: Any) -> pa.Table:
    """One row per user, in the order of their numbers.

    Columns: `user_id`, `events`, `distinct_items`; where times are known `first_seen` and `last_seen` (microseconds
    since 1970, null without events), `recency_days`, `active_days`, `recent_events`, `day_part_0` ... and `monday` ...
    `sunday` (shares of the user's events, null without events); where values are known `mean_value`; where there are
    weights `weight`; where there are several kinds `kind_NAME` (events of that kind); where the catalogue has prices
    `mean_price` and `price_band` (the mean band of the items; null where none has a price).

    Args:
        dataset: the events.
        until: count only events before this moment (microseconds since 1970), and measure ages to it; None for all,
            with ages measured to the latest event.
        **options: settings of `FeaturesConfig`.

    Raises:
        DataError: `until` is given, but the times of events are not known.
        ConfigError: a setting is wrong.
    """
    config = _config(options)
    mask, owner, item = _pairs(dataset, until)
    columns: dict[str, Any] = {"user_id": dataset.users.ids}
    columns |= _counted(dataset, owner, dataset.n_users, mask, until, config)
    columns["distinct_items"] = _distinct(owner, item, dataset.n_users, dataset.n_items)
    prices = _prices(dataset)
    if prices is not None:
        columns["mean_price"] = _mean(owner, prices[item], dataset.n_users)
        columns["price_band"] = _mean(owner, price_bands(prices, config.price_bands)[item], dataset.n_users)
    return _table(columns)


def item_features(dataset: Dataset, until: int | None = None, **options: Any) -> pa.Table:
    """One row per item, in the order of their numbers.

    Columns as in `user_features`, with `item_id` for `user_id`, `distinct_users` for `distinct_items`, the item's own
    `price` and `price_band` (0 for the cheapest), and `share` (of all events).

    Raises:
        DataError: `until` is given, but the times of events are not known.
        ConfigError: a setting is wrong.
    """
    config = _config(options)
    mask, owner, item = _pairs(dataset, until)
    columns: dict[str, Any] = {"item_id": dataset.items.ids}
    columns |= _counted(dataset, item, dataset.n_items, mask, until, config)
    columns["distinct_users"] = _distinct(item, owner, dataset.n_items, dataset.n_users)
    columns["share"] = columns["events"] / max(1, len(item))
    prices = _prices(dataset)
    if prices is not None:
        columns["price"] = prices
        columns["price_band"] = price_bands(prices, config.price_bands)
    return _table(columns)


def context_features(times: LongVector, day_parts: int = 4) -> pa.Table:
    """One row per moment (microseconds since 1970).

    Columns: `hour`, `weekday` (0 is Monday), `weekend`, `day_part`, `month`, and the sine and cosine of the time of day
    and of the week, in which midnight is next to one o'clock and Sunday next to Monday.

    >>> context_features(np.array([0])).select(["hour", "weekday", "weekend", "month"]).to_pylist()
    [{'hour': 0, 'weekday': 3, 'weekend': False, 'month': 1}]
    """
    _check_day_parts(day_parts)
    moment = np.asarray(times, np.int64)
    hour, weekday = _hour(moment), _weekday(moment)
    of_day = 2 * np.pi * (moment % DAY) / DAY
    of_week = 2 * np.pi * ((moment + 3 * DAY) % (7 * DAY)) / (7 * DAY)
    month = moment.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    return pa.table(
        {
            "hour": hour.astype(np.int8),
            "weekday": weekday.astype(np.int8),
            "weekend": weekday >= 5,
            "day_part": (hour * day_parts // 24).astype(np.int8),
            "month": month.astype(np.int8),
            "day_sine": np.sin(of_day),
            "day_cosine": np.cos(of_day),
            "week_sine": np.sin(of_week),
            "week_cosine": np.cos(of_week),
        }
    )


def price_bands(prices: DoubleVector, bands: int) -> DoubleVector:
    """(n,) the band of each price, 0 for the cheapest; NaN for an unknown price.

    The borders are the quantiles of the known prices, so equal prices are always in one band.

    >>> price_bands(np.array([1.0, 2.0, np.nan, 3.0, 100.0]), 2)
    array([ 0.,  0., nan,  1.,  1.])
    """
    known = np.isfinite(prices)
    found = np.full(len(prices), np.nan)
    if known.any():
        borders = np.quantile(prices[known], np.arange(1, bands) / bands)
        found[known] = np.searchsorted(borders, prices[known], side="left")
    return found


def _config(options: dict[str, Any]) -> FeaturesConfig:
    config = FeaturesConfig.read(options, "features")
    _check_day_parts(config.day_parts)
    return config


def _check_day_parts(day_parts: int) -> None:
    if not 1 <= day_parts <= 24 or 24 % day_parts:
        raise ConfigError(f"day_parts = {day_parts} came; a divisor of 24 is expected (1, 2, 3, 4, 6, 8, 12, 24)")


def _pairs(dataset: Dataset, until: int | None) -> tuple[BoolVector, IntVector, IntVector]:
    """(n_events,) which events count; and of those that do the user and the item."""
    mask = _before(dataset, until)
    return mask, dataset.histories.owner()[mask], dataset.histories.item[mask]


def _before(dataset: Dataset, until: int | None) -> BoolVector:
    """(n_events,) which events count."""
    if until is not None:
        dataset.need("time", "counting events until a moment")
    time = dataset.histories.time
    if until is None or time is None:
        return np.ones(dataset.n_events, bool)
    found: BoolVector = np.asarray(time < until)
    return found


def _counted(
    dataset: Dataset, owner: IntVector, n: int, mask: BoolVector, until: int | None, config: FeaturesConfig
) -> dict[str, AnyArray]:
    """What is counted alike for users and items; `owner` is the number of the row of each event that counts."""
    histories = dataset.histories
    events = np.bincount(owner, minlength=n)
    columns: dict[str, AnyArray] = {"events": events}
    if dataset.clock == "time" and histories.time is not None:
        columns |= _in_time(owner, histories.time[mask], events, until, config)
    if histories.value is not None:
        columns["mean_value"] = _mean(owner, histories.value[mask].astype(np.float64), n)
    if histories.weight is not None:
        columns["weight"] = np.bincount(owner, histories.weight[mask], minlength=n)
    if histories.kind is not None and len(dataset.kinds) > 1:
        cells = owner.astype(np.int64) * len(dataset.kinds) + histories.kind[mask]
        counts = np.bincount(cells, minlength=n * len(dataset.kinds)).reshape(n, -1)
        columns |= {f"kind_{kind}": column for kind, column in zip(dataset.kinds, counts.T, strict=True)}
    return columns


def _in_time(
    owner: IntVector, time: LongVector, events: LongVector, until: int | None, config: FeaturesConfig
) -> dict[str, AnyArray]:
    """First and last moment, ages, active days, and shares by time of day and weekday."""
    n = len(events)
    now = until if until is not None else int(time.max(initial=0))
    first, last = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first, owner, time)
    np.maximum.at(last, owner, time)
    seen = events > 0
    columns: dict[str, Any] = {
        "first_seen": pa.array(first, mask=~seen),
        "last_seen": pa.array(last, mask=~seen),
        "recency_days": np.where(seen, (now - np.where(seen, last, 0)) / DAY, np.nan),
        "active_days": _days(owner, time, n),
        "recent_events": np.bincount(owner[time >= now - config.recent_days * DAY], minlength=n),
    }
    parts = _shares(owner, _hour(time) * config.day_parts // 24, events, config.day_parts)
    columns |= {f"day_part_{place}": column for place, column in enumerate(parts)}
    columns |= dict(zip(WEEKDAYS, _shares(owner, _weekday(time), events, 7), strict=True))
    return columns


def _days(owner: IntVector, time: LongVector, n: int) -> LongVector:
    """(n,) on how many days each had an event."""
    day = time // DAY
    first = int(day.min(initial=0))
    return _distinct(owner, day - first, n, int(day.max(initial=0)) - first + 1)


def _distinct(owner: IntVector, what: AnyArray, n: int, n_what: int) -> LongVector:
    """(n,) how many different numbers below `n_what` each has."""
    pairs = np.unique(owner.astype(np.int64) * n_what + what)
    return np.bincount(pairs // n_what, minlength=n)


def _mean(owner: IntVector, values: DoubleVector, n: int) -> DoubleVector:
    """(n,) the mean of the known values of each; NaN where there is none."""
    known = ~np.isnan(values)
    count = np.bincount(owner[known], minlength=n)
    total = np.bincount(owner[known], values[known], minlength=n)
    mean: DoubleVector = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return mean


def _shares(owner: IntVector, part: AnyArray, events: LongVector, parts: int) -> list[DoubleVector]:
    """For each part (n,) the share of the events of each that lie in it; NaN without events."""
    counts = np.bincount(owner.astype(np.int64) * parts + part, minlength=len(events) * parts).reshape(-1, parts)
    with np.errstate(invalid="ignore"):
        shares = counts / events[:, None]
    return list(shares.T)


def _hour(time: LongVector) -> LongVector:
    hour: LongVector = time % DAY // HOUR
    return hour


def _weekday(time: LongVector) -> LongVector:
    """(n,) 0 for Monday; 1 January 1970 was a Thursday."""
    weekday: LongVector = (time // DAY + 3) % 7
    return weekday


def _prices(dataset: Dataset) -> DoubleVector | None:
    """(n_items,) the prices of the catalogue, NaN where unknown; None without prices."""
    if "price" not in dataset.item_table.column_names:
        return None
    column = dataset.item_table.column("price")
    try:
        found: DoubleVector = np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan))
    except pa.ArrowInvalid as error:
        raise DataError(f"the catalogue's prices are not numbers: {error}; clean the column or rename it") from error
    known: DoubleVector = np.where(np.isfinite(found), found, np.nan)
    return known


def _table(columns: dict[str, Any]) -> pa.Table:
    """Columns as Arrow, NaN as null."""
    return pa.table(
        {
            name: pa.array(column, from_pandas=True) if isinstance(column, np.ndarray) else column
            for name, column in columns.items()
        }
    )
