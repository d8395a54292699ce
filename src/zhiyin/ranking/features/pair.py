"""What a person did with this very item until now: how often, how long ago, and what they thought of it."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.config import Config
from zhiyin.data.histories import NO_TIME
from zhiyin.ranking._events import since
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family, numbers

DAY = 86_400_000_000


class PairConfig(Config):
    """Settings of `pair`: none."""


class Pair(Family):
    """Counts of the events of a query's history that are on the candidate itself; for repeats."""

    config: PairConfig

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        past = candidates.queries.histories
        n_items = len(candidates.queries.items)
        key = past.owner().astype(np.int64) * n_items + past.item
        order = np.argsort(key, kind="stable")
        key = key[order]
        wanted = candidates.owner().astype(np.int64) * n_items + candidates.item
        start, stop = np.searchsorted(key, wanted), np.searchsorted(key, wanted, side="right")
        there = stop > start
        found = {"times that the person had the item": numbers(stop - start)}
        last = order[np.maximum(stop - 1, 0)] if len(order) else np.zeros(len(wanted), np.int64)
        if past.time is not None and candidates.queries.now is not None:
            time = np.full(len(wanted), NO_TIME)
            time[there] = past.time[last[there]]
            found["days since the person had the item"] = since(time, candidates.now()[candidates.owner()], DAY)
        if past.value is not None:
            value = np.full(len(wanted), np.nan, np.float32)
            value[there] = past.value[last[there]]
            found["value that the person gave the item"] = value
        return found
