"""Live: the state of one history that grows, so that a new event costs one event's work and not the whole history's.

What attention keeps of an event (its keys and values in every block) depends on nothing that comes later, so it is
computed once. The last event is the exception: it answers at the moment of the question, which the next event may
change, so it is computed anew each time.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zhiyin.nn.attention import HIDDEN
from zhiyin.nn.batches import Batch
from zhiyin.nn.blocks import Block, Recent
from zhiyin.nn.encoder import Encoder, TransformerEncoder
from zhiyin.nn.recurrent import GRUEncoder
from zhiyin.nn.relations import Relations, pair_buckets


def live_of(encoder: Encoder) -> Live | LiveRecurrence:
    """The state of a history in an encoder whose states can be extended.

    Raises:
        TypeError: this is none.
    """
    if isinstance(encoder, TransformerEncoder):
        return Live(encoder)
    if isinstance(encoder, GRUEncoder):
        return LiveRecurrence(encoder)
    raise TypeError(f"{type(encoder).__name__} has no state that an event extends")


class Live:
    """Keys and values of the events of one history in every block of an encoder.

    Args:
        encoder: causal; in evaluation mode.
    """

    def __init__(self, encoder: TransformerEncoder) -> None:
        self.encoder = encoder
        self.clear()

    def clear(self) -> None:
        """Forget the history."""
        self.known = 0
        self.past: list[tuple[Tensor, Tensor]] = []
        self.entered: list[Tensor] = []
        """(m, d) what entered each block with the last m known events, as many as a convolution looks back."""

    @torch.inference_mode()
    def state(self, batch: Batch) -> Tensor:
        """(d,) the state after the last event of a batch of one history, whose first `known` events are known here."""
        n, new = batch.n_events, slice(self.known, batch.n_events)
        x = self.encoder.enter(batch.item[new], batch.features[new])
        bias = between(self.encoder.relations, new.start, n, batch.seconds, batch.asked, x.device)
        past: list[tuple[Tensor, Tensor]] = []
        entered: list[Tensor] = []
        for place, block in enumerate(self.encoder.blocks):
            assert isinstance(block, Block)
            if self.encoder.recent:
                recent = self.encoder.recent[place]
                assert isinstance(recent, Recent)
                whole = torch.cat([self.entered[place], x]) if self.entered else x
                entered.append(whole[:-1][-len(recent.weight) :])
                x = recent(whole)[len(whole) - len(x) :]
            qkv, kept = block.project(x)
            q, k, v = qkv.unflatten(-1, (3, block.n_heads, -1)).permute(1, 2, 0, 3).unbind(0)  # (heads, m, size)
            if self.past:
                k, v = torch.cat([self.past[place][0], k], 1), torch.cat([self.past[place][1], v], 1)
            past.append((k[:, : n - 1], v[:, : n - 1]))
            x = block.mix(x, attend_to(q, k, v, bias, block.pointwise).transpose(0, 1).flatten(1), kept)
        self.known, self.past, self.entered = n - 1, past, entered
        return self.encoder.leave(x[-1])


class LiveRecurrence:
    """What a recurrence holds after the events of one history but the last.

    Args:
        encoder: in evaluation mode.
    """

    def __init__(self, encoder: GRUEncoder) -> None:
        self.encoder = encoder
        self.clear()

    def clear(self) -> None:
        """Forget the history."""
        self.known = 0
        self.held: list[Tensor | None] = [None] * len(self.encoder.units)
        """(1, hidden) of each unit; None before the first event."""

    @torch.inference_mode()
    def state(self, batch: Batch) -> Tensor:
        """(d,) the state after the last event of a batch of one history, whose first `known` events are known here."""
        new = slice(self.known, batch.n_events)
        x = self.encoder.inward(self.encoder.enter(batch.item[new], batch.features[new]))
        before, last = x[:-1], x[-1:]
        for place, unit in enumerate(self.encoder.units):
            if len(before):
                before, self.held[place] = unit(before, self.held[place])
            last = unit(last, self.held[place])[0]
        self.known = batch.n_events - 1
        return self.encoder.leave(self.encoder.out(last))[0]


def attend_to(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, pointwise: float | None) -> Tensor:
    """(..., m, size) the attention of the last m of n events to all: q (..., m, size), k and v (..., n, size)."""
    products = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    weights = torch.softmax(products, -1) if pointwise is None else F.silu(products) / pointwise
    return weights @ v


def between(
    relations: Relations | None,
    start: int,
    n: int,
    seconds: Tensor | None,
    asked: Tensor | None,
    device: torch.device | None = None,
) -> Tensor:
    """(heads or 1, m, n) what is added to the products of events `start` to `n` with all n; hides what comes later.

    Args:
        relations: of the encoder.
        start: the first event that asks.
        n: how many events there are.
        seconds: (..., n) int32 when each event was.
        asked: (..., n) int32 when each event answers.
        device: of the result.
    """
    apart = torch.arange(start, n, device=device)[:, None] - torch.arange(n, device=device)
    bias = torch.where(apart < 0, HIDDEN, 0.0)[None]
    if relations is None:
        return bias
    if relations.position is not None:
        bias = bias + relations.position[:, relations.row(apart)]
    if relations.time is not None and seconds is not None and asked is not None:
        bias = bias + relations.time[:, pair_buckets(seconds, asked[start:]).int()]
    elif relations.time is not None:
        bias = bias + relations.time[:, -1, None, None]
    return bias
