"""Digits: item vectors put together from those of the digits of the items' codes (see `zhiyin.semantic_ids`).

An item is the sum of a vector for each of its digits, as in TIGER's inputs (Rajput et al., NeurIPS 2023) taken at once,
and of what another table has for it: a row of its own, what it says. The vectors of digits are also what a head that
foretells digits is held against (see `zhiyin.nn.heads`), so that what it learns of a digit is known of its items.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.arrays import offsets_of
from zhiyin.errors import ConfigError
from zhiyin.nn.items import ItemTable


class DigitItems(ItemTable):
    """The sum of a vector for each digit, and of the vectors of another table.

    Args:
        codes: (n_items, levels) whole numbers, the digits of each item; all have some.
        sizes: (levels,) how many values each digit may have.
        width: d.
        own: what items have beside their digits; None for nothing.

    Raises:
        ConfigError: codes and sizes do not go together, or the other table is of other items.
    """

    per_item = ("codes",)
    codes: Tensor
    starts: Tensor

    def __init__(self, codes: Tensor, sizes: Sequence[int], width: int, own: ItemTable | None = None) -> None:
        super().__init__()
        if codes.dim() != 2 or codes.shape[1] != len(sizes):
            raise ConfigError(f"codes of shape {tuple(codes.shape)} came with {len(sizes)} sizes; one a digit expected")
        wrong = (codes < 0) | (codes >= torch.tensor(sizes))
        if bool(wrong.any()):
            row, level = torch.nonzero(wrong)[0].tolist()
            raise ConfigError(
                f"digit {level} of item {row} is {int(codes[row, level])}; 0 to {sizes[level] - 1} is expected"
            )
        if own is not None and own.n_items != len(codes):
            raise ConfigError(f"codes of {len(codes)} items came with a table of {own.n_items}; give each a code")
        self.n_items, self.sizes, self.own = len(codes), tuple(sizes), own
        offsets = offsets_of(sizes)
        self.weight = nn.Parameter(torch.empty(int(offsets[-1]), width))
        self.register_buffer("codes", codes.to(torch.int32))
        self.register_buffer("starts", torch.from_numpy(offsets[:-1]), persistent=False)

    @property
    def levels(self) -> int:
        """How many digits a code has."""
        return len(self.sizes)

    def forward(self, items: Tensor) -> Tensor:
        """(..., d)."""
        found = self.summed(self.codes[items])
        return found if self.own is None else found + self.own(items)

    def all(self) -> Tensor:
        """(n_items, d); made anew by each call, in the size of a plain table."""
        found = self.summed(self.codes)
        return found if self.own is None else found + self.own.all()

    @property
    def tells(self) -> bool:
        """Whether the other table does: digits of an item that nobody used are guessed."""
        return self.own is not None and self.own.tells

    def told(self, items: Tensor) -> Tensor:
        """(..., d)."""
        found = self.summed(self.codes[items])
        return found if self.own is None else found + self.own.told(items)

    def alike(self, items: Tensor) -> Tensor:
        """(..., d) without digits, where more is told."""
        return self.own.alike(items) if self.own is not None and self.own.tells else self.told(items)

    def summed(self, codes: Tensor) -> Tensor:
        """(..., d) the sums of the vectors of digits, for codes (..., levels)."""
        places = (codes.long() + self.starts).flatten(0, -2)
        return F.embedding_bag(places, self.weight, mode="sum").unflatten(0, codes.shape[:-1])

    def each(self, codes: Tensor) -> Tensor:
        """(..., m, d) the vectors of digits, for the first m of each code (..., m)."""
        return F.embedding(codes.long() + self.starts[: codes.shape[-1]], self.weight)

    def of_level(self, level: int) -> Tensor:
        """(sizes[level], d) the vectors of all values of one digit."""
        start = sum(self.sizes[:level])
        return self.weight[start : start + self.sizes[level]]


def digit_table(table: ItemTable) -> DigitItems:
    """The part of a table that is made of digits.

    Raises:
        TypeError: there is none.
    """
    found: ItemTable | None = table
    while found is not None and not isinstance(found, DigitItems):
        found = getattr(found, "own", None)
    if found is None:
        raise TypeError(f"{type(table).__name__} has no digits")
    return found
