"""Transformer-XL: attention in segments with a memory of the events before them (Dai et al., ACL 2019).

A sequence is cut into segments. In every layer an event attends to its own segment up to itself, and to the layer's
inputs of the `memory` events before the segment, through which no gradient flows. Each layer thus reaches further back
than the one below it: `reach` says how far. As a layer's inputs are known for all segments at once, no loop over
segments is needed, and the cost is events * (segment + memory), linear in the length of a sequence.

The weight of event j for event i comes from (q_i + u)·k_j + (q_i + v)·r_(i-j) (sec. 3.3), with r a learnt product of
the sinusoids of the distance: nothing depends on where a sequence begins, so no place is too far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.attention import BLOCK_FLOATS, HIDDEN
from zhiyin.nn.batches import Batch
from zhiyin.nn.blocks import Dropout, FeedForward
from zhiyin.nn.encoder import SPREAD, Encoder
from zhiyin.nn.items import ItemTable
from zhiyin.nn.layout import Layout


def reach(n_layers: int, segment: int, memory: int) -> int:
    """So many events before its own segment may matter to an event.

    A memory that ends inside a segment shows, one layer further down, the memory of that whole segment.

    >>> reach(3, segment=10, memory=10), reach(3, segment=10, memory=1), reach(3, segment=10, memory=0)
    (30, 21, 0)
    """
    whole = -(-memory // segment) * segment
    return (n_layers - 1) * whole + memory


def segments(length: int, segment: int, memory: int) -> tuple[int, int, int]:
    """Number and size of the segments of sequences of a length, and how much of a memory is of any use to them.

    >>> segments(25, segment=10, memory=100), segments(7, segment=10, memory=100)
    ((3, 10, 20), (1, 7, 0))
    """
    size = min(segment, length)
    n = -(-length // size)
    return n, size, min(memory, (n - 1) * size)


def sinusoids(n: int, width: int, like: Tensor) -> Tensor:
    """(n, width) of the distances n - 1 to 0, sines beside cosines (Vaswani et al., NeurIPS 2017, sec. 3.5)."""
    half = (width + 1) // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-math.log(10_000) / half))
    angles = torch.arange(n - 1, -1, -1, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width].to(like.dtype)


def shift(x: Tensor) -> Tensor:
    """(..., a, c) to the same: row `i` moves left by a - 1 - i cells (app. B); what moves in is of no use.

    >>> shift(torch.tensor([[3, 2, 1, 0], [3, 2, 1, 0]]))[:, :3].tolist()
    [[2, 1, 0], [3, 2, 1]]
    """
    rows, columns = x.shape[-2:]
    wide = F.pad(x, (1, 0)).flatten(-2)
    return wide[..., rows:].unflatten(-1, (rows, columns))


class RelativeAttention(nn.Module):
    """Multi-head attention of segments to themselves and their memory.

    Args:
        width: d, of every vector.
        n_heads: divides `width`.
        segment: events in a segment, the first of which begins with the sequence.
        memory: events before a segment that it sees; 0 for none.
    """

    def __init__(self, width: int, n_heads: int, segment: int, memory: int) -> None:
        super().__init__()
        self.n_heads, self.segment, self.memory = n_heads, segment, memory
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.distance = nn.Linear(width, width, bias=False)
        self.content = nn.Parameter(torch.zeros(width))  # u, the same for all events
        self.place = nn.Parameter(torch.zeros(width))  # v
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, past: Tensor, layout: Layout, waves: Tensor) -> Tensor:
        """(N, d) to (N, d).

        Args:
            x: (N, d) events as they attend, and as their own segment sees them.
            past: (N, d) events as later segments see them: the same numbers, without a gradient to what is below.
            layout: of the N events.
            waves: `sinusoids` of all distances of the longest sequence.
        """
        query, own = self.query(x), self.key_value(x)
        kept = own if past is x else self.key_value(past)
        distance = self._heads(self.distance(waves))
        mixed = []
        for group in layout.groups:
            values = self._attend(group.spread(query), group.spread(own), group.spread(kept), distance)
            mixed.append(group.gather(values))
        return self.out(torch.cat(mixed))

    def _heads(self, x: Tensor) -> Tensor:
        """(..., d) to (heads, ..., size)."""
        return x.unflatten(-1, (self.n_heads, -1)).movedim(-2, 0)

    def _attend(self, query: Tensor, own: Tensor, kept: Tensor, distance: Tensor) -> Tensor:
        """(rows, length, d) what the events of a rectangle find.

        Args:
            query: (rows, length, d).
            own: (rows, length, 2 * d) keys and values.
            kept: the same, of memories.
            distance: (heads, at least memory + size, d / heads), nearest last.
        """
        rows, length, width = query.shape
        n, size, memory = segments(length, self.segment, self.memory)
        distance = distance[:, -(memory + size) :]
        fill = (0, 0, 0, n * size - length)
        queries = self._heads(F.pad(query, fill).unflatten(1, (n, size)))
        seen = F.pad(own, fill).unflatten(1, (n, size))  # (rows, n, size, 2 * d)
        if memory:
            before = F.pad(kept, (0, 0, memory, 0))[:, : memory + (n - 1) * size]
            seen = torch.cat([before.unfold(1, memory, size).transpose(2, 3), seen], 2)
        each = self.n_heads * size * (memory + size)  # floats of a segment's weights
        some_rows, some = max(1, BLOCK_FLOATS // (each * n)), max(1, BLOCK_FLOATS // each)
        parts = []
        for wanting, known in zip(queries.split(some_rows, 1), seen.split(some_rows), strict=True):
            pairs = zip(wanting.split(some, 2), known.split(some, 1), strict=True)
            found = [self._block(q, kv, place * some, distance) for place, (q, kv) in enumerate(pairs)]
            parts.append(torch.cat(found, 2))
        return torch.cat(parts, 1).movedim(0, -2).reshape(rows, n * size, width)[:, :length]

    def _block(self, query: Tensor, seen: Tensor, first: int, distance: Tensor) -> Tensor:
        """(heads, rows, n, size, d / heads) what some segments find, the first of which has the number `first`.

        Args:
            query: of the shape of the result.
            seen: (rows, n, memory + size, 2 * d) keys and values.
            first: number.
            distance: (heads, memory + size, d / heads).
        """
        key, value = (self._heads(one) for one in seen.chunk(2, -1))
        n, size, width = query.shape[2:]
        u, v = (self._heads(one)[:, None, None, None] for one in (self.content, self.place))
        far = torch.matmul((query + v).flatten(1, 3), distance.transpose(1, 2)).unflatten(1, query.shape[1:4])
        scores = torch.matmul(query + u, key.transpose(-1, -2)) + shift(far)
        unseen = _unseen(first, n, size, key.shape[3] - size, query.device)
        weights = (scores * (1 / math.sqrt(width))).masked_fill_(unseen, HIDDEN).softmax(-1)
        return torch.matmul(weights, value)


def _unseen(first: int, n: int, size: int, memory: int, device: torch.device) -> Tensor:
    """(n, size, memory + size) bool: what comes after an event, and what would lie before its sequence."""
    place = torch.arange(memory + size, device=device) - memory  # counted from the segment's first event
    row = torch.arange(size, device=device)[:, None]
    start = torch.arange(first, first + n, device=device)[:, None, None] * size
    return (place > row) | (place < -start)


class XLBlock(nn.Module):
    """x += drop(attention(norm x, norm memory)); x += drop(feed-forward(norm x))."""

    def __init__(
        self, width: int, n_heads: int, hidden: int, dropout: float, segment: int, memory: int, gated: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = RelativeAttention(width, n_heads, segment, memory)
        self.feed_forward = FeedForward(width, hidden, gated)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, layout: Layout, waves: Tensor) -> Tensor:
        """(N, d) to (N, d); `waves` as in `RelativeAttention`."""
        own = self.norms[0](x)
        remembers = layout.groups[0].length > self.attention.segment and self.attention.memory > 0
        past = self.norms[0](x.detach()) if remembers and torch.is_grad_enabled() else own
        x = x + self.drop(self.attention(own, past, layout, waves))
        return x + self.drop(self.feed_forward(self.norms[1](x)))


class TransformerXLEncoder(Encoder):
    """Item and feature vectors, a stack of blocks with memories, a last norm.

    Args:
        items: the vectors of the catalogue.
        width: d, of every vector.
        sizes: how many buckets each feature of an event has.
        segment: events in a segment, the first of which begins with the sequence.
        memory: events before a segment that each layer sees; 0 for none.
        n_layers: how many blocks.
        n_heads: divides `width`.
        hidden: the width between the products of a feed-forward part.
        gated: whether feed-forward parts are SwiGLU's.
        dropout: the rate, on what enters the first block and on what each branch adds.
    """

    def __init__(
        self,
        items: ItemTable,
        width: int,
        sizes: Mapping[str, int],
        *,
        segment: int = 100,
        memory: int = 100,
        n_layers: int = 2,
        n_heads: int = 2,
        hidden: int | None = None,
        gated: bool = False,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.mask = None
        self.items, self.width, self.segment, self.memory = items, width, segment, memory
        self.features = nn.EmbeddingBag(sum(sizes.values()), width, mode="sum") if sizes else None
        self.blocks = nn.ModuleList(
            XLBlock(width, n_heads, hidden or 4 * width, dropout, segment, memory, gated) for _ in range(n_layers)
        )
        self.drop, self.norm = Dropout(dropout), nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=SPREAD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """(N, d) the state after each event."""
        x = self.enter(batch.item, batch.features)
        x = self.drop(x)
        _, size, memory = segments(batch.layout.groups[0].length, self.segment, self.memory)
        waves = sinusoids(memory + size, self.width, x)
        for block in self.blocks:
            x = block(x, batch.layout, waves)
        return self.leave(x)

    def last(self, batch: Batch) -> Tensor:
        """(n, d) the state after the last event of each sequence, from the events alone that can matter to it."""
        lengths = batch.layout.lengths
        far = len(self.blocks) * -(-self.memory // self.segment)  # segments
        first = np.maximum(0, (lengths - 1) // self.segment - far) * self.segment
        if not first.any():
            return super().last(batch)
        order = np.argsort(first - lengths, kind="stable")
        kept = (lengths - first)[order]
        ends = np.cumsum(kept)
        places = np.arange(ends[-1]) + np.repeat((batch.layout.offsets[:-1] + first)[order] - (ends - kept), kept)
        device = batch.item.device
        where = torch.as_tensor(places, device=device)
        cut = replace(
            batch,
            layout=Layout.of(kept, device),
            item=batch.item[where],
            features=batch.features[where],
            order=batch.order[order],
        )
        return super().last(cut)[torch.as_tensor(np.argsort(order), device=device)]
