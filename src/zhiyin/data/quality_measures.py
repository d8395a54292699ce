"""What the quality report measures: one pass over the events, in blocks of whole users.

A block has about two million events, so that a memory-mapped log of any size is read once and never copied as a whole.
What is kept is of the size of the users or of the items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.blocks import blocks_of
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories

BLOCK = 2_000_000
"""Events of a block; a user with more is a block of their own."""
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
UNITS = {"day": DAY, "hour": HOUR, "minute": MINUTE, "second": SECOND, "millisecond": 1_000}
"""The resolutions that a clock may have, the coarsest first; "microsecond" otherwise."""

SAMPLE = 1_000_000
"""So many events, evenly spread over the log, are enough for quantiles."""
MOST_DAYS = 200_000
"""Longer spans are a broken clock, and days are not counted."""
MOST_VALUES = 200
"""Logs with more different values are described by a histogram."""
N_HASHES = 16
YEAR_1990 = 7_305 * DAY
"""No click log is older."""
NEVER = np.iinfo(np.int64).max


class QualityConfig(Config):
    """Settings of the quality report."""

    rate_per_minute: int = setting(60, ge=2)
    """A user who keeps up more events a minute than this ..."""
    rate_minutes: int = setting(5, ge=1)
    """... for so many minutes acts faster than a person."""
    similar_items: int = setting(10, ge=2)
    """Histories with fewer different items than this are not compared: short ones agree by chance."""
    similarity: float = setting(0.9, gt=0, le=1)
    """Users who share this part of all the items that either has (Jaccard) have near-identical histories."""
    examples: int = setting(5, ge=0)
    """How many ids a finding shows at most."""


@dataclass(slots=True)
class Measures:
    """What one pass over the events found.

    Of users (n_users,): `lengths`, `distinct` items, whether `rapid`. Of items (n_items,): `popularity`, `first` time
    (`NEVER` without events), `value_sum`, `value_count`, `value_low`, `value_high`. Of the log: counts of events, those
    of all `days` from `first_day` on and of the `hours` of the day (UTC), and how often each of the `values` comes
    (None if there are too many different ones). `signatures` (len(signed), 16) are min-hashes of the item sets of the
    users `signed`.
    """

    lengths: LongVector
    distinct: IntVector
    rapid: BoolVector
    popularity: LongVector
    first: LongVector
    value_sum: DoubleVector
    value_count: LongVector
    value_low: DoubleVector
    value_high: DoubleVector
    hours: LongVector
    signed: IntVector
    signatures: AnyArray
    span: tuple[int, int] | None = None
    resolution: str = "unknown"
    days: LongVector | None = None
    first_day: int = 0
    tied: int = 0
    disordered: int = 0
    repeats: int = 0
    exact: int = 0
    consecutive: int = 0
    future: int = 0
    before_1990: int = 0
    missing_values: int = 0
    infinite_values: int = 0
    values: dict[float, int] | None = None
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The events of the users `start` to `stop`, with the owner of each counted from 0."""

    start: int
    stop: int
    events: Histories
    owner: IntVector

    @property
    def users(self) -> slice:
        """Where the block's users are in an array of all users."""
        return slice(self.start, self.stop)

    @property
    def follows(self) -> BoolVector:
        """(n_events - 1,) whether an event has the same owner as the one before it."""
        same: BoolVector = self.owner[1:] == self.owner[:-1]
        return same


def blocks(histories: Histories, events: int = BLOCK) -> Iterator[Block]:
    """The log in blocks of about `events` events, every user whole, read from disk where it is memory-mapped."""
    for start, stop in blocks_of(histories.offsets, events):
        part = histories.slice(start, stop)
        read = Histories(
            np.asarray(part.offsets), **{name: np.asarray(column) for name, column in part.columns().items()}
        )
        yield Block(start, stop, read, read.owner())


