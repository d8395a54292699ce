"""The tree of the codes that there are, for a search that never leaves it: flat arrays, asked for many nodes at once.

Nodes are numbered by depth and then in the order of their digits, so that the children of a node follow each other, and
so do the items below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, IntVector, LongVector, offsets_of
from zhiyin.errors import DataError
from zhiyin.semantic_ids._digits import checked, prefixes

ROOT = 0
"""The node of the empty beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class CodeTree:
    """Which digit may follow a beginning of a code, and which items are at its end."""

    sizes: tuple[int, ...]
    """(levels,) how many values each digit may have."""
    depths: LongVector
    """(levels + 2,) the nodes of depth l are depths[l] to depths[l + 1]; those of the last depth are the leaves."""
    digit: IntVector
    """(n_nodes,) the digit that leads to each node; -1 for the root."""
    parent: IntVector
    """(n_nodes,) the node before; -1 for the root."""
    key: LongVector
    """(n_nodes,) parent and digit as one number, in order."""
    child: LongVector
    """(n_nodes + 1,) the children of node v are the nodes child[v] to child[v + 1]."""
    below: LongVector
    """(n_nodes, 2) the items below node v are item[below[v, 0] : below[v, 1]]."""
    item: IntVector
    """(n_items with a code,) item numbers in the order of their codes."""

    @classmethod
    def of(cls, codes: AnyArray, sizes: Sequence[int] | None = None) -> CodeTree:
        """The tree of the codes of items.

        Args:
            codes: (n_items, levels), usually with the last digit that tells equal codes apart; an item whose digits are
                -1 is not in the tree.
            sizes: how many values each digit may have; by default as many as the largest one needs.

        Raises:
            DataError: no codes came, no item has one, or a digit is beyond its size.
        """
        found = checked(codes, sizes)
        if sizes is not None and len(sizes) != found.shape[1]:
            raise DataError(f"codes of {found.shape[1]} digits came with {len(sizes)} sizes; one a digit is expected")
        items = np.flatnonzero(found[:, 0] >= 0)
        if not len(items):
            raise DataError(f"none of {len(found)} items has a code; a tree needs at least one")
        steps = list(prefixes(found[items]))
        depths = offsets_of([1, *map(len, steps)])
        # A parent's number counts within its depth.
        parent = np.concatenate([[-1], *(step.parent + depths[depth] for depth, step in enumerate(steps))])
        digit = np.concatenate([[-1], *(step.digit for step in steps)])
        order = np.argsort(steps[-1].of_item, kind="stable")
        ends = [np.array([len(items)]), *(np.cumsum(np.bincount(step.of_item)) for step in steps)]
        begins = [np.concatenate([[0], end[:-1]]) for end in ends]
        most = found.max(0) + 1
        return cls(
            tuple(int(size) for size in (most if sizes is None else sizes)),
            depths,
            digit.astype(np.int32),
            parent.astype(np.int32),
            parent * (int(digit.max()) + 1) + digit,
            np.searchsorted(parent, np.arange(len(parent) + 1)).astype(np.int64),
            np.column_stack([np.concatenate(begins), np.concatenate(ends)]),
            items[order].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.digit)

    @property
    def levels(self) -> int:
        """How many digits a code has."""
        return len(self.sizes)

    @property
    def n_leaves(self) -> int:
        """How many different codes there are."""
        return int(self.depths[-1] - self.depths[-2])

    @property
    def n_items(self) -> int:
        """How many items have a code."""
        return len(self.item)

    def allowed(self, nodes: AnyArray, width: int | None = None) -> BoolVector:
        """(..., width) which digits may follow each node; none after a leaf or after -1, which is no node.

        Args:
            nodes: (...) numbers of nodes.
            width: how many digits to speak of; by default as many as the largest size.
        """
        flat, most = np.asarray(nodes).ravel(), max(self.sizes) if width is None else width
        mask = np.zeros((len(flat), most), bool)
        offsets, digits, _ = self.children(flat)
        mask[np.repeat(np.arange(len(flat)), np.diff(offsets)), digits] = True
        return mask.reshape(*np.shape(nodes), most)

    def children(self, nodes: AnyArray) -> tuple[LongVector, IntVector, IntVector]:
        """Offsets (b + 1,) into the digits and nodes that follow each of (b,) nodes; none follow -1 or a leaf."""
        found = self._nodes(nodes)
        there = found >= 0
        begin = np.where(there, self.child[found], 0)
        offsets = offsets_of(np.where(there, self.child[found + 1] - begin, 0))
        after = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], np.diff(offsets))
        return offsets, self.digit[after], after.astype(np.int32)

    def step(self, nodes: AnyArray, digits: AnyArray) -> IntVector:
        """(...) the nodes to which digits lead from nodes; -1 where no code goes on so. Shapes are broadcast."""
        found, wanted = np.broadcast_arrays(self._nodes(nodes), np.asarray(digits))
        width = int(self.digit.max()) + 1
        key = found.astype(np.int64) * width + wanted
        place = np.minimum(np.searchsorted(self.key, key), len(self) - 1)
        fine = (found >= 0) & (wanted >= 0) & (wanted < width) & (self.key[place] == key)
        return np.where(fine, place, -1).astype(np.int32)

    def find(self, beginnings: AnyArray) -> IntVector:
        """(b,) the nodes of beginnings of codes (b, any number of digits); -1 for one that no item has."""
        digits = np.asarray(beginnings)
        nodes = np.full(len(digits), ROOT, np.int32)
        for column in digits.T:
            nodes = self.step(nodes, column)
        return nodes

    def codes(self, nodes: AnyArray) -> AnyArray:
        """(b, levels) int32 the digits that lead to each of (b,) nodes, -1 beyond its depth."""
        found = self._nodes(nodes)
        depth = np.searchsorted(self.depths, found, side="right") - 1  # of -1: -1
        digits = np.full((len(found), self.levels), -1, np.int32)
        for _ in range(self.levels):
            rows = np.flatnonzero(depth > 0)
            digits[rows, depth[rows] - 1] = self.digit[found[rows]]
            found, depth = np.where(depth > 0, self.parent[found], found), depth - 1
        return digits

    def items(self, nodes: AnyArray) -> tuple[LongVector, IntVector]:
        """Offsets (b + 1,) into the numbers of the items whose codes begin as each of (b,) nodes says."""
        found = self._nodes(nodes)
        begin, end = self.below[found].T
        offsets = offsets_of(np.where(found >= 0, end - begin, 0))
        place = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], np.diff(offsets))
        return offsets, self.item[place]

    def _nodes(self, nodes: AnyArray) -> IntVector:
        found = np.asarray(nodes)
        if found.size and not (np.issubdtype(found.dtype, np.integer) and -1 <= found.min() <= found.max() < len(self)):
            raise DataError(
                f"nodes are whole numbers from 0 to {len(self) - 1}, or -1 for none; {found.ravel()[:5]} came"
            )
        return found.astype(np.int32)
