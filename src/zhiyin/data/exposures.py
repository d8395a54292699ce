"""Exposures: what was shown to whom, with what chance, and what it earned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, DoubleVector, IntVector
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError, unknown


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """A log of what was shown, with the chance of it, and what it earned; a row is one item at one place.

    Raises:
        DataError: columns of different lengths, no rows, an item that is not there, a propensity that is none.
    """

    item: IntVector
    """(n,) the number of what was shown."""
    propensity: DoubleVector
    """(n,) the chance with which the old policy showed it there; above 0, at most 1."""
    reward: DoubleVector
    """(n,) what it earned."""
    n_items: int
    """How many items there are to show."""
    position: IntVector | None = None
    """(n,) the place in the list, from 1; None where it is not known or there is one."""
    owner: IntVector | None = None
    """(n,) a number for the person of each exposure; None where each is another's."""

    def __post_init__(self) -> None:
        n = len(self.item)
        if not n:
            raise DataError("no exposures came; a log needs one row at least")
        for name in ("propensity", "reward", "position", "owner"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise DataError(f"{n} items came with {len(column)} values of {name}; each exposure has one of each")
        checked("item", self.item, (self.item >= 0) & (self.item < self.n_items), f"0 to {self.n_items - 1}")
        right = (self.propensity > 0) & (self.propensity <= 1)
        checked("propensity", self.propensity, right, "above 0 and at most 1: what had no chance was not shown")
        checked("reward", self.reward, np.isfinite(self.reward), "a finite number")
        if self.position is not None:
            checked("position", self.position, self.position >= 1, "1 or more")

    def __len__(self) -> int:
        return len(self.item)

    @classmethod
    def of(
        cls, table: pa.Table, items: Vocabulary, reward: str = "clicked", owner: str | None = "user_id"
    ) -> Exposures:
        """A log from a table with `item_id`, `propensity` and a column of rewards; `position` and `owner` if there.

        Args:
            table: a row for each exposure. Where it has no `position`, `rank` is that, as in the table of
                recommendations (`Recommendations.to_arrow`).
            items: what there is to show; the items of a policy's chances, in this order.
            reward: the column of what is earned, numbers or true and false.
            owner: the column of who saw it, where it is in the table.

        Raises:
            DataError: a column is missing or has an empty cell, or an item is not in the vocabulary.
        """
        for name in ("item_id", "propensity", reward):
            if name not in table.column_names:
                raise DataError(unknown("column of exposures", name, table.column_names))
        read = {name: _numbers(table, name) for name in ("propensity", reward)}
        place = next((one for one in ("position", "rank") if one in table.column_names), None)
        item = items.encode(table["item_id"])
        if (item < 0).any():
            row, n = int(np.argmin(item)), int(np.count_nonzero(item < 0))
            raise DataError(
                f"item {table['item_id'][row].as_py()!r} in row {row} is not in the vocabulary ({n:,} such rows); a "
                "policy cannot show it: leave such rows out, or give a vocabulary that has it"
            )
        return cls(
            item=item,
            propensity=read["propensity"],
            reward=read[reward],
            n_items=len(items),
            position=None if place is None else _numbers(table, place).astype(np.int32),
            owner=_owners(table[owner]) if owner is not None and owner in table.column_names else None,
        )


def checked(name: str, column: AnyArray, right: AnyArray, expected: str) -> None:
    """Refuse a column with the first row that is not right."""
    if right.all():
        return
    row = int(np.argmin(right))
    wrong = int(np.count_nonzero(~right))
    raise DataError(f"{name} {column[row]:g} came in row {row} ({wrong:,} such rows); expected is {expected}")


def _numbers(table: pa.Table, name: str) -> DoubleVector:
    """A column of numbers, or of true and false."""
    column = table[name]
    if column.null_count:
        raise DataError(f"column {name!r} has {column.null_count:,} empty cells; each exposure needs a value")
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid as error:
        raise DataError(f"column {name!r} holds {column.type}, numbers are expected ({error})") from error


def _owners(column: pa.ChunkedArray) -> IntVector:
    """(n,) a number for each name; a row without one is a stranger's."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    found = np.asarray(pc.fill_null(coded.indices, -1)).astype(np.int32)
    strangers = np.flatnonzero(found < 0)
    found[strangers] = len(coded.dictionary) + np.arange(len(strangers))
    return found
