"""One per pair: of all events of a user on an item, keep the first or the last (a rating that was changed)."""

from __future__ import annotations

from typing import Literal

from zhiyin.config import Config
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table


class OnePerPairConfig(Config):
    """Settings of `one_per_pair`."""

    keep: Literal["first", "last"] = "last"
    """Which event of a user and item stays."""


class OnePerPair(PreparationStep):
    """Keep one event for each user and item. Where no time is known, the order of the source decides."""

    config: OnePerPairConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        order = events.order if self.config.keep == "first" else events.reverse_order
        columns = listed(events.columns)
        after = next_table(
            engine,
            events,
            f"""SELECT {columns} FROM (
                    SELECT {columns},
                           ROW_NUMBER() OVER (PARTITION BY user_number, item_number ORDER BY {order}) AS place
                    FROM {events.table}
                ) AS numbered WHERE place = 1""",
        )
        return after, f"kept the {self.config.keep} event of each user and item"
