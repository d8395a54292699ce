"""Attention over a layout: each sequence attends within itself; forward and backward in blocks that fit the cache.

Two ways to weigh: the softmax of scaled dot-product attention (Vaswani et al., NeurIPS 2017, eq. 1), and the pointwise
SiLU of HSTU (Zhai et al., ICML 2024, eq. 3), where the weights of an event need not sum to one. A bias on the products
may be given for each group of the layout: relative positions, time apart.

On a CPU this takes as long as torch's own fused attention (benchmarks/sequences_speed.py, part "pieces"), which gives
no gradient to a bias and knows no pointwise weights. Elsewhere torch's is used wherever it can do what is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from zhiyin.nn.layout import Group, Layout

BLOCK_FLOATS = 2**20
"""About so many weights are worked on at a time: 4 MiB, which the caches of two cores hold."""

HIDDEN = -1e30
"""Added to the product with an event that must not be seen. Finite, so that no row is all NaN."""


def attend(
    qkv: Tensor,
    layout: Layout,
    n_heads: int,
    *,
    causal: bool = True,
    pointwise: float | None = None,
    biases: Sequence[Tensor] = (),
) -> Tensor:
    """Attention of every sequence within itself.

    Args:
        qkv: (N, 3 * d) queries, keys and values side by side, each of `n_heads` heads.
        layout: of the N events.
        n_heads: divides d.
        causal: whether an event sees only itself and those before it.
        pointwise: HSTU's weights SiLU(q·k + bias) / `pointwise` in place of the softmax.
        biases: for each group of the layout (rows or 1, n_heads or 1, length, length) what is added to the products.

    Returns:
        (N, d)
    """
    qkv = qkv.float() if qkv.dtype in (torch.bfloat16, torch.float16) else qkv
    with torch.autocast(qkv.device.type, enabled=False):
        if qkv.device.type != "cpu" and pointwise is None:
            return _fused(qkv, layout, n_heads, causal, biases)
        out: Tensor = _Attention.apply(qkv, layout, n_heads, causal, pointwise, *biases)
    return out


def attend_last(
    qkv: Tensor, layout: Layout, n_heads: int, *, pointwise: float | None = None, biases: Sequence[Tensor] = ()
) -> Tensor:
    """What `attend` finds for the last event of each sequence, which sees all of it, causal or not.

    Returns:
        (n, d)
    """
    found = []
    for place, group in enumerate(layout.groups):
        q, k, v = group.spread(qkv).unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        row = torch.arange(group.n_rows, device=qkv.device)
        last = group.real().sum(1).to(qkv.device) - 1
        products = (q[row, :, last][:, :, None] @ k.transpose(2, 3)).mul_(1 / math.sqrt(q.shape[-1]))
        if biases:
            bias = biases[place]
            products += bias[row if len(bias) > 1 else torch.zeros_like(row), :, last][:, :, None]
        if group.cell is not None:
            products += hidden(group, False, qkv)
        weights = torch.softmax(products, -1) if pointwise is None else F.silu(products).mul_(1 / pointwise)
        found.append((weights @ v).flatten(1))
    return torch.cat(found)


class _Attention(Function):
    """By hand, as autograd would keep, and pass over, five arrays of length² where two passes over one will do."""

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        layout: Layout,
        n_heads: int,
        causal: bool,
        pointwise: float | None,
        *biases: Tensor,
    ) -> Tensor:
        width = qkv.shape[1] // 3
        out = qkv.new_empty(qkv.shape[0], width)
        kept, keep = [], any(ctx.needs_input_grad)
        for place, group in enumerate(layout.groups):
            q, k, v = _heads(group, qkv, n_heads)
            mask = hidden(group, causal, qkv)
            bias = biases[place] if biases else None
            weights, values = _forward(q, k, v, mask, bias, pointwise, keep)
            group.put(out, values.transpose(1, 2))
            if keep:
                kept.append((q, k, v, weights, values))
        ctx.kept, ctx.layout, ctx.causal, ctx.pointwise, ctx.biases = kept, layout, causal, pointwise, biases
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        wanted = ctx.needs_input_grad[5:]
        grad_qkv = grad.new_empty(grad.shape[0], 3 * grad.shape[1])
        grad_biases = [torch.zeros_like(bias) if want else None for bias, want in zip(ctx.biases, wanted, strict=True)]
        for place, group in enumerate(ctx.layout.groups):
            q, k, v, weights, values = ctx.kept[place]
            came = _grad_cells(group, grad).unflatten(-1, q.shape[1::2]).transpose(1, 2).contiguous()
            grad_bias = grad_biases[place] if grad_biases else None
            back = _backward(q, k, v, weights, values, came, ctx.pointwise, grad_bias)
            group.put(grad_qkv, back.permute(1, 3, 0, 2, 4))  # from (3, rows, heads, length, size)
        return grad_qkv, None, None, None, None, *grad_biases


def _heads(group: Group, qkv: Tensor, n_heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values of a group, each (rows, heads, length, size) and contiguous."""
    spread = group.spread(qkv).unflatten(-1, (3, n_heads, -1))
    return tuple(spread.permute(2, 0, 3, 1, 4).contiguous().unbind(0))


