"""Queries: what is asked of a recommender, in a person's terms and in the numbers of a vocabulary."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, FloatVector, IntVector, LongVector
from zhiyin.data.histories import NO_KIND, NO_SESSION, NO_TIME, Histories
from zhiyin.data.moments import PLAUSIBLE, Moment, check_unit, microseconds
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError, unknown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a recommender, in a person's terms: a history, the present moment, and what else is known.

    >>> query = Query.of(["matrix", "alien"], user_id="ada")
    >>> query.items
    ('matrix', 'alien')
    """

    items: tuple[str, ...]
    times: tuple[int, ...] | None = None
    values: tuple[float, ...] | None = None
    kinds: tuple[str, ...] | None = None
    now: int | None = None
    user_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] | None = None
    sessions: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        items: Sequence[str],
        times: Sequence[Moment] | None = None,
        values: Sequence[float] | None = None,
        kinds: Sequence[str] | None = None,
        now: Moment | None = None,
        user_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        weights: Sequence[float] | None = None,
        sessions: Sequence[str] | None = None,
    ) -> Query:
        """Build a query by hand: item ids, oldest first; times and `now` as datetimes or microseconds since 1970.

        A datetime without a zone is UTC. Events whose times fall are put in the order of their times when it is asked.
        `weights` tell how much each event speaks for its item; by default what training found for events of its kind.
        `sessions` name the session of each event; equal names are one session.

        Raises:
            DataError: a column is not as long as the history, a time is none, or a weight is no number.
        """
        if isinstance(items, str):
            raise DataError(f"a history is a list of item ids, but one text came: {items!r}")
        columns = {"times": times, "values": values, "kinds": kinds, "weights": weights, "sessions": sessions}
        for name, column in columns.items():
            if column is not None and len(column) != len(items):
                raise DataError(f"{len(items)} items came with {len(column)} {name}; one for each is expected")
        if weights is not None and not np.isfinite(np.array(weights, np.float64)).all():
            raise DataError(f"weights {list(weights)} came; each must be a number")
        return cls(
            tuple(str(one) for one in items),
            None if times is None else tuple(microseconds(one) for one in times),
            None if values is None else tuple(float(one) for one in values),
            None if kinds is None else tuple(kinds),
            None if now is None else microseconds(now),
            user_id,
            dict(context or {}),
            None if weights is None else tuple(float(one) for one in weights),
            None if sessions is None else tuple(str(one) for one in sessions),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """A batch of queries in the numbers of a vocabulary.

    `now` (n,) int64 microseconds, or None where no time is known; `users` the users' ids, or None for strangers;
    `context` columns of length n; `unknown` (n,) int32: how many events of each history were left out as their item
    is not in the vocabulary; `kinds` the names of the kinds of events, by their numbers, where they are known.
    """

    histories: Histories
    items: Vocabulary
    now: LongVector | None = None
    users: tuple[str, ...] | None = None
    context: Mapping[str, AnyArray] = field(default_factory=dict)
    unknown: IntVector | None = None
    kinds: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.histories)

    def __repr__(self) -> str:
        return f"Queries: {len(self):,}, of {self.histories.n_events:,} events"

    @classmethod
    def encode(
        cls,
        queries: Sequence[Query],
        items: Vocabulary,
        kinds: Sequence[str] = (),
        kind_weights: Sequence[float] = (),
    ) -> Queries:
        """Translate queries into the numbers of `items`; events on unknown items are left out and counted.

        Args:
            queries: what is asked.
            items: the vocabulary of the answering model.
            kinds: the kinds of events that it knows, in the order of their numbers; none, and kinds are not looked at.
            kind_weights: what an event of each kind weighs, where a query does not say.

        Raises:
            DataError: an event has a kind that is not among `kinds`.
        """
        numbers = items.encode([one for query in queries for one in query.items])
        lengths = np.array([len(query.items) for query in queries], np.int64)
        kind = _kinds(queries, kinds)
        full = Histories.of_lengths(
            lengths,
            item=numbers,
            time=_column(queries, "times", NO_TIME, np.int64),
            value=_column(queries, "values", np.nan, np.float32),
            kind=kind,
            weight=_weights(queries, kind, kind_weights),
            session=_sessions(queries),
        )
        known = numbers >= 0
        missing = np.add.reduceat(np.append(~known, False), full.offsets[:-1]) if len(queries) else np.zeros(0)
        return cls(
            _in_order(full.keep(known)),
            items,
            _now(queries),
            tuple(query.user_id or "" for query in queries) if any(query.user_id for query in queries) else None,
            {name: _told(queries, name) for name in _names(queries)},
            np.where(lengths > 0, missing, 0).astype(np.int32),
            tuple(kinds),
        )

    def slice(self, start: int, stop: int) -> Queries:
        """The queries `start` to `stop`."""
        return replace(
            self,
            histories=self.histories.slice(start, stop),
            now=None if self.now is None else self.now[start:stop],
            users=None if self.users is None else self.users[start:stop],
            context={name: column[start:stop] for name, column in self.context.items()},
            unknown=None if self.unknown is None else self.unknown[start:stop],
        )

    def take(self, rows: AnyArray) -> Queries:
        """Some of the queries, in the order of `rows` (numbers, or a mask of all)."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        return replace(
            self,
            histories=self.histories.take(rows),
            now=None if self.now is None else self.now[rows],
            users=None if self.users is None else tuple(self.users[row] for row in rows),
            context={name: column[rows] for name, column in self.context.items()},
            unknown=None if self.unknown is None else self.unknown[rows],
        )

    def blocks(self, rows: int) -> Iterator[Queries]:
        """The queries in blocks of at most `rows`."""
        for start in range(0, len(self), rows):
            yield self.slice(start, min(start + rows, len(self)))

    def in_kinds(self, kinds: Sequence[str]) -> Queries:
        """The same queries with the kinds of events in another order; what is not among them becomes `NO_KIND`."""
        kind, wanted = self.histories.kind, tuple(kinds)
        if kind is None or not self.kinds or self.kinds == wanted:
            return self
        table = np.full(NO_KIND + 1, NO_KIND, np.uint8)
        table[: len(self.kinds)] = [wanted.index(one) if one in wanted else NO_KIND for one in self.kinds]
        return replace(self, histories=replace(self.histories, kind=table[kind]), kinds=wanted)

    def until_now(self) -> Queries:
        """The same queries without the events that are later than their moment, which are not known then."""
        past, now = self.histories, self.now
        if now is None or past.time is None:
            return self
        known = past.time <= np.repeat(now, past.lengths)
        if known.all():
            return self
        logger.warning(
            "%d of %d events are later than the moment (now) of their query and are left out; a moment is in "
            "microseconds since 1970, or a datetime",
            *(int(np.count_nonzero(~known)), len(known)),
        )
        return replace(self, histories=past.keep(known))

    def in_unit(self, first: int | None, who: str) -> Queries:
        """The queries as they are, unless their moments are of another unit than those that are known.

        Args:
            first: the earliest moment that is known; None where none is.
            who: in words, who knows it.

        Raises:
            DataError: see `check_unit`.
        """
        for name, moments in (("now", self.now), ("times", self.histories.time)):
            check_unit(name, moments, first, f"{who} has learnt from events")
        if self.now is None or first is None or first < PLAUSIBLE[0]:
            return self
        early = (self.now <= 0) & (self.now != NO_TIME)
        if early.any():
            logger.warning(
                "%d of %d queries are asked at a moment (now) of %d, before all that %s has learnt from, so that "
                "nothing counts as known; leave it out where it is not known",
                *(int(np.count_nonzero(early)), len(early), int(self.now[early][0]), who),
            )
        return self

    def translate(self, items: Vocabulary) -> Queries:
        """The same queries in another vocabulary; events on items that it lacks are left out and counted."""
        if items == self.items:
            return self
        table = items.encode(self.items.ids)
        numbers = table[self.histories.item]
        lost = Histories(self.histories.offsets, numbers).keep(numbers < 0).lengths.astype(np.int32)
        known = replace(self.histories, item=numbers).keep(numbers >= 0)
        return replace(
            self, histories=known, items=items, unknown=lost if self.unknown is None else self.unknown + lost
        )


def _column(queries: Sequence[Query], name: str, empty: float, dtype: Any) -> AnyArray | None:
    if all(getattr(query, name) is None for query in queries):
        return None
    parts = [getattr(query, name) or (empty,) * len(query.items) for query in queries]
    return np.array([one for part in parts for one in part], dtype)


def _told(queries: Sequence[Query], name: str) -> AnyArray:
    """(n_queries,) a column of the contexts, where a value may be a list; None where a query does not have it."""
    values = [query.context.get(name) for query in queries]
    kinds = {float if type(one) is int else type(one) for one in values if one is not None}
    if len(kinds) <= 1 and not kinds & {list, tuple, set, frozenset, np.ndarray}:
        return np.array(values)  # of several types it would make texts of numbers, by what stands beside them
    found = np.empty(len(values), object)
    for at, one in enumerate(values):
        found[at] = _listed(one)
    return found


def _listed(value: Any) -> Any:
    """Several values as a list; anything else as it is."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else value


