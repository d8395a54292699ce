"""Recurrence: a gated unit that takes in one event after the other (Cho et al., EMNLP 2014)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from zhiyin.arrays import LongVector
from zhiyin.nn.batches import Batch
from zhiyin.nn.blocks import Dropout
from zhiyin.nn.encoder import SPREAD, Encoder
from zhiyin.nn.items import ItemTable
from zhiyin.nn.layout import Layout


def by_time(layout: Layout) -> tuple[LongVector, LongVector]:
    """(N,) all first events, then all second ones, ..., and how many there are of each.

    As the longest sequence comes first, those that go on are always the first ones: nothing needs padding.

    >>> order, counts = by_time(Layout.of(np.array([3, 1])))
    >>> order.tolist(), counts.tolist()
    ([0, 3, 1, 2], [2, 1, 1])
    """
    place = layout.positions()
    return np.argsort(place, kind="stable"), np.bincount(place)


class GRUEncoder(Encoder):
    """Item and feature vectors, gated recurrent units, a last norm; an event's state depends on no later one.

    Args:
        items: the vectors of the catalogue.
        width: d, of every vector.
        sizes: how many buckets each feature of an event has.
        hidden: the width of the recurrent state; `width` by default.
        n_layers: how many units stand on each other.
        dropout: the rate, on what enters a unit and on what leaves the last one.
    """

    def __init__(
        self,
        items: ItemTable,
        width: int,
        sizes: Mapping[str, int],
        *,
        hidden: int | None = None,
        n_layers: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        hidden = hidden or width
        self.items, self.mask = items, None
        self.features = nn.EmbeddingBag(sum(sizes.values()), width, mode="sum") if sizes else None
        self.inward = nn.LayerNorm(width)
        self.units = nn.ModuleList(nn.GRU(hidden if above else width, hidden) for above in range(n_layers))
        self.out = nn.Linear(hidden, width)
        self.drop, self.norm = Dropout(dropout), nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and not name.startswith("units"):  # torch's own spread suits a recurrence
                nn.init.normal_(parameter, std=SPREAD)
        nn.init.zeros_(self.out.bias)

    def forward(self, batch: Batch) -> Tensor:
        """(N, d) the state after each event."""
        x = self.enter(batch.item, batch.features)
        order, counts = by_time(batch.layout)
        place = torch.as_tensor(order, device=x.device)
        # The vectors are small before training; gates that hardly move learn slowly.
        x = self.inward(x).index_select(0, place)
        for unit in self.units:
            packed = PackedSequence(self.drop(x), torch.as_tensor(counts))
            x = unit(packed)[0].data
        return self.leave(self.out(self.drop(x))).index_select(0, torch.argsort(place))
