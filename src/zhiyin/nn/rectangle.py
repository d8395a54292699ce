"""Rectangle: an encoder on sequences that are padded to one length, in operations that any runtime has.

What trains and answers here works on flat batches without padding, with attention and look-ups written by hand
(`zhiyin.nn.layout`, `zhiyin.nn.attention`). An exported graph can have neither, so here the same encoders run on
rectangles (b, n): events first and padding after them in, the state after each sequence's last event out. The weights
are the encoder's own. A layer of attention takes some 12 * b * heads * n² bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.arrays import BoolVector
from zhiyin.errors import ConfigError
from zhiyin.nn.attention import HIDDEN
from zhiyin.nn.blocks import Block
from zhiyin.nn.encoder import Encoder, TransformerEncoder
from zhiyin.nn.items import ItemTable, ProductItems
from zhiyin.nn.recurrent import GRUEncoder
from zhiyin.nn.relations import BUCKETS, FOREVER, RATIO, UNKNOWN, Relations, time_buckets
from zhiyin.nn.sides import SideItems
from zhiyin.nn.texts import TextItems
from zhiyin.nn.xl import RelativeAttention, TransformerXLEncoder, XLBlock, sinusoids


class Rectangle(nn.Module):
    """Base: from padded sequences to the state after the last event of each, and the scores of all items.

    Args:
        encoder: whose weights it shares.
    """

    causal = True
    """Whether an event sees only what came before it. If not, the last event of each sequence is one whose item is
    asked for: what is given as its item makes no difference."""
    lengths: Tensor | None
    """(n_items,) of item vectors, where states are held against their directions."""
    known: Tensor | None
    """(n_items,) bool: the items that are scored; None for all."""
    timed = False
    """Whether it is told when events were, and when they answer."""

    def __init__(self, encoder: Encoder, features: nn.EmbeddingBag | None) -> None:
        super().__init__()
        self.encoder, self.features = encoder, features
        # sums over lists of different lengths are no operation that any runtime has, and texts have said all they had
        items = encoder.items
        self.items = items.folded() if isinstance(items, (SideItems, TextItems)) else items
        lengths = None if encoder.temperature is None else self.items.all().detach().norm(dim=1).clamp_(min=1e-12)
        self.register_buffer("lengths", lengths, persistent=False)
        self.register_buffer("known", None, persistent=False)

    def forward(
        self,
        item: Tensor,
        length: Tensor,
        features: Tensor | None = None,
        seconds: Tensor | None = None,
        asked: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(b, n_items) float32 the scores of all items and (b, d) the state of each sequence.

        Where a sequence is empty they are -inf and NaN; of an item that is not `known`, the score is -inf.

        Args:
            item: (b, n) int64; on padding, any item.
            length: (b,) int64 the events of each sequence, which come first; 0 for none.
            features: (b, n, n_features) int64, see `Reading.numbers`; where the encoder has features.
            seconds: (b, n) int32 when each event was, from any origin that a sequence's events share; if `timed`.
            asked: (b, n) int32 when each event answers; if `timed`.
        """
        place = (length - 1).clamp(min=0)
        hidden = None if self.causal else torch.arange(item.shape[1], device=item.device) == place[:, None]
        x = self.enter(item, features, hidden)
        x = self.states(x, length, seconds, asked)
        last = x.gather(1, place[:, None, None].expand(-1, 1, x.shape[-1]))[:, 0]
        told = (length > 0)[:, None]
        found = products(last, self.items)
        if self.lengths is not None:
            found = found / self.lengths
        scores = torch.where(told if self.known is None else told & self.known, found, -torch.inf)
        return scores, torch.where(told, last, torch.nan)

    def enter(self, item: Tensor, features: Tensor | None, hidden: Tensor | None) -> Tensor:
        """(b, n, d) what enters the first layer; `hidden` (b, n) bool says whose item is not known."""
        x: Tensor = self.items(item)
        if hidden is not None:
            assert isinstance(self.encoder.mask, Tensor)
            x = torch.where(hidden[..., None], self.encoder.mask, x)
        if self.features is not None:
            assert features is not None
            x = x + F.embedding(features, self.features.weight).sum(-2)
        return x

    def states(self, x: Tensor, length: Tensor, seconds: Tensor | None, asked: Tensor | None) -> Tensor:
        """(b, n, d) the state after each event; on padding, anything."""
        raise NotImplementedError


def rectangle(encoder: Encoder, known: BoolVector | None = None) -> Rectangle:
    """The same encoder, with the same weights, on padded sequences; it goes to evaluation mode.

    Args:
        encoder: whose weights it shares.
        known: (n_items,) the items that are scored; others get -inf. None for all.

    Raises:
        ConfigError: it is of a kind that has no such form.
    """
    for kind, form in FORMS.items():
        if isinstance(encoder, kind):
            made = form(encoder)
            if known is not None and not known.all():
                made.known = torch.from_numpy(known)
            return made.eval()
    raise ConfigError(
        f"{type(encoder).__name__} has no form without custom operations, so it cannot be exported; those of "
        f"{', '.join(kind.__name__ for kind in FORMS)} can"
    )


