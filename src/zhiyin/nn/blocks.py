"""Blocks: from states of events to better states, (N, d) to (N, d), over a layout.

`PreNorm` is the Transformer block with the norm first (Xiong et al., ICML 2020); `LiGR` puts a learnt gate on each
residual branch, which keeps deep stacks from collapsing (Borisyuk et al., arXiv 2502.03417); `HSTU` is one gated
attention without a feed-forward part (Zhai et al., ICML 2024, eq. 2-4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.attention import attend, attend_last
from zhiyin.nn.layout import Layout


class Dropout(nn.Module):
    """Dropout whose mask costs one random byte an element: on a CPU, torch's own costs more than a product.

    The rate is that of the nearest 256th, and what is kept is scaled by just that.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = min(255, round(rate * 256))

    def forward(self, x: Tensor) -> Tensor:
        """(...) to (...); in training, elements are zeroed at random."""
        if not self.training or not self.threshold:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.threshold / 256, True)
        return x * self.mask(x)

    def mask(self, x: Tensor) -> Tensor:
        """Of the shape of `x`: 0 for what is dropped, else the scale."""
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None)  # by default the highest bit, the sign, would always be 0
        drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
        # 1 from the threshold on, else 0: a comparison and its conversion take four times as long
        kept = drawn.to(x.dtype).sub_(self.threshold - 1).clamp_(0, 1)
        return kept.mul_(256 / (256 - self.threshold))


class FeedForward(nn.Module):
    """Two products with a ReLU between, as in SASRec, or SwiGLU's three, without biases (Shazeer, 2020, eq. 6)."""

    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.up = nn.Linear(width, hidden * (2 if gated else 1), bias=not gated)
        self.down = nn.Linear(hidden, width, bias=not gated)

    def forward(self, x: Tensor) -> Tensor:
        """(N, d) to (N, d)."""
        raised = self.up(x)
        if self.gated:
            left, right = raised.chunk(2, -1)
            return self.down(F.silu(left) * right)
        return self.down(F.relu(raised))


class Recent(nn.Module):
    """x_i += Σ_k w_k ⊙ x_{i-k}: the last few events, mixed into each by a causal depthwise convolution.

    So that what comes right after what need not be found by attention first. (So et al., "Primer", NeurIPS 2021,
    convolve queries, keys and values; here it is what enters the block.)

    Args:
        width: d.
        reach: how many events it looks back.
    """

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(reach, width))

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """(..., n, d) to (..., n, d).

        Args:
            x: events in their order; of one sequence, or of several one after the other.
            place: (n,) where each event stands in its own sequence, if there are several.
        """
        found, n = x, x.shape[-2]
        for back, weight in enumerate(self.weight, 1):
            before = F.pad(x, (0, 0, back, 0))[..., :n, :]
            if place is not None:
                before = before * (place >= back).to(x.dtype)[:, None]
            found = torch.addcmul(found, weight, before)
        return found


class Block(nn.Module):
    """Base: what comes before attention and what comes after it, so that attention itself may be had in several ways.

    `forward` attends over a layout; `nn.live` extends a state by new events, and an export attends over a rectangle,
    with the same two halves.
    """

    n_heads: int
    causal: bool = True
    pointwise: float | None = None

    def project(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, 3 d) queries, keys and values, and what `mix` shall be given back."""
        raise NotImplementedError

    def mix(self, x: Tensor, attended: Tensor, kept: Tensor | None) -> Tensor:
        """(N, d) the new states, from the old ones and what attention found."""
        raise NotImplementedError

    def forward(self, x: Tensor, layout: Layout, biases: Sequence[Tensor] = ()) -> Tensor:
        """(N, d) to (N, d)."""
        qkv, kept = self.project(x)
        attended = attend(qkv, layout, self.n_heads, causal=self.causal, pointwise=self.pointwise, biases=biases)
        return self.mix(x, attended, kept)

    def last(self, x: Tensor, layout: Layout, biases: Sequence[Tensor] = ()) -> Tensor:
        """(N, d) to (n, d): what `forward` makes of the last event of each sequence, without the work on all others."""
        qkv, kept = self.project(x)
        attended = attend_last(qkv, layout, self.n_heads, pointwise=self.pointwise, biases=biases)
        rows = layout.last(x.device)
        return self.mix(x[rows], attended, None if kept is None else kept[rows])


class PreNorm(Block):
    """x += drop(attention(norm x)); x += drop(feed-forward(norm x))."""

    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.causal = n_heads, causal
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = FeedForward(width, hidden, gated=False)
        self.drop = Dropout(dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, 3 d) of the normed states."""
        return self.qkv(self.norms[0](x)), None

    def mix(self, x: Tensor, attended: Tensor, kept: Tensor | None) -> Tensor:
        """(N, d) by two residual branches."""
        x = x + self.drop(self.out(attended))
        return x + self.drop(self.feed_forward(self.norms[1](x)))


class LiGR(Block):
    """x += σ(W x) ⊙ drop(attention(norm x)); x += σ(V x) ⊙ drop(SwiGLU(norm x))."""

    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.causal = n_heads, causal
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.gates = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = FeedForward(width, hidden, gated=True)
        self.drop = Dropout(dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, 3 d) of the normed states."""
        return self.qkv(self.norms[0](x)), None

    def mix(self, x: Tensor, attended: Tensor, kept: Tensor | None) -> Tensor:
        """(N, d) by two gated residual branches."""
        x = torch.addcmul(x, torch.sigmoid(self.gates[0](x)), self.drop(self.out(attended)))
        raised = self.drop(self.feed_forward(self.norms[1](x)))
        return torch.addcmul(x, torch.sigmoid(self.gates[1](x)), raised)


class HSTU(Block):
    """u, v, q, k = SiLU(W norm x); x += V drop(norm(attention) ⊙ u), with pointwise attention."""

    def __init__(self, width: int, n_heads: int, dropout: float, max_length: int) -> None:
        super().__init__()
        self.n_heads, self.pointwise = n_heads, float(max_length)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.inward, self.out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.drop = Dropout(dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, 3 d), and (N, d) the gate."""
        raised = F.silu(self.inward(self.norms[0](x)))
        width = x.shape[-1]
        return raised[..., width:], raised[..., :width]

    def mix(self, x: Tensor, attended: Tensor, kept: Tensor | None) -> Tensor:
        """(N, d) by one gated residual branch."""
        assert kept is not None
        return x + self.out(self.drop(self.norms[1](attended) * kept))
