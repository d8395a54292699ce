"""Features of candidates as vectors of one size, one for each field: numbers, categories, and what was never told.

A number is embedded along a line of pieces between its quantiles (Gorishniy, Rubachev & Babenko, NeurIPS 2022:
piecewise linear encoding): the net sees at once in which part of its range it is; what is not straight costs no depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MANY = 50_000
"""From so many values on, only the rows of a step learn in it."""


@dataclass(frozen=True, slots=True)
class Told:
    """Candidates as tensors."""

    numbers: Tensor
    """(n, n_numbers) float32, NaN where not known."""
    categories: Tensor
    """(n, n_categories) int64."""
    item: Tensor | None = None
    """(n,) int64 the item of each."""
    history: Tensor | None = None
    """(n_queries, length) int64 the last items of each history, -1 where there is none."""
    owner: Tensor | None = None
    """(n,) int64 the query of each."""

    def take(self, rows: Tensor) -> Told:
        """Some of them."""
        item, owner = (None if one is None else one[rows] for one in (self.item, self.owner))
        return Told(self.numbers[rows], self.categories[rows], item, self.history, owner)

    def past(self) -> Tensor:
        """(n, length) the history of each."""
        assert self.history is not None
        assert self.owner is not None
        return self.history[self.owner]


class Fields(nn.Module):
    """A vector for each field of each candidate.

    Args:
        knots: (n_numbers, bins + 1) float32 where the pieces of each number begin and end.
        widths: how many places each category has.
        size: of a vector.
    """

    low: Tensor
    scale: Tensor
    starts: Tensor

    def __init__(self, knots: Tensor, widths: Sequence[int], size: int) -> None:
        super().__init__()
        pieces = knots[:, 1:] - knots[:, :-1]
        self.register_buffer("low", knots[:, :-1].clone(), persistent=False)
        self.register_buffer("scale", torch.where(pieces > 0, 1 / pieces, 0.0), persistent=False)
        starts = torch.tensor([sum(widths[:at]) for at in range(len(widths))], dtype=torch.int64)
        self.register_buffer("starts", starts, persistent=False)
        n, bins = pieces.shape
        self.lines = nn.Parameter(torch.randn(n, bins, size) * 0.5 / max(1, bins) ** 0.5)
        self.at_first = nn.Parameter(torch.randn(n, size) * 0.1)
        self.unknown = nn.Parameter(torch.randn(n, size) * 0.1)
        total = sum(widths)
        self.values = nn.Embedding(max(1, total), size, sparse=total > MANY)
        nn.init.normal_(self.values.weight, std=0.05)
        self.n = n + len(widths)

    def forward(self, told: Told) -> Tensor:
        """(n, n_fields, size)."""
        known = ~torch.isnan(told.numbers)[:, :, None]
        part = ((told.numbers[:, :, None] - self.low) * self.scale).clamp(0, 1).nan_to_num(0.0)
        along = torch.bmm(part.transpose(0, 1), self.lines).transpose(0, 1) + self.at_first
        numbers = torch.where(known, along, self.unknown)
        return torch.cat([numbers, self.values(told.categories + self.starts)], 1)
