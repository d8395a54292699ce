"""Draft: lists in the making, a place at a time, for all queries of a block at once.

Greedy re-rankers share it: at each place they say what every candidate would bring, and the best one that is free is
taken. Caps and pins are held while the list is made and not after it, so that what a re-ranker weighs (the likeness to
those already listed, the mix of categories, the chance of a draw) is that of the list that will be shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.ranking.limits import Count
from zhiyin.ranking.ranked import Ranked

LOWEST = np.finfo(np.float64).min


class Draft:
    """The first `k` places, yet to be given away. Cells are (n_queries, width): the candidates of a query, in order."""

    def __init__(self, ranked: Ranked, k: int) -> None:
        found = ranked.candidates
        n, width = len(found.queries), max(1, int(found.lengths.max(initial=0)))
        self.ranked, self.k, self.place = ranked, k, 0
        self.column = np.arange(width)
        self.there = self.column < found.lengths[:, None]
        self.pool = self.there & (self.column < ranked.pool)
        """(n, width) the candidates that may be moved."""
        self.open = self.there.copy()
        """(n, width) neither listed yet, nor held back, nor waiting for their own place."""
        self.chosen = np.full((n, k), -1)
        """(n, k) the columns that were taken; -1 where nothing was left."""
        self.propensity: AnyArray = np.full((n, k), np.nan)
        self._counts = [Count(cap, found) for cap in ranked.limits.caps]
        self._closed_by = np.full((n, width), -1)
        self._held = np.full((n, k), -1)
        self._forced = self._pinned()
        if self._counts:
            self._close()

    def _pinned(self) -> AnyArray:
        """(n, k) the columns of pinned items, which are closed for all other places; -1 where there is none."""
        forced, items = np.full((len(self.there), self.k), -1), self.padded(self.ranked.candidates.item, -1)
        for pin in self.ranked.limits.pins:
            if pin.place > self.k:
                continue
            row, column = np.nonzero(items == pin.item)
            forced[row, pin.place - 1] = column
            self.open[row, column] = False
            for count in self._counts:
                count.add(self.ranked.candidates.offsets[row] + column)
        return forced

    # ------------------------------------------------------------------ what re-rankers read

    def padded(self, values: AnyArray, empty: float = np.nan) -> AnyArray:
        """(n, width) of values (n_candidates,)."""
        found = np.full(self.there.shape, empty, values.dtype)
        found[self.there] = values
        return found

    def relevance(self, by: Literal["place", "worth"] = "place") -> AnyArray:
        """(n, width) from 1 for the best to 0: by the place in the pool, or by the worth in its range there."""
        if by == "worth":
            return self.scaled(self.ranked.worth)
        size = np.maximum(self.pool.sum(1, keepdims=True), 1)
        found: AnyArray = np.clip(1 - self.column / size, 0, 1)
        return found

    def scaled(self, values: AnyArray) -> AnyArray:
        """(n, width) of values (n_candidates,): 0 for the least of the pool, 1 for the most, 0 where all are alike."""
        found = self.padded(np.asarray(values, np.float64))
        known = self.pool & ~np.isnan(found)
        low = np.min(found, 1, keepdims=True, initial=np.inf, where=known)
        high = np.max(found, 1, keepdims=True, initial=-np.inf, where=known)
        wide = high > low
        scaled: AnyArray = np.where(wide, found - np.where(wide, low, 0), 0) / np.where(wide, high - low, 1)
        clipped: AnyArray = np.clip(np.nan_to_num(scaled), 0, 1)
        return clipped

    def item_at(self, columns: AnyArray) -> AnyArray:
        """(n,) the items of cells, one for each query; -1 for column -1."""
        rows = self.ranked.candidates.offsets[:-1] + columns
        there = columns >= 0
        found = np.full(len(columns), -1)
        found[there] = self.ranked.candidates.item[rows[there]]
        return found

    @property
    def unfinished(self) -> bool:
        """Whether there are places to be given away."""
        return self.place < self.k

    # ------------------------------------------------------------------ giving places away

    def pick(self, gain: AnyArray) -> LongVector:
        """Give the next place to the free candidate of the pool with the most `gain` (n, width), the first of equals.

        Where the pool has none left, the next one behind it is taken. Returns (n,) the columns, -1 where none is left.
        """
        known = np.where(np.isnan(gain), LOWEST, np.maximum(gain, LOWEST))
        free = self.open & self.pool
        best = np.where(free.any(1), np.argmax(np.where(free, known, -np.inf), 1), self._next())
        if self._counts:
            self._remember(known, best)
        return self._take(best)

    def draw(self, chances: AnyArray, uniform: AnyArray) -> LongVector:
        """Give the next place by lot: `chances` (n, width) of free cells, `uniform` (n,) from 0 to below 1.

        Where there is nothing to draw from, the next free candidate is taken, with the chance 1, as is a pinned one.
        """
        total = chances.sum(1)
        below = np.cumsum(chances, 1) <= (uniform * total)[:, None]
        drawn = np.minimum(below.sum(1), _last(chances))
        best = np.where(total > 0, drawn, self._next())
        of_drawn = chances[np.arange(len(best)), best] / np.where(total > 0, total, 1)
        sure = (total <= 0) | (self._forced[:, self.place] >= 0)
        self.propensity[:, self.place] = np.where(sure, 1.0, of_drawn)
        return self._take(best)

    def first(self) -> Draft:
        """Give each place to the first candidate that is free, in the order that came."""
        if not self.ranked.limits:
            n = min(self.k, len(self.column))
            self.chosen[:, :n] = np.where(self.there[:, :n], np.arange(n), -1)
            self.place = self.k
        while self.unfinished:
            self.pick(np.broadcast_to(-self.column.astype(np.float64), self.there.shape))
        return self

    def _next(self) -> LongVector:
        """(n,) the first free column of each query; -1 without any."""
        found: LongVector = np.where(self.open.any(1), np.argmax(self.open, 1), -1)
        return found

    def _take(self, columns: LongVector) -> LongVector:
        forced = self._forced[:, self.place]
        columns = np.where(forced >= 0, forced, columns)
        rows = np.flatnonzero(columns >= 0)
        self.chosen[:, self.place] = columns
        self.open[rows, columns[rows]] = False
        if self._counts:
            free = rows[forced[rows] < 0]  # pinned ones were counted before
            for count in self._counts:
                count.add(self.ranked.candidates.offsets[free] + columns[free])
            self._close()
        self.place += 1
        return columns

    def _close(self) -> None:
        """Close what caps hold back from now on."""
        for number, count in enumerate(self._counts):
            closed = self.padded(count.closed(), False) & self.open
            self._closed_by[closed] = number
            self.open &= ~closed

    def _remember(self, gain: AnyArray, best: LongVector) -> None:
        """Note the best candidate that a cap held back, where it would have come before the one that is taken."""
        waiting = (self._closed_by >= 0) & self.pool
        rows = np.flatnonzero((best >= 0) & (self._forced[:, self.place] < 0) & waiting.any(1))
        better = np.argmax(np.where(waiting[rows], gain[rows], -np.inf), 1)
        theirs, ours = gain[rows, better], gain[rows, best[rows]]
        held = (theirs > ours) | ((theirs == ours) & (better < best[rows])) | ~self.pool[rows, best[rows]]
        self._held[rows[held], self.place] = better[held]

    # ------------------------------------------------------------------ the result

    def ranked_as(self, name: str) -> Ranked:
        """The candidates with those that were taken first, then the others as they were; `name` says who did it."""
        before, offsets = self.ranked, self.ranked.candidates.offsets
        taken = self.chosen >= 0
        row, at = np.nonzero(taken)
        place = (np.cumsum(taken, 1) - 1)[row, at]
        rank = np.tile(self.column + self.k, (len(taken), 1))
        rank[row, self.chosen[row, at]] = place
        order = np.lexsort((rank[self.there], before.candidates.owner()))
        found, came = before.reordered(order), before.place()[order]
        found = found.with_remark(f"{name}: from place {{}}", np.where(came == found.place(), -1, came))
        return self._with_drawn(self._with_held(found, row, at, offsets[row] + place), row, at, offsets[row] + place)

    def _with_held(self, found: Ranked, row: AnyArray, at: AnyArray, listed: LongVector) -> Ranked:
        """With a remark at each listed row before which a cap held one back."""
        column, before = self._held[row, at], self.ranked.candidates
        for number, count in enumerate(self._counts):
            mine = (column >= 0) & (self._closed_by[row, column] == number)
            value = np.full(len(found), -1, np.int32)
            value[listed[mine]] = before.item[before.offsets[row[mine]] + column[mine]]
            if mine.any():
                found = found.with_remark(f"{count.cap.label}: {{}} held back", value, before.queries.items)
        return found

    def _with_drawn(self, found: Ranked, row: AnyArray, at: AnyArray, listed: LongVector) -> Ranked:
        """With the chances of what was drawn."""
        if np.isnan(self.propensity).all():
            return found
        chance = np.full(len(found), np.nan)
        chance[listed] = self.propensity[row, at]
        return replace(found, propensity=chance)


def _last(chances: AnyArray) -> LongVector:
    """(n,) the last column of each row that has a chance; 0 without any."""
    found: LongVector = chances.shape[1] - 1 - np.argmax((chances > 0)[:, ::-1], 1)
    return found