def measure(dataset: Dataset, config: QualityConfig, now: int) -> Measures:
    """Read the log once and measure it; `now` is the present moment in microseconds."""
    found = _empty(dataset)
    timed = dataset.clock == "time" and dataset.histories.time is not None and dataset.n_events > 0
    if timed:
        _set_clock(found, dataset.histories.time)  # type: ignore[arg-type]
    hashes = _item_hashes(dataset.n_items)
    signed: list[IntVector] = []
    signatures: list[AnyArray] = []
    for block in blocks(dataset.histories):
        if not block.events.n_events:
            continue
        _count_items(found, block, dataset)
        _count_repeats(found, block, dataset.n_items, timed)
        if timed:
            _count_times(found, block, config, now)
        if block.events.value is not None:
            _count_values(found, block.events.item, block.events.value)
        users = np.flatnonzero(found.distinct[block.users] >= config.similar_items).astype(np.int32)
        signed.append(users + np.int32(block.start))
        signatures.append(_sign(block, users, hashes))
    if signed:
        found.signed, found.signatures = np.concatenate(signed), np.concatenate(signatures)
    return found


def _empty(dataset: Dataset) -> Measures:
    users, items = dataset.n_users, dataset.n_items
    return Measures(
        lengths=np.asarray(dataset.histories.lengths),
        distinct=np.zeros(users, np.int32),
        rapid=np.zeros(users, bool),
        popularity=np.zeros(items, np.int64),
        first=np.full(items, NEVER),
        value_sum=np.zeros(items),
        value_count=np.zeros(items, np.int64),
        value_low=np.full(items, np.inf),
        value_high=np.full(items, -np.inf),
        hours=np.zeros(24, np.int64),
        signed=np.zeros(0, np.int32),
        signatures=np.zeros((0, N_HASHES), np.uint32),
        values=None if dataset.histories.value is None else {},
        sessions=None if dataset.histories.session is None else 0,
    )


