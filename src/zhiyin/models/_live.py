"""LiveHistory: one user's history that grows while it is asked, as in a running session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from zhiyin.arrays import FloatMatrix
from zhiyin.data.moments import Moment, microseconds
from zhiyin.data.queries import Queries, Query
from zhiyin.data.recommendations import Recommendations
from zhiyin.errors import DataError
from zhiyin.models._wishes import mixed

if TYPE_CHECKING:
    from zhiyin.models._sequences import SequenceRecommender


class LiveHistory:
    """A history with the state that a model has of it; lists are those of `model.recommend`.

    While the history is not longer than the model's window (`max_length`, or the longest of training where that is
    shorter), a new event costs the work of one event. Once it is longer, events fall out of the window and what is left
    is encoded anew.
    """

    def __init__(self, model: SequenceRecommender, query: Query) -> None:
        from zhiyin.nn.live import live_of

        if _falls(query):
            raise DataError("the times of the events fall; give them oldest first, as a live history grows at its end")
        self.model, self.query, self._live, self._first = model, query, live_of(model.net), 0

    def __len__(self) -> int:
        return len(self.query.items)

    def add(
        self,
        items: Sequence[str],
        times: Sequence[Moment] | None = None,
        values: Sequence[float] | None = None,
        kinds: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
    ) -> None:
        """Add events, oldest first, at the end of the history.

        Raises:
            DataError: a column is given for the new events and not for the earlier ones, or the other way round; the
                new events are older than those before them; or a kind is not known.
        """
        new, old = Query.of(items, times, values, kinds, sessions=sessions), self.query
        self.model.encode(new)  # refuses a kind that is not known
        self.query = replace(
            old,
            items=old.items + new.items,
            times=_joined(old, new, "times"),
            values=_joined(old, new, "values"),
            kinds=_joined(old, new, "kinds"),
            sessions=_joined(old, new, "sessions"),
            weights=None,
            now=None,  # a moment that was given for what was known then
        )
        if _falls(self.query):
            self.query = old
            raise DataError("the new events are older than those before them; a live history only grows at its end")

    def recommend(self, k: int = 10, now: Moment | None = None, exclude_seen: bool = True) -> Recommendations:
        """The `k` best items at the moment `now` (by default just after the last event)."""
        model = self.model
        batch = model.encode(replace(self.query, now=self.query.now if now is None else microseconds(now)))
        items, values = model._nearest(self._vector(batch), batch, k, exclude_seen, None)
        return model._filled(items, values, batch, exclude_seen, model._by_popularity(None))

    def _vector(self, batch: Queries) -> FloatMatrix:
        """(1, d) the state of the history; NaN where it is empty."""
        batch = self.model._met(batch)
        n, room = batch.histories.n_events, int(self.model.window[0])
        if not n:
            return self._mixed(np.full((1, self.model.config.embedding_size), np.nan, np.float32), batch)
        first = max(0, n - room)
        if first != self._first or self._live.known >= min(n, room):
            self._live.clear()
            self._first = first
        device = next(self.model.net.parameters()).device
        found: FloatMatrix = self._live.state(self.model._maker(device).queries(batch)).cpu().numpy()[None]
        return self._mixed(found, batch)

    def _mixed(self, states: FloatMatrix, batch: Queries) -> FloatMatrix:
        return mixed(self.model, states, batch) if self.model.speaks else states


def _falls(query: Query) -> bool:
    """Whether an event is older than the one before it."""
    return query.times is not None and any(later < earlier for earlier, later in pairwise(query.times))


def _joined(old: Query, new: Query, name: str) -> Any:
    """A column of both queries, one after the other; None where neither has it."""
    before, after = getattr(old, name), getattr(new, name)
    if old.items and new.items and (before is None) != (after is None):
        raise DataError(f"{name} are given for {'the new' if before is None else 'the earlier'} events alone")
    return None if before is None and after is None else (*(before or ()), *(after or ()))
