"""The rules that look at who asks: what they say of themselves, what they own, what they met of late."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, LongVector
from zhiyin.config import names, setting
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import as_text
from zhiyin.errors import ConfigError, unknown
from zhiyin.ranking._cells import Cells, places_in
from zhiyin.ranking._rules import DAY, Held, Rule, Unsure, World

logger = logging.getLogger(__name__)


class Fits(Unsure):
    """Only items that share a value with the person: a region in which it may be sold, a language that they read."""

    rule: Literal["fits"] = "fits"
    column: str
    """The column of the catalogue, of texts or lists of them."""
    says: str | None = None
    """Where the person's values are: a name of a query's context, else a column of the users; by default `column`."""
    holds = ("names", "of", "ids", "told")

    @property
    def label(self) -> str:
        """With its column."""
        return f"fits {self.column}"

    @property
    def _says(self) -> str:
        return self.says or self.column

    def gather(self, world: World) -> Held:
        """What items have, and what is told of users."""
        cells = Cells.read(world.items, self.column, "item")
        found: Held = {"names": cells.names, "of": cells.of}
        if world.users is None:
            return found
        if self._says not in world.users.column_names and get_close_matches(self._says, world.users.column_names):
            told = unknown("user column", self._says, world.users.column_names)
            logger.warning("%s: %s; as it is, only the context of a query can say it", self.label, told)
        users = by_id(world.users)
        return found | {"ids": users["user_id"].to_pylist(), "told": told_of(users, self._says)}

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """By what each query says; the same values are looked up once."""
        assert queries is not None
        said = self._said(held, queries)
        different = {one: at for at, one in enumerate(dict.fromkeys(said))}
        known = np.diff(held["of"].indptr) > 0
        rows = np.stack([self._row(held, one, known) for one in different]) if different else np.zeros((0, 1), bool)
        return rows[[different[one] for one in said]] if said else np.ones((0, len(known)), bool)

    def _row(self, held: Held, said: frozenset[str], known: BoolVector) -> BoolVector:
        if not said:
            return np.full(len(known), self.keeps)
        columns = places_in(held["names"], list(said))
        fits = np.asarray(held["of"][:, columns[columns >= 0]].sum(1) > 0).ravel()
        return np.where(known, fits, self.keeps)

    def _said(self, held: Held, queries: Queries) -> list[frozenset[str]]:
        """What the context says of each query, else the table of users; nothing where neither does."""
        given = queries.context.get(self._says)
        context = [None] * len(queries) if given is None else list(given)
        table = places_in(held["ids"], queries.users or ("",) * len(queries)).tolist()
        return [values_of(one) or lines_of(held["told"], at) for one, at in zip(context, table, strict=True)]


def by_id(users: pa.Table) -> pa.Table:
    """A table of users in the order of their ids, so that `places_in` finds one; without those that have none."""
    ids = users["user_id"].cast(pa.large_string())
    users = users.set_column(users.column_names.index("user_id"), "user_id", ids).filter(pc.is_valid(ids))
    return users.take(pc.sort_indices(users["user_id"]))


def told_of(users: pa.Table, column: str | None) -> list[str]:
    """What a column says of each user, a value a line; nothing of anybody where there is no such column."""
    if column is None or column not in users.column_names:
        return [""] * users.num_rows
    cells = Cells.read(users, column, "user")
    return ["\n".join(cells.names[at] for at in cells.of.indices[a:b]) for a, b in pairwise(cells.of.indptr)]


def lines_of(told: Sequence[str], at: int) -> frozenset[str]:
    """The values of user `at`, of what `told_of` says; none for -1, which nothing is told of."""
    return frozenset(filter(None, told[at].split("\n"))) if at >= 0 else frozenset()


def values_of(said: Any) -> frozenset[str]:
    """What a context says: a text, a number or true and false, or a list of them; None, NaN and blanks are nothing."""
    each = said if isinstance(said, (list, tuple, set, np.ndarray)) else [said]
    texts = (as_text(one).strip() for one in each if not _nothing(one))
    return frozenset(filter(None, texts))


def _nothing(one: Any) -> bool:
    return one is None or bool(one != one)


class NotOwned(Rule):
    """Nothing of which the person's history holds an event that means ownership."""

    rule: Literal["not_owned"] = "not_owned"
    kinds: tuple[str, ...] = ("purchase",)
    """The kinds of events that do; also as text, `purchase, rental`."""
    holds = ("kinds",)

    @field_validator("kinds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)

    @property
    def label(self) -> str:
        """As people say it."""
        return "not owned"

    def gather(self, world: World) -> Held:
        """The numbers of the kinds."""
        return {} if world.kinds is None else {"kinds": _kinds(self.kinds, world.kinds, self.label)}

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """By the events of each query."""
        assert queries is not None
        past, found = queries.histories, np.ones((len(queries), len(queries.items)), bool)
        if past.kind is not None:
            owned = np.isin(past.kind, held["kinds"])
            found[past.owner()[owned], past.item[owned]] = False
        return found


class Frequency(Unsure):
    """Nothing that the person has met often enough of late: the item itself, or its creator or category."""

    rule: Literal["frequency"] = "frequency"
    most: int = setting(3, ge=1)
    """After so many events it rests."""
    days: float = setting(7.0, gt=0)
    """Events of the last so many days count."""
    kinds: tuple[str, ...] = ()
    """The kinds of events that count, such as `exposure`; none: all."""
    column: str | None = None
    """The column whose values are counted, such as `creator`; None: the items themselves."""
    holds = ("kinds", "of")

    @field_validator("kinds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)

    @property
    def label(self) -> str:
        """With its numbers."""
        of = "" if self.column is None else f" of its {self.column}"
        return f"at most {self.most} events{of} in {self.days:g} days"

    def gather(self, world: World) -> Held:
        """The numbers of the kinds, and the values that are counted."""
        n = world.items.num_rows
        of = sparse.eye_array(n, format="csr", dtype=bool)
        if self.column is not None:
            of = Cells.read(world.items, self.column, "item").of
        found: Held = {"of": of}
        return found if world.kinds is None else found | {"kinds": _kinds(self.kinds, world.kinds, self.label)}

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """By the events of each query; those without a time count where `unknown` says drop."""
        assert queries is not None
        past, of = queries.histories, held["of"].astype(np.float32)
        counted = np.ones(past.n_events, bool)
        if self.kinds:
            counted = np.zeros(past.n_events, bool) if past.kind is None else np.isin(past.kind, held["kinds"])
        counted &= self._recent(queries)
        met = past.keep(counted).without("weight").matrix(len(queries.items)) @ of
        met.data = (met.data >= self.most).astype(np.float32)
        met.eliminate_zeros()
        rests = met @ of.T.tocsr()
        found = np.ones((len(queries), len(queries.items)), bool)
        found[np.repeat(np.arange(len(queries)), np.diff(rests.indptr)), rests.indices] = False
        return found

    def _recent(self, queries: Queries) -> BoolVector:
        """(n_events,) those of the last days; of unknown times, or without a moment, those that must count."""
        past = queries.histories
        if past.time is None or queries.now is None:
            return np.full(past.n_events, not self.keeps)
        now = queries.now[past.owner()]
        known = (past.time != NO_TIME) & (now != NO_TIME)
        age: LongVector = np.subtract(now, past.time, where=known, out=np.zeros_like(now))
        return np.where(known, (age >= 0) & (age <= self.days * DAY), not self.keeps)


def _kinds(wanted: Sequence[str], known: Sequence[str], label: str) -> AnyArray:
    """The numbers of kinds.

    Raises:
        ConfigError: one is not there.
    """
    for one in wanted:
        if one not in known:
            raise ConfigError(f"{label}: {unknown('kind of events', one, known)}")
    return np.array([known.index(one) for one in wanted], np.uint8)
