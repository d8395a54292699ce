"""News: articles appear all the time and are old after a day or two; what they say tells whom they are for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.arrays import DoubleMatrix, LongVector
from zhiyin.config import setting
from zhiyin.scenarios.worlds.base import DAY, START, Moment, Tastes, TastesConfig


class NewsConfig(TastesConfig):
    """Settings of `news`."""

    days: int = setting(30, ge=1)
    """Length of time."""
    half_life: float = setting(1.0, gt=0)
    """After so many days an article is read half as much."""


class News(Tastes):
    """Chances are those of tastes, times 2^-(age / half_life), among the articles that are out and were not read."""

    config: NewsConfig
    out: LongVector
    """(n_items,) when each article appears, microseconds since 1970."""

    def _made(self, rng: np.random.Generator) -> None:
        own = self.config
        first = np.arange(own.n_items) < own.n_groups
        self.out = START + np.where(first, 0, rng.integers(0, own.days * DAY, own.n_items))
        at = self.items.column_names.index("available_from")
        self.items = self.items.set_column(at, "available_from", pa.array(self.out))

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class."""
        age = (at.now[:, None] - self.out) / DAY
        fresh = np.where(age >= 0, np.exp2(-np.maximum(age, 0) / self.config.half_life), 0)
        found: DoubleMatrix = self.likes(at) * fresh * (at.used == 0)
        return found
