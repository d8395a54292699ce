"""Sides: item vectors that add what an item is (its categories, its price) to which item it is, and users' features.

A category that many items share has a vector that all of them teach. An item with few events of its own then stands
where its categories put it, and its own row is what sets it apart from them (Kula, CBRecSys 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from zhiyin.arrays import IntMatrix, IntVector
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError
from zhiyin.nn.items import ItemTable, PlainItems


class SideItems(ItemTable):
    """The vectors of another table, and to each of them a weighted sum of the vectors of the item's values.

    Args:
        own: the vectors that items have of their own.
        offsets: (n_items + 1,) int32 or int64: item `i` has the values `places[offsets[i]:offsets[i + 1]]`.
        places: (m,) of the same type: numbers of values.
        shares: (m,) float32: the weight of each, such as 1 / how many values the item has in the same column.
        n_values: how many values there are.
        width: d, as of `own`.

    Raises:
        ConfigError: the arrays do not go together.
    """

    per_item = ("offsets", "places", "shares")
    offsets: Tensor
    places: Tensor
    shares: Tensor

    def __init__(
        self, own: ItemTable, offsets: Tensor, places: Tensor, shares: Tensor, n_values: int, width: int
    ) -> None:
        super().__init__()
        _check(own.n_items, offsets, places, shares, n_values)
        self.own, self.n_items = own, own.n_items
        self.weight = nn.Parameter(torch.empty(n_values, width))
        self.register_buffer("offsets", offsets)
        self.register_buffer("places", places)
        self.register_buffer("shares", shares)

    @classmethod
    def of(cls, own: ItemTable, sides: sparse.csr_array, width: int) -> Self:
        """With the weights (n_items, n_values) of a sparse matrix; an explicit zero is a value all the same."""
        kind = np.result_type(np.int32, sides.indptr.dtype, sides.indices.dtype)
        arrays = sides.indptr.astype(kind), sides.indices.astype(kind), sides.data.astype(np.float32)
        offsets, places, shares = map(torch.from_numpy, arrays)
        return cls(own, offsets, places, shares, sides.shape[1], width)

    def forward(self, items: Tensor) -> Tensor:
        """(..., d)."""
        return self.own(items) + self._shared(items)

    @property
    def tells(self) -> bool:
        """Always: the values are."""
        return True

    def told(self, items: Tensor) -> Tensor:
        """(..., d)."""
        return self.own.told(items) + self._shared(items)

    def alike(self, items: Tensor) -> Tensor:
        """(..., d)."""
        shared = self._shared(items)
        return shared + self.own.alike(items) if self.own.tells else shared

    def _shared(self, items: Tensor) -> Tensor:
        """(..., d) what the values of items make of them."""
        flat = items.flatten()
        start = self.offsets[flat]
        count = self.offsets[flat + 1] - start
        before = count.cumsum(0, dtype=count.dtype) - count
        back = torch.repeat_interleave(start - before, count)
        entry = back + torch.arange(len(back), dtype=back.dtype, device=back.device)
        sides = self._sum(self.places[entry], before, self.shares[entry])
        return sides.reshape(*items.shape, self.weight.shape[1])

    def all(self) -> Tensor:
        """(n_items, d); made anew by each call, in the size of a plain table."""
        return self.own.all() + self._sum(self.places, self.offsets[:-1], self.shares)

    def valued(self, sides: sparse.csr_array) -> Tensor:
        """(n, d) what values (n, n_values) alone make of an item."""
        device = self.weight.device
        places, starts = (torch.from_numpy(one.astype(np.int64)).to(device) for one in (sides.indices, sides.indptr))
        return self._sum(places, starts[:-1], torch.from_numpy(sides.data.astype(np.float32)).to(device))

    @torch.no_grad()
    def folded(self) -> PlainItems:
        """A plain table of the same vectors, of no use for learning."""
        found = PlainItems(self.n_items, self.weight.shape[1], sparse=False)
        found.weight = nn.Parameter(self.all().clone(), requires_grad=False)
        return found

    def _sum(self, places: Tensor, starts: Tensor, shares: Tensor) -> Tensor:
        """(n, d) sums of vectors of values; of entries `starts[i]` to `starts[i + 1]` each."""
        return F.embedding_bag(places, self.weight, starts, mode="sum", per_sample_weights=shares.to(self.weight.dtype))


def _check(n_items: int, offsets: Tensor, places: Tensor, shares: Tensor, n_values: int) -> None:
    """See that arrays describe the values of items: torch would read beyond them without a word."""
    if len(offsets) != n_items + 1:
        raise ConfigError(f"sides of {len(offsets) - 1:,} items came with a table of {n_items:,}; describe each item")
    if offsets.dtype != places.dtype or offsets.dtype not in (torch.int32, torch.int64):
        raise ConfigError(f"offsets of {offsets.dtype} came with places of {places.dtype}; give both in int32 or int64")
    if not len(places) == len(shares) == int(offsets[-1]) or int(offsets[0]) or bool((offsets.diff() < 0).any()):
        raise ConfigError(
            f"{len(places):,} values with {len(shares):,} weights came, the offsets go from {int(offsets[0])} to "
            f"{int(offsets[-1]):,}; offsets rise from 0 to the number of values"
        )
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < n_values:
        raise ConfigError(f"values from {int(places.min())} to {int(places.max())} came, 0 to {n_values - 1} expected")


class Users(Protocol):
    """What is known of the user of a sequence: a column of bucket numbers for each attribute.

    The buckets of a column are counted from where those of the column before it end; its last one stands for what is
    not known.
    """

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many buckets each column has."""

    @property
    def nobody(self) -> IntVector:
        """(n_columns,) the buckets of a user of whom nothing is known."""

    def asked(self, queries: Queries) -> IntMatrix:
        """(n_queries, n_columns) the buckets of the user of each query."""
