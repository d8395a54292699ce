"""Generation: an encoder with a head that foretells the code of the item that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zhiyin.nn.digits import DigitItems, digit_table
from zhiyin.nn.encoder import TransformerEncoder
from zhiyin.nn.heads import DigitHead
from zhiyin.nn.items import ItemTable


class CodeEncoder(TransformerEncoder):
    """A `TransformerEncoder` over items with digits, and the head that reads its states.

    Args:
        items: with a `DigitItems` in it.
        width: d.
        sizes: how many buckets each feature of an event has.
        head: what foretells digits.
        shape: the other arguments of `TransformerEncoder`.
    """

    def __init__(self, items: ItemTable, width: int, sizes: Mapping[str, int], head: DigitHead, **shape: Any) -> None:
        super().__init__(items, width, sizes, **shape)
        self.head = head

    @property
    def digits(self) -> DigitItems:
        """The part of the item table that is made of digits."""
        return digit_table(self.items)