def _kinds(queries: Sequence[Query], kinds: Sequence[str]) -> AnyArray | None:
    if not kinds or all(query.kinds is None for query in queries):
        return None
    number = {kind: place for place, kind in enumerate(kinds)}
    for name in {kind for query in queries for kind in query.kinds or ()} - set(number):
        raise DataError(unknown("kind of event", name, kinds))
    parts = [
        [NO_KIND] * len(query.items) if query.kinds is None else [number[kind] for kind in query.kinds]
        for query in queries
    ]
    return np.array([one for part in parts for one in part], np.uint8)


def _weights(queries: Sequence[Query], kind: AnyArray | None, kind_weights: Sequence[float]) -> FloatVector | None:
    """(n_events,) the weights that the queries state, else those of the kinds that they state, else 1."""
    stated = _column(queries, "weights", np.nan, np.float32)
    by_kind = None
    if kind is not None and len(kind_weights):
        weigh = np.ones(NO_KIND + 1, np.float32)
        weigh[: len(kind_weights)] = kind_weights
        by_kind = weigh[kind]
    if stated is None:
        return by_kind
    return np.where(np.isnan(stated), np.float32(1) if by_kind is None else by_kind, stated)


def _sessions(queries: Sequence[Query]) -> IntVector | None:
    """(n_events,) the sessions of each history counted from 0, `NO_SESSION` where they are not said."""
    if all(query.sessions is None for query in queries):
        return None
    found: list[int] = []
    for query in queries:
        if query.sessions is None:
            found += [NO_SESSION] * len(query.items)
        else:
            number = {name: place for place, name in enumerate(dict.fromkeys(query.sessions))}
            found += [number[name] for name in query.sessions]
    return np.array(found, np.int32)


def _in_order(histories: Histories) -> Histories:
    """Each history in the order of its times; events of one time, and of none, stay as they are."""
    time = histories.time
    if time is None or not len(time):
        return histories
    owner = histories.owner()
    if not ((time[1:] < time[:-1]) & (owner[1:] == owner[:-1])).any():
        return histories
    return histories.reorder(np.lexsort((time, owner)))


def _now(queries: Sequence[Query]) -> LongVector | None:
    """The moment of each query: given, else just after its last event, else `NO_TIME`; None where none is known."""
    moments = [_moment(query) for query in queries]
    if all(moment is None for moment in moments):
        return None
    return np.array([NO_TIME if moment is None else moment for moment in moments], np.int64)


def _moment(query: Query) -> int | None:
    if query.now is not None:
        return query.now
    return max(query.times) + 1 if query.times else None


def _names(queries: Sequence[Query]) -> list[str]:
    return sorted({name for query in queries for name in query.context})
