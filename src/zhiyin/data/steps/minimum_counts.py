"""Minimum counts: the k-core of the log. Users and items with too few events go, again and again until none is left.

Removing a user takes events from items, so items may fall below their minimum, and so on. The passes touch only the two
small tables of counts and the events of those who just left; the events themselves are rewritten once, at the end.
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, Scratch, listed, next_table


class MinimumCountsConfig(Config):
    """Settings of `minimum_counts`."""

    users: int = setting(5, ge=1)
    """The fewest that a user must have to stay."""
    items: int = setting(5, ge=1)
    """The fewest that an item must have to stay."""
    count: Literal["events", "distinct"] = "events"
    """What is counted: events, or distinct partners (the items of a user, the users of an item)."""


class MinimumCounts(PreparationStep):
    """Keep the largest part of the log in which every user and every item has at least its minimum."""

    config: MinimumCountsConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        minimum = {"user": self.config.users, "item": self.config.items}
        with Scratch(engine) as scratch:
            core = _Core(scratch, self._counted(scratch, events), minimum)
            before = dict(core.left)
            passes = core.shrink()
            after = next_table(
                engine,
                events,
                f"""SELECT {listed(events.columns, "e.")} FROM {events.table} AS e
                    SEMI JOIN {core.tables["user"]} AS u ON e.user_number = u.user_number
                    SEMI JOIN {core.tables["item"]} AS i ON e.item_number = i.item_number""",
            )
        gone = {side: before[side] - core.left[side] for side in before}
        return after, f"removed {gone['user']:,} users and {gone['item']:,} items in {passes} passes"

    def _counted(self, scratch: Scratch, events: Events) -> str:
        if self.config.count == "events":
            return events.table
        return scratch.table("pairs", f"SELECT DISTINCT user_number, item_number FROM {events.table}")[0]


class _Core:
    """The counts of the users and items that are still in, one small table for each side."""

    def __init__(self, scratch: Scratch, source: str, minimum: dict[str, int]) -> None:
        self.scratch, self.source, self.minimum = scratch, source, minimum
        self.tables: dict[str, str] = {}
        self.left: dict[str, int] = {}
        for side in minimum:
            sql = f"SELECT {side}_number, COUNT(*) AS n FROM {source} GROUP BY {side}_number"
            self.tables[side], self.left[side] = scratch.table(side, sql)

    def shrink(self) -> int:
        """Take out those below their minimum, side by side, until nobody is; return the number of passes."""
        passes = idle = 0
        while idle < 2:
            side, other = ("user", "item") if passes % 2 == 0 else ("item", "user")
            idle = 0 if self._take_out(side, other) else idle + 1
            passes += 1
        return passes

    def _take_out(self, side: str, other: str) -> int:
        """Remove those of `side` below the minimum and subtract their events from `other`; return how many went."""
        counts, least = self.tables[side], self.minimum[side]
        gone, number = self.scratch.table("gone", f"SELECT {side}_number FROM {counts} WHERE n < {least}")
        if not number:
            return 0
        self.tables[side], self.left[side] = self.scratch.table(side, f"SELECT * FROM {counts} WHERE n >= {least}")
        lost, _ = self.scratch.table(
            "lost",
            f"""SELECT e.{other}_number, COUNT(*) AS n FROM {self.source} AS e
                SEMI JOIN {gone} AS g ON e.{side}_number = g.{side}_number GROUP BY e.{other}_number""",
        )
        self.tables[other], _ = self.scratch.table(
            other,
            f"""SELECT c.{other}_number, c.n - COALESCE(l.n, 0) AS n FROM {self.tables[other]} AS c
                LEFT JOIN {lost} AS l ON c.{other}_number = l.{other}_number""",
        )
        return number
