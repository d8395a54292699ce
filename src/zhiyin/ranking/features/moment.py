"""When it is asked: the hour, the day of the week and the month, as numbers."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.config import Config
from zhiyin.data.features import context_features
from zhiyin.data.histories import NO_TIME
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family, numbers


class MomentConfig(Config):
    """Settings of `moment`: none."""


class Moment(Family):
    """Hour (0 to 23), weekday (0 is Monday) and month of the query, in UTC; NaN where the moment is not known."""

    config: MomentConfig

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        now = candidates.queries.now
        if now is None:
            return {}
        told = now != NO_TIME
        table = context_features(np.where(told, now, 0))
        found = {}
        for name, column in (("hour", "hour"), ("weekday", "weekday"), ("month", "month")):
            values = numbers(table[column].to_numpy())
            values[~told] = np.nan
            found[name] = values[candidates.owner()]
        return found
