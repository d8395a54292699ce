"""Reading: what a model is told of each event beside its item, as small numbers that look up vectors.

Every feature is a column of bucket numbers. `moment` features speak of the time at which an event answers: in training
the time of the next event, at a query its `now`; both are known when the question is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, FloatVector, IntVector, LongVector
from zhiyin.data.histories import NO_KIND, NO_SESSION, NO_TIME, Histories
from zhiyin.errors import DataError

Feature = Literal["position", "wait", "gap", "hour", "weekday", "kind", "value", "session"]
"""`position`: the place in the window; for objective `masked`, from its end, where queries ask. `wait`: time from the
event to the moment at which it answers. `gap`: time since the event before. `hour`, `weekday`: of the moment, in UTC.
`kind`, `value`: of the event. `session`: how far into its session it is."""

NEEDS: Mapping[str, str] = {
    "wait": "time",
    "gap": "time",
    "hour": "time",
    "weekday": "time",
    "kind": "kind",
    "value": "value",
    "session": "session",
}
"""The column that a feature is made from."""

MOMENT = ("hour", "weekday")
"""What is known of the moment alone, also where no event has a time."""

OWN = ("gap", "kind", "value", "session")
"""What is known of an event only once it has happened."""

SPANS = 40
"""Buckets of spans of time: below a second, then one for each factor of 1.7; 40 reach 1.7 ** 39 s."""

VALUES = 20
"""At most so many buckets of values, beside one for none."""

SAMPLED = 1_000_000
"""About so many events say where the quantiles are."""

STEPS = 8
"""Buckets of places in a session: 0, 1, 2-3, 4-7, ..."""

SECOND = 1_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Which features are read, and how values fall into buckets."""

    features: tuple[str, ...]
    max_length: int
    n_kinds: int = 0
    edges: FloatVector = field(default_factory=lambda: np.zeros(0, np.float32))
    """Between the buckets of values, rising."""

    @classmethod
    def fit(cls, features: Sequence[str], max_length: int, histories: Histories, n_kinds: int) -> Reading:
        """The features that the histories have a column for."""
        if histories.kind is not None and "kind" in features:
            named = histories.kind[histories.kind != NO_KIND]
            if len(named) and int(named.max()) >= n_kinds:
                raise DataError(f"events have the kind number {named.max()}, and {n_kinds} kinds have names; name each")
        known = set(histories.columns())
        taken = tuple(name for name in dict.fromkeys(features) if name not in NEEDS or NEEDS[name] in known)
        edges = _edges(histories.value) if "value" in taken else np.zeros(0, np.float32)
        return cls(taken, max_length, n_kinds, edges)

    @property
    def tells(self) -> bool:
        """Whether anything but positions is read."""
        return any(name != "position" for name in self.features)

    @property
    def sizes(self) -> dict[str, int]:
        """How many buckets each feature has; the last one, but for positions, stands for what is not known."""
        every = {
            "position": self.max_length,
            "wait": SPANS + 1,
            "gap": SPANS + 2,
            "hour": 24 + 1,
            "weekday": 7 + 1,
            "kind": self.n_kinds + 1,
            "value": len(self.edges) + 2,
            "session": STEPS + 1,
        }
        return {name: every[name] for name in self.features}

    def numbers(
        self,
        events: Mapping[str, AnyArray],
        asked: LongVector | None,
        position: LongVector,
        blind: BoolVector | None = None,
        hidden: BoolVector | None = None,
        from_end: LongVector | None = None,
    ) -> LongVector:
        """(N, n_features) int64 the buckets of events, each feature's own counted from where the last one's end.

        Args:
            events: columns of histories, (N,) each; a column that is not there is not known.
            asked: (N,) int64 microseconds, the moment at which each event answers.
            position: (N,) the place of each event in its window.
            blind: (N,) events of which only the position shall be known.
            hidden: (N,) events that are asked for: only their place and moment are known, as of one that is to come.
            from_end: (N,) how many events of its window follow each: then `position` tells this.
        """
        found = np.empty((len(position), len(self.features)), np.int64)
        start = 0
        for place, (name, size) in enumerate(self.sizes.items()):
            last = size - 1
            column = self._column(name, events, asked, position, last)
            if name == "position" and from_end is not None:
                column = np.minimum(from_end, last)
            if blind is not None and name != "position":
                column = np.where(blind, last, column)
            if hidden is not None and name in OWN:
                column = np.where(hidden, last, column)
            found[:, place] = start + column
            start += size
        return found

    def _column(
        self, name: str, events: Mapping[str, AnyArray], asked: LongVector | None, position: LongVector, last: int
    ) -> LongVector:
        """(N,) the buckets of one feature; `last` where it is not known."""
        if name == "position":
            return np.minimum(position, last)
        column: AnyArray | None = asked if name in MOMENT else events.get(NEEDS[name])
        if column is None or (asked is None and NEEDS[name] == "time"):
            return np.full(len(position), last, np.int64)
        if NEEDS[name] == "time":
            assert asked is not None
            return np.where((column == NO_TIME) | (asked == NO_TIME), last, _of_time(name, column, asked, position))
        if name == "session":
            return np.where(column == NO_SESSION, last, np.minimum(_steps(column, position), last - 1))
        if name == "kind":
            return np.where(column == NO_KIND, last, column).astype(np.int64)
        return np.where(np.isnan(column), last, np.searchsorted(self.edges, column, side="right"))


def _of_time(name: str, time: LongVector, asked: LongVector, position: LongVector) -> LongVector:
    if name == "hour":
        return (asked // (3600 * SECOND)) % 24
    if name == "weekday":
        return (asked // (86400 * SECOND) + 3) % 7  # 1970 began on a Thursday
    if name == "wait":
        return span_buckets(asked - time)
    before = np.concatenate([time[:1], time[:-1]])
    since = np.where(before == NO_TIME, SPANS + 1, 1 + span_buckets(time - before))
    return np.where(position > 0, since, 0)


def span_buckets(microseconds: LongVector) -> LongVector:
    """(N,) the bucket of each span of time, in factors of 1.7 from one second on.

    >>> span_buckets(np.array([0, 999_999, 1_000_000, 60_000_000])).tolist()
    [0, 0, 1, 8]
    """
    seconds = np.maximum(microseconds, 0) / SECOND
    with np.errstate(divide="ignore"):
        bucket = 1 + np.floor(np.log(seconds) / np.log(1.7))
    return np.clip(bucket, 0, SPANS - 1).astype(np.int64)


def _steps(session: IntVector, position: LongVector) -> LongVector:
    """0 for a session's first event, 1 for its second, 2 for the next two, 3 for the next four, ..."""
    begins = np.concatenate([[True], session[1:] != session[:-1]]) | (position == 0)
    place = np.arange(len(session))
    since = place - np.maximum.accumulate(np.where(begins, place, 0))
    return np.where(since > 0, 1 + np.floor(np.log2(np.maximum(since, 1))), 0).astype(np.int64)


def _edges(values: FloatVector | None) -> FloatVector:
    """Between different values where there are few, else between quantiles of the events."""
    if values is None:
        return np.zeros(0, np.float32)
    every = values[np.isfinite(values)]
    known = np.unique(every)
    if len(known) > VALUES:
        known = np.unique(np.quantile(every[:: max(1, len(every) // SAMPLED)], np.linspace(0, 1, VALUES)))
    return ((known[1:] + known[:-1]) / 2).astype(np.float32)
