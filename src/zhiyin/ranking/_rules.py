"""Each rule: its settings, what it reads of a catalogue, and which items it lets through for which queries."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from zhiyin.arrays import AnyArray, BoolVector
from zhiyin.config import Config, names, setting
from zhiyin.data.histories import NO_TIME
from zhiyin.data.moments import PLAUSIBLE
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.ranking._cells import Cells, numbers_of, times_of

logger = logging.getLogger(__name__)

DAY = 86_400_000_000
ENDS = np.iinfo(np.int64)

MISSPELT = 3
"""At most so many values that no item has are named."""

Held = dict[str, Any]
"""What a rule has read: arrays, CSR matrices, lists of text."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What rules may read; users and kinds are None where they stay as they were."""

    items: pa.Table
    users: pa.Table | None
    kinds: tuple[str, ...] | None
    vocabulary: Vocabulary


class Rule(Config):
    """Base of every rule."""

    holds: ClassVar[tuple[str, ...]] = ()
    """Names of what it reads."""
    filters: ClassVar[bool] = True
    """Whether it takes items away; else it limits lists."""
    fixed: ClassVar[bool] = False
    """Whether it takes the same away for every query, and for as long as the rule stands."""
    of_today: ClassVar[bool] = False
    """Whether it reads a state of today, of which nobody knows what it was at an earlier moment."""

    @property
    def label(self) -> str:
        """What it is called for people."""
        return str(self.rule)  # type: ignore[attr-defined]

    def gather(self, world: World) -> Held:
        """What it needs to know.

        Raises:
            ConfigError: a column or a kind is not there.
        """
        return {}

    def newer(self, before: Held, world: World) -> Held:
        """What it needs to know, by another item table; of users and kinds as `before`.

        Raises:
            ConfigError: a column is not there.
            DataError: a column holds what cannot be meant.
        """
        return {**before, **self.gather(world)}

    def knows(self, held: Held) -> BoolVector | None:
        """(n_items,) of which items it knows anything; None where it needs to know nothing of items."""
        parts = [np.diff(one.indptr) > 0 for name, one in held.items() if name == "of" or name.startswith("of_")]
        return np.any(parts, axis=0) if parts else None

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """(n_queries, n_items), or (1, n_items) for all queries alike: what may be listed."""
        raise NotImplementedError


class Unsure(Rule):
    """A rule that may not know."""

    unknown: Literal["keep", "drop"] = "keep"
    """Whether what is not known is kept or dropped."""

    @property
    def keeps(self) -> bool:
        """Whether what is not known is kept."""
        return self.unknown == "keep"


class Available(Unsure):
    """Only what is available at the moment of the query: from `start` on, and before `end`."""

    rule: Literal["available"] = "available"
    start: str = "available_from"
    """The column of the first moment; an empty cell is no bound."""
    end: str = "available_until"
    """The column of the first moment at which it is over; the same."""
    holds = ("start", "end")

    def gather(self, world: World) -> Held:
        """The windows."""
        if not {self.start, self.end} & set(world.items.column_names):
            raise ConfigError(f"{unknown('item column', self.start, world.items.column_names)}; nor is {self.end!r}")
        start, end = times_of(world.items, self.start, ENDS.min), times_of(world.items, self.end, ENDS.max)
        return {"start": start, "end": end}

    def newer(self, before: Held, world: World) -> Held:
        """The same of a newer table; a bound that was told before must still be, in microseconds since 1970."""
        for column, name, empty in ((self.start, "start", ENDS.min), (self.end, "end", ENDS.max)):
            if (before[name] != empty).any() and column not in world.items.column_names:
                raise ConfigError(
                    f"{unknown('item column', column, world.items.column_names)}; it was there before, and without it "
                    "no item has such a bound: send it, too, with empty cells where there is none"
                )
            _plausible(world.items, column)
        return super().newer(before, world)

    def knows(self, held: Held) -> BoolVector | None:
        """Those with a bound."""
        bound: BoolVector = (held["start"] != ENDS.min) | (held["end"] != ENDS.max)
        return bound

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """By the moment of each query; where none is known, `unknown` says."""
        assert queries is not None
        now = np.full(len(queries), NO_TIME) if queries.now is None else queries.now
        inside = (held["start"] <= now[:, None]) & (now[:, None] < held["end"])
        return np.where((now == NO_TIME)[:, None], self.keeps, inside)


class _OfNumber(Unsure):
    """A rule about a number of an item."""

    holds = ("number",)

    def knows(self, held: Held) -> BoolVector | None:
        """Those with a number."""
        return np.asarray(~np.isnan(held["number"]))

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """The same for all."""
        number = held["number"]
        return np.where(np.isnan(number), self.keeps, self._right(number))[None]

    def _right(self, number: AnyArray) -> AnyArray:
        raise NotImplementedError


