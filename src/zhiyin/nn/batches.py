"""Batches: windows of histories, dealt out by the number of their events, with no loop over users and no padding.

A window is a run of up to `max_length` events of one user, each of which answers what the next one is. An epoch cuts
every history anew: the first window of a long history has a random length, so that from epoch to epoch the same event
is seen with other pasts. Events stay in the dataset's (memory-mapped) arrays until their batch is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntMatrix, IntVector, LongVector
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.queries import Queries
from zhiyin.nn.layout import Layout
from zhiyin.nn.reading import SECOND, Reading
from zhiyin.nn.relations import FOREVER, UNKNOWN
from zhiyin.nn.sides import Users

Objective = Literal["next", "all_action", "masked"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some sequences, flat and longest first, with what a model is told of each of their N events."""

    layout: Layout
    item: Tensor
    """(N,) int64"""
    features: Tensor
    """(N, n_features) int64, see `Reading.numbers`; then those of the sequence's user, if users are told of."""
    seconds: Tensor | None
    """(N,) int32 when each event was, counted from the first of its sequence; None without times."""
    asked: Tensor | None
    """(N,) int32 the moment at which each event answers, counted likewise."""
    order: IntVector
    """(n,) which of the given sequences each one is."""
    hidden: Tensor | None = None
    """(N,) bool: events whose item the model must not know; their `item` is 0."""
    places: Tensor | None = None
    """(M,) the events that answer in training; None for all."""
    target: Tensor | None = None
    """(M,) int64 what each of them should answer."""

    @property
    def n_events(self) -> int:
        """N, of all sequences together."""
        return self.layout.n_events


