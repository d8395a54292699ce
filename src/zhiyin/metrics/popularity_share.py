"""Popularity share at k: how much of a list is the head of the catalogue (Abdollahpouri et al., FLAIRS 2019).

PS@k = |listed items ∩ head| / |listed items|,   head = the ⌈0.2 · n_items⌉ items with most events in training

It is one minus their average percentage of long-tail items. Of items as popular as the last of the head, each counts by
the chance that it would be in the head if ties were broken at random: the order of the catalogue changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.config import setting
from zhiyin.metrics.base import AtK, ListMetric, Lists, World


class PopularityShareConfig(AtK):
    """Settings of `popularity_share`."""

    head: float = setting(0.2, gt=0, le=1)
    """Share of the catalogue that is its head."""


class PopularityShare(ListMetric):
    """Share of the list that the most popular items fill; NaN for an empty list.

    >>> PopularityShare(k=2)([["a", "b"]], histories=[["a", "a", "b", "c", "d", "e"]])
    0.5
    """

    config: PopularityShareConfig
    higher_is_better = None

    def _per_query(self, lists: Lists) -> DoubleVector:
        return lists.mean_over_places(self.config.k, self._in_head(lists.world))

    def _in_head(self, world: World) -> DoubleVector:
        """(n_items,) the chance that an item is in the head."""
        size = math.ceil(round(self.config.head * world.n_items, 9))
        first, stop = world.popularity_ties
        chance: DoubleVector = np.clip((size - first) / (stop - first), 0, 1)
        return chance
