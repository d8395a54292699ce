"""How much an item was used until now: of late, before, and since when it is there."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.ranking._events import EventsByKey, since
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family, numbers
from zhiyin.run import Run

DAY = 86_400_000_000


class PopularityConfig(Config):
    """Settings of `popularity`."""

    windows: tuple[float, ...] = (1.0, 7.0, 30.0)
    """The lengths of the windows before now, in days, whose events are counted."""


class Popularity(Family):
    """Counts of an item's events before now, in windows and altogether, their trend, and the item's age."""

    config: PopularityConfig
    counts = True
    learns = ("offsets", "time")
    offsets: LongVector
    """(n_items + 1,) where the events of each item begin."""
    time: LongVector
    """(n_events,) rising within an item; zeros where times are not known."""
    _events: EventsByKey

    def _fit(self, train: Dataset, run: Run) -> None:
        told = train.histories.time if train.clock == "time" else None
        time = np.zeros(train.n_events, np.int64) if told is None else told
        self._events = EventsByKey.of(train.histories.item, time, train.n_items)
        self.offsets, self.time = self._events.offsets, self._events.time

    def derive(self) -> None:
        """Make what is not saved."""
        self._events = EventsByKey.sorted(self.offsets, self.time)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        item, now = candidates.item, candidates.now()[candidates.owner()]
        whole = self._events.before(item, now)
        found = {"events of the item": numbers(whole)}
        if len(self._events.moments) < 2:
            return found
        age = since(self._events.first(item), now, DAY)
        found["days since the item's first event"] = np.where(age > 0, age, np.nan)
        now = np.where(now == np.iinfo(np.int64).max, self._events.moments[-1] + 1, now)  # windows of the log's end
        recent = {days: whole - self._events.before(item, _ago(now, days)) for days in self.config.windows}
        found |= {f"events of the item, last {days:g} days": numbers(count) for days, count in recent.items()}
        if len(recent) > 1:
            found["trend of the item"] = _trend(recent)
        return found


def _trend(recent: dict[float, LongVector]) -> DoubleVector:
    """(n,) events a day in the shortest window beside the longest, logarithm of the ratio with one event more."""
    short, long = min(recent), max(recent)
    found: DoubleVector = np.log((recent[short] + 1) / (recent[long] * short / long + 1))
    return found


def _ago(now: LongVector, days: float) -> LongVector:
    """(n,) the moments so many days before."""
    found: LongVector = now - int(days * DAY)
    return found