def _grad_cells(group: Group, grad: Tensor) -> Tensor:
    """(rows, length, d) the gradient of a group's cells, 0 on padding."""
    if group.cell is None:
        return group.spread(grad)
    cells = grad.new_zeros(group.n_rows * group.length, grad.shape[1])
    cells[group.cell] = grad[group.events]
    return cells.unflatten(0, (group.n_rows, group.length))


def hidden(group: Group, causal: bool, like: Tensor) -> Tensor:
    """(1, 1, length, length) or, without order, (rows, 1, 1, length): `HIDDEN` where an event must not be seen.

    In causal attention padding needs no mask: it comes last, and no real event sees what comes later.
    """
    if causal:
        full = torch.full((group.length, group.length), HIDDEN, dtype=like.dtype, device=like.device)
        return full.triu_(1)[None, None]
    padding = ~group.real().to(like.device)
    return (padding.to(like.dtype) * HIDDEN)[:, None, None, :]


def _blocks(q: Tensor, length: int) -> Iterator[slice]:
    """Slices of the rows (sequences) whose weights fit into a block."""
    rows, heads = q.shape[:2]
    step = max(1, BLOCK_FLOATS // (heads * length * length))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    bias: Tensor | None,
    pointwise: float | None,
    keep: bool,
) -> tuple[Tensor | None, Tensor]:
    """Weights (or, pointwise, the products that they come from) of all rows if they are kept, and the values."""
    rows, heads, length, _ = q.shape
    products = q.new_empty(rows if keep else min(rows, _first(q, length)), heads, length, length)
    values = torch.empty_like(q)
    for block in _blocks(q, length):
        part = products[block] if keep else products[: block.stop - block.start]
        _products(q[block], k[block], _sum(mask, bias, block), part)
        if pointwise is None:
            torch.softmax(part, -1, out=part)
            torch.matmul(part, v[block], out=values[block])
        else:
            torch.matmul(F.silu(part).mul_(1 / pointwise), v[block], out=values[block])
    return products if keep else None, values


def _first(q: Tensor, length: int) -> int:
    return next((block.stop for block in _blocks(q, length)), 0)


def _sum(mask: Tensor, bias: Tensor | None, block: slice) -> Tensor:
    own = mask if mask.shape[0] == 1 else mask[block]
    if bias is None:
        return own
    return own + (bias if bias.shape[0] == 1 else bias[block])


def _products(q: Tensor, k: Tensor, added: Tensor, out: Tensor) -> None:
    """`out` = q·k / √size + added."""
    flat = out.flatten(0, 1)
    torch.baddbmm(
        added.expand_as(out).flatten(0, 1),
        q.flatten(0, 1),
        k.flatten(0, 1).transpose(1, 2),
        alpha=1 / math.sqrt(q.shape[-1]),
        out=flat,
    )


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Tensor,
    values: Tensor,
    came: Tensor,
    pointwise: float | None,
    grad_bias: Tensor | None,
) -> Tensor:
    """(3, rows, heads, length, size) the gradients of queries, keys and values; adds to that of the bias."""
    rows, heads, length, size = q.shape
    back = q.new_empty(3, rows, heads, length, size)
    step = q.new_empty(min(rows, _first(q, length)), heads, length, length)
    for block in _blocks(q, length):
        flow = step[: block.stop - block.start]
        kept, grad = weights[block], came[block]
        torch.matmul(grad, v[block].transpose(2, 3), out=flow)
        if pointwise is None:
            torch.matmul(kept.transpose(2, 3), grad, out=back[2, block])
            flow.sub_((grad * values[block]).sum(-1, keepdim=True)).mul_(kept)
        else:
            gate = torch.sigmoid(kept)
            torch.matmul((kept * gate).transpose(2, 3), grad, out=back[2, block])
            flow.mul_(torch.addcmul(gate, kept * gate, 1 - gate))  # SiLU' = σ + x σ (1 - σ)
        torch.matmul(flow, k[block], out=back[0, block])
        torch.matmul(flow.transpose(2, 3), q[block], out=back[1, block])
        if grad_bias is not None:
            _add_bias(grad_bias, flow, block, pointwise)
    back[:2].mul_(1 / math.sqrt(size))
    if pointwise is not None:
        back.mul_(1 / pointwise)
    return back


def _add_bias(grad_bias: Tensor, flow: Tensor, block: slice, pointwise: float | None) -> None:
    """Add the gradient of the products to that of the bias, summed to its shape."""
    if grad_bias.shape[1] == 1:
        flow = flow.sum(1, keepdim=True)
    if grad_bias.shape[0] == 1:
        flow, block = flow.sum(0, keepdim=True), slice(0, 1)
    grad_bias[block].add_(flow, alpha=1 if pointwise is None else 1 / pointwise)


def _fused(qkv: Tensor, layout: Layout, n_heads: int, causal: bool, biases: Sequence[Tensor]) -> Tensor:
    """The same by torch's fused attention."""
    parts = []
    for place, group in enumerate(layout.groups):
        q, k, v = _heads(group, qkv, n_heads)
        if causal and not biases:
            values = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = hidden(group, causal, qkv) + (biases[place] if biases else 0)
            values = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(q.shape[0], -1, -1, -1))
        parts.append(group.gather(values.transpose(1, 2).flatten(2)))
    return torch.cat(parts)
