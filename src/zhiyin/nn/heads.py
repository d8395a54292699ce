"""Heads that foretell the code of an item from a state, digit by digit or all digits at once.

`DepthDecoder` reads the state and the digits so far and foretells the next one: a small causal Transformer over the
depth of a code (the depth transformer of RQ-Transformer: Lee et al., CVPR 2022; TIGER's decoder in effect: Rajput et
al., NeurIPS 2023). `ParallelDigits` foretells every digit from the state alone, so that all items are scored in one
pass (RPG: Hou et al., KDD 2025). Both learn at all events of a batch at once, and both are held against the vectors
that the digits have in the item table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.blocks import PreNorm
from zhiyin.nn.digits import DigitItems
from zhiyin.nn.encoder import SPREAD
from zhiyin.nn.layout import Layout
from zhiyin.nn.live import attend_to
from zhiyin.nn.losses import softmax_loss


class DigitHead(nn.Module):
    """Base: for each digit what the vectors of its values are held against.

    Args:
        width: d.
        temperature: products are cosines divided by it; None for plain products.
    """

    def __init__(self, width: int, temperature: float | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.enter, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def outputs(self, states: Tensor, codes: Tensor, digits: DigitItems) -> Tensor:
        """(M, levels, d) what each digit of the codes (M, levels) is foretold from, of which those before it are known.

        Args:
            states: (M, d)
            codes: (M, levels)
            digits: of the item table.
        """
        raise NotImplementedError

    def loss(self, states: Tensor, codes: Tensor, digits: DigitItems) -> Tensor:
        """The mean over digits and rows of the cross-entropy of the softmax over the values of a digit."""
        found = self.outputs(states, codes, digits).float()
        parts = [
            softmax_loss(self._turned(found[:, level]), self._held(digits, level), codes[:, level].long())
            for level in range(digits.levels)
        ]
        return torch.stack(parts).mean()

    def log_probs(self, states: Tensor, codes: Tensor, digits: DigitItems) -> Tensor:
        """(M,) the logarithm of the probability of each code, all its digits together."""
        found = self.outputs(states, codes, digits)
        parts = [
            self._chances(found[:, level], digits, level).gather(1, codes[:, level, None].long())
            for level in range(digits.levels)
        ]
        return torch.cat(parts, 1).sum(1)

    def _chances(self, outputs: Tensor, digits: DigitItems, level: int) -> Tensor:
        """(M, sizes[level]) log-probabilities of the values of a digit."""
        return F.log_softmax(self._turned(outputs) @ self._held(digits, level).T, 1)

    def _turned(self, outputs: Tensor) -> Tensor:
        return outputs if self.temperature is None else F.normalize(outputs, dim=-1) / self.temperature

    def _held(self, digits: DigitItems, level: int) -> Tensor:
        vectors = digits.of_level(level)
        return vectors if self.temperature is None else F.normalize(vectors, dim=-1)


@dataclass(slots=True, eq=False)
class Told:
    """What a decoder has read of some codes: the state and the digits so far."""

    sums: Tensor
    """(r, d) the state, and the vectors of the digits."""
    past: list[tuple[Tensor, Tensor]]
    """Of each block the keys and values (r, n_heads, digits read before the last one, size)."""

    def of(self, rows: Tensor) -> Told:
        """The same for some rows, each as often as it is named."""
        return Told(self.sums[rows], [(keys[rows], values[rows]) for keys, values in self.past])


class DepthDecoder(DigitHead):
    """A causal Transformer over the digits of a code; digit l is told the state and the sum of the digits before it.

    Args:
        levels: digits of a code.
        width: d.
        n_heads: divides d.
        hidden: between the products of a feed-forward part.
        n_layers: blocks.
        dropout: the rate, on what each branch adds.
        temperature: products are cosines divided by it; None for plain products.
    """

    def __init__(
        self,
        levels: int,
        width: int,
        n_heads: int,
        hidden: int,
        n_layers: int,
        dropout: float,
        temperature: float | None = None,
    ) -> None:
        super().__init__(width, temperature)
        self.depth = nn.Parameter(torch.empty(levels, width))
        self.blocks = nn.ModuleList(PreNorm(width, n_heads, hidden, dropout, causal=True) for _ in range(n_layers))
        _begin(self)

    def outputs(self, states: Tensor, codes: Tensor, digits: DigitItems) -> Tensor:
        """(M, levels, d); all digits of all codes in one pass, as the digits before each one are given."""
        n, levels = codes.shape
        before = digits.each(codes[:, :-1]).cumsum(1)
        sums = self.enter(states)[:, None] + F.pad(before, (0, 0, 1, 0))
        x = (sums + self.depth[:levels]).flatten(0, 1)
        layout = Layout.of(np.full(n, levels), x.device)
        for block in self.blocks:
            x = block(x, layout)
        found: Tensor = self.norm(x)
        return found.unflatten(0, (n, levels))

    def begin(self, states: Tensor) -> Told:
        """What is read of codes (r,) of which no digit is known, after states (r, d)."""
        return Told(self.enter(states), [])

    def read(self, told: Told, level: int, values: Tensor, digits: DigitItems) -> None:
        """Read the digit `level` of each row, values (r,)."""
        told.sums = told.sums + F.embedding(values, digits.of_level(level))

    def next(self, told: Told, level: int, digits: DigitItems) -> Tensor:
        """(r, sizes[level]) log-probabilities of the digit `level`, once the digits before it are read."""
        x = told.sums + self.depth[level]
        past: list[tuple[Tensor, Tensor]] = []
        for place, block in enumerate(self.blocks):
            assert isinstance(block, PreNorm)
            qkv, kept = block.project(x)
            q, k, v = qkv.unflatten(-1, (3, block.n_heads, -1))[:, :, :, None].unbind(1)  # (r, heads, 1, size)
            if told.past:
                k, v = torch.cat([told.past[place][0], k], 2), torch.cat([told.past[place][1], v], 2)
            past.append((k, v))
            x = block.mix(x, attend_to(q, k, v, x.new_zeros(()), None).flatten(1), kept)
        told.past = past
        return self._chances(self.norm(x), digits, level)


class ParallelDigits(DigitHead):
    """Each digit from the state alone, by a gated residual map of its own.

    Args:
        levels: digits of a code.
        width: d.
        temperature: products are cosines divided by it; None for plain products.
    """

    def __init__(self, levels: int, width: int, temperature: float | None = None) -> None:
        super().__init__(width, temperature)
        self.maps = nn.Parameter(torch.empty(levels, width, width))
        self.biases = nn.Parameter(torch.empty(levels, 1, width))
        _begin(self)

    def outputs(self, states: Tensor, codes: Tensor, digits: DigitItems) -> Tensor:
        """(M, levels, d); the codes are not looked at."""
        x = self.enter(states)
        mapped = torch.baddbmm(self.biases, x.expand(len(self.maps), *x.shape), self.maps)
        found: Tensor = self.norm(x + F.silu(mapped))
        return found.transpose(0, 1)

    def all(self, states: Tensor, digits: DigitItems) -> Tensor:
        """(n_items, M) the sum of the log-probabilities of each item's digits."""
        found = self.outputs(states, digits.codes[:0], digits)
        table = torch.cat([self._chances(found[:, level], digits, level) for level in range(digits.levels)], 1)
        return F.embedding_bag(digits.codes.long() + digits.starts, table.T.contiguous(), mode="sum")


def _begin(head: DigitHead) -> None:
    """The first weights: normal ones, and no biases; norms are as they are made."""
    for name, one in head.named_parameters():
        if "norm" in name or name.startswith("enter"):
            continue
        if name.endswith(("bias", "biases")):
            nn.init.zeros_(one)
        else:
            nn.init.normal_(one, std=SPREAD)
