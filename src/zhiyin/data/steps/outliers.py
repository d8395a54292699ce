"""Outliers: values that cannot be, and users who are far more active than the rest."""

from __future__ import annotations

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, Scratch, listed, next_table

TO_SIGMA = 0.6744897501960817
"""The median absolute deviation of a normal variable, in standard deviations."""


class OutliersConfig(Config):
    """Settings of `outliers`; a rule that is None is off."""

    low: float | None = None
    """Drop events whose value is less than this."""
    high: float | None = None
    """Drop events whose value is greater than this."""
    activity_z: float | None = setting(None, gt=0)
    """Drop users whose log number of events is more than this many robust standard deviations above the median
    (Iglewicz & Hoaglin 1993, eq. 3: 0.6745 (x - median) / MAD; they advise 3.5)."""


class Outliers(PreparationStep):
    """Remove events with impossible values, and users of impossible activity. An event without a value stays."""

    config: OutliersConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        with Scratch(engine) as scratch:
            users = self._too_active(scratch, events) if self.config.activity_z is not None else None
            join = f"ANTI JOIN {users} AS u ON e.user_number = u.user_number" if users else ""
            sql = f"SELECT {listed(events.columns, 'e.')} FROM {events.table} AS e {join}{self._where(events)}"
            after = next_table(engine, events, sql)
            note = f"removed {events.rows - after.rows:,} events"
            if users:
                note += f", among them those of {engine.scalar(f'SELECT COUNT(*) FROM {users}'):,} users"
            elif self.config.activity_z is not None:
                note += "; half of the users are equally active, so nobody is too active"
        bounded = self.config.low is not None or self.config.high is not None
        if bounded and "value" not in events.columns:
            note += "; the log has no values, so their bounds do nothing"
        return after, note

    def _where(self, events: Events) -> str:
        if "value" not in events.columns:
            return ""
        bounds = [("low", ">="), ("high", "<=")]
        rules = [
            f"e.value {sign} CAST({limit!r} AS DOUBLE)"
            for name, sign in bounds
            if (limit := getattr(self.config, name)) is not None
        ]
        return f" WHERE e.value IS NULL OR ({' AND '.join(rules)})" if rules else ""

    def _too_active(self, scratch: Scratch, events: Events) -> str | None:
        """The table of the users who are too active; None where half of the users are equally active."""
        counts, _ = scratch.table(
            "counts", f"SELECT user_number, LN(COUNT(*)) AS activity FROM {events.table} GROUP BY user_number"
        )
        middle = "PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY {}) FROM {}"
        median = float(scratch.engine.scalar(f"SELECT {middle.format('activity', counts)}"))
        away = f"ABS(activity - CAST({median!r} AS DOUBLE))"
        spread = float(scratch.engine.scalar(f"SELECT {middle.format(away, counts)}"))
        if not spread:
            return None
        limit = median + float(self.config.activity_z or 0) * spread / TO_SIGMA
        sql = f"SELECT user_number FROM {counts} WHERE activity > CAST({limit!r} AS DOUBLE)"
        return scratch.table("too_active", sql)[0]