class Stock(_OfNumber):
    """Only what is in stock."""

    rule: Literal["stock"] = "stock"
    of_today = True
    column: str = "stock"
    """The column of how many there are."""
    above: float = 0.0
    """There must be more than so many."""

    def gather(self, world: World) -> Held:
        """The numbers."""
        return {"number": numbers_of(world.items, self.column)}

    def _right(self, number: AnyArray) -> AnyArray:
        return number > self.above


class Between(_OfNumber):
    """Only what has a number, such as the price, in a range."""

    rule: Literal["between"] = "between"
    column: str = "price"
    """The column of the number."""
    least: float | None = None
    """It must be so much, or more."""
    most: float | None = None
    """It must be so much, or less."""
    fixed = True

    @property
    def label(self) -> str:
        """With its bounds."""
        low = "" if self.least is None else f" from {self.least:g}"
        return f"{self.column}{low}{'' if self.most is None else f' to {self.most:g}'}"

    def gather(self, world: World) -> Held:
        """The numbers."""
        if self.least is None and self.most is None:
            raise ConfigError("neither `least` nor `most` came; give one of them, or both")
        return {"number": numbers_of(world.items, self.column)}

    def _right(self, number: AnyArray) -> AnyArray:
        low, high = (-np.inf if self.least is None else self.least), (np.inf if self.most is None else self.most)
        return (number >= low) & (number <= high)


class _OfValues(Unsure):
    """A rule about the values of a column."""

    column: str
    """The column of the catalogue, of texts or lists of them."""
    values: tuple[str, ...]
    """Some of its values; also as text, `news, sport`."""
    holds = ("has", "known")
    fixed = True

    @field_validator("values", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)

    @property
    def label(self) -> str:
        """With its column and values."""
        return f"{self.rule} {self.column} {', '.join(self.values)}"  # type: ignore[attr-defined]

    def gather(self, world: World) -> Held:
        """Which items have one of the values."""
        cells = Cells.read(world.items, self.column, "item")
        if world.users is not None:  # not again with each newer table
            self._say_misspelt(cells.names)
        return {"has": cells.having(self.values), "known": cells.known()}

    def knows(self, held: Held) -> BoolVector | None:
        """Those with a value."""
        return np.asarray(held["known"])

    def _say_misspelt(self, names: list[str]) -> None:
        """Warn of values that no item has."""
        there = set(names)
        none = [one for one in self.values if one not in there]
        if none:
            said = "; ".join(unknown(f"value of {self.column!r}", one, names) for one in none[:MISSPELT])
            logger.warning("%s: no item has %d of the %d values: %s", self.label, len(none), len(self.values), said)


class Only(_OfValues):
    """Only items with one of some values."""

    rule: Literal["only"] = "only"
    unknown: Literal["keep", "drop"] = "drop"
    """Whether an item of no value is kept or dropped."""

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """The same for all."""
        return np.where(held["known"], held["has"], self.keeps)[None]


class Never(_OfValues):
    """No items with one of some values."""

    rule: Literal["never"] = "never"

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """The same for all."""
        return np.where(held["known"], ~held["has"], self.keeps)[None]


class Capped(Rule):
    """At most so many items of one value in a list."""

    rule: Literal["cap"] = "cap"
    column: str
    """The column of the catalogue, such as `creator`; of lists, each of its values is capped."""
    most: int = setting(2, ge=1)
    """So many."""
    holds = ("of",)
    filters = False

    @property
    def label(self) -> str:
        """With its numbers."""
        return f"at most {self.most} of one {self.column}"

    def gather(self, world: World) -> Held:
        """What items have."""
        return {"of": Cells.read(world.items, self.column, "item").of}


class Pinned(Rule):
    """An item at a place of every list that it may be in."""

    rule: Literal["pin"] = "pin"
    item: str
    """Its id."""
    place: int = setting(1, ge=1)
    """From 1; a shorter list does not pin it."""
    holds = ("item",)
    filters = False

    @property
    def label(self) -> str:
        """With its place."""
        return f"pin at {self.place}"

    def gather(self, world: World) -> Held:
        """Its number."""
        try:
            return {"item": np.array([world.vocabulary.number(self.item, "item")])}
        except DataError as error:
            raise ConfigError(str(error)) from None


def _plausible(items: pa.Table, column: str) -> None:
    """Refuse whole numbers of which none is a moment of our time in microseconds; times say what they are.

    Seconds and milliseconds of today are in 1970 then, and nanoseconds after 50000.
    """
    if column not in items.column_names or not pa.types.is_integer(items.schema.field(column).type):
        return
    moments, (first, last) = times_of(items.select([column]).drop_null(), column, 0), PLAUSIBLE
    if len(moments) and ((moments < first) | (moments >= last)).all():
        raise DataError(
            f"item column {column!r} holds {moments[0]}, and all {len(moments):,} of its moments are before 1990 or "
            "after 9999 if they are microseconds since 1970, as is expected: send times, or multiply seconds by "
            "1,000,000 and milliseconds by 1,000"
        )
