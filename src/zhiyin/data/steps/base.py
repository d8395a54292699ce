"""PreparationStep: one named, logged operation on the events, written as SQL that every engine understands.

Between steps the events are one table of numbers:

    row_number BIGINT        the order of the source; breaks every tie
    user_number INT          numbers of the ids, in the byte order of the ids' text
    item_number INT
    time BIGINT              microseconds since 1970, where times are known
    position BIGINT          the place in the history, where the source states it
    kind_number INT          a number in `Events.kinds`; NULL where the source states none
    value DOUBLE             a rating, a watch ratio, a number of plays; NULL for none
    session_number BIGINT    equal numbers of one user are one session
    weight DOUBLE            how much the event speaks for the item

All but the first three may be absent; a step asks `Events.columns`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, ClassVar, Self

from zhiyin.config import Component, Config
from zhiyin.data import steps
from zhiyin.data.dataset import Clock, Step
from zhiyin.data.engine import Engine
from zhiyin.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

DAY = 86_400_000_000
"""Microseconds of a day."""


@dataclass(frozen=True, slots=True)
class Events:
    """The events between two steps: the name of their table in the engine, and what is known of it."""

    table: str
    rows: int
    clock: Clock
    columns: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    generation: int = 0

    @property
    def order(self) -> str:
        """The columns that put the events of one user in order, for an ORDER BY; the first event comes first."""
        return self._ordered("ASC NULLS LAST")

    @property
    def reverse_order(self) -> str:
        """The same order with the last event first."""
        return self._ordered("DESC NULLS FIRST")

    def _ordered(self, way: str) -> str:
        # where an event without a position stands is said, as engines do not agree on it
        known = {"time": ("time", "position"), "position": ("position",), "none": ()}[self.clock]
        return ", ".join(f"{name} {way}" for name in (*self.only(*known), "row_number"))

    def only(self, *names: str) -> tuple[str, ...]:
        """Those of the columns that are there."""
        return tuple(name for name in names if name in self.columns)

    def without(self, column: str) -> Events:
        """The same events as if one column were not there."""
        return replace(self, columns=tuple(name for name in self.columns if name != column))

    def need(self, clock: Clock, purpose: str) -> None:
        """Make sure that times, or at least the order, are known.

        Raises:
            DataError: they are not.
        """
        if clock == "time" and self.clock != "time":
            raise DataError(f"{purpose} needs the times of events, but the log has none; leave the step out")
        if clock == "position" and self.clock == "none":
            raise DataError(f"{purpose} needs the order of events, which the log does not state; leave the step out")


class PreparationStep(Component):
    """Base of every step: it writes `_apply`; settings, checks, counts and the line in the manifest are here, once."""

    config: Config
    room = "zhiyin.data.steps"
    needs: ClassVar[Clock] = "none"
    """What must be known of when: "time", "position" (the order), or "none"."""

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        """Make the next table; return it with a sentence on what was done."""
        raise NotImplementedError

    def apply(self, engine: Engine, events: Events) -> tuple[Events, Step]:
        """Run the step; the table that came in stays.

        Raises:
            DataError: the log lacks what the step needs, or no event is left.
        """
        events.need(self.needs, self.name)
        after, note = self._apply(engine, events)
        settings = self.config.model_dump(mode="json")
        if not after.rows:
            shown = ", ".join(f"{name} = {value!r}" for name, value in settings.items()) or "no settings"
            raise DataError(
                f"step {self.name} ({shown}) removed all of the {events.rows:,} events that were left; "
                "loosen its settings or leave it out"
            )
        logger.info("%s: %d -> %d events (%s)", self.name, events.rows, after.rows, note)
        return after, Step(self.name, settings, events.rows, after.rows, note)

    def spec(self) -> dict[str, Any]:
        """The step as a recipe writes it: its name and all its settings."""
        return {"name": self.name, **self.config.model_dump(mode="json")}

    @classmethod
    def read(cls, spec: Any) -> PreparationStep:
        """Make a step from what a person gives: a step, a name, or a mapping with `name` and settings.

        Raises:
            ConfigError: an unknown name or setting (with the nearest known ones).
        """
        if isinstance(spec, PreparationStep):
            return spec
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
            raise ConfigError(f"a step is a name, or a mapping with `name` and settings; {spec!r} came")
        settings = {key: value for key, value in spec.items() if key != "name"}
        made: PreparationStep = steps.get(spec["name"])(**settings)
        return made


class Scratch:
    """Small tables that live only while a step runs: `with Scratch(engine) as scratch`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None or isinstance(error, DataError):
            self.engine.drop(*self.names)

    def table(self, stem: str, sql: str) -> tuple[str, int]:
        """Make a table; return its name, which no other has, and its rows."""
        name = f"scratch_{len(self.names)}_{stem}"
        self.names.append(name)
        return name, self.engine.materialise(name, sql)


def next_table(engine: Engine, events: Events, sql: str, add: Sequence[str] = ()) -> Events:
    """Materialise the outcome of a step: a query that gives the columns of `events`, and those of `add` last."""
    generation = events.generation + 1
    name = f"events_{generation}"
    columns = (*events.columns, *(one for one in add if one not in events.columns))
    return replace(events, table=name, rows=engine.materialise(name, sql), columns=columns, generation=generation)


def listed(columns: Sequence[str], prefix: str = "") -> str:
    """Names for a SELECT or GROUP BY: `listed(["a", "b"], "e.")` is `e.a, e.b`."""
    return ", ".join(f"{prefix}{name}" for name in columns)
