"""Beams: the likeliest codes by a search down the tree of those that there are, for many queries at once.

Every beam of every query is a row, and a step foretells one digit for all of them. Only digits that lead to an item
that may be listed are followed: where all items below a node were seen or are not allowed, it is closed, so that a
list is as long as it can be and never names a code that no item has.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zhiyin.arrays import BoolVector, FloatVector, IntVector, LongVector, offsets_of
from zhiyin.data.histories import Histories
from zhiyin.nn.digits import DigitItems
from zhiyin.nn.heads import DepthDecoder
from zhiyin.retrieval.exact import NOTHING, top_k
from zhiyin.semantic_ids._tree import ROOT, CodeTree


class Openings:
    """Which nodes of a tree lead to an item that may be listed.

    Args:
        tree: of the codes of all items.
        allowed: (n_items,) which may be listed; None for all.
        seen: for each query the items that may not; None for none.
    """

    def __init__(self, tree: CodeTree, allowed: BoolVector | None = None, seen: Histories | None = None) -> None:
        self.tree, self.n = tree, len(tree.item)
        free = np.ones(self.n, bool) if allowed is None else allowed[tree.item]
        self.before = offsets_of(free)  # how many free items come before each place
        self.hidden: LongVector = np.zeros(0, np.int64)
        """(m,) query * n + place, in order, of the free items that each query has seen."""
        if seen is not None and self.n:
            place = np.full(max(int(tree.item.max()), int(seen.item.max(initial=0))) + 1, -1)
            place[tree.item] = np.arange(self.n)
            where = place[seen.item]
            fine = (where >= 0) & free[where]
            self.hidden = np.unique(seen.owner()[fine].astype(np.int64) * self.n + where[fine])

    def open(self, owner: LongVector, nodes: IntVector) -> BoolVector:
        """(m,) whether there is such an item below each node, for the query `owner` (m,) that asks."""
        begin, end = self.tree.below[nodes].T
        return self._left(owner, begin, end) > 0

    def listed(self, owner: LongVector, places: LongVector) -> BoolVector:
        """(m,) whether the item at each place of the tree may be listed for the query that asks."""
        return self._left(owner, places, places + 1) > 0

    def _left(self, owner: LongVector, begin: LongVector, end: LongVector) -> LongVector:
        """(m,) how many items from one place to another may be listed."""
        found = self.before[end] - self.before[begin]
        if len(self.hidden):
            first = owner * self.n
            found = found - np.searchsorted(self.hidden, first + end) + np.searchsorted(self.hidden, first + begin)
        return found


@torch.inference_mode()
def beam_search(
    decoder: DepthDecoder, digits: DigitItems, states: Tensor, tree: CodeTree, width: int, openings: Openings
) -> tuple[LongVector, IntVector, FloatVector]:
    """The items of the `width` likeliest codes of each query that lead to an item which may be listed.

    Where `width` is as large as the catalogue, that is all of them, each with the probability that its code has.

    Args:
        decoder: in evaluation mode.
        digits: of the item table, with the codes of the tree.
        states: (n, d) of the queries.
        tree: of the codes of all items.
        width: so many beams are followed for each query.
        openings: of the same tree.

    Returns:
        For each item found: the query (m,), in order; its number (m,); and (m,) the logarithm of the probability of its
        code. Of one query the likeliest come first; items that share a code are all there.
    """
    n = len(states)
    owner, node, score = np.arange(n), np.full(n, ROOT, np.int32), np.zeros(n, np.float32)
    told = decoder.begin(states)
    for level in range(tree.levels):
        chances = decoder.next(told, level, digits)
        offsets, values, after = tree.children(node)
        row = np.repeat(np.arange(len(node)), np.diff(offsets))
        fine = openings.open(owner[row], after)
        row, values, after = row[fine], values[fine], after[fine]
        rows, digit = (torch.from_numpy(one.astype(np.int64)).to(states.device) for one in (row, values))
        total = score[row] + chances[rows, digit].cpu().numpy()
        best = _best(owner[row], total, width, n)
        owner, node, score = owner[row[best]], after[best], total[best]
        if level + 1 < tree.levels:
            kept = torch.from_numpy(best).to(states.device)
            told = told.of(rows[kept])
            decoder.read(told, level, digit[kept], digits)
    begin, end = tree.below[node].T
    beam = np.repeat(np.arange(len(node)), end - begin)
    place = np.arange(len(beam)) - np.repeat(offsets_of(end - begin)[:-1] - begin, end - begin)
    fine = openings.listed(owner[beam], place)
    beam, place = beam[fine], place[fine]
    return owner[beam], tree.item[place], score[beam]


def _best(owner: LongVector, total: FloatVector, width: int, n: int) -> LongVector:
    """(m,) which candidates are the `width` best of their query; query by query in order, the best first.

    Args:
        owner: (c,) the query of each candidate, in order.
        total: (c,) how good each is.
        width: so many are kept.
        n: queries.
    """
    counts = np.bincount(owner, minlength=n)
    starts = offsets_of(counts)
    padded = np.full((n, max(1, int(counts.max(initial=0)))), NOTHING, np.float32)
    padded[owner, np.arange(len(owner)) - starts[owner]] = total
    place, _ = top_k(padded, min(width, padded.shape[1]))
    found: LongVector = (place + starts[:-1, None])[place >= 0]
    return found
