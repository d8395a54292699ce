"""Friends: people find people of their town and tastes, most of all the friends of their friends; both must want it.

The law is one of pairs: the next two people who become friends are u and v with a chance in proportion to

    lively(u) · lively(v) · alike(u, v) · near(u, v) · (1 + closure · mutual friends of u and v)

where either seeks what the other is, and they are no friends yet; 0 elsewhere. It is symmetric, so that of each friend
whom u makes, whoever asked first, the chance of v is in proportion to the same numbers. Mutual friends count more from
link to link, as triads close (Holme and Kim, Physical Review E 2002, grow networks by such steps).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, DoubleMatrix, DoubleVector, IntVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data._synthetic_text import group_names
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.run import Run
from zhiyin.scenarios.worlds.base import DAY, START, World, drawn

TOWNS = ("north", "east", "south", "west")
AGES = ("20s", "30s", "40s", "50s")
NEVER = np.iinfo(np.int64).max


class FriendsConfig(Config):
    """Settings of `friends`."""

    n_users: int = setting(250, ge=2)
    """How many people there are; they are users and items both."""
    n_events: int = setting(6_000, ge=2)
    """How many events there are, two a link; a few less, where nobody is left to meet."""
    n_groups: int = setting(8, ge=1, le=64)
    """Groups of tastes."""
    taste: float = setting(2.0, ge=0)
    """How much tastes differ: 0 for people who like all groups alike."""
    activity: float = setting(0.6, ge=0, le=3)
    """Spread of how lively people are (sigma of a log-normal)."""
    closure: float = setting(3.0, ge=0)
    """Each mutual friend adds so many times the chance that two people have without any."""
    away: float = setting(0.1, ge=0, le=1)
    """The chance of people of two towns, as a part of that of people of one."""
    choosy: float = setting(0.5, ge=0, le=1)
    """The part of people who seek some ages, their own and the next ones; others seek anyone."""
    told: int = setting(3, ge=1)
    """People tell so many of their interests, drawn by their tastes."""
    days: int = setting(100, ge=1)
    """Length of time."""
    seed: int = setting(0, ge=0)
    """Seed of the whole world."""


class Friends(World):
    """Links between people, both ways at one moment; see the law above.

    The catalogue and the table of users are the same people, with `town`, `age_group`, what they seek (`seeks`, none
    for anyone) and `interests`.
    """

    config: FriendsConfig
    taste: DoubleMatrix
    """(n_users, n_groups) rows that sum to 1; two people are as alike as the product of their rows."""
    lively: DoubleVector
    """(n_users,)."""
    people: pa.Table
    """Of everybody what both tables say, and `user_id`."""
    pull: DoubleMatrix
    """(n_users, n_users) the law without mutual friends; symmetric, 0 for oneself and where either is not sought."""

    def __init__(self, config: Config | None = None, **options: object) -> None:
        super().__init__(config, **options)
        own = self.config
        rng, n = Run(seed=own.seed).generator("friends"), own.n_users
        raw = np.exp(own.taste * rng.standard_normal((n, own.n_groups)))
        self.taste = raw / raw.sum(1, keepdims=True)
        self.lively = rng.lognormal(0, own.activity, n)
        town, age = rng.integers(0, len(TOWNS), n), rng.integers(0, len(AGES), n)
        near = np.where(town[:, None] == town, 1, own.away)
        seeks = (np.abs(np.arange(len(AGES)) - age[:, None]) <= 1) | (rng.random(n) >= own.choosy)[:, None]
        wanted = seeks[:, age] & seeks[:, age].T & ~np.eye(n, dtype=bool)
        self.pull = np.outer(self.lively, self.lively) * (self.taste @ self.taste.T) * near * wanted
        interests = drawn(np.repeat(self.taste, own.told, 0), rng).reshape(n, own.told)
        self.people = _table(town, age, seeks, interests, group_names(own.n_groups))

    def chances(self, who: AnyArray, friend: BoolVector, mutual: AnyArray) -> DoubleMatrix:
        """(n, n_users) the chance of each person to be the next friend, up to a factor for each row.

        Args:
            who: (n,) the numbers of people.
            friend: (n, n_users) who is their friend already.
            mutual: (n, n_users) how many mutual friends they have with each.
        """
        found: DoubleMatrix = self.pull[who] * (1 + self.config.closure * mutual) * ~friend
        return found

    def truth(self, queries: Queries) -> AnyArray:
        """See `World.truth`: own friends are those of the history, those of all others are those of the log until now.

        Raises:
            DataError: queries do not say whose they are, or when.
        """
        if queries.users is None or queries.now is None:
            raise DataError(f"the truth of {self.name} is of its users at a moment; the queries lack a user or a time")
        who = np.array([self._ids.number(one, "user") for one in queries.users], np.int32)
        friend = queries.histories.without("weight").matrix(len(self._ids)).toarray() > 0
        mutual = np.zeros(friend.shape)
        for at, now in enumerate(queries.now):
            mutual[at] = (self._since[friend[at]] < now).sum(0)
        return self.chances(who, friend, mutual)

    @cached_property
    def _ids(self) -> Vocabulary:
        return Vocabulary(self.people["user_id"])

    @cached_property
    def _links(self) -> tuple[IntVector, IntVector, LongVector]:
        """(n_links,) each: two people, and when they became friends; rising."""
        own, run = self.config, Run(seed=self.config.seed)
        pairs = self._drawn(own.n_events // 2, run.generator("friends links"))
        time = START + run.generator("friends times").integers(0, own.days * DAY, len(pairs))
        return pairs[:, 0], pairs[:, 1], np.sort(time)

    @cached_property
    def _since(self) -> AnyArray:
        """(n_users, n_users) the moment at which two people became friends; `NEVER` of others."""
        one, other, time = self._links
        found = np.full(self.pull.shape, NEVER)
        found[one, other] = found[other, one] = time
        return found

    def _drawn(self, n_links: int, rng: np.random.Generator) -> AnyArray:
        """(n_links, 2) pairs in their order; fewer where nobody is left to meet.

        The first of a pair is drawn by the sum of their row, the second from that row: together in proportion to the
        law.
        """
        friend, mutual = np.zeros(self.pull.shape, bool), np.zeros(self.pull.shape)
        chance, found = self.pull.copy(), np.zeros((n_links, 2), np.int32)
        for at in range(n_links):
            first = drawn(chance.sum(1)[None], rng)[0]
            if first < 0:
                return found[:at]
            found[at] = first, drawn(chance[[first]], rng)[0]
            self._meet(found[at], friend, mutual, chance)
        return found

    def _meet(self, pair: AnyArray, friend: BoolVector, mutual: AnyArray, chance: AnyArray) -> None:
        """Make two people friends, in place; of all, (n_users, n_users), only their rows and columns change."""
        mutual[pair] += friend[pair[::-1]]
        mutual[:, pair] = mutual[pair].T
        friend[pair, pair[::-1]] = True
        chance[pair] = self.chances(pair, friend[pair], mutual[pair])
        chance[:, pair] = chance[pair].T

    def dataset(self) -> Dataset:
        """The log, in which each link stands twice, and everybody in both tables."""
        one, other, time = self._links
        who, whom, time = np.append(one, other), np.append(other, one), np.append(time, time)
        order = np.lexsort((time, who))
        lengths = np.bincount(who, minlength=len(self._ids))
        past = Histories.of_lengths(lengths, item=whom[order], time=time[order])
        items = self.people.rename_columns(["item_id", *self.people.column_names[1:]])
        return Dataset.of(past, items, self.people, name=self.name)


def _table(town: AnyArray, age: AnyArray, seeks: AnyArray, interests: AnyArray, names: list[str]) -> pa.Table:
    """What people tell of themselves; one who seeks all ages says nothing of them."""
    sought = [[] if row.all() else [AGES[at] for at in np.flatnonzero(row)] for row in seeks]
    return pa.table(
        {
            "user_id": [f"u{number:05d}" for number in range(len(town))],
            "town": [TOWNS[one] for one in town],
            "age_group": [AGES[one] for one in age],
            "seeks": pa.array(sought, pa.list_(pa.string())),
            "interests": [sorted({names[one] for one in row}) for row in interests.tolist()],
        }
    )