def sample(column: AnyArray, most: int = SAMPLE) -> AnyArray:
    """Some values of a long column, evenly spread over it."""
    return np.asarray(column[:: max(1, -(-len(column) // most))])


def _set_clock(found: Measures, time: LongVector) -> None:
    parts = (np.asarray(time[start : start + BLOCK]) for start in range(0, len(time), BLOCK))
    low_high = [(int(part.min()), int(part.max())) for part in parts]
    first, last = min(low for low, _ in low_high), max(high for _, high in low_high)
    found.span, found.resolution = (first, last), _resolution(sample(time, 200_000))
    found.first_day = first // DAY
    n_days = last // DAY - found.first_day + 1
    found.days = np.zeros(n_days, np.int64) if n_days <= MOST_DAYS else None


def _resolution(times: LongVector) -> str:
    apart = times - times[0]
    return next((name for name, unit in UNITS.items() if not (apart % unit).any()), "microsecond")


# ---------------------------------------------------------------------- what is counted in a block


def _count_items(found: Measures, block: Block, dataset: Dataset) -> None:
    events = block.events
    found.popularity += np.bincount(events.item, minlength=dataset.n_items)
    found.consecutive += int(np.count_nonzero(block.follows & (events.item[1:] == events.item[:-1])))
    if found.sessions is not None and events.session is not None:
        new = block.follows & (events.session[1:] != events.session[:-1])
        found.sessions += int(np.count_nonzero(new)) + int(np.count_nonzero(events.lengths))


def _count_repeats(found: Measures, block: Block, n_items: int, timed: bool) -> None:
    """Count the events on items that the same user had before, and those that repeat an event in every column."""
    events = block.events
    key = block.owner.astype(np.int64) * n_items + events.item
    order = np.argsort(key, kind="stable")
    key = key[order]
    again = key[1:] == key[:-1]
    repeats = np.bincount(key[1:][again] // n_items, minlength=len(events))
    found.distinct[block.users] = events.lengths - repeats
    found.repeats += int(repeats.sum())
    if timed:
        found.exact += _exact(events, order, key, again)


def _exact(events: Histories, order: LongVector, key: LongVector, again: BoolVector) -> int:
    """How many events equal another in user, item, time, value and kind (beyond the first of each)."""
    if events.time is None:
        return 0
    time = events.time[order]
    twins = again & (time[1:] == time[:-1])
    extra = [column for column in (events.value, events.kind) if column is not None]
    if not extra or not twins.any():
        return int(np.count_nonzero(twins))
    members = np.flatnonzero(np.append(twins, False) | np.append(False, twins))
    columns = [np.nan_to_num(column[order[members]], nan=-np.inf) for column in extra]
    columns += [time[members], key[members]]
    inside = np.lexsort(columns)
    equal = np.ones(max(len(members) - 1, 0), bool)
    for column in columns:
        sorted_column = column[inside]
        equal &= sorted_column[1:] == sorted_column[:-1]
    return int(np.count_nonzero(equal))


def _count_times(found: Measures, block: Block, config: QualityConfig, now: int) -> None:
    time, follows = block.events.time, block.follows
    if time is None:
        return
    np.minimum.at(found.first, block.events.item, time)
    gap = np.diff(time)
    same = follows & (gap == 0)
    found.tied += int(np.count_nonzero(np.append(same, False) | np.append(False, same)))
    found.disordered += int(np.count_nonzero(follows & (gap < 0)))
    found.future += int(np.count_nonzero(time > now))
    found.before_1990 += int(np.count_nonzero(time < YEAR_1990))
    found.hours += np.bincount(time // HOUR % 24, minlength=24)
    if found.days is not None:
        days = time // DAY - found.first_day
        found.days += np.bincount(days, minlength=len(found.days))
    if found.resolution in ("second", "millisecond", "microsecond"):
        _mark_rapid(found, block, time, config)


def _mark_rapid(found: Measures, block: Block, time: LongVector, config: QualityConfig) -> None:
    """Mark the users with more than rate x minutes events inside some window of that many minutes."""
    reach = config.rate_per_minute * config.rate_minutes
    if len(time) <= reach:
        return
    together = block.owner[reach:] == block.owner[:-reach]
    fast = together & (time[reach:] - time[:-reach] <= config.rate_minutes * MINUTE)
    found.rapid[block.start + block.owner[reach:][fast]] = True


def _count_values(found: Measures, item: IntVector, value: AnyArray) -> None:
    known = np.isfinite(value)
    found.missing_values += int(np.count_nonzero(np.isnan(value)))
    found.infinite_values += int(np.count_nonzero(np.isinf(value)))
    if not known.all():
        item, value = item[known], value[known]
    found.value_sum += np.bincount(item, value, minlength=len(found.value_sum))
    found.value_count += np.bincount(item, minlength=len(found.value_count))
    np.minimum.at(found.value_low, item, value.astype(np.float64))
    np.maximum.at(found.value_high, item, value.astype(np.float64))
    if found.values is not None:
        for one, count in zip(*np.unique(value, return_counts=True), strict=True):
            found.values[float(one)] = found.values.get(float(one), 0) + int(count)
        if len(found.values) > MOST_VALUES:
            found.values = None


# ---------------------------------------------------------------------- min-hash


def _item_hashes(n_items: int) -> AnyArray:
    """(16, n_items) uint32: as many random orders of the items, the same in every run."""
    keys = np.arange(n_items, dtype=np.uint64)
    seeds = np.arange(1, N_HASHES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.stack([_mixed(keys + seed) for seed in seeds])


def _mixed(keys: AnyArray) -> AnyArray:
    """A well-mixed uint32 of each uint64 (the finaliser of splitmix64; Steele, Lea & Flood, OOPSLA 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: AnyArray = (keys ^ (keys >> np.uint64(31))).astype(np.uint32)
    return mixed


def _sign(block: Block, users: IntVector, hashes: AnyArray) -> AnyArray:
    """(len(users), 16) uint32 min-hashes (Broder, 1997): two users agree in each with the Jaccard of their items."""
    if not len(users):
        return np.zeros((0, N_HASHES), np.uint32)
    chosen = block.events.without(*(set(block.events.columns()) - {"item"})).take(users)
    starts = chosen.offsets[:-1]
    return np.stack([np.minimum.reduceat(order[chosen.item], starts) for order in hashes], axis=1)
