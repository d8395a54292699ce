"""What the tests of the data room share: reading an event log to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from zhiyin.data.engine import DuckDBEngine
from zhiyin.data.sources import ingest
from zhiyin.data.sources.intake import Ingested
from zhiyin.data.tables import EventLog


@dataclass(frozen=True)
class Intake:
    """A log that was read: the facts, the events and the quarantine, in the order of their row numbers."""

    facts: Ingested
    events: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        return [one[name] for one in self.events]

    @property
    def reasons(self) -> list[str]:
        return [one["reason"] for one in self.quarantine]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(one["user_id"], one["item_id"]) for one in self.events]


def read_log(log: EventLog) -> Intake:
    with DuckDBEngine() as engine:
        facts = ingest(engine, log)
        events = engine.fetch("SELECT * FROM raw_events ORDER BY row_number").to_pylist()
        quarantine = engine.fetch("SELECT * FROM quarantine ORDER BY row_number").to_pylist()
    assert facts.rows_kept == len(events)
    assert facts.rows_bad == len(quarantine) == sum(facts.reasons.values())
    numbers = [one["row_number"] for one in events + quarantine]
    assert len(set(numbers)) == len(numbers) == facts.rows_read
    return Intake(facts, events, quarantine)


@pytest.fixture(name="read_log")
def read_log_fixture() -> Callable[[EventLog], Intake]:
    return read_log