def products(states: Tensor, items: ItemTable) -> Tensor:
    """(b, n_items) the product of each state with the vector of each item.

    Where vectors are put together from pieces, states meet each piece once, and items add up what their pieces found
    (Petrov and Macdonald, WSDM 2024, sec. 4.1): the table of all items is never made.
    """
    if not isinstance(items, ProductItems):
        return F.linear(states, items.all())  # not @: a graph would hold a transposed copy as well
    parts = items.codes.shape[1]
    pieces = items.weight.unflatten(0, (parts, -1))  # (m, n_codes, d / m)
    met = torch.einsum("bmd,mcd->bmc", states.unflatten(-1, (parts, -1)), pieces)
    found = (met[:, part].index_select(1, items.codes[:, part].int()) for part in range(parts))
    return reduce(torch.add, found)


class Attending(Rectangle):
    """A `TransformerEncoder`: every event attends to those before it, or to all."""

    encoder: TransformerEncoder

    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__(encoder, encoder.features)
        self.causal = encoder.causal
        relations = encoder.relations
        self.timed = relations is not None and relations.time is not None
        self.spans = Spans() if self.timed else None

    def states(self, x: Tensor, length: Tensor, seconds: Tensor | None, asked: Tensor | None) -> Tensor:
        """(b, n, d)."""
        unseen, bias = self._unseen(length, x.shape[1]), self._bias(x.shape[1], seconds, asked)
        for place, block in enumerate(self.encoder.blocks):
            assert isinstance(block, Block)
            if self.encoder.recent:
                x = self.encoder.recent[place](x)
            qkv, kept = block.project(x)
            q, k, v = qkv.unflatten(-1, (3, block.n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            found = attend(q, k, v, unseen, bias, block.pointwise)
            x = block.mix(x, found.transpose(1, 2).flatten(2), kept)
        return self.encoder.leave(x)

    def _unseen(self, length: Tensor, n: int) -> Tensor:
        """(n, n) or, without order, (b, 1, 1, n) bool: who is not seen. Padding comes last, so order hides it."""
        place = torch.arange(n, device=length.device)
        if self.causal:
            return place > place[:, None]
        return (place >= length[:, None])[:, None, None]

    def _bias(self, n: int, seconds: Tensor | None, asked: Tensor | None) -> Tensor | None:
        """(1 or b, heads, n, n) what relations add to the products."""
        relations: Relations | None = self.encoder.relations
        if relations is None:
            return None
        parts = []
        if relations.position is not None:
            place = torch.arange(n, device=relations.position.device)
            parts.append(relations.position[:, relations.row(place[:, None] - place)][None])
        if relations.time is not None:
            assert self.spans is not None
            assert seconds is not None
            assert asked is not None
            parts.append(F.embedding(self.spans(seconds, asked), relations.time.T).permute(0, 3, 1, 2))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def attend(q: Tensor, k: Tensor, v: Tensor, unseen: Tensor, bias: Tensor | None, pointwise: float | None) -> Tensor:
    """(b, heads, n, size) the attention of the events of a rectangle.

    Args:
        q: queries, of the shape of the result; so are `k` and `v`.
        k: keys.
        v: values.
        unseen: broadcasts to (b, heads, n, n); what an event must not see.
        bias: likewise, added to the products.
        pointwise: HSTU's weights SiLU(product) / `pointwise` in place of the softmax.
    """
    products = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if bias is not None:
        products = products + bias
    if pointwise is None:
        return torch.softmax(products.masked_fill(unseen, HIDDEN), -1) @ v
    # Hidden after the SiLU: a runtime whose sigmoid is only nearly 0 far from it would make much of -1e30.
    return (F.silu(products) / pointwise).masked_fill(unseen, 0.0) @ v


class Spans(nn.Module):
    """The buckets of `relations.pair_buckets`, the same whatever a runtime's logarithm rounds to.

    The logarithm tells a bucket up to one; where buckets begin, in whole seconds, is looked up.
    """

    starts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("starts", bucket_starts(), persistent=False)

    def forward(self, seconds: Tensor, asked: Tensor) -> Tensor:
        """(b, m, n) int64 the bucket of the time from each event (b, n) to each moment (b, m); int32 came."""
        unknown = (seconds == UNKNOWN)[:, None, :] | (asked == UNKNOWN)[:, :, None]
        when, then = (torch.where(one == UNKNOWN, 0, one) for one in (seconds, asked))
        span = then[:, :, None] - when[:, None, :]
        near = (span.clamp(min=1).float().log() / math.log(RATIO) + 1).floor().clamp(1, BUCKETS - 3).long()
        near = near - (span < self.starts[near]).long()
        bucket = near + (span >= self.starts[near + 1]).long()
        return torch.where(unknown, BUCKETS - 1, bucket)


def bucket_starts() -> Tensor:
    """(BUCKETS,) int32 the least span of each bucket of `relations.time_buckets`, in seconds.

    A bucket that no span falls into begins where the next one does, and those that none reaches begin at the longest.

    >>> bucket_starts()[:6].tolist()
    [-2147483648, 1, 2, 2, 3, 4]
    """
    low = torch.zeros(BUCKETS - 1, dtype=torch.int64)  # below each start, but for that of bucket 0
    high = torch.full_like(low, FOREVER)
    wanted = torch.arange(1, BUCKETS)
    while ((high - low) > 1).any():
        middle = (low + high) // 2
        reached = time_buckets(middle.int()).long() >= wanted
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return torch.cat([torch.tensor([UNKNOWN]), high]).int()


class Recurrent(Rectangle):
    """A `GRUEncoder`: units take in one event after the other; padding comes too late to change a state."""

    encoder: GRUEncoder

    def __init__(self, encoder: GRUEncoder) -> None:
        super().__init__(encoder, encoder.features)

    def states(self, x: Tensor, length: Tensor, seconds: Tensor | None, asked: Tensor | None) -> Tensor:
        """(b, n, d)."""
        x = self.encoder.inward(x).transpose(0, 1)
        for unit in self.encoder.units:
            assert isinstance(unit, nn.GRU)
            x = _graph_gru(unit, x) if torch.onnx.is_in_onnx_export() else unit(x)[0]
        return self.encoder.leave(self.encoder.out(x.transpose(0, 1)))


def _graph_gru(unit: nn.GRU, x: Tensor) -> Tensor:
    """(n, b, hidden) the operation GRU of ONNX: torch 2.13 would write its own out, for one length alone.

    Its gates come in another order: update, reset, new.
    """
    turned = {}
    for name, one in unit.named_parameters():
        reset, update, new = one.chunk(3)
        turned[name] = torch.cat([update, reset, new])[None]
    biases = torch.cat([turned["bias_ih_l0"], turned["bias_hh_l0"]], 1)
    found: Tensor = torch.onnx.ops.symbolic(
        "GRU",
        [x, turned["weight_ih_l0"], turned["weight_hh_l0"], biases],
        {"hidden_size": unit.hidden_size, "linear_before_reset": 1},
        dtype=x.dtype,
        shape=(x.shape[0], 1, x.shape[1], unit.hidden_size),
    )
    return found[:, 0]


class Segmented(Rectangle):
    """A `TransformerXLEncoder`: an event attends to its own segment and to the memory before it.

    In a rectangle, segments and memory are no more than a mask: the time grows with n², not with n.
    """

    encoder: TransformerXLEncoder
    waves: Tensor

    def __init__(self, encoder: TransformerXLEncoder) -> None:
        super().__init__(encoder, encoder.features)
        reached = encoder.segment + encoder.memory
        like = next(encoder.parameters())
        # Nearest first: the row of a distance is the distance.
        self.register_buffer("waves", sinusoids(reached, encoder.width, like).flip(0), persistent=False)

    def states(self, x: Tensor, length: Tensor, seconds: Tensor | None, asked: Tensor | None) -> Tensor:
        """(b, n, d)."""
        place = torch.arange(x.shape[1], device=x.device)
        apart = place[:, None] - place
        begin = place // self.encoder.segment * self.encoder.segment - self.encoder.memory
        unseen = (apart < 0) | (place < begin[:, None])
        apart = apart.clamp(0, self.waves.shape[0] - 1)
        for block in self.encoder.blocks:
            assert isinstance(block, XLBlock)
            x = x + self._attend(block.attention, block.norms[0](x), unseen, apart)
            x = x + block.feed_forward(block.norms[1](x))
        return self.encoder.leave(x)

    def _attend(self, attention: RelativeAttention, x: Tensor, unseen: Tensor, apart: Tensor) -> Tensor:
        """(b, n, d) what the events find: (q + u)·k + (q + v)·r, see `zhiyin.nn.xl`."""
        query = attention.query(x).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2)  # (b, heads, n, size)
        key, value = (
            one.unflatten(-1, (attention.n_heads, -1)).transpose(1, 2) for one in attention.key_value(x).chunk(2, -1)
        )
        distance = attention.distance(self.waves).unflatten(-1, (attention.n_heads, -1)).permute(1, 2, 0)
        u, v = (one.unflatten(0, (attention.n_heads, 1, -1)) for one in (attention.content, attention.place))
        far = (query + v) @ distance  # (b, heads, n, distances)
        far = far.gather(-1, apart.expand(*far.shape[:2], -1, -1))
        # `attend` scales the whole, so the bias comes scaled.
        found = attend(query + u, key, value, unseen, far / math.sqrt(query.shape[-1]), None)
        return attention.out(found.transpose(1, 2).flatten(2))


FORMS: dict[type[Encoder], Callable[[Any], Rectangle]] = {
    TransformerEncoder: Attending,
    GRUEncoder: Recurrent,
    TransformerXLEncoder: Segmented,
}
"""The form of each kind of encoder on rectangles."""
