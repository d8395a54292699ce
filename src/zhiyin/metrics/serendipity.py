"""Serendipity at k: hits that the popularity list would not have given (Kaminskas & Bridge, TiiS 2016).

SER@k = (1/k) · Σ_{place p ≤ k} hit_p · unexpected_p

against = "list": unexpected_p = 1 if the item is not among the k most popular ones outside the query's history, else 0
                  (a primitive recommender's list: Murakami et al., JSAI 2007; Ge et al., RecSys 2010)
against = "rank": unexpected_p = max(0, rank − p) / n_items, the item's rank by popularity against its place p in the
                  list, both from 1: how much higher the list puts it (the variant of the library RecTools)

An item of the history is never unexpected. Popularity is training events. Ties are taken as broken at random: of items
tied at the end of the popularity list each is on it by its chance, and tied items have the mean of their ranks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from zhiyin.arrays import DoubleVector, IntVector, LongVector
from zhiyin.data.histories import Histories
from zhiyin.metrics.base import AtK, ListMetric, Lists, where_targets


class SerendipityConfig(AtK):
    """Settings of `serendipity`."""

    against: Literal["list", "rank"] = "list"
    """Whether a hit counts if the popularity list lacks it, or by how far it stands above its popularity rank."""


class Serendipity(ListMetric):
    """Relevant and unexpected items per place of the list; NaN for a query without targets.

    >>> Serendipity(k=1)([["hit"], ["gem"]], [["hit"], ["gem"]], histories=[["film"], ["hit", "hit"]])
    0.5
    """

    config: SerendipityConfig

    def _per_query(self, lists: Lists) -> DoubleVector:
        k, world = self.config.k, lists.world
        row, place = np.nonzero(lists.hits[:, :k] & ~lists.seen[:, :k])
        item = lists.items[row, place]
        if self.config.against == "rank":
            first, stop = world.popularity_ties
            rank = (first[item] + stop[item] + 1) / 2
            worth = np.maximum(0, rank - (place + 1)) / world.n_items
        else:
            worth = 1 - _chance_on_popularity_list(lists, row, item, k)
        return where_targets(lists, np.bincount(row, worth, minlength=len(lists)) / k)


def _chance_on_popularity_list(lists: Lists, row: LongVector, item: IntVector, k: int) -> DoubleVector:
    """(m,) the chance that new items are among the k most popular ones outside the history of their `row`."""
    first, stop = (ranks[item] for ranks in lists.world.popularity_ties)
    chance = (stop <= k).astype(np.float64)
    # elsewhere the history decides; but it can only move an item up by as many places as it has events
    open_cases = np.flatnonzero((stop > k) & (first < k + lists.histories.lengths[row]))
    above, tied = _new_items(lists, row[open_cases], first[open_cases], stop[open_cases])
    chance[open_cases] = np.clip((k - above) / tied, 0, 1)
    return chance


def _new_items(lists: Lists, row: LongVector, first: LongVector, stop: LongVector) -> tuple[LongVector, LongVector]:
    """(m,) how many items outside the history of `row` have a rank before `first`, and from `first` to `stop`."""
    rows, at = np.unique(row, return_inverse=True)
    past = Histories(lists.histories.offsets, lists.histories.item).take(rows)
    n_items = lists.world.n_items
    known = np.unique(past.owner().astype(np.int64) * n_items + lists.world.popularity_rank[past.item])
    start, low, high = (np.searchsorted(known, at * n_items + rank) for rank in (np.zeros_like(first), first, stop))
    return first - (low - start), stop - first - (high - low)
