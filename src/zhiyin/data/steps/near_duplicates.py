"""Near duplicates: the same user does the same thing to one item again within seconds (a double click, a reload)."""

from __future__ import annotations

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table


class NearDuplicatesConfig(Config):
    """Settings of `near_duplicates`."""

    seconds: float = setting(5.0, ge=0, le=1e9)
    """An event this close after the previous one of the same user, item and kind is a duplicate of it."""


class NearDuplicates(PreparationStep):
    """Drop an event that follows an alike one within some seconds; of a burst, the first event stays."""

    config: NearDuplicatesConfig
    needs = "time"

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        same = listed(events.only("user_number", "item_number", "kind_number"))
        columns = listed(events.columns)
        gap = round(self.config.seconds * 1e6)
        after = next_table(
            engine,
            events,
            f"""SELECT {columns} FROM (
                    SELECT {columns}, LAG(time) OVER (PARTITION BY {same} ORDER BY {events.order}) AS previous
                    FROM {events.table}
                ) AS followed WHERE previous IS NULL OR time - previous > {gap}""",
        )
        removed = events.rows - after.rows
        return after, f"removed {removed:,} events within {self.config.seconds:g} s of an alike one"