class BatchMaker:
    """Batches of training windows, and of queries.

    Args:
        reading: the features of an event.
        max_length: of a window.
        objective: "next": each event answers the next one. "all_action": one of the next `horizon`, at random (dense
            all action, Pancha et al., KDD 2022). "masked": items are hidden at random and answered from both sides.
        horizon: of "all_action".
        masked: the share of items that are hidden.
        blind: the share of training windows that are told nothing of their events but the items and their order, so
            that a query which knows no more is nothing new.
        device: where tensors go.
        users: what is told of users; None for nothing.
        strangers: the share of training windows whose user is not known.
    """

    def __init__(
        self,
        reading: Reading,
        max_length: int,
        objective: Objective = "next",
        horizon: int = 1,
        masked: float = 0.2,
        blind: float = 0.0,
        device: torch.device | None = None,
        users: Users | None = None,
        strangers: float = 0.0,
    ) -> None:
        self.reading, self.max_length = reading, max_length
        self.users, self.strangers = users, strangers
        self.objective, self.horizon, self.masked, self.blind = objective, horizon, masked, blind
        self.device = device

    def epoch(
        self, histories: Histories, size: int, generator: np.random.Generator, answers: BoolVector | None = None
    ) -> list[LongVector]:
        """(n, 2) the first event and the length of each window of one epoch, dealt out to batches of `size` events.

        Windows without any of the `answers`, as in `training`, are left out.
        """
        ahead = self.objective != "masked"
        windows = cut(histories, self.max_length, ahead, generator)
        if answers is not None:
            before = np.concatenate([[0], np.cumsum(answers)])
            first = windows[:, 0] + ahead
            windows = windows[before[first + windows[:, 1]] > before[first]]
        windows = windows[generator.permutation(len(windows))]
        done = np.cumsum(windows[:, 1])
        n_batches = max(1, round(int(done[-1]) / size)) if len(done) else 0
        ends = np.searchsorted(done, np.arange(1, n_batches) * (done[-1] / n_batches)) if n_batches else []
        return [part for part in np.split(windows, ends) if len(part)]

    def training(
        self,
        histories: Histories,
        windows: LongVector,
        generator: np.random.Generator,
        answers: BoolVector | None = None,
        users: IntMatrix | None = None,
    ) -> Batch:
        """The batch of some windows.

        Args:
            histories: that the windows are cut from.
            windows: (n, 2) the first event and the length of each.
            generator: of what is drawn.
            answers: (n_events,) which events may be asked for; None for all.
            users: (n_histories, n_columns) the buckets of the user of each history, if users are told of.
        """
        order = np.argsort(-windows[:, 1], kind="stable")
        start, length = windows[order, 0], windows[order, 1]
        layout = Layout.of(length, self.device)
        place = np.arange(layout.n_events)
        event = place + np.repeat(start - layout.offsets[:-1], length)
        blind = np.repeat(generator.random(len(order)) < self.blind, length) if self.blind else None
        known = self._known(histories, start, users, generator)
        if self.objective == "masked":
            hidden = self._to_hide(layout, generator)
            batch = self._batch(histories, layout, event, None, order, blind, known, hidden)
            return self._hide(batch, hidden, answers, event)
        asked = None if histories.time is None else histories.time[event + 1]
        batch = self._batch(histories, layout, event, asked, order, blind, known)
        answer = event + 1
        if self.objective == "all_action":
            ahead = np.minimum(np.repeat(layout.offsets[1:], length) - place, self.horizon)
            answer = answer + (generator.random(len(event)) * ahead).astype(np.int64)
        target = self._tensor(histories.item[answer].astype(np.int64))
        if answers is None:
            return replace(batch, target=target)
        places = self._tensor(np.flatnonzero(answers[answer]))
        return replace(batch, places=places, target=target[places])

    def answered(self, histories: Histories, answers: BoolVector | None = None) -> DoubleVector:
        """(n_events,) how often each event is an answer in an epoch, in the mean over what is drawn.

        Histories longer than a window are taken as one window: where it is cut is drawn anew in each epoch.
        """
        lengths, ahead = histories.lengths, self.objective != "masked"
        place = np.arange(histories.n_events) - np.repeat(histories.offsets[:-1], lengths)
        left = np.repeat(lengths, lengths) - 1 - place  # events that follow in the history
        if self.objective == "masked":
            found = np.where(left == 0, 0.5 + 0.5 * self.masked, self.masked)
        elif self.objective == "all_action":
            share = np.where(left > 0, 1 / np.minimum(np.maximum(left, 1), self.horizon), 0.0)
            before = np.concatenate([[0.0], np.cumsum(share)])
            event = np.arange(histories.n_events)
            found = before[event] - before[event - np.minimum(place, self.horizon)]
        else:
            found = np.ones(histories.n_events)
        found = np.where((place >= ahead) & np.repeat(lengths > 1, lengths), found, 0.0)
        return found if answers is None else np.where(answers, found, 0.0)

    def _known(
        self, histories: Histories, start: LongVector, users: IntMatrix | None, generator: np.random.Generator
    ) -> IntMatrix | None:
        """(n, n_columns) what is known of the users of windows by their first events `start` (n,); None for nothing."""
        if self.users is None:
            return None
        assert users is not None
        owner = np.searchsorted(histories.offsets, start, side="right") - 1
        strange = generator.random(len(start)) < self.strangers
        return np.where(strange[:, None], self.users.nobody, users[owner])

    def _to_hide(self, layout: Layout, generator: np.random.Generator) -> BoolVector:
        """(N,) a share of the events, and the last one of every other window, as when a query asks what comes next."""
        hidden = generator.random(layout.n_events) < self.masked
        last = layout.offsets[1:] - 1
        hidden[last] |= generator.random(len(last)) < 0.5
        return hidden

    def _hide(self, batch: Batch, hidden: BoolVector, answers: BoolVector | None, event: LongVector) -> Batch:
        places = self._tensor(np.flatnonzero(hidden if answers is None else hidden & answers[event]))
        flags = self._tensor(hidden)
        return replace(
            batch, item=batch.item.masked_fill(flags, 0), hidden=flags, places=places, target=batch.item[places]
        )

    def queries(self, queries: Queries) -> Batch:
        """The batch of the last events of some queries, each with at least one event."""
        past, masked = queries.histories, self.objective == "masked"
        kept = np.minimum(past.lengths, self.max_length - masked)
        order = np.argsort(-kept, kind="stable")
        start, length = past.offsets[1:][order] - kept[order], kept[order] + masked
        layout = Layout.of(length, self.device)
        event = np.arange(layout.n_events) + np.repeat(start - layout.offsets[:-1], length)
        last = layout.offsets[1:] - 1
        users = None if self.users is None else self.users.asked(queries)[order]
        if masked:  # a hidden event is added, at the moment of the question; nothing else is known of it
            event[last] -= 1
            hidden = np.zeros(layout.n_events, bool)
            hidden[last] = True
            asked = _times(past, event, queries.now)
            if asked is not None and queries.now is not None:
                asked[last] = queries.now[order]
            batch = self._batch(past, layout, event, asked, order, None, users, hidden)
            return self._hide(batch, hidden, None, event)
        return self._batch(past, layout, event, _asked(past, event, last, queries.now, order), order, None, users)

    def _batch(
        self,
        histories: Histories,
        layout: Layout,
        event: LongVector,
        asked: LongVector | None,
        order: LongVector,
        blind: BoolVector | None,
        users: IntMatrix | None,
        hidden: BoolVector | None = None,
    ) -> Batch:
        """The batch of some events, which answer at `asked` (N,); `users` (n, n_columns) in the order of the batch."""
        columns = {name: column[event] for name, column in histories.columns().items()}
        time = columns.get("time")
        if time is not None and asked is None:
            asked = time
        if time is not None and asked is not None and hidden is not None:
            time = columns["time"] = np.where(hidden, asked, time)  # in training they are the same
        place = layout.positions()
        from_end = None  # a causal model knows no end, and its states must not change with it
        if self.objective == "masked":
            from_end = np.repeat(layout.lengths, layout.lengths) - 1 - place
        features = self.reading.numbers(columns, asked, place, blind, hidden, from_end)
        if users is not None:
            theirs = sum(self.reading.sizes.values()) + np.repeat(users, layout.lengths, axis=0)
            features = np.concatenate([features, theirs], 1)
        known = None if time is None or asked is None else self._seconds(time, asked, layout, blind)
        return Batch(
            layout,
            self._tensor(columns["item"].astype(np.int64)),
            self._tensor(features),
            None if known is None else known[0],
            None if known is None else known[1],
            order.astype(np.int32),
        )

    def _seconds(
        self, time: LongVector, asked: LongVector, layout: Layout, blind: BoolVector | None
    ) -> tuple[Tensor, Tensor]:
        """(N,) int32 when each event was and when it answers, from its sequence's first; `UNKNOWN` if not known."""
        first = np.repeat(time[layout.offsets[:-1]], layout.lengths)
        unknown = (time == NO_TIME) | (asked == NO_TIME) | (first == NO_TIME)
        if blind is not None:
            unknown |= blind
        found = []
        for moments in (time, asked):
            apart = np.clip((moments - first) // SECOND, 0, FOREVER)
            found.append(self._tensor(np.where(unknown, UNKNOWN, apart).astype(np.int32)))
        return found[0], found[1]

    def _tensor(self, values: AnyArray) -> Tensor:
        return torch.as_tensor(values, device=self.device)


def _asked(
    past: Histories, event: LongVector, last: LongVector, now: LongVector | None, order: LongVector
) -> LongVector | None:
    """(N,) when each event of a query answers: at the time of the next one, the last one at the query's `now`."""
    asked = _times(past, np.minimum(event + 1, len(past.item) - 1), now)
    if asked is not None and past.time is not None:
        asked[last] = past.time[event[last]]
    if asked is not None and now is not None:
        asked[last] = now[order]
    return asked


def _times(past: Histories, event: LongVector, now: LongVector | None) -> LongVector | None:
    """(N,) when events were, not known where histories have no times; None where no moment is known either."""
    if past.time is None:
        return None if now is None else np.full(len(event), NO_TIME)
    return past.time[event]


def cut(histories: Histories, max_length: int, ahead: bool, generator: np.random.Generator) -> LongVector:
    """(n, 2) the first event and the length of the windows that cover all histories once.

    With `ahead`, the last event of a window answers the one after it, so that a history of n events has n - 1 to cut.
    A history of one event has nothing to tell and no window.
    """
    usable = np.where(histories.lengths > 1, histories.lengths - ahead, 0)
    first = np.where(usable > max_length, 1 + generator.integers(0, max_length, len(usable)), usable)
    more = -(-(usable - first) // max_length)
    count = np.where(usable > 0, 1 + more, 0)
    owner = np.repeat(np.arange(len(usable)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    start = np.where(place > 0, first[owner] + (place - 1) * max_length, 0)
    length = np.where(place > 0, np.minimum(max_length, usable[owner] - start), first[owner])
    return np.stack([histories.offsets[owner] + start, length], 1)


def blocks(n_events: LongVector, size: int) -> Iterator[tuple[int, int]]:
    """Slices of queries with about `size` events together; `n_events` (n,) of each."""
    done = np.concatenate([[0], np.cumsum(n_events)])
    start = 0
    while start < len(n_events):
        stop = max(start + 1, int(np.searchsorted(done, done[start] + size, side="right")) - 1)
        yield start, stop
        start = stop
