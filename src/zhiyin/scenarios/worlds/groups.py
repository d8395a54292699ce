"""Groups that people join: clubs and reading circles, each on a topic, in a town, until its places are taken.

Whom one knows counts: people join where people they know are. So what happens to one person depends on what others did
before, and events are drawn in the order of time, not person by person.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, DoubleMatrix, IntVector, LongVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.scenarios.worlds.base import DAY, START, Moment, Tastes, TastesConfig, drawn

TOWNS = ("north", "east", "south", "west")

NEVER = np.iinfo(np.int64).max
"""When a group is full that always has places."""


class GroupsConfig(TastesConfig):
    """Settings of `groups`; `n_groups` is still that of tastes, here the topics."""

    n_users: int = setting(300, ge=1)
    """How many users there are."""
    n_items: int = setting(240, ge=1)
    """How many groups can be joined."""
    n_events: int = setting(6_000, ge=1)
    """How many events there are; a few less, where somebody has nothing left to join."""
    circle: int = setting(10, ge=1)
    """So many people know each other; everybody is in one such circle, and a circle lives in one town."""
    company: float = setting(1.0, ge=0)
    """Each person of one's circle who is in a group adds so much to its chance: it is multiplied by 1 + company · n."""
    places: float = setting(40.0, ge=1)
    """How many places a group has, in the median."""
    travels: float = setting(0.3, ge=0, le=1)
    """The part of people who join in a second town, too."""


class Groups(Tastes):
    """Chances are those of tastes, times company, of groups near by that are not full, each joined once.

    A group is full when its places are taken. What `stock` says is how many are left when the log ends; nothing becomes
    full in the last fifth of the time (larger rooms are found), so that it holds for all questions there.
    """

    config: GroupsConfig
    circle: IntVector
    """(n_users,) the number of the circle of each person."""
    places: LongVector
    """(n_items,) how many people each group takes."""
    pull: DoubleMatrix
    """(n_users, n_items) taste times popularity; 0 where a person does not go to the town of a group."""

    def _made(self, rng: np.random.Generator) -> None:
        own, n = self.config, len(TOWNS)
        self.circle = (rng.permutation(own.n_users) // own.circle).astype(np.int32)
        town, second = rng.integers(0, n, own.n_items), rng.integers(0, n, own.n_users)
        home = rng.integers(0, n, own.n_users)[self.circle]
        goes = np.arange(n) == home[:, None]
        goes |= (np.arange(n) == second[:, None]) & (rng.random(own.n_users) < own.travels)[:, None]
        self.places = np.ceil(own.places * rng.lognormal(0, 0.6, own.n_items)).astype(np.int64)
        self.pull = self.taste[:, self.group] * self.weight * goes[:, town]
        self.items = self.items.append_column("town", pa.array([TOWNS[one] for one in town])).append_column(
            "places", pa.array(self.places)
        )
        towns = [[TOWNS[at] for at in np.flatnonzero(row)] for row in goes]
        self.users = self.users.append_column("town", pa.array(towns)).append_column(
            "circle", pa.array([f"circle {one}" for one in self.circle])
        )

    # ------------------------------------------------------------------ the truth

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class; who is in a group by then is read from the log of the world."""
        time, who, item = self._log
        known, asked = self.circle[who], self.circle[at.who]
        before = np.searchsorted(time, at.now, side="left")
        company = np.zeros((len(at.who), self.config.n_items))
        for row, (end, circle) in enumerate(zip(before.tolist(), asked.tolist(), strict=True)):
            company[row] = np.bincount(item[:end][known[:end] == circle], minlength=self.config.n_items)
        return self._weighed(at.who, company, at.used, self.full < at.now[:, None])

    def _weighed(self, who: IntVector, company: AnyArray, used: AnyArray, full: AnyArray) -> DoubleMatrix:
        """(n, n_items) chances from how many of the circle are in each group, what was joined, and what is full.

        One's own joins are among those of the circle, but only in groups that are not joined again.
        """
        found: DoubleMatrix = self.pull[who] * (1 + self.config.company * company) * (used == 0) * ~full
        return found

    @cached_property
    def full(self) -> LongVector:
        """(n_items,) when the last place of each group was taken, microseconds since 1970; `NEVER` where none was."""
        time, _, item = self._log
        found = np.full(self.config.n_items, NEVER)
        for one in np.flatnonzero(np.bincount(item, minlength=len(found)) >= self.places):
            last = time[item == one][self.places[one] - 1]
            found[one] = last if last < self._calm else NEVER
        return found

    @property
    def _calm(self) -> int:
        """From then on nothing becomes full."""
        return START + int(0.8 * self.config.days * DAY)

    # ------------------------------------------------------------------ the events

    def dataset(self) -> Dataset:
        """The world as a dataset; see the class for its `stock`."""
        past = self._whole.histories
        left = np.maximum(self.places - np.bincount(past.item, minlength=len(self.places)), 1)
        stock = np.where(self.full < NEVER, 0, left)
        return Dataset.of(past, self.items.append_column("stock", pa.array(stock)), self.users, name=self.name)

    @cached_property
    def _whole(self) -> Dataset:
        """The events, drawn once: the truth needs them, too."""
        return super().dataset()

    @cached_property
    def _log(self) -> tuple[LongVector, IntVector, IntVector]:
        """(n_events,) each: time, user and item of all joins, in the order of time."""
        past = self._whole.histories
        assert past.time is not None
        order = np.argsort(past.time, kind="stable")
        return past.time[order], past.owner()[order], past.item[order]

    def _drawn(self, length: LongVector, time: LongVector, rng: np.random.Generator) -> tuple[IntVector, None]:
        """(n_events,) items, in the order of time; -1 where there is nothing to join."""
        owner, item = np.repeat(np.arange(len(length)), length), np.full(len(time), -1, np.int32)
        joined = np.zeros((len(length), self.config.n_items), bool)
        company = np.zeros((int(self.circle.max()) + 1, self.config.n_items))
        full: BoolVector = np.zeros(self.config.n_items, bool)
        for place in np.argsort(time, kind="stable"):
            who = owner[place]
            circle = company[self.circle[who]]
            at = drawn(self._weighed(who[None], circle[None], joined[who][None], full), rng)[0]
            if at >= 0:
                item[place], joined[who, at] = at, True
                circle[at] += 1
                full[at] |= time[place] < self._calm and joined[:, at].sum() >= self.places[at]
        return item, None
