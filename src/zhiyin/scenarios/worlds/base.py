"""World: users, items and one function, the chance of each item to be the next one; events are drawn from it.

A world writes `_made` (its users, items and tables) and `chances`. The events of all users are drawn round by round:
first the first event of everybody, then the second, each by the chances at its own moment, given all that this user
did before. The oracle ranks by the same function of a query. So it is the best that any recommender can do, unless it
foresees chance; and whatever a world is about (freshness, repeats, places) is said once, in its `chances`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, DoubleMatrix, DoubleVector, FloatVector, IntVector, LongVector
from zhiyin.config import Component, Config, setting
from zhiyin.data._synthetic_text import item_table
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.run import Run

DAY = 86_400_000_000
MINUTE = 60_000_000

START = 1_704_067_200_000_000
"""Every world begins on 2024-01-01, UTC; microseconds since 1970."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Some users at a moment of each, and what each did until then; n of them."""

    who: IntVector
    """(n,) the numbers of the users."""
    now: LongVector
    """(n,) microseconds since 1970."""
    used: DoubleMatrix
    """(n, n_items) how often each item was used."""
    last: IntVector
    """(n,) the last item, -1 for none."""
    since: LongVector
    """(n,) microseconds from the last event until now; very many without one."""

    @classmethod
    def of(cls, queries: Queries, who: IntVector) -> Moment:
        """What queries say; their histories must be whole."""
        past, n_items = queries.histories, len(queries.items)
        assert queries.now is not None
        used = np.zeros((len(queries), n_items))
        np.add.at(used, (past.owner(), past.item), 1)
        some = past.lengths > 0
        latest = np.full(len(queries), np.iinfo(np.int64).min // 4)
        if past.time is not None:
            latest[some] = past.time[past.offsets[1:][some] - 1]
        return cls(who, queries.now, used, past.last_items(1)[:, 0], queries.now - latest)


class World(Component):
    """Base of every world: a dataset, and the truth behind it."""

    config: Config
    room = "zhiyin.scenarios.worlds"

    def dataset(self) -> Dataset:
        """The events, items and users of the world; the same at every call."""
        raise NotImplementedError

    def truth(self, queries: Queries) -> AnyArray:
        """(n_queries, n_items) the chance of each item to be the next one, up to a factor; 0 for what cannot be.

        Queries must be of users of the world, with whole histories and a moment each.
        """
        raise NotImplementedError


class TastesConfig(Config):
    """Settings of every world of tastes."""

    n_users: int = setting(200, ge=1)
    """How many users there are."""
    n_items: int = setting(120, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(10_000, ge=1)
    """How many events there are; a few less, where somebody has nothing left to use."""
    n_groups: int = setting(8, ge=1, le=64)
    """Groups of tastes; each item belongs to one."""
    taste: float = setting(2.0, ge=0)
    """How much tastes differ: 0 for users who like all groups alike."""
    popularity: float = setting(0.7, ge=0, le=3)
    """Exponent of the Zipf law of items; 0 for items that are equally popular."""
    activity: float = setting(0.6, ge=0, le=3)
    """Spread of the users' activity (sigma of a log-normal)."""
    days: int = setting(100, ge=1)
    """Length of time."""
    seed: int = setting(0, ge=0)
    """Seed of the whole world."""


class Tastes(World):
    """Base of worlds of users with tastes: chances are taste in the item's group, times its popularity, times more.

    `taste` (n_users, n_groups), rows that sum to 1; `group` (n_items,); `weight` (n_items,); tables `items`, `users`.
    """

    config: TastesConfig
    taste: DoubleMatrix
    group: IntVector
    weight: DoubleVector
    items: pa.Table
    users: pa.Table

    def __init__(self, config: Config | None = None, **options: object) -> None:
        super().__init__(config, **options)
        own, run = self.config, Run(seed=self.config.seed)
        rng = run.generator("tastes")
        raw = np.exp(own.taste * rng.standard_normal((own.n_users, own.n_groups)))
        self.taste = raw / raw.sum(1, keepdims=True)
        self.group = (np.arange(own.n_items) % own.n_groups).astype(np.int32)
        self.weight = np.asarray((1.0 + rng.permutation(own.n_items)) ** -own.popularity, np.float64)
        always = pa.array(np.full(own.n_items, START))
        words = run.generator("tastes catalogue")
        self.items = item_table(_ids("i", own.n_items), self.group, self.group, always, words)
        self.users = pa.table({"user_id": _ids("u", own.n_users)})
        self._made(run.generator("tastes world"))

    # ------------------------------------------------------------------ what a world writes

    def _made(self, rng: np.random.Generator) -> None:
        """Make what this world has beside tastes; here nothing."""

    def chances(self, at: Moment) -> DoubleMatrix:
        """(n, n_items) the chance of each item to be the next one, up to a factor for each row."""
        return self.likes(at)

    def values(self, at: Moment, item: IntVector, rng: np.random.Generator) -> FloatVector | None:
        """(n,) the value of each event; None, as here, for a world without."""
        return None

    def times(self, n: LongVector, rng: np.random.Generator) -> LongVector:
        """(sum of n,) when the events of each user are, rising; here at any time."""
        owner = np.repeat(np.arange(len(n)), n)
        time = START + rng.integers(0, self.config.days * DAY, len(owner))
        return time[np.lexsort((time, owner))]

    # ------------------------------------------------------------------ what everybody inherits

    def likes(self, at: Moment) -> DoubleMatrix:
        """(n, n_items) taste in the group of each item, times the item's popularity."""
        found: DoubleMatrix = self.taste[at.who][:, self.group] * self.weight
        return found

    def truth(self, queries: Queries) -> AnyArray:
        """See `World.truth`.

        Raises:
            DataError: queries do not say whose they are, or when.
        """
        return self.chances(Moment.of(queries, self.whose(queries)))

    def whose(self, queries: Queries) -> IntVector:
        """(n_queries,) the numbers of the users.

        Raises:
            DataError: queries do not say whose they are, or when.
        """
        if queries.users is None or queries.now is None:
            raise DataError(f"the truth of {self.name} is of its users at a moment; the queries lack a user or a time")
        number = {one: at for at, one in enumerate(self.users["user_id"].to_pylist())}
        strangers = [one for one in queries.users if one not in number]
        if strangers:
            raise DataError(f"{strangers[0]!r} is no user of the world {self.name}; ask for users of its dataset")
        return np.array([number[one] for one in queries.users], np.int32)

    def dataset(self) -> Dataset:
        """The world as a dataset."""
        rng = Run(seed=self.config.seed).generator("tastes events")
        busy = rng.lognormal(0, self.config.activity, self.config.n_users)
        length = rng.multinomial(self.config.n_events, busy / busy.sum())
        time = self.times(length, rng)
        item, value = self._drawn(length, time, rng)
        kept = item >= 0
        whole = Histories.of_lengths(length, item=item, time=time, value=value).keep(kept)
        return Dataset.of(whole, self.items, self.users, name=self.name)

    def _drawn(
        self, length: LongVector, time: LongVector, rng: np.random.Generator
    ) -> tuple[IntVector, FloatVector | None]:
        """(n_events,) items and values; item -1 where there is nothing to use."""
        n, n_items = len(length), self.config.n_items
        used, last, latest = np.zeros((n, n_items)), np.full(n, -1, np.int32), np.full(n, np.iinfo(np.int64).min // 4)
        item, value = np.full(len(time), -1, np.int32), np.full(len(time), np.nan, np.float32)
        for places in _rounds(length):
            who = np.searchsorted(np.cumsum(length), places, side="right").astype(np.int32)
            at = Moment(who, time[places], used[who], last[who], time[places] - latest[who])
            found = drawn(self.chances(at), rng)
            some = found >= 0
            item[places] = found
            told = self.values(at, np.maximum(found, 0), rng)
            value[places] = np.nan if told is None else told
            used[who[some], found[some]] += 1
            last[who[some]], latest[who[some]] = found[some], time[places][some]
        return item, None if np.isnan(value).all() else value


def drawn(chances: AnyArray, rng: np.random.Generator) -> IntVector:
    """(n,) an item of each row by its chances, which need not sum to 1; -1 where all are 0."""
    summed = np.cumsum(chances, 1)
    aim = rng.random(len(summed)) * summed[:, -1]
    found = np.minimum((summed <= aim[:, None]).sum(1), summed.shape[1] - 1)
    return np.where(summed[:, -1] > 0, found, -1).astype(np.int32)


def _rounds(length: LongVector) -> Iterator[LongVector]:
    """The places of the first events of all histories, then of the second ones, and so on."""
    starts = np.cumsum(length) - length
    for nth in range(int(length.max(initial=0))):
        yield starts[length > nth] + nth


def _ids(letter: str, n: int) -> pa.Array:
    return pa.array([f"{letter}{number:05d}" for number in range(n)])
