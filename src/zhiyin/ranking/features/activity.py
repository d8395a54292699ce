"""What a person did until now, whatever the item: how much, how recently, how generously."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.config import Config
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.ranking._events import since
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family

DAY = 86_400_000_000


class ActivityConfig(Config):
    """Settings of `activity`."""

    windows: tuple[float, ...] = (1.0, 7.0, 30.0)
    """The lengths of the windows before now, in days, whose events are counted."""


class Activity(Family):
    """Counts of the events of a query's own history, how long ago they were, and the mean of their values."""

    config: ActivityConfig

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        past, now, owner = candidates.queries.histories, candidates.now(), candidates.owner()
        found: dict[str, AnyArray] = {"events of the person": past.lengths.astype(np.float32)}
        if past.time is not None and candidates.queries.now is not None:
            last, first = (_edge(past, at) for at in ("last", "first"))
            found["days since the person's last event"] = since(last, now, DAY)
            found["days since the person's first event"] = since(first, now, DAY)
            whose = past.owner()
            age = since(past.time, now[whose], DAY)
            for days in self.config.windows:
                recent = np.bincount(whose[age <= days], minlength=len(past))
                found[f"events of the person, last {days:g} days"] = recent.astype(np.float32)
        if past.value is not None:
            found["mean value that the person gives"] = mean_of(past.owner(), past.value, len(past))
        return {name: column[owner] for name, column in found.items()}


def _edge(past: Histories, which: str) -> LongVector:
    """(n,) the time of the first or last event of each history; `NO_TIME` where there is none."""
    assert past.time is not None
    some = past.lengths > 0
    found = np.full(len(past), NO_TIME)
    found[some] = past.time[past.offsets[:-1][some] if which == "first" else past.offsets[1:][some] - 1]
    return found


def mean_of(owner: AnyArray, values: AnyArray, n: int) -> AnyArray:
    """(n,) the mean of the known values of each owner, NaN where there is none."""
    known = ~np.isnan(values)
    count = np.bincount(owner[known], minlength=n)
    total = np.bincount(owner[known], values[known], n)
    found: AnyArray = np.divide(total, count, where=count > 0, out=np.full(n, np.nan))
    return found
