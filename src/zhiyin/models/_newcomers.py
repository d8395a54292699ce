"""Newcomers: where an item stands that nobody has used, when others that are told of alike have been.

What is told of an item (its text, words, features) says only a part of what use would: a row of its own learns the
rest, and a newcomer has none. Its nearest neighbours by what is told have, so it leans on them half-way, as attributes
are mapped to factors by nearest neighbours in Gantner et al. (ICDM 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from zhiyin.arrays import BoolVector, FloatMatrix, IntVector, LongVector
from zhiyin.encoders.base import unit
from zhiyin.retrieval.exact import search
from zhiyin.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from zhiyin.nn.items import ItemTable, PlainItems

LENDERS = 65_536
"""Only so many items are leaned on, those used most: their rows are learnt best, and a search stays short."""


@dataclass(frozen=True, slots=True, eq=False)
class Lenders:
    """Items that were used, on which others may lean."""

    told: FloatMatrix
    """(n, d) what is told of each, of length 1."""
    whole: FloatMatrix
    """(n, d) the vector of each."""

    @classmethod
    def of(cls, table: ItemTable, uses: LongVector, known: BoolVector) -> Self:
        """Those of a table.

        Args:
            table: as it is after learning.
            uses: (n_items,) the events that taught each item's row.
            known: (n_items,) the items of which anything is known.
        """
        used = np.flatnonzero((uses > 0) & known)
        most = np.sort(used[np.argsort(-uses[used], kind="stable")[:LENDERS]])
        rows = _numbers(most.astype(np.int32), table)
        return cls(unit(_array(table.told(rows))), _array(table(rows)))

    def lean(self, table: ItemTable, new: IntVector, neighbours: int, run: Run) -> None:
        """Give items of a table the rows with which they stand between what is told of them and their neighbours.

        A vector becomes half what is told of it and half the mean of those of its neighbours, weighted by the cosine
        of what is told. Where items have no row of their own, the table stays as it is.

        Args:
            table: changed in place.
            new: (m,) the items, which nobody used.
            neighbours: so many; 0 for none, and then an item is what is told of it alone.
            run: threads.
        """
        import torch

        from zhiyin.models._tables import share_of

        own, share = _rows_of(table), share_of(table)
        if own is None or not len(new):
            return
        rows = _numbers(new, table)
        asked = _array(table.told(rows))
        found = self._between(asked, neighbours, run) if neighbours and len(self.told) else asked
        with torch.no_grad():
            own.weight[rows] = torch.from_numpy((found - asked)[:, -own.weight.shape[1] :]).to(own.weight)
            if share is not None:
                share[rows] = 1

    def _between(self, asked: FloatMatrix, neighbours: int, run: Run) -> FloatMatrix:
        """(m, d) the vectors of items of which this is told (m, d)."""
        nearest, cosine = search(unit(asked), self.told, neighbours, run=run)
        weight = np.nan_to_num(np.maximum(cosine, 0))
        total = weight.sum(1, keepdims=True)
        mean = np.einsum("mk,mkd->md", weight / np.maximum(total, np.finfo(np.float32).tiny), self.whole[nearest])
        found: FloatMatrix = np.where(total > 0, (asked + mean) / 2, asked).astype(np.float32)
        return found


def _rows_of(table: ItemTable) -> PlainItems | None:
    """The rows that items have of their own; None where they have none, or share pieces."""
    from zhiyin.models._tables import own_table
    from zhiyin.nn.items import PlainItems

    own = own_table(table)
    return own if isinstance(own, PlainItems) else None


def _numbers(items: IntVector, table: ItemTable) -> Tensor:
    """The numbers of items, where a table is."""
    import torch

    return torch.from_numpy(items.astype(np.int64)).to(next(table.parameters()).device)


def _array(vectors: Tensor) -> FloatMatrix:
    found: FloatMatrix = vectors.detach().float().cpu().numpy()
    return found
