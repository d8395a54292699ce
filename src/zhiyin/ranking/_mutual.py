"""The rule for people who are offered to people: it looks at both, and says the same of them whoever asks."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import model_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, IntVector
from zhiyin.data.queries import Queries
from zhiyin.ranking._cells import Cells, places_in
from zhiyin.ranking._personal_rules import by_id, lines_of, told_of, values_of
from zhiyin.ranking._rules import Held, Unsure, World

Said = list[frozenset[str]]
"""Of each query, what its person says."""

PARTS = ("is", "seeks", "blocks")
"""What a person tells: what they are, what they seek, and whom they have blocked."""


class Mutual(Unsure):
    """Only people who are what the person seeks, and who seek what the person is; nobody whom one of both blocks.

    Who seeks nothing seeks anyone; `unknown` is of those who do not tell what they are. What is told of somebody of the
    catalogue stands in their row there, whether they are offered or ask; of others who ask, in the table of users. What
    the context of a query says, by the names of the columns, comes before both; whom it blocks, beside them.
    """

    rule: Literal["mutual"] = "mutual"
    column: str | None = None
    """The column of what a person is, such as `age_group` or `language`: texts or lists of them. None: anyone will
    do for anyone."""
    seeks: str | None = None
    """The column of what a person seeks, a value of `column` or several; empty for anyone."""
    blocks: str | None = None
    """The column of the ids whom a person has blocked: neither is offered to the other."""
    not_self: bool = True
    """Whether nobody is offered to themselves: the item whose id is that of the person who asks."""
    holds = ("ids", *(f"{what}_{part}" for part in PARTS for what in ("names", "of", "told")))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.column is None) != (self.seeks is None):
            came, lacks = ("seeks", "column") if self.column is None else ("column", "seeks")
            raise ValueError(f"the rule mutual has `{came}` and no `{lacks}`; give both, or none of them")
        if self.column is None and self.blocks is None and not self.not_self:
            raise ValueError("the rule mutual forbids nothing; give `column` and `seeks`, `blocks`, or `not_self`")
        return self

    @property
    def label(self) -> str:
        """With its column."""
        return "mutual" if self.column is None else f"mutual {self.column}"

    @property
    def _columns(self) -> dict[str, str | None]:
        return dict(zip(PARTS, (self.column, self.seeks, self.blocks), strict=True))

    def gather(self, world: World) -> Held:
        """What is told of the people of the catalogue, and of users beside them."""
        found: Held = {}
        for part, column in self._columns.items():
            empty = Cells([], sparse.csr_array((world.items.num_rows, 0), dtype=bool))
            cells = empty if column is None else Cells.read(world.items, column, "item")
            found |= {f"names_{part}": cells.names, f"of_{part}": cells.of}
        if world.users is None:
            return found
        beside = by_id(world.users.filter(pa.array(world.vocabulary.encode(world.users["user_id"]) < 0)))
        told = {f"told_{part}": told_of(beside, column) for part, column in self._columns.items()}
        return found | told | {"ids": beside["user_id"].to_pylist()}

    def lets(self, held: Held, queries: Queries | None) -> AnyArray:
        """By what both say."""
        assert queries is not None
        users = queries.users or ("",) * len(queries)
        row = queries.items.encode(users)
        are, seek, block = (self._said(held, part, queries, row) for part in PARTS)
        free = _having(held, "is", seek) | ~_some(seek)[:, None] | (self.keeps & ~_known(held, "is"))
        free &= _having(held, "seeks", are) | (self.keeps & ~_some(are))[:, None] | ~_known(held, "seeks")
        free &= ~_having(held, "blocks", [frozenset(filter(None, [one])) for one in users])
        for at, blocked in enumerate(block):
            numbers = queries.items.encode(sorted(blocked))
            free[at, numbers[numbers >= 0]] = False
        if self.not_self:
            free[row >= 0, row[row >= 0]] = False
        return free

    def _said(self, held: Held, part: str, queries: Queries, row: IntVector) -> Said:
        """What the context says of each query, else the catalogue (`row`) or the table of users; of blocks, both."""
        column = self._columns[part]
        given = queries.context.get(column) if column is not None else None
        context = [None] * len(queries) if given is None else list(given)
        table = places_in(held["ids"], queries.users or ("",) * len(queries)).tolist()
        told = [
            _cell(held, part, at) if at >= 0 else lines_of(held[f"told_{part}"], beside)
            for at, beside in zip(row.tolist(), table, strict=True)
        ]
        said = [values_of(one) for one in context]
        if part == "blocks":
            return [one | other for one, other in zip(said, told, strict=True)]
        return [one or other for one, other in zip(said, told, strict=True)]


def _cell(held: Held, part: str, row: int) -> frozenset[str]:
    of = held[f"of_{part}"]
    return frozenset(held[f"names_{part}"][at] for at in of.indices[of.indptr[row] : of.indptr[row + 1]])


def _having(held: Held, part: str, said: Said) -> AnyArray:
    """(n_queries, n_items) which people of the catalogue have one of the values that each query says."""
    of, names = held[f"of_{part}"], held[f"names_{part}"]
    asked = np.repeat(np.arange(len(said)), [len(each) for each in said])
    place = places_in(names, [one for each in said for one in each])
    known = place >= 0
    ones = np.ones(int(known.sum()), np.int32)
    wanted = sparse.csr_array((ones, (asked[known], place[known])), shape=(len(said), len(names)))
    found: AnyArray = (wanted @ of.astype(np.int32).T).toarray() > 0
    return found


def _some(said: Said) -> BoolVector:
    """(n_queries,) which say anything."""
    return np.array([bool(one) for one in said], bool)


def _known(held: Held, part: str) -> BoolVector:
    """(n_items,) of which people of the catalogue anything is told."""
    return np.asarray(np.diff(held[f"of_{part}"].indptr) > 0)
