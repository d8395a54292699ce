"""Ads: campaigns with budgets that pay for shows, and people who click, and convert after a click, by known chances.

    log-odds of a click        = what the ad is like + the person's taste in its category + device + place + the hour
                                 - fatigue · shows of the ad to the person before, on that day
    log-odds of a conversion   = what the ad is like + half of that taste + device,      after a click
    what a show is worth       = value per conversion · chance of a click · chance of a conversion after it

For some days ads were shown by a known chance that does not look at people: the log to learn from. Then comes one more
day, of which there are the requests alone, each with its floor: what others would pay for the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit, logit

from zhiyin.arrays import AnyArray, DoubleMatrix, DoubleVector, IntVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data._synthetic_text import group_names
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.run import Run
from zhiyin.scenarios.worlds.base import DAY, MINUTE, START, World

HOUR = 60 * MINUTE
KINDS = ("exposure", "click", "conversion")
DEVICES, PLACES, SEGMENTS = ("phone", "desktop"), ("top", "side", "foot"), ("students", "parents", "retired", "others")
CLICK_BY_DEVICE, CONVERSION_BY_DEVICE = np.array([0.2, -0.2]), np.array([-0.3, 0.3])
CLICK_BY_PLACE = np.array([0.5, 0.0, -0.6])
FLOOR_BY_PLACE = np.array([1.5, 1.0, 0.6])
BY_HOUR = 1.1 - np.cos(2 * np.pi * (np.arange(24) - 3) / 24)
"""How many requests come in each hour, up to a factor: the fewest at three, the most at fifteen."""


class AdsConfig(Config):
    """Settings of `ads`."""

    n_users: int = setting(300, ge=1)
    """How many people there are."""
    n_items: int = setting(30, ge=2)
    """How many ads there are, each a campaign of its own."""
    n_shows: int = setting(50_000, ge=1)
    """Shows in the log."""
    n_requests: int = setting(4_000, ge=1)
    """Requests of the day after it."""
    days: int = setting(14, ge=2)
    """Days of the log."""
    n_groups: int = setting(6, ge=1, le=64)
    """Categories of ads."""
    taste: float = setting(0.8, ge=0)
    """How much tastes differ, in log-odds; half of it by segment, which is known, and half by person, which is not."""
    click_rate: float = setting(0.06, gt=0, lt=1)
    """The chance of a click that all is around."""
    conversion_rate: float = setting(0.2, gt=0, lt=1)
    """The chance of a conversion after a click that all is around."""
    fatigue: float = setting(0.5, ge=0)
    """By so much fall the log-odds of a click with each show of the ad to the person on that day."""
    floor: float = setting(1.0, gt=0)
    """What others pay for a usual place, in money."""
    money: float = setting(0.4, gt=0)
    """All budgets together would buy this part of the day's requests at their floors."""
    seed: int = setting(0, ge=0)
    """Seed of the whole world."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Moments at which an ad can be shown to somebody; n of them."""

    who: IntVector
    """(n,) the numbers of the people."""
    time: LongVector
    """(n,) microseconds since 1970."""
    device: IntVector
    """(n,) a number in `DEVICES`."""
    place: IntVector
    """(n,) a number in `PLACES`."""

    def __len__(self) -> int:
        return len(self.who)

    @property
    def hour(self) -> IntVector:
        """(n,) the hour of the day."""
        return (self.time // HOUR % 24).astype(np.int32)


class Ads(World):
    """See the module; `value`, `budget` and `group` (n_items,) are those of the campaigns, `taste` of the people."""

    config: AdsConfig

    def __init__(self, config: Config | None = None, **options: object) -> None:
        super().__init__(config, **options)
        own = self.config
        rng = Run(seed=own.seed).generator("ads")
        self.segment = rng.integers(0, len(SEGMENTS), own.n_users).astype(np.int32)
        by_segment = rng.standard_normal((len(SEGMENTS), own.n_groups))
        by_person = rng.standard_normal((own.n_users, own.n_groups))
        self.taste: DoubleMatrix = own.taste * (by_segment[self.segment] + by_person) / np.sqrt(2)
        self.busy: DoubleVector = rng.dirichlet(np.full(own.n_users, 3.0))
        self.group = (np.arange(own.n_items) % own.n_groups).astype(np.int32)
        self.click_base: DoubleVector = logit(own.click_rate) + 0.4 * rng.standard_normal(own.n_items)
        self.conversion_base: DoubleVector = logit(own.conversion_rate) + 0.4 * rng.standard_normal(own.n_items)
        self.rhythm: DoubleMatrix = 0.4 * np.sin(2 * np.pi * (np.arange(24) / 24 + rng.random((own.n_groups, 1))))
        self.value: DoubleVector = np.round(rng.lognormal(3, 0.5, own.n_items), 2)
        self.weight: DoubleVector = rng.dirichlet(np.full(own.n_items, 5.0))
        money = own.money * float(self.floors().sum())
        self.budget: DoubleVector = np.round(money * self.weight, 2) + 0.01  # a cent more, so that none is 0

    # ------------------------------------------------------------------ the law

    def clicks(self, asked: Asked, seen: AnyArray | int = 0) -> DoubleMatrix:
        """(n, n_items) the chance that each ad is clicked, if it is shown.

        Args:
            asked: (n,) to whom, and when.
            seen: (n, n_items) how often each ad was shown to the person on that day before, or one number for all.
        """
        own, device, place = self.config, CLICK_BY_DEVICE[asked.device], CLICK_BY_PLACE[asked.place]
        moved = self.taste[asked.who][:, self.group] + self.rhythm[:, asked.hour].T[:, self.group]
        found: DoubleMatrix = expit(
            self.click_base + moved + (device + place)[:, None] - own.fatigue * np.asarray(seen)
        )
        return found

    def conversions(self, asked: Asked) -> DoubleMatrix:
        """(n, n_items) the chance that a click on each ad becomes a conversion."""
        moved = self.taste[asked.who][:, self.group] / 2 + CONVERSION_BY_DEVICE[asked.device][:, None]
        found: DoubleMatrix = expit(self.conversion_base + moved)
        return found

    def worths(self, asked: Asked, seen: AnyArray | int = 0) -> DoubleMatrix:
        """(n, n_items) what a show of each ad is worth, in money; arguments as of `clicks`."""
        found: DoubleMatrix = self.value * self.clicks(asked, seen) * self.conversions(asked)
        return found

    def truth(self, queries: Queries) -> AnyArray:
        """(n_queries, n_items) what a show of each ad is worth; see `World.truth`.

        Device and place are those of the context, by name; without them, the first of `DEVICES` and `PLACES`.

        Raises:
            DataError: queries do not say whose they are, or when; or a device or place is unknown.
        """
        if queries.users is None or queries.now is None:
            raise DataError(f"the truth of {self.name} is of its users at a moment; the queries lack a user or a time")
        who = _numbers("user", list(queries.users), [f"u{at:05d}" for at in range(self.config.n_users)])
        n, context = len(queries), queries.context
        device = _numbers("device", list(context.get("device", [DEVICES[0]] * n)), DEVICES)
        place = _numbers("place", list(context.get("place", [PLACES[0]] * n)), PLACES)
        return self.worths(Asked(who, queries.now, device, place), _seen_today(queries, self.config.n_items))

    # ------------------------------------------------------------------ the log, and the day after it

    def impressions(self) -> pa.Table:
        """The log, by time: `user_id`, `item_id`, `time`, `device`, `place`, `seen`, `propensity`, `clicked` ...

        ... and `converted`. `seen` is how often the ad was shown to the person on that day before.
        """
        own = self.config
        rng = Run(seed=own.seed).generator("ads log")
        asked = self._asked(own.n_shows, START, own.days, rng)
        item = rng.choice(own.n_items, own.n_shows, p=self.weight).astype(np.int32)
        seen = counted_before(np.stack([asked.who, item, asked.time // DAY], 1))
        rows = np.arange(own.n_shows)
        clicked = rng.random(own.n_shows) < self._of_rows(asked, item, seen)
        converted = clicked & (rng.random(own.n_shows) < self.conversions(asked)[rows, item])
        return pa.table(
            {
                "user_id": pa.array(_ids("u", own.n_users)).take(pa.array(asked.who)),
                "item_id": pa.array(_ids("a", own.n_items)).take(pa.array(item)),
                "time": asked.time,
                "device": pa.array(DEVICES).take(pa.array(asked.device)),
                "place": pa.array(PLACES).take(pa.array(asked.place)),
                "seen": seen,
                "propensity": self.weight[item],
                "clicked": clicked,
                "converted": converted,
            }
        )

    def _of_rows(self, asked: Asked, item: IntVector, seen: LongVector) -> DoubleVector:
        """(n,) the chance that the ad of each row is clicked."""
        found: DoubleVector = self.clicks(asked, seen[:, None])[np.arange(len(item)), item]
        return found

    def requests(self) -> Asked:
        """The day after the log, by time."""
        rng = Run(seed=self.config.seed).generator("ads requests")
        return self._asked(self.config.n_requests, START + self.config.days * DAY, 1, rng)

    def floors(self) -> DoubleVector:
        """(n_requests,) what others would pay for each of `requests`: no ad is shown for less."""
        rng, place = Run(seed=self.config.seed).generator("ads floors"), self.requests().place
        found: DoubleVector = self.config.floor * FLOOR_BY_PLACE[place] * rng.lognormal(0, 0.4, len(place))
        return found

    def _asked(self, n: int, start: int, days: int, rng: np.random.Generator) -> Asked:
        hour = rng.choice(24, n, p=BY_HOUR / BY_HOUR.sum())
        time = np.sort(start + rng.integers(0, days, n) * DAY + hour * HOUR + rng.integers(0, HOUR, n))
        who = rng.choice(self.config.n_users, n, p=self.busy).astype(np.int32)
        device, place = (rng.integers(0, len(of), n).astype(np.int32) for of in (DEVICES, PLACES))
        return Asked(who, time, device, place)

    def dataset(self) -> Dataset:
        """The log as events: each exposure, a click ten seconds later, a conversion ten minutes after that."""
        log = self.impressions()
        clicked, converted = (log[name].to_numpy() for name in ("clicked", "converted"))
        row = np.concatenate([np.arange(len(clicked)), np.flatnonzero(clicked), np.flatnonzero(converted)])
        kind = np.repeat(np.arange(3, dtype=np.uint8), [len(clicked), clicked.sum(), converted.sum()])
        time = log["time"].to_numpy()[row] + np.array([0, MINUTE // 6, MINUTE // 6 + 10 * MINUTE])[kind]
        who, item = (_numbers_of(log[name])[row] for name in ("user_id", "item_id"))
        order = np.lexsort((kind, time, who))
        length = np.bincount(who, minlength=self.config.n_users).astype(np.int64)
        past = Histories.of_lengths(length, item=item[order], time=time[order], kind=kind[order])
        return Dataset.of(past, self.items, self.users, kinds=KINDS, name=self.name)

    @property
    def items(self) -> pa.Table:
        """The campaigns: `item_id`, `category`, `value` (money for a conversion) and `budget` (money for a day)."""
        names = group_names(self.config.n_groups)
        category = [names[at] for at in self.group]
        ids = _ids("a", self.config.n_items)
        return pa.table({"item_id": ids, "category": category, "value": self.value, "budget": self.budget})

    @property
    def users(self) -> pa.Table:
        """The people: `user_id` and `segment`."""
        return pa.table({"user_id": _ids("u", self.config.n_users), "segment": [SEGMENTS[at] for at in self.segment]})


def counted_before(key: AnyArray) -> LongVector:
    """(n,) how many of the rows before it are the same as each row of (n, m).

    >>> counted_before(np.array([[1, 2], [1, 3], [1, 2], [1, 2]])).tolist()
    [0, 0, 1, 2]
    """
    place = np.unique(key, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    found = np.empty(len(place), np.int64)
    found[order] = np.arange(len(place)) - np.repeat(first, np.diff(np.append(first, len(place))))
    return found


def _seen_today(queries: Queries, n_items: int) -> DoubleMatrix:
    """(n_queries, n_items) exposures in each history on the day of its moment; none where kinds are not told."""
    past, seen = queries.histories, np.zeros((len(queries), n_items))
    if past.time is None or past.kind is None or KINDS[0] not in queries.kinds:
        return seen
    assert queries.now is not None
    owner = past.owner()
    counts = (past.time // DAY == queries.now[owner] // DAY) & (past.kind == queries.kinds.index(KINDS[0]))
    np.add.at(seen, (owner[counts], past.item[counts]), 1)
    return seen


def _numbers(what: str, names: list[str], known: tuple[str, ...] | list[str]) -> IntVector:
    number = {name: at for at, name in enumerate(known)}
    strangers = [str(one) for one in names if one not in number]
    if strangers:
        raise DataError(f"{strangers[0]!r} is no {what} of the world of ads; ask for one that it has")
    return np.array([number[one] for one in names], np.int32)


def _numbers_of(ids: pa.ChunkedArray) -> IntVector:
    """(n,) the numbers in ids such as u00012."""
    return np.array([int(one[1:]) for one in ids.to_pylist()], np.int32)


def _ids(letter: str, n: int) -> list[str]:
    return [f"{letter}{number:05d}" for number in range(n)]
