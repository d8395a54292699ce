"""Losses over many items, with forward and backward in one pass over blocks of rows.

The products of all states with all candidates are the largest thing in a training step. None of these losses holds
them: a block of rows is multiplied, weighed, and its gradient multiplied back while it is in the cache (as in Cut
Cross-Entropy, Wijmans et al., ICLR 2025, there for GPUs). Every loss is a mean over rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

BLOCK_FLOATS = 2**21
"""About so many products are worked on at a time: 8 MiB."""

Kind = Literal["softmax", "bce"]


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """Items against which every row of a batch is held.

    `items` (k,) different numbers; `log_expected` (k,) the logarithm of how often each is expected in such a draw, or
    None where products shall not be corrected by it.
    """

    items: Tensor
    log_expected: Tensor | None = None


def softmax_loss(states: Tensor, items: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of the softmax over all items.

    Args:
        states: (M, d)
        items: (n_items, d) the vectors of all items.
        targets: (M,) the item that followed.
        weights: (M,) of the rows; all 1 by default.

    Returns:
        The weighted mean of -log softmax(items · state)[target].
    """
    out: Tensor = _FullSoftmax.apply(states, items, targets, _shares(weights, states))
    return out


def sampled_loss(
    states: Tensor,
    positives: Tensor,
    negatives: Tensor,
    targets: Tensor,
    drawn: Negatives,
    *,
    kind: Kind = "softmax",
    beta: float = 1.0,
    prior: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """A loss of each target against negatives that all rows share.

    Where a negative is a row's own target (an accidental hit) it does not count for that row. With
    `drawn.log_expected`, the product with a negative is lessened by it, which makes the sum over the negatives an
    unbiased estimate of the sum over all items (logQ correction: Bengio and Senécal, 2003; Yi et al., RecSys 2019).

    Args:
        states: (M, d)
        positives: (M, d) the vectors of the targets.
        negatives: (k, d) the vectors of `drawn.items`.
        targets: (M,) item numbers.
        drawn: which items the negatives are.
        kind: "softmax": -log(e^s / (e^s + Σ e^n)). "bce": -β log σ(s) - Σ log(1 - σ(n)), divided by k + 1.
        beta: gBCE's exponent of the positive probability (Petrov and Macdonald, RecSys 2023, eq. 7); see `gbce_beta`.
        prior: for "bce", what is added to every product; see `base_rate`.
        weights: (M,) of the rows; all 1 by default.
    """
    places = hits(targets, drawn.items)
    arguments = (positives, negatives, places, drawn.log_expected, kind, beta, prior, _shares(weights, states))
    out: Tensor = _Sampled.apply(states, *arguments)
    return out


def gbce_beta(n_negatives: int, n_items: int, calibration: float) -> float:
    """The β of gBCE, α (t (1 - 1/α) + 1/α), where α = k / (n_items - 1) is the sampling rate (eq. 9 there).

    `calibration` t = 0 gives 1, plain BCE; t = 1 gives α, which undoes the overconfidence of sampling.

    >>> round(gbce_beta(256, 3417, 0.75), 4)
    0.3062
    """
    rate = min(1.0, n_negatives / max(1, n_items - 1))
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def base_rate(n_negatives: int, beta: float) -> float:
    """The logit of a positive among so many negatives, before anything is known of either.

    With it as `prior`, products start out at the best that a constant can do. Without it, training first turns all
    item vectors against all states to push products down, and on small catalogues never gets out of that.
    """
    return math.log(beta / max(1, n_negatives))


def hits(targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """(h,) rows whose target was drawn as a negative, and (h,) the place at which it was."""
    order = torch.argsort(drawn)
    inside = drawn[order]
    place = torch.searchsorted(inside, targets).clamp_(max=len(drawn) - 1)
    rows = torch.nonzero(inside[place] == targets).squeeze(1)
    return rows, order[place[rows]]


def _shares(weights: Tensor | None, states: Tensor) -> Tensor:
    """(M,) how much each row counts; they sum to 1, or are all 0."""
    if weights is None:
        return states.new_full((states.shape[0],), 1 / max(1, states.shape[0]))
    return weights.to(states.dtype) / weights.sum().clamp(min=torch.finfo(states.dtype).tiny)


def _rows(n: int, width: int) -> range:
    return range(0, n, max(1, BLOCK_FLOATS // max(1, width)))


class _FullSoftmax(Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
        loss = states.new_zeros(())
        grads = (torch.empty_like(states), torch.zeros_like(items)) if any(ctx.needs_input_grad) else None
        rows = _rows(len(states), len(items))
        buffer = states.new_empty(min(rows.step, len(states)), len(items))
        for start in rows:
            block = slice(start, min(len(states), start + rows.step))
            part, target, share = states[block], targets[block, None], shares[block, None]
            products = torch.mm(part, items.T, out=buffer[: len(part)])
            products.sub_(products.amax(1, keepdim=True))
            own = products.gather(1, target)
            total = products.exp_().sum(1, keepdim=True)
            loss += ((total.log() - own) * share).sum()
            if grads is not None:
                products.mul_(share / total).scatter_add_(1, target, -share)
                torch.mm(products, items, out=grads[0][block])
                grads[1].addmm_(products.T, part)
        ctx.grads = grads
        return loss

    @staticmethod
    def backward(ctx: Any, *came: Tensor) -> tuple[Tensor | None, ...]:
        states, items = (came[0] * one for one in ctx.grads)
        return states, items, None, None


class _Sampled(Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        positives: Tensor,
        negatives: Tensor,
        places: tuple[Tensor, Tensor],
        log_expected: Tensor | None,
        kind: Kind,
        beta: float,
        prior: float,
        shares: Tensor,
    ) -> Tensor:
        loss = states.new_zeros(())
        learns = any(ctx.needs_input_grad)
        grads = (torch.empty_like(states), torch.empty_like(positives), torch.zeros_like(negatives)) if learns else None
        rows = _rows(len(states), len(negatives))
        buffer = states.new_empty(min(rows.step, len(states)), len(negatives))
        hit = _split(places, rows, len(states))
        weigh = _softmax if kind == "softmax" else _bce
        for (row, column), start in zip(hit, rows, strict=True):
            block = slice(start, min(len(states), start + rows.step))
            part, target, share = states[block], positives[block], shares[block, None]
            products = torch.mm(part, negatives.T, out=buffer[: len(part)])
            if log_expected is not None:
                products.sub_(log_expected)
            products[row, column] = -torch.inf
            own = (part * target).sum(1, keepdim=True)
            block_loss, grad_own = weigh(own, products, share, beta, prior)
            loss += block_loss
            if grads is not None:
                torch.addcmul(torch.mm(products, negatives), grad_own, target, out=grads[0][block])
                torch.mul(grad_own, part, out=grads[1][block])
                grads[2].addmm_(products.T, part)
        ctx.grads = grads
        return loss

    @staticmethod
    def backward(ctx: Any, *came: Tensor) -> tuple[Tensor | None, ...]:
        return (*(came[0] * one for one in ctx.grads), None, None, None, None, None, None)


def _split(places: tuple[Tensor, Tensor], rows: range, n: int) -> list[tuple[Tensor, Tensor]]:
    """The accidental hits of each block of rows, with rows counted from its beginning."""
    row, column = places
    starts = torch.tensor([*rows, n], device=row.device)
    cuts = torch.searchsorted(row, starts).tolist()
    return [
        (row[low:high] - start, column[low:high]) for start, low, high in zip(rows, cuts[:-1], cuts[1:], strict=True)
    ]


def _softmax(own: Tensor, products: Tensor, share: Tensor, beta: float, prior: float) -> tuple[Tensor, Tensor]:
    """Loss of a block and the gradient of `own` (b, 1); `products` (b, k) become their gradient."""
    top = torch.maximum(own, products.amax(1, keepdim=True))
    own = own - top
    mine = own.exp()
    total = products.sub_(top).exp_().sum(1, keepdim=True) + mine
    products.mul_(share / total)
    return ((total.log() - own) * share).sum(), (mine / total - 1) * share


def _bce(own: Tensor, products: Tensor, share: Tensor, beta: float, prior: float) -> tuple[Tensor, Tensor]:
    """The same for -β log σ(own) - Σ log σ(-products), over k + 1."""
    share = share / (products.shape[1] + 1)
    own, products = own + prior, products.add_(prior)
    loss = F.softplus(-own) * beta + F.softplus(products).sum(1, keepdim=True)
    products.sigmoid_().mul_(share)
    return (loss * share).sum(), -beta * torch.sigmoid(-own) * share
