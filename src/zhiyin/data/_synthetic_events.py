"""The events of a synthetic world, made in lots in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from zhiyin.arrays import AnyArray, IntVector, LongVector
from zhiyin.data._synthetic_truth import HOUR, SECOND, Truth, day_of_year, hour_of_week
from zhiyin.run import Run

KINDS = ("view", "cart", "purchase")
CHUNK = 1_000_000
"""About so many views are made at once."""


@dataclass(frozen=True, slots=True)
class Events:
    """Some events in the order of time: (n,) users, items, seconds since 1970, kinds (numbers in `KINDS`), values."""

    user: IntVector
    item: IntVector
    time: LongVector
    kind: AnyArray
    value: AnyArray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: AnyArray | slice) -> Events:
        """Some of the events, in the order of `rows`."""
        return Events(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def join(cls, parts: list[Events]) -> Events:
        """Several lots of events, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


class EventMaker:
    """Makes the events of one world; each maker makes the same events."""

    def __init__(self, truth: Truth) -> None:
        self.truth, self.config = truth, truth.config
        self.rng = Run(seed=truth.config.seed).generator("synthetic events")
        self.buyers = np.cumsum(truth.activity)

    def lots(self) -> Iterator[Events]:
        """Yield the events in the order of time, in lots of about a million; memory does not grow with them."""
        per_hour, waiting, n_made = self._views_per_hour(), _no_events(), 0
        due = np.round(np.cumsum(per_hour) / per_hour.sum() * self.config.n_events).astype(np.int64)
        for first, last in _lots(per_hour):
            views = self._views(first, per_hour[first:last])
            made = Events.join([waiting, views, self._follow_ups(views)])
            made = made.take(np.argsort(made.time, kind="stable"))
            if last < len(per_hour):
                ready = int(np.searchsorted(made.time, self.config.start + last * HOUR))
                made, waiting = made.take(slice(None, ready)), made.take(slice(ready, None))
            made = self._trimmed(made, int(due[last - 1]) - n_made, first, last)
            n_made += len(made)
            yield made

    def _views_per_hour(self) -> LongVector:
        """(hours,) how many views each hour of the world gets, by the season of activity."""
        config = self.config
        seconds = config.start + np.arange(config.days * 24) * HOUR
        hour, day = hour_of_week(seconds), day_of_year(seconds)
        wave = np.cos(2 * np.pi * (hour % 24 - 20) / 24) + 0.3 * (hour >= 120) + 0.3 * np.cos(2 * np.pi * day / 365)
        pace = np.exp(config.season * wave)
        expected = 1 + config.cart_rate * (1 + config.purchase_rate)
        return self.rng.multinomial(max(1, round(config.n_events / expected)), pace / pace.sum())

    def _views(self, first: int, per_hour: LongVector) -> Events:
        """Views of some hours from the hour `first` on, in the order of time."""
        truth = self.truth
        hour = np.repeat(np.arange(first, first + len(per_hour)), per_hour)
        time = np.sort(self.config.start + hour * HOUR + self.rng.integers(0, HOUR, len(hour)))
        user = np.searchsorted(self.buyers, self.rng.random(len(time)) * self.buyers[-1], side="right")
        user = np.minimum(user, self.config.n_users - 1).astype(np.int32)
        item, affinity = np.zeros(len(time), np.int32), np.zeros(len(time))
        rows = max(1, 8_000_000 // self.config.n_groups)
        for at in range(0, len(time), rows):
            part = slice(at, at + rows)
            chances = truth.group_chances(user[part], time[part] * SECOND)
            item[part] = truth.shop.draw(chances, time[part], self.rng)
            affinity[part] = truth.fit(chances, item[part])
        value = np.clip(np.round(truth.rating(affinity) + self.rng.normal(0, 0.6, len(time))), 1, 5).astype(np.float32)
        return Events(user, item, time, np.zeros(len(time), np.uint8), value)

    def _follow_ups(self, views: Events) -> Events:
        """Carts that some views lead to, and purchases that some carts lead to, some minutes later."""
        carts = self._some(views, self.config.cart_rate, kind=1)
        return Events.join([carts, self._some(carts, self.config.purchase_rate, kind=2)])

    def _some(self, events: Events, rate: float, kind: int) -> Events:
        """Some of the events again as another kind, up to 15 minutes later; the better liked, the more often."""
        if not len(events):
            return events
        chosen = events.take(self.rng.random(len(events)) < rate * events.value / events.value.mean())
        delay = self.rng.integers(20, 900, len(chosen))
        return Events(chosen.user, chosen.item, chosen.time + delay, np.full(len(chosen), kind, np.uint8), chosen.value)

    def _trimmed(self, made: Events, wanted: int, first: int, last: int) -> Events:
        """Exactly so many events as are wanted: a few left out at random, or a few more views."""
        if len(made) > wanted:
            return made.take(np.sort(self.rng.choice(len(made), wanted, replace=False)))
        more = self.rng.multinomial(wanted - len(made), np.full(last - first, 1 / (last - first)))
        made = Events.join([made, self._views(first, more)])
        return made.take(np.argsort(made.time, kind="stable"))


def _lots(per_hour: LongVector) -> list[tuple[int, int]]:
    """Runs of hours with about `CHUNK` views each."""
    reached = np.cumsum(per_hour)
    ends = np.searchsorted(reached, np.arange(CHUNK, reached[-1], CHUNK)) + 1
    edges = np.unique(np.concatenate([[0], ends, [len(per_hour)]])).tolist()
    return list(pairwise(edges))


def _no_events() -> Events:
    nobody, never = np.zeros(0, np.int32), np.zeros(0, np.int64)
    return Events(nobody, nobody, never, np.zeros(0, np.uint8), np.zeros(0, np.float32))
