"""Item tables: the vectors of a catalogue, a row each, or put together from shared parts where rows are too much.

`ProductItems` is RecJPQ (Petrov and Macdonald, WSDM 2024): an item is `m` code numbers, each of which names one of
`n_codes` learnt pieces of a vector. A million items of 64 numbers take 256 MB as rows, and 8 MB as eight codes each.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.errors import ConfigError

SPARSE_FROM = 200_000
"""From so many rows on, a step touches only the rows of its own items, as a step over all of them costs ever more."""


class ItemTable(nn.Module):
    """Base: vectors of some items, or of all."""

    n_items: int
    per_item: ClassVar[tuple[str, ...]] = ()
    """The names of its arrays that have a row for each item, or say where its row is."""

    def forward(self, items: Tensor) -> Tensor:
        """(..., d) the vectors of items (...)."""
        raise NotImplementedError

    def all(self) -> Tensor:
        """(n_items, d) the vectors of all items."""
        raise NotImplementedError

    @property
    def tells(self) -> bool:
        """Whether more is known of items than what use has taught of each: a text, features, words."""
        return False

    def told(self, items: Tensor) -> Tensor:
        """(..., d) what items (...) would be with nothing of their own: what else is told of them."""
        return torch.zeros_like(self(items))

    def alike(self, items: Tensor) -> Tensor:
        """(..., d) by what items (...) are neighbours: what is told of them, without what is guessed of new ones."""
        return self.told(items)


class PlainItems(ItemTable):
    """A row for each item; large tables have sparse gradients, see `SPARSE_FROM`."""

    per_item = ("weight",)

    def __init__(self, n_items: int, width: int, sparse: bool | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.sparse = n_items >= SPARSE_FROM if sparse is None else sparse
        self.weight = nn.Parameter(torch.empty(n_items, width))

    def forward(self, items: Tensor) -> Tensor:
        """(..., d)."""
        return F.embedding(items, self.weight, sparse=self.sparse)

    def all(self) -> Tensor:
        """(n_items, d)."""
        return self.weight


class ProductItems(ItemTable):
    """Vectors put together from shared pieces.

    Args:
        codes: (n_items, m) which piece each item has in each of its m parts, see `zhiyin.nn.codes`.
        width: d, divided by m.
        n_codes: how many pieces each part has.

    Raises:
        ConfigError: m does not divide d, or codes are not from 0 to n_codes - 1.
    """

    per_item = ("codes",)
    codes: Tensor
    starts: Tensor

    def __init__(self, codes: Tensor, width: int, n_codes: int = 256) -> None:
        super().__init__()
        if width % codes.shape[1]:
            raise ConfigError(
                f"vectors of {width} numbers (embedding_size) came with {codes.shape[1]} codes for each item; take a "
                "number of codes that divides it"
            )
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < n_codes:
            raise ConfigError(
                f"codes from {int(codes.min())} to {int(codes.max())} came, 0 to {n_codes - 1} are expected"
            )
        self.n_items, self.n_codes = codes.shape[0], n_codes
        self.register_buffer("codes", codes.to(torch.uint8 if n_codes <= 256 else torch.int32))
        parts = codes.shape[1]
        self.weight = nn.Parameter(torch.empty(parts * n_codes, width // parts))
        self.register_buffer("starts", torch.arange(parts) * n_codes, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """(..., d)."""
        place = self.codes[items].long() + self.starts
        return F.embedding(place, self.weight).flatten(-2)

    def all(self) -> Tensor:
        """(n_items, d); made anew by each call, in the size of a plain table."""
        return self(torch.arange(self.n_items, device=self.weight.device))
