"""Ranked: candidates in the order of the list to be, what each is worth, and what was done to it on the way.

Re-rankers and rules change the order; each leaves a remark, so that a list can say of every item why it stands where it
does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntMatrix, IntVector, LongVector, offsets_of
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.limits import Limits

Notes = tuple[tuple[tuple[str, ...], ...], ...]
"""Per query and place."""


@dataclass(frozen=True, slots=True, eq=False)
class Remark:
    """What was done to candidates: a number of each, and a text only for those that are listed in the end."""

    text: str
    """How it is said; `{}` stands for the number."""
    value: AnyArray
    """(n,) -1, or NaN, where there is nothing to say."""
    items: Vocabulary | None = None
    """The ids, where the numbers are those of items."""

    def take(self, rows: AnyArray) -> Remark:
        """Of some rows; row -1 has nothing to say."""
        empty = np.nan if self.value.dtype.kind == "f" else -1
        value = self.value[np.maximum(rows, 0)] if len(self.value) else np.zeros(len(rows), self.value.dtype)
        return replace(self, value=np.where(rows < 0, empty, value).astype(self.value.dtype))

    def said(self) -> list[tuple[int, str]]:
        """The rows of which there is something to say, and what."""
        rows = np.flatnonzero(~np.isnan(self.value) if self.value.dtype.kind == "f" else self.value >= 0)
        numbers = self.value[rows]
        shown: Iterable[str] = (f"{one:.6g}" if isinstance(one, float) else str(one) for one in numbers.tolist())
        if self.items is not None:
            shown = self.items.decode(numbers)
        return [(row, self.text.replace("{}", one)) for row, one in zip(rows.tolist(), shown, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Candidates, those of each query with the best first."""

    candidates: Candidates
    worth: DoubleVector
    """(n,) by what they were ranked first; NaN for one that completes a list and was not ranked."""
    pool: int = 100
    """So many of the best of each query may re-rankers move; those behind only complete lists."""
    limits: Limits = field(default_factory=Limits)
    """What the list must keep to; re-rankers know it, so that what they weigh is what will be listed."""
    remarks: tuple[Remark, ...] = ()
    propensity: DoubleVector | None = None
    """(n,) the chance with which each was drawn to its place, given those before it; NaN where nothing was drawn."""

    def __len__(self) -> int:
        return len(self.candidates)

    @classmethod
    def of(
        cls,
        candidates: Candidates,
        worth: AnyArray,
        pool: int = 100,
        limits: Limits | None = None,
        remarks: tuple[Remark, ...] = (),
    ) -> Ranked:
        """Put candidates in the order of their worth; ties by item number, the smaller first.

        Raises:
            DataError: there is not one worth for each candidate, or one is NaN.
        """
        found = np.asarray(worth, np.float64)
        if len(found) != len(candidates):
            raise DataError(f"{len(found)} numbers of worth came for {len(candidates)} candidates; one each is needed")
        if np.isnan(found).any():
            raise DataError(f"the worth of {int(np.isnan(found).sum()):,} candidates is NaN; each needs a number")
        order = np.lexsort((candidates.item, -found, candidates.owner()))
        return cls(candidates, found, pool, limits or Limits(), remarks).reordered(order)

    def reordered(self, order: LongVector) -> Ranked:
        """With its rows in another order inside each query."""
        found = self.candidates
        columns = {name: column[order] for name, column in found.columns.items()}
        return replace(
            self,
            candidates=replace(found, item=found.item[order], columns=columns),
            worth=self.worth[order],
            remarks=tuple(one.take(order) for one in self.remarks),
            propensity=None if self.propensity is None else self.propensity[order],
        )

    def take(self, queries: BoolVector) -> Ranked:
        """The rows of some queries."""
        found = self.candidates
        kept = np.flatnonzero(queries[found.owner()])
        part = replace(
            found,
            queries=found.queries.take(queries),
            offsets=offsets_of(found.lengths[queries]),
            item=found.item[kept],
            columns={name: column[kept] for name, column in found.columns.items()},
        )
        return replace(
            self,
            candidates=part,
            worth=self.worth[kept],
            remarks=tuple(one.take(kept) for one in self.remarks),
            propensity=None if self.propensity is None else self.propensity[kept],
        )

    def with_more(self, items: IntMatrix) -> Ranked:
        """With further items (n_queries, m) behind those of each query, -1 where there is none; their worth is NaN."""
        found, row = self.candidates, np.nonzero(items >= 0)[0]
        owner = np.concatenate([found.owner(), row.astype(np.int32)])
        order = np.argsort(owner, kind="stable")
        old = np.concatenate([np.arange(len(self)), np.full(len(row), -1)])[order]
        item = np.concatenate([found.item, items[items >= 0]])[order].astype(np.int32)
        offsets = offsets_of(np.bincount(owner, minlength=len(found.queries)))
        return replace(
            self,
            candidates=Candidates(found.queries, offsets, item),
            worth=_with_nan(self.worth, old),
            remarks=tuple(one.take(old) for one in self.remarks),
            propensity=None if self.propensity is None else _with_nan(self.propensity, old),
        )

    def place(self) -> IntVector:
        """(n,) the place of each row in its query, from 1."""
        offsets = self.candidates.offsets
        return (np.arange(len(self)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1).astype(np.int32)

    def with_remark(self, text: str, value: AnyArray, items: Vocabulary | None = None) -> Ranked:
        """With one more remark."""
        return replace(self, remarks=(*self.remarks, Remark(text, value, items)))

    def notes(self, rows: AnyArray) -> Notes:
        """What is to be said of listed rows (n_queries, k), -1 where there is none; equal texts once."""
        flat: list[list[str]] = [[] for _ in range(rows.size)]
        for remark in self.remarks:
            for cell, text in remark.take(rows.ravel()).said():
                flat[cell].append(text)
        cells, k = [tuple(dict.fromkeys(one)) for one in flat], rows.shape[1]
        return tuple(tuple(cells[start : start + k]) for start in range(0, rows.size, k))


def _with_nan(values: DoubleVector, rows: LongVector) -> DoubleVector:
    """(m,) some of the values, NaN for row -1."""
    found: DoubleVector = np.append(values, np.nan)[rows]
    return found
