"""Novelty: less of what everybody knows anyway, by the surprise of meeting an item, -log2 p (Zhou et al., PNAS 2010).

gain(i) = (1 - s) * relevance(i) + s * surprise(i),   s the strength
surprise(i) = -log2 p(i), from 0 for the most popular of the pool to 1 for the least,   p(i) as in the metric `novelty`
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.data.dataset import Dataset
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.rerankers.base import ReRanker, Weighing
from zhiyin.run import Run


class Novelty(ReRanker):
    """Pushes down popular items; by the events of the whole training log."""

    config: Weighing
    learns = ("surprise",)
    surprise: DoubleVector
    """(n_items,) in bits."""

    def _fit(self, train: Dataset, run: Run) -> None:
        count = train.popularity + 1.0
        self.surprise = -np.log2(count / count.sum())

    def _rerank(self, ranked: Ranked, draft: Draft, run: Run) -> None:
        own = self.config
        surprise = draft.scaled(self.surprise[ranked.candidates.item])
        gain = (1 - own.strength) * draft.relevance(own.relevance) + own.strength * surprise
        while draft.unfinished:
            draft.pick(gain)
