"""Sessions: a new one begins where a user was away for longer than a gap."""

from __future__ import annotations

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table


class SessionsConfig(Config):
    """Settings of `sessions`."""

    gap_minutes: float = setting(30.0, gt=0, le=1e8)
    """An event later than this after the one before begins a new session."""


class Sessions(PreparationStep):
    """Number the sessions of each user from 0; sessions that the source stated are replaced."""

    config: SessionsConfig
    needs = "time"

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        bare = events.without("session_number")
        columns = listed(bare.columns)
        gap = round(self.config.gap_minutes * 60e6)
        window = f"PARTITION BY user_number ORDER BY {events.order}"
        after = next_table(
            engine,
            bare,
            f"""SELECT {columns}, session_number FROM (
                    SELECT {columns},
                           CAST(SUM(begins) OVER ({window} ROWS UNBOUNDED PRECEDING) AS BIGINT) AS session_number
                    FROM (
                        SELECT {columns},
                               CASE WHEN time - LAG(time) OVER ({window}) > {gap} THEN 1 ELSE 0 END AS begins
                        FROM {events.table}
                    ) AS gaps
                ) AS numbered""",
            add=["session_number"],
        )
        count = f"SELECT COUNT(*) FROM (SELECT DISTINCT user_number, session_number FROM {after.table}) AS pairs"
        return after, f"found {engine.scalar(count):,} sessions, {self.config.gap_minutes:g} minutes apart"
