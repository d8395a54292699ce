"""Music: people listen in sessions of one mood, and to what they know, again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zhiyin.arrays import DoubleMatrix, LongVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.scenarios.worlds.base import DAY, MINUTE, START, Moment, Tastes, TastesConfig


class MusicConfig(TastesConfig):
    """Settings of `music`."""

    again: float = setting(2.0, ge=0)
    """How much each time that a track was heard adds to its chance: it is multiplied by 1 + again · log(1 + times)."""
    mood: float = setting(8.0, ge=1)
    """Tracks of the group of the last one are so much more likely while a session goes on."""
    session: float = setting(8.0, ge=1)
    """Tracks of a session, in the mean."""


class Music(Tastes):
    """Chances are those of tastes, times what `again` and `mood` say; half an hour without a track ends a session."""

    config: MusicConfig

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class; the track that was just heard is not heard twice in a row."""
        own = self.config
        goes_on = (at.since < 30 * MINUTE) & (at.last >= 0)
        same = goes_on[:, None] & (self.group[at.last][:, None] == self.group)
        found: DoubleMatrix = self.likes(at) * (1 + own.again * np.log1p(at.used)) * np.where(same, own.mood, 1)
        found[np.flatnonzero(at.last >= 0), at.last[at.last >= 0]] = 0
        return found

    def times(self, n: LongVector, rng: np.random.Generator) -> LongVector:
        """Sessions at any time; in each, a track every four minutes or so."""
        opens = rng.random(int(n.sum())) < 1 / self.config.session
        first = np.cumsum(n) - n
        opens[first[n > 0]] = True
        owner, number = np.repeat(np.arange(len(n)), n), np.cumsum(opens) - 1
        of = owner[opens]
        starts = START + rng.integers(0, self.config.days * DAY, len(of))
        starts = starts[np.lexsort((starts, of))]
        step = rng.integers(3 * MINUTE, 5 * MINUTE, len(owner))
        place = np.cumsum(step)
        time: LongVector = starts[number] + place - place[np.flatnonzero(opens)][number]
        return time[np.lexsort((time, owner))]

    def dataset(self) -> Dataset:
        """The world as a dataset, with the sessions of each history."""
        found = super().dataset()
        past = found.histories
        assert past.time is not None
        rested = np.diff(past.time, prepend=past.time[:1]) >= 30 * MINUTE
        first = past.offsets[:-1][past.lengths > 0]
        rested[first] = False
        count = np.cumsum(rested)
        session: LongVector = count - np.repeat(count[first], past.lengths[past.lengths > 0])
        return found.with_histories(replace(past, session=session.astype(np.int32)))
