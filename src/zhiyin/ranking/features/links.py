"""How two people are linked until now: mutual friends and what they tell; where the items are people themselves.

An event of a person on another one is a link from the first to the second. The graph of a query is that of its moment:
the links of the log before now, but for those of the query's own person, which are those of its history. Two people
are friends where there is a link in either direction, Γ(x) are the friends of x, and a query of x is told of y:

    mutual friends     |Γ(x) ∩ Γ(y)|                                   (common neighbours)
    Jaccard            |Γ(x) ∩ Γ(y)| / |Γ(x) ∪ Γ(y)|
    Adamic-Adar        sum over z in Γ(x) ∩ Γ(y) of 1 / log |Γ(z)|

(Adamic and Adar, "Friends and neighbors on the web", Social Networks 2003, for the last one; Liben-Nowell and
Kleinberg, "The link prediction problem for social networks", CIKM 2003, section 3, for all three, and for the number
of links of y, which is the part of preferential attachment that tells candidates apart.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, LongVector, offsets_of
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.ranking._events import EventsByKey, since
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.affinity import entries
from zhiyin.ranking.features.base import Family, numbers
from zhiyin.run import Run

DAY = 86_400_000_000

LINKS_AT_ONCE = 1_000_000
"""So many links of friends are looked at together, which bounds the memory."""


class LinksConfig(Config):
    """Settings of `links`: none."""


class Links(Family):
    """Mutual friends and what they tell, how many links a candidate has, and whether one leads to the person.

    It is to be named, as where ids are numbers an item's may be a user's by chance. A person is a number: that of the
    item, and behind all items those users who are none.
    """

    config: LinksConfig
    counts = True
    learns = ("links", "asked", "others")
    links: sparse.csr_array
    """(n, n) int64 the moment at which two people became friends, in microseconds since 1970; symmetric."""
    asked: sparse.csr_array
    """(n, n) int64 row y: who linked to y, and when first."""
    others: list[str]
    """The ids of the users that are no items."""
    _number: Vocabulary
    _count: EventsByKey

    def suits(self, train: Dataset) -> bool:
        """Whether at least half of the items are users."""
        return bool((train.users.encode(train.items.ids) >= 0).mean() >= 0.5) if train.n_items else False

    def _fit(self, train: Dataset, run: Run) -> None:
        past, ids = train.histories, train.users.ids.to_pylist()
        number = train.items.encode(ids).astype(np.int64)
        outside = number < 0
        self.others = [one for one, there in zip(ids, outside, strict=True) if there]
        number[outside] = train.n_items + np.arange(len(self.others))
        when = past.time if train.clock == "time" and past.time is not None else np.full(past.n_events, NO_TIME)
        start, end, n = number[past.owner()], past.item.astype(np.int64), train.n_items + len(self.others)
        real = start != end
        start, end, when = start[real], end[real], when[real]
        self.asked = _first(end, start, when, n)
        self.links = _first(np.append(start, end), np.append(end, start), np.append(when, when), n)
        self.derive()

    def derive(self) -> None:
        """Make what is not saved."""
        self._number = Vocabulary(self.others)
        who = np.repeat(np.arange(self.links.shape[0]), np.diff(self.links.indptr))
        self._count = EventsByKey.of(who, self.links.data, self.links.shape[0])

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        queries, owner, at = candidates.queries, candidates.owner(), self._moment(candidates)
        logged, asked = at.before(self.links), at.before(self.asked)
        friends = at.friends(queries, asked)
        key = at.key(owner, candidates.item)
        wanted, place = np.unique(key, return_inverse=True)
        own = self._friends_of(friends.key, logged, friends.key, at)
        count, told, newest = (one[place] for one in self._mutual(friends, own, wanted, at))
        theirs = self._friends_of(key, logged, friends.key, at)
        either = np.bincount(friends.key // at.n, minlength=len(queries))[owner] + theirs - count
        found = {
            "mutual friends": numbers(count),
            "Adamic-Adar of mutual friends": told,
            "Jaccard of friends": np.divide(count, either, where=either > 0, out=np.full(len(key), np.nan)),
            "links of the candidate": numbers(theirs),
            "the candidate linked to the person": np.where(at.person[owner] >= 0, _among(key, asked.key), np.nan),
        }
        if queries.histories.time is not None and queries.now is not None:
            found["days since the newest mutual friend"] = since(newest, at.now[owner], DAY)
        return found

    def _moment(self, candidates: Candidates) -> _Moment:
        """Who asks and when; a user by their number among the items, else among the others."""
        queries = candidates.queries
        ids = list(queries.users or ("",) * len(queries))
        item, other = queries.items.encode(ids).astype(np.int64), self._number.encode(ids).astype(np.int64)
        person = np.where(item >= 0, item, np.where(other >= 0, len(queries.items) + other, -1))
        return _Moment(person, candidates.now(), self.links.shape[0])

    def _friends_of(self, key: LongVector, logged: _People, friends: LongVector, at: _Moment) -> LongVector:
        """(m,) how many friends each person has at the moment of the query; `key` is of queries and people."""
        query, who = np.divmod(key, at.n)
        return self._count.before(who, at.now[query]) - _among(key, logged.key) + _among(key, friends)

    def _mutual(
        self, friends: _People, own: LongVector, wanted: LongVector, at: _Moment
    ) -> tuple[LongVector, DoubleVector, LongVector]:
        """(m,) each, of wanted keys, which rise: mutual friends, Adamic-Adar, and when the newest became one.

        Args:
            friends: of the person of each query.
            own: how many friends each of them has.
            wanted: keys of queries and people.
            at: who asks and when.
        """
        count, told = np.zeros(len(wanted), np.int64), np.zeros(len(wanted))
        newest = np.full(len(wanted), NO_TIME)
        query, who = np.divmod(friends.key, at.n)
        for part in _runs(np.diff(self.links.indptr)[who]):
            which, third, when = entries(self.links, who[part])
            asks = query[part][which]
            place, there = _places(at.key(asks, third), wanted)
            there &= (when < at.now[asks]) & (third != at.person[asks])
            place, which, when = place[there], which[there], when[there]
            count += np.bincount(place, minlength=len(wanted))
            told += np.bincount(place, 1 / np.log(own[part][which]), len(wanted))
            np.maximum.at(newest, place, np.maximum(when, friends.time[part][which]))
        return count, told, newest


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """People of queries: each is a key, the number of the query times that of all people, and the person's."""

    key: LongVector
    """(m,) rising, each once."""
    time: LongVector
    """(m,) since when."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """Who asks and when."""

    person: LongVector
    """(n_queries,) their numbers, -1 for a stranger."""
    now: LongVector
    """(n_queries,) microseconds since 1970."""
    n: int
    """How many people there are."""

    def key(self, query: AnyArray, person: AnyArray) -> LongVector:
        """(m,) a query and a person in one number."""
        found: LongVector = query.astype(np.int64) * self.n + person
        return found

    def before(self, links: sparse.csr_array) -> _People:
        """The row of the person of each query, as far as it is before the moment."""
        known = np.flatnonzero(self.person >= 0)
        which, other, when = entries(links, self.person[known])
        query = known[which]
        past = when < self.now[query]
        return _People(self.key(query, other)[past], when[past])

    def friends(self, queries: Queries, asked: _People) -> _People:
        """Those of the person of each query: whom the history holds, and who linked to the person."""
        past = queries.histories
        when = np.full(past.n_events, NO_TIME) if past.time is None else past.time
        real = past.item != self.person[past.owner()]
        key = np.append(self.key(past.owner(), past.item)[real], asked.key)
        when = np.append(when[real], asked.time)
        order = np.lexsort((when, key))
        key, when = key[order], when[order]
        first = np.append(True, key[1:] != key[:-1])[: len(key)]
        return _People(key[first], when[first])


def _first(row: LongVector, column: LongVector, when: LongVector, n: int) -> sparse.csr_array:
    """(n, n) the earliest moment of each pair."""
    order = np.lexsort((when, column, row))
    row, column, when = row[order], column[order], when[order]
    new = np.append(True, (row[1:] != row[:-1]) | (column[1:] != column[:-1]))[: len(row)]
    return sparse.csr_array((when[new], column[new], offsets_of(np.bincount(row[new], minlength=n))), shape=(n, n))


def _places(key: LongVector, among: LongVector) -> tuple[LongVector, BoolVector]:
    """(m,) where each key would stand among rising ones, and whether it is there."""
    place = np.searchsorted(among, key)
    return place, np.append(among, -1)[place] == key


def _among(key: LongVector, among: LongVector) -> BoolVector:
    return _places(key, among)[1]


def _runs(lengths: AnyArray) -> Iterator[slice]:
    """Runs of at most `LINKS_AT_ONCE` together, or of one that is longer."""
    ends, start = np.cumsum(lengths), 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + LINKS_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop
