"""Relations: a bias for each pair of events, from how far apart they are in place and in time.

The attention of event `i` to event `j` gets a learnt number for their distance i - j (as in T5, Raffel et al., JMLR
2020, sec. 2.1, without buckets) and one for the time from `j` to the moment at which event `i` answers, in buckets of
its logarithm (HSTU, Zhai et al., ICML 2024). That moment is the time of the next event in
training, and the query's `now` when the model is asked.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from zhiyin.nn.layout import Layout

BUCKETS = 64
"""For times apart: 0 for less than a second, then a bucket for each factor of `RATIO`; the last one for not known."""

RATIO = 1.4
"""So that the buckets reach beyond any log."""

UNKNOWN = -(2**31)
"""A time that is not known, in int32 seconds."""

FOREVER = 2**31 - 1
"""The longest span, in seconds: 68 years."""


def time_buckets(seconds: Tensor) -> Tensor:
    """(...) uint8 the bucket of each span of time; what is below a second, or negative, is in bucket 0.

    >>> BUCKETS - 1 > int(time_buckets(torch.tensor([FOREVER])))
    True

    >>> time_buckets(torch.tensor([-5, 0, 1, 2, 3600])).tolist()
    [0, 0, 1, 3, 25]
    """
    place = seconds.float().clamp_(min=math.exp(-1)).log_().mul_(1 / math.log(RATIO)).add_(1).floor_()
    return place.clamp_(0, BUCKETS - 2).to(torch.uint8)


def pair_buckets(seconds: Tensor, asked: Tensor) -> Tensor:
    """(..., m, n) uint8 the bucket of the time from each event to each moment; the last one where either is unknown.

    Args:
        seconds: (..., n) int32 when each event was.
        asked: (..., m) int32 the moments.
    """
    bucket = time_buckets(asked[..., :, None] - seconds[..., None, :])
    unknown = (seconds == UNKNOWN)[..., None, :] | (asked == UNKNOWN)[..., :, None]
    return bucket.masked_fill_(unknown, BUCKETS - 1)


class _Lookup(Function):
    """(b, heads, l, l) = table (heads, n)[:, bucket (b, l, l)]; the gradient is a count with weights."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, bucket: Tensor) -> Tensor:
        ctx.bucket, ctx.n = bucket, table.shape[1]
        flat = bucket.flatten().int()
        return torch.stack([row.index_select(0, flat) for row in table]).unflatten(1, bucket.shape).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        flat = ctx.bucket.flatten().int()
        sums = [torch.bincount(flat, one.flatten(), ctx.n) for one in grad.unbind(1)]
        return torch.stack(sums).to(grad.dtype), None


class Relations(nn.Module):
    """The biases of the pairs of events of each group of a layout.

    Under a softmax they are numbers of several units, where the other weights are of a tenth; an optimizer whose steps
    are all of one size goes `pace` times as fast with them.

    Args:
        n_heads: of attention, each with numbers of its own.
        max_length: of a sequence.
        position: whether distances in place have a number each.
        time: whether distances in time have one for each bucket.
        causal: whether events look back only; else distances to later events have numbers of their own.
        pace: how many times as fast as others they learn.
    """

    def __init__(
        self, n_heads: int, max_length: int, position: bool, time: bool, causal: bool = True, pace: float = 1.0
    ) -> None:
        super().__init__()
        self.pace = pace
        self.least, self.most = 0 if causal else 1 - max_length, max_length - 1
        self.position = nn.Parameter(torch.zeros(n_heads, self.most - self.least + 1)) if position else None
        self.time = nn.Parameter(torch.zeros(n_heads, BUCKETS)) if time else None

    def forward(self, layout: Layout, seconds: Tensor | None = None, asked: Tensor | None = None) -> list[Tensor]:
        """For each group (rows or 1, n_heads, length, length).

        Args:
            layout: of N events.
            seconds: (N,) int32 when each event was, from any origin that a sequence's events share.
            asked: (N,) int32 the moment at which each event answers.
        """
        return [
            self._of(group.length, *(one if one is None else group.spread(one) for one in (seconds, asked)))
            for group in layout.groups
        ]

    def row(self, apart: Tensor) -> Tensor:
        """(...) where the number for each distance in place is; a distance that cannot be takes the nearest."""
        return apart.clamp(self.least, self.most) - self.least

    def _of(self, length: int, seconds: Tensor | None, asked: Tensor | None) -> Tensor:
        parts: list[Tensor] = []
        if self.position is not None:
            place = torch.arange(length, device=self.position.device)
            parts.append(_Lookup.apply(self.position, self.row(place[:, None] - place)[None]))
        if self.time is not None and seconds is not None and asked is not None:
            parts.append(_Lookup.apply(self.time, pair_buckets(seconds, asked)))
        elif self.time is not None:
            parts.append(self.time[:, -1, None, None].expand(-1, length, length)[None])
        total: Tensor = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return total
