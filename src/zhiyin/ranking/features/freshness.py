"""How new an item is, by what the catalogue says of it: since when it is there, and how long it will be."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.ranking._cells import times_of
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run

DAY = 86_400_000_000
FOREVER = np.iinfo(np.int64).max


class FreshnessConfig(Config):
    """Settings of `freshness`."""

    start: str = "available_from"
    """The column of the first moment of an item."""
    end: str = "available_until"
    """The column of the first moment at which it is over."""


class Freshness(Family):
    """Days since an item is there and until it is over; NaN where that is not told, and before it is there.

    Unlike the age of `popularity`, which counts from the first event, it knows an item that nobody has used yet.
    """

    config: FreshnessConfig
    learns = ("first", "last")
    first: LongVector
    """(n_items,) microseconds since 1970; the largest number where it is not told."""
    last: LongVector
    """(n_items,) the same."""

    def suits(self, train: Dataset) -> bool:
        """Whether one of the columns is there, and times are known."""
        return train.clock == "time" and bool({self.config.start, self.config.end} & set(train.item_table.column_names))

    def _fit(self, train: Dataset, run: Run) -> None:
        own, table = self.config, train.item_table
        self.first, self.last = times_of(table, own.start, FOREVER), times_of(table, own.end, FOREVER)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        now = candidates.now()[candidates.owner()]
        found, edges = (
            {},
            {"days since the item is there": (self.first, 1), "days until the item is over": (self.last, -1)},
        )
        for name, (edge, sign) in edges.items():
            moment = edge[candidates.item]
            known = (moment != FOREVER) & (now != FOREVER)
            days = np.where(known, sign * np.subtract(now, moment, where=known, out=np.zeros_like(now)) / DAY, np.nan)
            found[name] = np.where(days >= 0, days, np.nan).astype(np.float32)
        return found
