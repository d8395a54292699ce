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
from zhiyin.ranking.features.base import Family
from zhiyin.run import Run


class TransitionsConfig(Config):
    """Settings of `transitions`."""

    steps: int = setting(1, ge=1, le=10)
    """A transition leads to one of so many next events."""
    recent: int = setting(10, ge=1, le=100)
    """So many last items of a history are looked at, the one before the last counting half, the next a third, ..."""
    prior: float = setting(10.0, gt=0)
    """So many transitions are added to those of an item, which lead where events usually are: of few transitions
    nothing much is believed."""


class Transitions(Family):
    """How often a candidate came after the last items of the history, in what share of the cases, and its lift.

    A share is of all that came after an item. The lift (as of association rules) is that share beside the candidate's
    share of all events: what is used by many follows everything. Both are logarithms; `prior` draws a share towards
    the usual one, and a lift towards 0.
    """

    config: TransitionsConfig
    counts = True
    learns = ("pairs", "pair_offsets", "pair_time", "source_offsets", "source_time", "item_offsets", "item_time")
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
    item_offsets: LongVector
    """(n_items + 1,) where the events of each item begin."""
    item_time: LongVector
    """(n_events,) rising within an item."""
    _of_pair: EventsByKey
    _of_source: EventsByKey
    _of_item: EventsByKey
    _of_all: LongVector

    def suits(self, train: Dataset) -> bool:
        """Whether the order of events is known."""
        return train.clock != "none"

    def _fit(self, train: Dataset, run: Run) -> None:
        past = train.histories
        when = past.time if train.clock == "time" and past.time is not None else np.zeros(past.n_events, np.int64)
        source, target, time = _transitions(past, when, self.config.steps)
        self.pairs, place = np.unique(source * train.n_items + target, return_inverse=True)
        of_pair = EventsByKey.of(place, time, len(self.pairs))
        of_source = EventsByKey.of(source, time, train.n_items)
        of_item = EventsByKey.of(past.item, when, train.n_items)
        self.pair_offsets, self.pair_time = of_pair.offsets, of_pair.time
        self.source_offsets, self.source_time = of_source.offsets, of_source.time
        self.item_offsets, self.item_time = of_item.offsets, of_item.time
        self._of_pair, self._of_source, self._of_item, self._of_all = of_pair, of_source, of_item, np.sort(when)

    def derive(self) -> None:
        """Make what is not saved."""
        self._of_pair = EventsByKey.sorted(self.pair_offsets, self.pair_time)
        self._of_source = EventsByKey.sorted(self.source_offsets, self.source_time)
        self._of_item = EventsByKey.sorted(self.item_offsets, self.item_time)
        self._of_all = np.sort(self.item_time)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        own, owner, now = self.config, candidates.owner(), candidates.now()
        last = candidates.queries.histories.last_items(own.recent)[:, ::-1]  # (n_queries, recent), the last one first
        there = last >= 0
        whole = np.zeros(last.shape, np.int64)
        whole[there] = self._of_source.before(last[there], now[there.nonzero()[0]])
        usual = self._usual(candidates.item, now[owner])[:, None]
        count = self._counts(last[owner], candidates.item, now[owner])
        share = (count + own.prior * usual) / (whole[owner] + own.prior)
        lift = np.log(share / usual)
        first = there[owner, 0]
        found: dict[str, AnyArray] = {
            "times it followed the last item": np.where(first, count[:, 0], np.nan),
            "share of what followed the last item, log": np.where(first, np.log(share[:, 0]), np.nan),
            "lift after the last item, log": np.where(first, lift[:, 0], np.nan),
        }
        if own.recent > 1:
            weight = there / np.arange(1, own.recent + 1)
            total = weight.sum(1, keepdims=True)
            part = (weight / np.where(total > 0, total, np.nan))[owner]
            found[f"share of what followed the last {own.recent} items, log"] = np.log((part * share).sum(1))
            found[f"lift after the last {own.recent} items, log"] = (part * lift).sum(1)
        return found

    def _usual(self, item: AnyArray, now: LongVector) -> DoubleVector:
        """(n,) the share of all events before now that are of each item, as if each had one more."""
        total = np.searchsorted(self._of_all, now) + len(self.item_offsets) - 1
        return np.asarray((self._of_item.before(item, now) + 1) / total, np.float64)

    def _counts(self, source: AnyArray, item: AnyArray, now: LongVector) -> AnyArray:
        """(n, recent) how often each item (n,) came after each of its sources (n, recent) before now; 0 for none."""
        found = np.zeros(source.shape, np.int64)
        back, row = np.nonzero(source.T >= 0)  # so that what is searched for next is mostly near by
        if len(self.pairs):
            wanted = source[row, back].astype(np.int64) * (len(self.source_offsets) - 1) + item[row]
            place = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
            met = np.flatnonzero(self.pairs[place] == wanted)
            found[row[met], back[met]] = self._of_pair.before(place[met], now[row[met]])
        return found


def _transitions(past: Histories, when: LongVector, steps: int) -> tuple[LongVector, LongVector, LongVector]:
    """(n_transitions,) each: from what item to what, and when the second event was, of `when` (n_events,)."""
    owner, parts = past.owner(), []
    for ahead in range(1, steps + 1):
        same = np.flatnonzero(owner[ahead:] == owner[:-ahead])
        parts.append((past.item[same].astype(np.int64), past.item[same + ahead].astype(np.int64), when[same + ahead]))
    source, target, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    return source, target, time
