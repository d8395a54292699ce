"""Repeats: an item that follows itself in a history says nothing about what comes next; keep the first of each run."""

from __future__ import annotations

from zhiyin.config import Config
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table


class RepeatsConfig(Config):
    """Settings of `repeats`."""

    same_kind: bool = False
    """Drop a repeat only if it is also of the same kind: a view and then a purchase of one item both stay."""


class Repeats(PreparationStep):
    """Drop events on the item of the event right before, of the same user."""

    config: RepeatsConfig
    needs = "position"

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        columns = listed(events.columns)
        window = f"OVER (PARTITION BY user_number ORDER BY {events.order})"
        kinds = self.config.same_kind and "kind_number" in events.columns
        kind = f", LAG(COALESCE(kind_number, -1)) {window} AS previous_kind" if kinds else ""
        or_kind = " OR previous_kind <> COALESCE(kind_number, -1)" if kinds else ""
        after = next_table(
            engine,
            events,
            f"""SELECT {columns} FROM (
                    SELECT {columns}, LAG(item_number) {window} AS previous{kind} FROM {events.table}
                ) AS followed WHERE previous IS NULL OR previous <> item_number{or_kind}""",
        )
        return after, f"removed {events.rows - after.rows:,} consecutive repeats of an item"
