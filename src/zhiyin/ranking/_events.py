"""What had happened until a moment: counts, sums and last times of events by key, exact for any moment.

The events of each key stand in the order of their times, in one array; a look-up is a binary search, so that a column
of a million rows, each with a moment of its own, is one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, LongVector, offsets_of


@dataclass(frozen=True, slots=True, eq=False)
class EventsByKey:
    """Events of numbered keys (items, creators, ...) in the order of their times."""

    offsets: LongVector
    """(n_keys + 1,) where the events of each key begin."""
    time: LongVector
    """(n_events,) rising within a key."""
    moments: LongVector
    """(m,) all different times, rising."""
    place: LongVector
    """(n_events,) rising: the key and the place of its time among `moments`, in one number."""

    @classmethod
    def of(cls, key: AnyArray, time: LongVector, n_keys: int) -> EventsByKey:
        """From events in any order.

        Args:
            key: (n_events,) from 0 to n_keys - 1.
            time: (n_events,).
            n_keys: how many keys there are.
        """
        return cls.sorted(offsets_of(np.bincount(key, minlength=n_keys)), time[np.lexsort((time, key))])

    @classmethod
    def sorted(cls, offsets: LongVector, time: LongVector) -> EventsByKey:
        """From times that rise within each key."""
        moments = np.unique(time)
        key = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        return cls(offsets, time, moments, key * (len(moments) + 1) + np.searchsorted(moments, time))

    def before(self, key: AnyArray, moment: AnyArray) -> LongVector:
        """(n,) how many events of each key came before each moment."""
        moment = np.asarray(moment)
        one = len(moment) > 1 and (moment == moment[0]).all()  # as of the candidates of a live query
        at = np.searchsorted(self.moments, moment[:1] if one else moment)
        if one and at[0] == len(self.moments):  # all that is known came before, as for most live queries
            return np.asarray(self.offsets[np.asarray(key) + 1] - self.offsets[key])
        wanted = key.astype(np.int64) * (len(self.moments) + 1) + at
        found: LongVector = np.searchsorted(self.place, wanted) - self.offsets[key]
        return found

    def between(self, key: AnyArray, start: AnyArray, stop: AnyArray) -> LongVector:
        """(n,) how many events of each key came at `start` or later, and before `stop`."""
        return self.before(key, stop) - self.before(key, start)

    def first(self, key: AnyArray) -> LongVector:
        """(n,) when each key had its first event; the end of time for one without any."""
        start = self.offsets[key]
        there = self.offsets[np.asarray(key) + 1] > start
        found: LongVector = np.full(len(start), np.iinfo(np.int64).max)
        found[there] = self.time[start[there]]
        return found


def since(earlier: AnyArray, now: AnyArray, unit: int) -> DoubleVector:
    """(n,) how long ago, in units; NaN where one of the two is not known.

    >>> since(np.array([0, 10]), np.array([20, np.iinfo(np.int64).max]), 10)
    array([ 2., nan])
    """
    ends = np.iinfo(np.int64)
    known = (earlier > ends.min) & (earlier < ends.max) & (now < ends.max)
    found: DoubleVector = np.full(np.shape(known), np.nan)
    np.divide(np.subtract(now, earlier, where=known, out=np.zeros_like(now)), unit, where=known, out=found)
    return found
