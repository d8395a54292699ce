"""How an item is valued until now, where events have values (ratings, watch ratios): by all, of late, beside the usual.

What people give differs from person to person, so beside the mean of an item there is its mean above what each of its
people gave before. An item of few values is drawn to what all items have.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.ranking._events import EventsByKey
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run

DAY = 86_400_000_000


class ValuesConfig(Config):
    """Settings of `values`."""

    window: float = setting(30.0, gt=0)
    """What is of late: so many days before now."""
    prior: float = setting(5.0, ge=0)
    """So many values of all items are added to those of an item, and of a person."""


class Values(Family):
    """Means of an item's values before now, and what to expect of this person and item by both alone."""

    config: ValuesConfig
    counts = True
    learns = ("offsets", "time", "sums", "above", "moments", "whole")
    offsets: LongVector
    """(n_items + 1,) where the events of each item begin."""
    time: LongVector
    """(n_events,) rising within an item; only events with a value."""
    sums: DoubleVector
    """(n_events + 1,) the sum of all values up to each place."""
    above: DoubleVector
    """(n_events + 1,) the same of what is above the person's mean until then."""
    moments: LongVector
    """(n_events,) rising: all times."""
    whole: DoubleVector
    """(n_events + 1,) the sum of all values up to each of these."""
    _events: EventsByKey

    def suits(self, train: Dataset) -> bool:
        """Whether there are values, and times."""
        value = train.histories.value
        return value is not None and train.clock == "time" and bool((~np.isnan(value)).any())

    def _fit(self, train: Dataset, run: Run) -> None:
        past = train.histories
        assert past.time is not None
        assert past.value is not None
        known = ~np.isnan(past.value)
        item, time, value = past.item[known], past.time[known], past.value[known].astype(np.float64)
        above = value - _until(past.owner()[known], time, value)
        order, by_time = np.lexsort((time, item)), np.argsort(time, kind="stable")
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=train.n_items))]).astype(np.int64)
        self.time, self.sums, self.above = time[order], _summed(value[order]), _summed(above[order])
        self.moments, self.whole = time[by_time], _summed(value[by_time])
        self.derive()

    def derive(self) -> None:
        """Make what is not saved."""
        self._events = EventsByKey.sorted(self.offsets, self.time)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        own, item, owner = self.config, candidates.item, candidates.owner()
        now = candidates.now()
        there = np.searchsorted(self.moments, now)
        usual = np.divide(self.whole[there], there, out=np.full(len(now), np.nan), where=there > 0)[owner]
        start, stop = self.offsets[item], self.offsets[item] + self._events.before(item, now[owner])
        late = self.offsets[item] + self._events.before(item, self._late(now)[owner])
        mean = _shrunk(self.sums[stop] - self.sums[start], stop - start, usual, own.prior)
        above = _shrunk(self.above[stop] - self.above[start], stop - start, 0.0, own.prior)
        found = {
            "mean value of the item": np.where(stop > start, mean, np.nan),
            f"mean value of the item, last {own.window:g} days": _shrunk(
                self.sums[stop] - self.sums[late], stop - late, mean, own.prior
            ),
            "value of the item above the usual of its people": np.where(stop > start, above, np.nan),
        }
        past = candidates.queries.histories
        if past.value is not None:
            known = ~np.isnan(past.value)
            given = np.bincount(past.owner()[known], past.value[known], len(past))[owner]
            count = np.bincount(past.owner()[known], minlength=len(past))[owner]
            found["value to expect of the person and the item"] = _shrunk(given, count, usual, own.prior) + above
        return found

    def _late(self, now: LongVector) -> LongVector:
        """(n,) where what is of late begins."""
        last = self.moments[-1] + 1
        held: LongVector = np.where(now == np.iinfo(np.int64).max, last, now) - int(self.config.window * DAY)
        return held


def _until(owner: AnyArray, time: LongVector, value: DoubleVector) -> DoubleVector:
    """(n,) the mean of the values that the same person gave strictly before each; that of all until then for a first.

    Rows are in the order of people and, inside each, of times.
    """
    people = EventsByKey.sorted(np.concatenate([[0], np.cumsum(np.bincount(owner))]), time)
    count, sums = people.before(owner, time), _summed(value)
    start = people.offsets[owner]
    by_time = np.argsort(time, kind="stable")
    earlier = np.searchsorted(time[by_time], time)
    whole = np.divide(_summed(value[by_time])[earlier], earlier, out=value.copy(), where=earlier > 0)
    own: DoubleVector = np.divide(sums[start + count] - sums[start], count, out=whole, where=count > 0)
    return own


def _summed(values: DoubleVector) -> DoubleVector:
    """(n + 1,) from 0."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _shrunk(total: AnyArray, count: AnyArray, usual: AnyArray | float, prior: float) -> DoubleVector:
    """(n,) the mean with so many values of the usual added; NaN where there are neither."""
    n = count + prior
    found: DoubleVector = np.divide(total + prior * usual, n, out=np.full(len(n), np.nan), where=n > 0)
    return found
