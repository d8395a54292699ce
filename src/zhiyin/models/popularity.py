"""Popularity: the most used items, of all time, of a recent window, or with older events fading.

The baseline that every gain is measured against; under a global time split its windowed form is hard to beat.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from zhiyin.arrays import DoubleVector, FloatMatrix, FloatVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.models.base import Recommender
from zhiyin.run import Run

DAY = 86_400_000_000


class PopularityConfig(Config):
    """Settings of `popularity`."""

    fade: Literal["none", "window", "decay"] = "none"
    """What happens to older events: nothing, they fall out of a window, or they fade exponentially."""
    days: float = setting(30.0, gt=0, search=Search(1, 365, log=True))
    """The length of the window, or the half-life of the decay, in days before the last training event."""


class Popularity(Recommender):
    """Score every item by the summed strength of its events, the same for everybody."""

    config: PopularityConfig
    learns = ("strength",)
    strength: FloatVector

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        weights = train.histories.strength().astype(np.float64) * self._freshness(train)
        self.strength = np.bincount(train.histories.item, weights, train.n_items).astype(np.float32)

    def _freshness(self, train: Dataset) -> DoubleVector | float:
        if self.config.fade == "none":
            return 1.0
        train.need("time", f"popularity with fade={self.config.fade}")
        time = train.histories.time
        assert time is not None
        age = (time.max() - time) / (self.config.days * DAY)
        fresh: DoubleVector = (age <= 1).astype(np.float64) if self.config.fade == "window" else np.exp2(-age)
        return fresh

    def _score(self, queries: Queries) -> FloatMatrix:
        scores = np.where(self.strength > 0, self.strength, -np.inf).astype(np.float32)
        return np.tile(scores, (len(queries), 1))

    def _contributions(self, query: Queries, items: np.ndarray) -> FloatMatrix:
        return np.zeros((query.histories.n_events, len(items)), np.float32)

    def _general_reason(self, item: int, query: Queries) -> Reason:
        window = {
            "none": "of all time",
            "window": f"in the last {self.config.days:g} days",
            "decay": f"with a half-life of {self.config.days:g} days",
        }[self.config.fade]
        return Reason("popularity", float(self.strength[item]), text=f"popular {window}")
