"""Time window: keep the events of a span of time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import DAY, Events, PreparationStep, listed, next_table

YEAR_1971 = 365 * DAY
"""The first moment of which events are read."""


def _moment(value: Any) -> Any:
    """Microseconds since 1970 of a date or date-time; one without a zone is in UTC."""
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        seconds = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (seconds.days * 86_400 + seconds.seconds) * 1_000_000 + seconds.microseconds
    return value


def _of_events(moment: int) -> int:
    """Refuse a number of another unit: in microseconds it would lie in 1970, before all events."""
    if 0 < moment < YEAR_1971:
        raise ValueError(
            f"{moment} microseconds are a moment of 1970, before all events; write a date "
            '("2024-05-01"), or microseconds instead of seconds or milliseconds'
        )
    return moment


Moment = Annotated[int, BeforeValidator(_moment), AfterValidator(_of_events)]
"""A moment in microseconds since 1970; people write a date ("2024-05-01") or a moment ("2024-05-01T12:00+02:00")."""


class TimeWindowConfig(Config):
    """Settings of `time_window`."""

    since: Moment | None = None
    """Keep events at this moment or later."""
    until: Moment | None = None
    """Keep events before this moment."""
    last_days: float | None = setting(None, gt=0, le=1e6)
    """Keep events of the last days before the latest event that is left by `until`, that moment included."""


class TimeWindow(PreparationStep):
    """Keep the events of a span of time."""

    config: TimeWindowConfig
    needs = "time"

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        rules = []
        if self.config.until is not None:
            rules.append(f"time < {self.config.until}")
        if self.config.last_days is not None:
            latest = engine.scalar(f"SELECT MAX(time) FROM {events.table} WHERE {' AND '.join(rules) or '1 = 1'}")
            rules.append(f"time > {(latest or 0) - round(self.config.last_days * DAY)}")
        if self.config.since is not None:
            rules.append(f"time >= {self.config.since}")
        where = " AND ".join(rules) or "1 = 1"
        after = next_table(engine, events, f"SELECT {listed(events.columns)} FROM {events.table} WHERE {where}")
        return after, f"removed {events.rows - after.rows:,} events outside the window"
