"""What there is to draw in a synthetic world: the items of each group, as they appear in the course of time."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, IntVector, LongVector

_FAR = 1 << 40
"""More seconds than any world lasts."""


class Shop:
    """The items of each group in the order in which they appear, with running sums of their chances.

    Entry `j` of the flat arrays is an item of a group; entries are sorted by group, then by launch, so that the items
    of a group that exist at a moment are one run, and one is drawn from them by two binary searches.
    """

    def __init__(self, membership: sparse.csr_array, weights: DoubleVector, launches: LongVector) -> None:
        entries, n_groups = membership.tocoo(), membership.shape[0]
        launch = launches[entries.col]
        order = np.lexsort((launch, entries.row))
        self.group, self.item = entries.row[order].astype(np.int64), entries.col[order].astype(np.int32)
        weight = (entries.data * weights[entries.col])[order]
        self.offsets = np.searchsorted(self.group, np.arange(n_groups + 1))
        total = np.bincount(self.group, weight, minlength=n_groups)
        share = weight / total[self.group]
        self.chances = sparse.csr_array((share, (self.group, self.item)), shape=membership.shape)
        """(n_groups, n_items) the chance of each item in its group once all items exist."""
        run = np.cumsum(share)
        before = np.append(0, run)[self.offsets[:-1]]
        self.upto = np.append(0, run - before[self.group])  # (entries + 1,): sum inside the group up to entry j - 1
        self._key = self.group * _FAR + launch[order]
        self._mark = self.group * 2.0 + self.upto[1:]

    def chances_up_to(self, seconds: LongVector) -> AnyArray:
        """(n, n_groups) how much of each group's chance is on items that exist at each moment."""
        groups = np.arange(len(self.offsets) - 1)
        last = np.searchsorted(self._key, groups * _FAR + np.asarray(seconds)[:, None], side="right")
        return self.upto[last]

    def draw(self, chances: FloatMatrix, seconds: LongVector, rng: np.random.Generator) -> IntVector:
        """(n,) an item for each event: first its group, then one of the items of the group that exist."""
        summed = np.cumsum(chances, axis=1)
        at = rng.random(len(chances), np.float32)[:, None] * summed[:, -1:]
        group = np.minimum((summed <= at).sum(axis=1), chances.shape[1] - 1)
        last = np.searchsorted(self._key, group * _FAR + seconds, side="right")
        aim = rng.random(len(group)) * self.upto[last]
        found = np.searchsorted(self._mark, group * 2.0 + aim, side="right")
        drawn_items: IntVector = self.item[np.minimum(found, last - 1)]  # rounding may aim past the last one
        return drawn_items
