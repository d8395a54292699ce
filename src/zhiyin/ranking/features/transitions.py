"""What came after the last items of a history in the histories of all: a Markov chain, counted up to each moment.

A transition leads from an item to one that the same person used within the next few events. Its time is that of the
second event, so that the counts of a query are those of its moment. (Rendle et al., "Factorizing personalized Markov
chains for next-basket recommendation", WWW 2010, section 4.1, count the same for baskets.)
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.ranking._events import EventsByKey
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family, numbers
from zhiyin.run import Run


class TransitionsConfig(Config):
    """Settings of `transitions`."""

    steps: int = setting(3, ge=1, le=50)
    """A transition leads to one of so many next events."""
    recent: int = setting(5, ge=1)
    """So many last items of a history are looked at, a later one counting more."""
    prior: float = setting(10.0, ge=0)
    """So many transitions to nowhere are added to those of an item, whose parts few of them would make extreme."""


class Transitions(Family):
    """How often, and in what part of the cases, a candidate came after the last items of the history.

    Where times are not known, all of the log counts: also what the very event that is to be foretold was.
    """

    config: TransitionsConfig
    learns = ("pairs", "pair_offsets", "pair_time", "source_offsets", "source_time")
    pairs: LongVector
    """(m,) rising: the number of the first item times that of all items, and the second's."""
    pair_offsets: LongVector
    """(m + 1,) where the transitions of each pair begin."""
    pair_time: LongVector
    """(n_transitions,) rising within a pair."""
    source_offsets: LongVector
    """(n_items + 1,) the same by the first item alone."""
    source_time: LongVector
    """(n_transitions,) rising within an item."""
    _of_pair: EventsByKey
    _of_source: EventsByKey

    def suits(self, train: Dataset) -> bool:
        """Whether the order of events is known."""
        return train.clock != "none"

    def _fit(self, train: Dataset, run: Run) -> None:
        source, target, time = _transitions(train.histories, self.config.steps)
        self.pairs, place = np.unique(source * train.n_items + target, return_inverse=True)
        of_pair = EventsByKey.of(place, time, len(self.pairs))
        of_source = EventsByKey.of(source, time, train.n_items)
        self.pair_offsets, self.pair_time = of_pair.offsets, of_pair.time
        self.source_offsets, self.source_time = of_source.offsets, of_source.time
        self._of_pair, self._of_source = of_pair, of_source

    def derive(self) -> None:
        """Make what is not saved."""
        self._of_pair = EventsByKey.sorted(self.pair_offsets, self.pair_time)
        self._of_source = EventsByKey.sorted(self.source_offsets, self.source_time)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        own, owner = self.config, candidates.owner()
        last, now = candidates.queries.histories.last_items(own.recent), candidates.now()
        total, weights = np.zeros(len(candidates)), np.zeros(len(candidates))
        found: dict[str, AnyArray] = {}
        for back in range(1, min(own.recent, last.shape[1]) + 1):
            source = last[:, -back]
            count, part = self._after(source, candidates.item, owner, now)
            if back == 1:
                found["times it followed the last item"] = np.where(source[owner] < 0, np.nan, numbers(count))
                found["part of what followed the last item"] = part
            there = ~np.isnan(part)
            total[there] += part[there] / back
            weights[there] += 1 / back
        mean = np.divide(total, weights, where=weights > 0, out=np.full(len(candidates), np.nan))
        found[f"part of what followed the last {own.recent} items"] = mean
        return found

    def _after(
        self, source: AnyArray, item: AnyArray, owner: AnyArray, now: LongVector
    ) -> tuple[LongVector, DoubleVector]:
        """(n,) how often each item came after the source of its query (-1: none), and in what part of the cases."""
        n_items = len(self.source_offsets) - 1
        known = source >= 0
        whole = np.zeros(len(source), np.int64)
        whole[known] = self._of_source.before(source[known], now[known])
        wanted = source[owner].astype(np.int64) * n_items + item
        place = np.searchsorted(self.pairs, wanted)
        there = np.flatnonzero((np.append(self.pairs, -1)[place] == wanted) & known[owner])
        count = np.zeros(len(item), np.int64)
        count[there] = self._of_pair.before(place[there], now[owner[there]])
        part: DoubleVector = np.where(known, 1 / np.maximum(whole + self.config.prior, 1), np.nan)[owner] * count
        return count, part


def _transitions(past: Histories, steps: int) -> tuple[LongVector, LongVector, LongVector]:
    """(n_transitions,) each: from what item to what, and when the second event was."""
    owner, parts = past.owner(), []
    time = np.zeros(past.n_events, np.int64) if past.time is None else past.time
    for ahead in range(1, steps + 1):
        same = np.flatnonzero(owner[ahead:] == owner[:-ahead])
        parts.append((past.item[same].astype(np.int64), past.item[same + ahead].astype(np.int64), time[same + ahead]))
    source, target, when = (np.concatenate(column) for column in zip(*parts, strict=True))
    real = source != target
    return source[real], target[real], when[real]
