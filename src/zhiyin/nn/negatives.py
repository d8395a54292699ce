"""Negatives: which items a batch is held against, drawn once for all of its rows.

One draw for the batch makes the loss a product of two matrices, far cheaper than negatives of each row's own. Every
sampler says how often it expects each item, so that a loss can correct for it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.nn.losses import Negatives

Sampler = Literal["uniform", "popularity", "mixed", "in_batch"]


class NegativeSampler:
    """Draws of different items.

    Args:
        kind: "uniform": every item alike. "popularity": in proportion to count ** `power`. "mixed": half of each.
            "in_batch": the targets of the batch, in proportion to how often they are one.
        counts: (n_items,) how often each item occurs in training; for "in_batch" how often it is an answer there, see
            `BatchMaker.answered`.
        n: how many items to draw; different ones remain, so that a draw may be smaller.
        corrected: whether losses shall correct by how often each item is expected.
        power: of "popularity".
    """

    def __init__(self, kind: Sampler, counts: AnyArray, n: int, corrected: bool = False, power: float = 1.0) -> None:
        self.kind, self.n_items, self.corrected = kind, len(counts), corrected
        self.n = min(n, self.n_items)
        weights = np.asarray(counts, np.float64) ** (1.0 if kind == "in_batch" else power)
        share = weights / max(weights.sum(), 1e-30)
        mix = {"uniform": 0.0, "popularity": 1.0, "mixed": 0.5, "in_batch": 1.0}[kind]
        self.share = mix * share + (1 - mix) / self.n_items
        self._bounds = np.cumsum(self.share)

    def draw(self, generator: np.random.Generator, targets: Tensor) -> Negatives:
        """The negatives of a batch whose targets are these, (M,)."""
        if self.kind == "in_batch":
            return self._of_batch(generator, targets)
        if self.kind == "uniform":
            drawn = generator.choice(self.n_items, self.n, replace=False, shuffle=False)
            return self._negatives(drawn, np.full(self.n, self.n / self.n_items), targets.device)
        place = np.searchsorted(self._bounds, generator.random(self.n) * self._bounds[-1], side="right")
        drawn = np.unique(np.minimum(place, self.n_items - 1))
        return self._negatives(drawn, self._expected(drawn, self.n), targets.device)

    def _of_batch(self, generator: np.random.Generator, targets: Tensor) -> Negatives:
        found = targets.cpu().numpy()
        taken = found if len(found) <= self.n else generator.choice(found, self.n, replace=False, shuffle=False)
        drawn = np.unique(taken)
        return self._negatives(drawn, self._expected(drawn, len(taken)), targets.device)

    def _expected(self, items: LongVector, n: int) -> DoubleVector:
        """(k,) how likely each item is among `n` independent draws; above 0 also where training never saw it."""
        share = np.clip(self.share[items], 1e-12, 1 - 1e-12)
        return -np.expm1(n * np.log1p(-share))

    def _negatives(self, drawn: LongVector, expected: DoubleVector, device: torch.device) -> Negatives:
        log = torch.as_tensor(np.log(expected), dtype=torch.float32, device=device) if self.corrected else None
        return Negatives(torch.as_tensor(drawn.astype(np.int64), device=device), log)
