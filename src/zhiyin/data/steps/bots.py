"""Bots: users that act faster than people can, or that hammer on one item."""

from __future__ import annotations

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import DAY, Events, PreparationStep, Scratch, listed, next_table

MINUTE = 60_000_000
SPANS = {"per_minute": MINUTE, "per_day": DAY}
"""The rules on rate, and the span in microseconds over which each counts."""


class BotsConfig(Config):
    """Settings of `bots`; a rule that is None is off."""

    per_minute: int | None = setting(120, ge=1)
    """A user with more events than this in one minute is a bot (only where times are known)."""
    per_day: int | None = setting(5_000, ge=1)
    """A user with more events than this in one day, in UTC, is a bot (only where times are known)."""
    one_item_share: float | None = setting(0.95, gt=0, lt=1)
    """A user who has more than this share of the events on a single item is a bot ..."""
    one_item_events: int = setting(100, ge=2)
    """... if there are at least this many events."""


class Bots(PreparationStep):
    """Remove all events of users that break a rule on rate or repetition."""

    config: BotsConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        with Scratch(engine) as scratch:
            found = [(rule, *scratch.table(rule, sql)) for rule, sql in self._rules(events).items()]
            joins = " ".join(
                f"ANTI JOIN {table} AS {rule} ON e.user_number = {rule}.user_number" for rule, table, _ in found
            )
            after = next_table(
                engine, events, f"SELECT {listed(events.columns, 'e.')} FROM {events.table} AS e {joins}"
            )
        said = ", ".join(f"{users:,} by {rule}" for rule, _, users in found) or "no rule applies"
        return after, f"users removed (one may break several rules): {said}"

    def _rules(self, events: Events) -> dict[str, str]:
        """A query for each rule that is on, giving the users who break it."""
        rules = {}
        for name, span in SPANS.items():
            limit = getattr(self.config, name)
            if limit is None:
                continue
            if events.clock == "time":
                rules[name] = _too_fast(events.table, span, limit)
            elif name in self.config.model_fields_set:
                events.need("time", f"{self.name} with {name}")
        if self.config.one_item_share is not None:
            rules["one_item_share"] = self._hammering(events.table)
        return rules

    def _hammering(self, table: str) -> str:
        return f"""
            SELECT user_number FROM (
                SELECT user_number, item_number, COUNT(*) AS n FROM {table} GROUP BY user_number, item_number
            ) AS pairs
            GROUP BY user_number
            HAVING SUM(n) >= {self.config.one_item_events} AND MAX(n) > {self.config.one_item_share} * SUM(n)"""


def _too_fast(table: str, span: int, limit: int) -> str:
    """Users with more than `limit` events in one span; the span of a moment is the same before and after 1970."""
    return f"""
        SELECT DISTINCT user_number FROM (
            SELECT user_number, time - (time % {span} + {span}) % {span} AS span FROM {table}
        ) AS spans
        GROUP BY user_number, span HAVING COUNT(*) > {limit}"""
