"""Newcomers: where an item stands that nobody has used, when others that are told of alike have been.

What is told of an item (its text, words, features) says only a part of what use would: a row of its own learns the
rest, and a newcomer has none. Its nearest neighbours by what is told have, so it leans on them half-way, as attributes
are mapped to factors by nearest neighbours in Gantner et al. (ICDM 2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, LongVector
from zhiyin.encoders.base import unit
from zhiyin.models._tables import own_table, share_of
from zhiyin.retrieval.exact import search
from zhiyin.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from zhiyin.nn.items import ItemTable

LENDERS = 65_536
"""Only so many items are leaned on, those used most: their rows are learnt best, and a search stays short."""


def lean(table: ItemTable, new: BoolVector, lenders: LongVector, neighbours: int, run: Run) -> None:
    """Give items of a table the rows with which they stand between what is told of them and their neighbours.

    A vector becomes half what is told of it and half the mean of those of its neighbours, weighted by the cosine by
    which they are such. Where items have no row of their own, the table stays as it is.

    Args:
        table: changed in place.
        new: (n_items,) the items that nobody used.
        lenders: (m,) the numbers of those that may be leaned on, see `lenders_of`.
        neighbours: so many; 0 for none, and then an item is what is told of it alone.
        run: threads.
    """
    import torch

    from zhiyin.nn.items import PlainItems

    own, share = own_table(table), share_of(table)
    if not isinstance(own, PlainItems) or not new.any():
        return
    with torch.no_grad():  # and so without what training hides at random
        rows, others = (_numbers(one, own.weight) for one in (np.flatnonzero(new), lenders))
        told = found = _array(table.told(rows))
        if neighbours and len(lenders):
            alike = _array(table.alike(rows)), _array(table.alike(others))
            found = _between(told, alike, _array(table(others)), neighbours, run)
        own.weight[rows] = torch.from_numpy((found - told)[:, -own.weight.shape[1] :]).to(own.weight)
        if share is not None:
            share[rows] = 1


def lenders_of(uses: LongVector, known: BoolVector) -> LongVector:
    """(m,) the items, in order, that were used (n_items,) most, of those that are known (n_items,)."""
    used = np.flatnonzero((uses > 0) & known)
    return np.sort(used[np.argsort(-uses[used], kind="stable")[:LENDERS]])


def _between(
    told: FloatMatrix, alike: tuple[FloatMatrix, FloatMatrix], whole: FloatMatrix, neighbours: int, run: Run
) -> FloatMatrix:
    """(m, d) the vectors of newcomers.

    Args:
        told: (m, d) what is told of each.
        alike: (m, d) and (n, d) by what they, and those that they may lean on, are neighbours.
        whole: (n, d) the vectors of those.
        neighbours: so many.
        run: threads.
    """
    nearest, cosine = search(unit(alike[0]), unit(alike[1]), neighbours, run=run)
    weight = np.nan_to_num(np.maximum(cosine, 0))  # NaN where there are fewer
    total = weight.sum(1, keepdims=True)
    mean = np.einsum("mk,mkd->md", weight / np.maximum(total, np.finfo(np.float32).tiny), whole[nearest])
    found: FloatMatrix = np.where(total > 0, (told + mean) / 2, told).astype(np.float32)
    return found


def _numbers(items: AnyArray, beside: Tensor) -> Tensor:
    """The numbers of items, where another tensor is."""
    import torch

    return torch.from_numpy(items.astype(np.int64)).to(beside.device)


def _array(vectors: Tensor) -> FloatMatrix:
    found: FloatMatrix = vectors.float().cpu().numpy()
    return found
