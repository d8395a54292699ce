"""The item table of a sequence model: rows or shared pieces, what items say, what they have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from zhiyin import semantic_ids
from zhiyin.arrays import BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector
from zhiyin.data.histories import Histories
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from zhiyin.nn.items import ItemTable
    from zhiyin.nn.sides import SideItems
    from zhiyin.nn.texts import TextItems

N_CODES = 256
"""Different codes in each part of an item's vector: a byte each."""

SHORT = 0.2
"""How long a text is at first in the null space of a model that scores by cosines: about as long as the rows of a plain
table of 64 to 128 numbers. Own rows begin at zero there, and texts five times as long drown them (docs/experiments.md,
"What items say"). Products want long texts, or an item that nobody used has next to nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of items beside who used them, before anything is learnt."""

    n_items: int
    sides: sparse.csr_array | None = None
    """(n_items, n_values) the values of their features."""
    said: FloatMatrix | None = None
    """(n_items, s) what they say, of length 1; zeros for one that says nothing."""
    share: FloatVector | None = None
    """(n_items,) how much of its own row each has, where items say something."""
    codes: IntMatrix | None = None
    """(n_items, levels) the digits of each, where they have vectors."""
    sizes: tuple[int, ...] = ()
    """(levels,) how many values each digit may have."""
    rows: bool = True
    """Whether items have rows of their own."""
    silent: IntVector | None = None
    """The values that stand for missing and rare ones, where there are values."""

    @property
    def told(self) -> BoolVector:
        """(n_items,) of which items anything is told by values or text."""
        found: BoolVector = np.zeros(self.n_items, bool)
        if self.said is not None:
            found |= self.said.any(1)
        if self.sides is not None:
            tells = np.ones(self.sides.shape[1], bool)
            tells[self.silent] = False
            found |= self.sides @ tells > 0
        return found


def item_table_of(own: SequenceConfig, known: Known) -> ItemTable:
    """The table, with first weights that its net is yet to draw; codes are learnt or read afterwards."""
    import torch

    from zhiyin.nn.digits import DigitItems
    from zhiyin.nn.items import PlainItems, ProductItems
    from zhiyin.nn.sides import SideItems
    from zhiyin.nn.texts import TextItems

    width, joined = own.embedding_size, own.text
    table: ItemTable = PlainItems(known.n_items, own.own_width)
    if own.codes:
        table = ProductItems(torch.zeros(known.n_items, own.codes, dtype=torch.uint8), own.own_width, N_CODES)
    if joined == "frozen" or joined == "added" or joined == "null_space":
        assert known.said is not None
        assert known.share is not None
        beside = None if joined == "frozen" else table
        length = 1.0 if own.temperature is None else SHORT
        table = TextItems(beside, known.said, width, known.share, joined, own.hidden_ids, length)
    if known.codes is not None:
        beside = table if known.rows or joined != "none" else None
        table = DigitItems(torch.from_numpy(known.codes), known.sizes, width, beside)
    return table if known.sides is None else SideItems.of(table, known.sides, width)


def own_table(table: ItemTable) -> ItemTable | None:
    """The part of a table that holds what items have of their own; None where they have nothing."""
    from zhiyin.nn.digits import DigitItems
    from zhiyin.nn.sides import SideItems
    from zhiyin.nn.texts import TextItems

    found: ItemTable | None = table
    while isinstance(found, (SideItems, DigitItems, TextItems)):
        found = found.own
    return found


def pieces(
    histories: Histories, n_items: int, own: SequenceConfig, run: Run, name: str, said: FloatMatrix | None = None
) -> IntMatrix:
    """(n_items, codes) which pieces items share: by who uses them, or by what they say (n_items, s).

    By what they say, by product quantisation; an item that says nothing gets the pieces that chance gives.
    """
    from zhiyin.nn.codes import random_codes, svd_codes

    drawn = run.generator(f"{name}: codes")
    if said is None:
        return svd_codes(histories, n_items, own.codes, N_CODES, drawn)
    found = random_codes(n_items, own.codes, N_CODES, drawn)
    told = said.any(1)
    book = semantic_ids.get("product_quantizer")(levels=own.codes, n_codes=min(N_CODES, int(told.sum())))
    found[told] = book.fit(said, run).assign(said, run)[told]
    return found


def text_table(table: ItemTable) -> TextItems:
    """The part of a table that joins what items say."""
    from zhiyin.nn.texts import TextItems

    found = _told_table(table)
    assert isinstance(found, TextItems)
    return found


def side_table(table: ItemTable) -> SideItems:
    """The part of a table that adds the values of features and words."""
    from zhiyin.nn.sides import SideItems

    assert isinstance(table, SideItems)
    return table


def share_of(table: ItemTable) -> Tensor | None:
    """(n_items,) how much of its own row each item has, where a table joins it to what items say."""
    from zhiyin.nn.texts import TextItems

    found = _told_table(table)
    return found.share if isinstance(found, TextItems) else None


def _told_table(table: ItemTable) -> ItemTable | None:
    """A table without the values of features and the digits of codes that are added to it."""
    from zhiyin.nn.digits import DigitItems
    from zhiyin.nn.sides import SideItems

    found: ItemTable | None = table
    while isinstance(found, (SideItems, DigitItems)):
        found = found.own
    return found


def begin(table: ItemTable, known: Known, own: SequenceConfig) -> None:
    """Give a table those first weights that are other than a net's own.

    Where texts or values tell of an item, what it has of its own begins at zero (as in AlphaFuse: Hu et al., SIGIR
    2025): an item of few events stands close to where they put it, one of none exactly there. One of which nothing is
    told has to be something.
    """
    import torch

    from zhiyin.nn.items import PlainItems

    inner, said = own_table(table), None if own.text == "none" else known.said
    told = (known if own.tells_text else replace(known, said=None)).told
    rows = torch.from_numpy(np.flatnonzero(told))
    with torch.no_grad():
        if own.text == "initial" and said is not None and isinstance(inner, PlainItems):
            first = said[:, : own.embedding_size]
            spread = float(inner.weight.std())
            scaled = first * np.float32(spread * np.sqrt(first.shape[1]))
            spoken = torch.from_numpy(np.flatnonzero(said.any(1)))
            inner.weight[spoken, : first.shape[1]] = torch.from_numpy(scaled)[spoken]
        elif isinstance(inner, PlainItems):
            inner.weight[rows] = 0
        elif inner is not None and told.all():
            for one in inner.parameters():
                one.zero_()
