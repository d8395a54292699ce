"""Video: many clips are begun, few are watched to their end; the watch ratio tells what was liked, a view does not."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincc

from zhiyin.arrays import AnyArray, DoubleMatrix, DoubleVector, FloatVector, IntVector
from zhiyin.config import setting
from zhiyin.data.queries import Queries
from zhiyin.scenarios.worlds.base import Moment, Tastes, TastesConfig


class VideoConfig(TastesConfig):
    """Settings of `video`."""

    bait: float = setting(1.0, ge=0)
    """How much the appeal of clips differs from how good they are (sigma of a log-normal)."""
    evenness: float = setting(6.0, gt=0)
    """How even watch ratios are: the sum of both parameters of their beta distribution."""
    wanted: float = setting(0.5, gt=0, lt=1)
    """The truth is of clips of which so much is watched, or more."""


class Video(Tastes):
    """A clip is begun by taste, popularity and its appeal; how much of it is watched, by taste and its quality.

    `quality` (n_items,) is between 0 and 1. A watch ratio is drawn from a beta distribution around quality times the
    root of how much the person likes its group, where that of the group they like best is 1.
    """

    config: VideoConfig
    quality: DoubleVector
    appeal: DoubleVector

    def _made(self, rng: np.random.Generator) -> None:
        self.quality = rng.beta(1.2, 1.2, self.config.n_items)
        self.appeal = rng.lognormal(0, self.config.bait, self.config.n_items)

    def chances(self, at: Moment) -> DoubleMatrix:
        """(n, n_items) the chance that each clip is the next one to be begun."""
        found: DoubleMatrix = self.likes(at) * self.appeal * (at.used == 0)
        return found

    def watched(self, who: IntVector) -> DoubleMatrix:
        """(n, n_items) the mean watch ratio."""
        liked = np.sqrt(self.taste / self.taste.max(1, keepdims=True))[who][:, self.group]
        found: DoubleMatrix = np.clip(liked * self.quality, 0.02, 0.98)
        return found

    def values(self, at: Moment, item: IntVector, rng: np.random.Generator) -> FloatVector:
        """(n,) watch ratios."""
        mean, even = self.watched(at.who)[np.arange(len(item)), item], self.config.evenness
        return rng.beta(mean * even, (1 - mean) * even).astype(np.float32)

    def truth(self, queries: Queries) -> AnyArray:
        """The chance that each clip is the next one to be begun, and of so much of it being watched."""
        mean, even = self.watched(self.whose(queries)), self.config.evenness
        found: AnyArray = super().truth(queries) * betaincc(mean * even, (1 - mean) * even, self.config.wanted)
        return found
