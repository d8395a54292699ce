"""Random: a list drawn by chance. What any model must beat, and what exploration starts from.

Chance here is a hash of the seed, the history and the item: nobody else in the batch, no earlier call and no saving and
loading changes a list.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zhiyin.arrays import FloatMatrix, IntVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.models.base import Recommender
from zhiyin.run import Run

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the step of SplitMix64."""


class RandomConfig(Config):
    """Settings of `random`."""

    seed: int = setting(0, ge=0, lt=2**63)
    """Another seed gives everybody another list."""


class Random(Recommender):
    """Score every item of the catalogue by chance, uniformly between 0 and 1, for each history anew."""

    config: RandomConfig

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        """There is nothing to learn but the catalogue."""

    def _score(self, queries: Queries) -> FloatMatrix:
        keys = _history_keys(queries.histories, self.config.seed)
        items = np.arange(1, self.n_items + 1, dtype=np.uint64) * GOLDEN
        bits = _mix(keys[:, None] + items)
        return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)

    def _row_bytes(self) -> int:
        return 40 * self.n_items  # four arrays of 64-bit hashes and the scores

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        return np.zeros((query.histories.n_events, len(items)), np.float32)

    def _general_reason(self, item: int, query: Queries) -> Reason:
        return Reason("chance", 0.0, text=f"drawn by chance with seed {self.config.seed}")


def _history_keys(histories: Histories, seed: int) -> Hashes:
    """(n,) a hash of the seed and of each history's items with their places in it."""
    place = (np.arange(histories.n_events) - np.repeat(histories.offsets[:-1], histories.lengths)).astype(np.uint64)
    events = _mix(_mix(histories.item.astype(np.uint64)) + place * GOLDEN)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(events, dtype=np.uint64)])  # wraps around, as a hash may
    return _mix(_mix(sums[histories.offsets[1:]] - sums[histories.offsets[:-1]]) + np.uint64(seed))


def _mix(x: Hashes) -> Hashes:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of `x` (Steele et al., OOPSLA 2014)."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
