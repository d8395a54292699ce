"""What of a history bears on a candidate: attention from the candidate to the items before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zhiyin.nn.crossing import DeepCross
from zhiyin.nn.fields import Fields, Told


class Interest(nn.Module):
    """A history as the candidate sees it: a sum weighed by how each item of it bears on the candidate.

    DIN (Zhou et al., KDD 2018, §4.3): the weight is a small net of both vectors, their difference and their product,
    and weights are not made to sum to 1, so that a strong interest stays stronger than a weak one.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(4 * size, hidden), nn.Sigmoid(), nn.Linear(hidden, 1))

    def forward(self, candidate: Tensor, past: Tensor, there: Tensor) -> Tensor:
        """(n, size) from candidates (n, size), histories (n, length, size) and where there is something (n, length)."""
        one = candidate[:, None, :].expand_as(past)
        weight = self.weigh(torch.cat([past, one, past - one, past * one], 2))[:, :, 0]
        return ((weight * there)[:, :, None] * past).sum(1)


class ItemVectors(nn.Module):
    """The vectors of items: given ones through a matrix, and one of each item's own.

    Args:
        given: (n_items, d) that stay as they are; d may be 0.
        size: of a vector.
        own: whether each item has one of its own, which begins near 0.
    """

    given: Tensor

    def __init__(self, given: Tensor, size: int, own: bool) -> None:
        super().__init__()
        self.register_buffer("given", nn.functional.normalize(given, dim=1), persistent=False)
        self.turn = nn.Linear(given.shape[1], size, bias=False) if given.shape[1] else None
        self.own = nn.Embedding(len(given), size) if own or self.turn is None else None
        if self.own is not None:
            nn.init.normal_(self.own.weight, std=0.05)

    def forward(self, item: Tensor) -> Tensor:
        """(..., size) of items; 0 for -1 and for one that was not there in training."""
        there = (item >= 0) & (item < len(self.given))
        place = torch.where(there, item, 0)
        parts = [] if self.turn is None else [self.turn(self.given[place])]
        parts += [] if self.own is None else [self.own(place)]
        return sum(parts) * there[..., None]


class InterestNet(nn.Module):
    """Fields of a candidate, and what of the history bears on it, into one number.

    Args:
        fields: of the other features.
        given: (n_items, d) vectors of items.
        interest: size of the vectors in which a history is weighed.
        own: see `ItemVectors`.
        sizes, n_crosses, rank, dropout: see `DeepCross`.
        size: of the vector of each field.
    """

    def __init__(
        self,
        fields: Fields,
        given: Tensor,
        interest: int,
        own: bool,
        sizes: Sequence[int],
        n_crosses: int,
        rank: int,
        dropout: float,
        size: int,
    ) -> None:
        super().__init__()
        self.fields, self.items = fields, ItemVectors(given, interest, own)
        self.interest = Interest(interest, interest)
        self.head = DeepCross(fields.n * size + 3 * interest, sizes, n_crosses, rank, dropout)

    def forward(self, told: Told) -> Tensor:
        """(n,) log-odds."""
        assert told.item is not None
        past = told.past()
        candidate, there = self.items(told.item), past >= 0
        drawn = self.interest(candidate, self.items(past), there) / there.sum(1, keepdim=True).clamp(min=1).sqrt()
        parts = [self.fields(told).flatten(1), candidate, drawn, candidate * drawn]
        return self.head(torch.cat(parts, 1))
