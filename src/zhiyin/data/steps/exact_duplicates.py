"""Exact duplicates: one event that was logged several times, as when a client sends it again after a lost answer."""

from __future__ import annotations

from zhiyin.config import Config
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table


class ExactDuplicatesConfig(Config):
    """`exact_duplicates` has no settings."""


class ExactDuplicates(PreparationStep):
    """Of the events with the same user, item, kind, moment and value, keep the first."""

    config: ExactDuplicatesConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        moment = {"time": "time", "position": "position", "none": ""}[events.clock]
        same = events.only("user_number", "item_number", moment, "kind_number", "value")
        columns = listed(events.columns)
        after = next_table(
            engine,
            events,
            f"""SELECT {columns} FROM (
                    SELECT {columns}, ROW_NUMBER() OVER (PARTITION BY {listed(same)} ORDER BY row_number) AS place
                    FROM {events.table}
                ) AS numbered WHERE place = 1""",
        )
        return after, f"removed {events.rows - after.rows:,} repetitions of one and the same event"
