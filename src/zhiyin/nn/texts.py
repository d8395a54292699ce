"""Texts: item vectors made of what an item says and of how it was used.

`frozen`: a learnt map of what is said, and nothing of the item's own (as in MoRec: Yuan et al., SIGIR 2023). `added`:
that, and a row of the item's own. `null_space`: what is said stands, at a learnt length, in the leading numbers of a
vector, and the item's own row in the others (AlphaFuse: Hu et al., SIGIR 2025); an item that nobody has used yet is
then its text alone, in the very space in which all others are.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zhiyin.arrays import FloatMatrix, FloatVector
from zhiyin.errors import ConfigError
from zhiyin.nn.items import ItemTable, PlainItems

Joined = Literal["frozen", "added", "null_space"]


class TextItems(ItemTable):
    """The vectors of another table joined to what items say.

    Args:
        own: what items have of their own: d numbers each for "added", d - s for "null_space", None for "frozen".
        said: (n_items, s) float32 what each item says, of length 1; zeros for one that says nothing.
        width: d.
        share: (n_items,) float32 how much of its own row each item has, 0 for one that was never used.
        joined: how.
        hidden: in training, the share of items of a look-up whose own row is left out, so that what is said learns to
            do without.
        length: how long a text is at first in a null space, where its length is learnt.

    Raises:
        ConfigError: the sizes do not go together.
    """

    per_item = ("said", "share")
    said: Tensor
    share: Tensor

    def __init__(
        self,
        own: ItemTable | None,
        said: FloatMatrix,
        width: int,
        share: FloatVector,
        joined: Joined,
        hidden: float = 0.0,
        length: float = 1.0,
    ) -> None:
        super().__init__()
        if joined == "null_space" and said.shape[1] >= width:
            raise ConfigError(
                f"texts of {said.shape[1]} numbers leave nothing of vectors of {width} (embedding_size) for an item's "
                "own; take a smaller text_size"
            )
        self.own, self.n_items, self.joined, self.hidden, self.width = own, len(said), joined, hidden, width
        self.register_buffer("said", torch.from_numpy(said))
        self.register_buffer("share", torch.from_numpy(share))
        if joined == "null_space":
            self.scale = nn.Parameter(torch.full((1,), length))
        else:
            self.weight = nn.Parameter(torch.empty(width, said.shape[1]))

    def forward(self, items: Tensor) -> Tensor:
        """(..., d)."""
        own = None if self.own is None else self.own(items)
        return self._join(self.said[items], own, self.share[items])

    def all(self) -> Tensor:
        """(n_items, d); made anew by each call, in the size of a plain table."""
        return self._join(self.said, None if self.own is None else self.own.all(), self.share)

    @property
    def tells(self) -> bool:
        """Always: what items say is."""
        return True

    def told(self, items: Tensor) -> Tensor:
        """(..., d)."""
        return self.unused(self.said[items])

    def unused(self, said: Tensor) -> Tensor:
        """(..., d) the vectors of items that say this (..., s) and were never used."""
        if self.joined == "null_space":
            text = said * self.scale
            return torch.cat([text, text.new_zeros(*text.shape[:-1], self.width - text.shape[-1])], -1)
        return said @ self.weight.T

    @torch.no_grad()
    def folded(self) -> PlainItems:
        """A plain table of the same vectors, of no use for learning."""
        vectors = self.all().clone()
        found = PlainItems(self.n_items, vectors.shape[1], sparse=False)
        found.weight = nn.Parameter(vectors, requires_grad=False)
        return found

    def _join(self, said: Tensor, own: Tensor | None, share: Tensor) -> Tensor:
        text = said * self.scale if self.joined == "null_space" else said @ self.weight.T
        if own is None:
            return text
        if self.hidden and self.training and torch.is_grad_enabled():
            share = share * (torch.rand(share.shape, device=share.device) >= self.hidden)
        own = own * share[..., None]
        return torch.cat([text, own], -1) if self.joined == "null_space" else text + own
