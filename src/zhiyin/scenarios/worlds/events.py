"""Events: concerts, talks and matches, each in one town, until it begins, while there are tickets; once is enough."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, DoubleMatrix, LongVector
from zhiyin.config import setting
from zhiyin.scenarios.worlds.base import DAY, START, Moment, Tastes, TastesConfig

TOWNS = ("north", "east", "south", "west")


class EventsConfig(TastesConfig):
    """Settings of `events`."""

    n_items: int = setting(300, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(6_000, ge=1)
    """How many events there are; a few less, where somebody has nothing left to use."""
    open_days: float = setting(21.0, gt=0)
    """So many days before it begins an event is announced."""
    sold_out: float = setting(0.1, ge=0, le=1)
    """The part of events that have no tickets left from half of that time on."""
    travels: float = setting(0.5, ge=0, le=1)
    """The part of people who go to a second town, too."""


class Events(Tastes):
    """Chances are those of tastes, among what is announced, near, not sold out, and was not visited.

    `stock` says how many tickets are left when the log ends; nothing sells out in the last fifth of the time, so that
    what it says of an event holds for all questions there.
    """

    config: EventsConfig
    near: AnyArray
    """(n_users, n_items) whether each person goes to the town of each event."""
    announced: LongVector
    begins: LongVector
    gone: LongVector
    """(n_items,) each, microseconds since 1970; `gone` is when the last ticket is."""

    def _made(self, rng: np.random.Generator) -> None:
        own, n = self.config, len(TOWNS)
        town, home, second = (rng.integers(0, n, size) for size in (own.n_items, own.n_users, own.n_users))
        goes = (np.arange(n) == home[:, None]) | (
            (np.arange(n) == second[:, None]) & (rng.random(own.n_users) < own.travels)[:, None]
        )
        self.near = goes[:, town]
        span = int(own.open_days * DAY)
        self.announced = START + rng.integers(-span, own.days * DAY, own.n_items)
        self.begins = self.announced + span
        half = self.announced + span // 2
        out = (rng.random(own.n_items) < own.sold_out) & (half < START + int(0.8 * own.days * DAY))
        self.gone = np.where(out, half, self.begins)
        stock = np.where(out, 0, rng.integers(5, 200, own.n_items))
        start = self.items.column_names.index("available_from")
        self.items = (
            self.items.set_column(start, "available_from", pa.array(self.announced))
            .append_column("available_until", pa.array(self.begins))
            .append_column("town", pa.array([TOWNS[one] for one in town]))
            .append_column("stock", pa.array(stock))
        )
        towns = [[TOWNS[at] for at in np.flatnonzero(row)] for row in goes]
        self.users = self.users.append_column("town", pa.array(towns))

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class."""
        now = at.now[:, None]
        there = (self.announced <= now) & (now < self.gone) & self.near[at.who] & (at.used == 0)
        found: DoubleMatrix = self.likes(at) * there
        return found
