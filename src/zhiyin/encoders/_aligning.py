"""Learning of `aligned`: contrast of pairs that are used together with the other pairs of a batch.

The loss is InfoNCE (van den Oord et al., 2018) in both directions. Popular items stand in a batch more often than they
should as something to be told apart: the log of how often is taken off (Yi et al., RecSys 2019), and an item is never
told apart from itself.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from zhiyin.arrays import DoubleVector, FloatMatrix, FloatVector, IntMatrix
from zhiyin.encoders._company import Company
from zhiyin.run import Run

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

FEWEST_BATCHES = 20
"""Of an epoch: a small log is drawn from several times."""
PATIENCE = 3
"""Epochs without a better loss on held-out pairs, after which learning ends."""


def log_shares(pairs: IntMatrix, n_items: int) -> FloatVector:
    """(n_items,) the log of how often each item stands in a pair; of an item in none, as if it stood in one."""
    counts = np.maximum(np.bincount(pairs.ravel(), minlength=n_items), 1)
    found: FloatVector = np.log(counts / max(1, pairs.size)).astype(np.float32)
    return found


def contrast(first: Tensor, second: Tensor, pairs: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """The loss of pairs: vectors (n, d) and (n, d) of length 1, their items (n, 2), log shares (n_items,)."""
    import torch

    there = _one_way(first @ second.T / temperature, pairs, shares)
    back = _one_way(second @ first.T / temperature, pairs.flip(1), shares)
    return torch.stack([there, back]).mean()


def _one_way(logits: Tensor, pairs: Tensor, shares: Tensor) -> Tensor:
    """The right answer of row i is column i; a column of the same item, or of the one asked about, is no wrong one."""
    import torch

    asked, answer = pairs[:, 0], pairs[:, 1]
    same = (answer[None] == answer[:, None]) | (answer[None] == asked[:, None])
    same.fill_diagonal_(False)
    corrected = (logits - shares[answer][None]).masked_fill(same, float("-inf"))
    return torch.nn.functional.cross_entropy(corrected, torch.arange(len(pairs), device=logits.device))


class Learning:
    """Epochs over freshly drawn pairs, each measured on held-out ones, of which the best one stays.

    Args:
        net: what learns; a torch module.
        encode: item numbers -> vectors (n, d) of length 1, by the net.
        company: where pairs come from.
        held: (n, 2) pairs that are measured; none, and the last epoch stays.
        n_items: of the catalogue.
        batch_size: pairs that are told apart.
        n_pairs: of an epoch, at most.
        temperature: by which cosines are divided.
    """

    def __init__(
        self,
        net: Any,
        encode: Callable[[Any], Any],
        company: Company,
        held: IntMatrix,
        n_items: int,
        batch_size: int,
        n_pairs: int,
        temperature: float,
    ) -> None:
        self.net, self.encode, self.company, self.held = net, encode, company, held
        self.n_items, self.batch_size, self.temperature = n_items, batch_size, temperature
        self.n_pairs = min(n_pairs, max(FEWEST_BATCHES * batch_size, company.n_firsts))

    def learn(self, optimizer: Any, epochs: int, run: Run, purpose: str) -> DoubleVector:
        """Learn; (1 + epochs made,) the losses on held-out pairs, the first one before anything is learnt."""
        drawn, losses = run.generator(purpose), [self._held_loss()]
        best, state = losses[0], copy.deepcopy(self.net.state_dict())
        for _ in run.progress.track(range(epochs), epochs, purpose):
            self._epoch(optimizer, drawn)
            losses.append(self._held_loss())
            if not len(self.held) or losses[-1] < best:
                best, state = losses[-1], copy.deepcopy(self.net.state_dict())
            elif len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE:
                break
        self.net.load_state_dict(state)
        self.net.eval()
        if len(self.held):
            made = len(losses) - 1
            logger.info("%s: held-out loss %.4f before, %.4f at best of %d epochs", purpose, losses[0], best, made)
        return np.array(losses if len(self.held) else [], np.float64)

    def _epoch(self, optimizer: Any, drawn: np.random.Generator) -> None:
        import torch

        pairs = self.company.draw(self.n_pairs, drawn)
        shares = log_shares(pairs, self.n_items)
        self.net.train()
        for batch in self._batches(pairs):
            optimizer.zero_grad()
            self._loss(batch, shares).backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()

    def _held_loss(self) -> float:
        """The mean loss of held-out pairs; NaN where there are none."""
        import torch

        if not len(self.held):
            return float("nan")
        shares = log_shares(self.held, self.n_items)
        self.net.eval()
        with torch.inference_mode():
            losses = [(float(self._loss(batch, shares)), len(batch)) for batch in self._batches(self.held)]
        return float(np.average([loss for loss, _ in losses], weights=[size for _, size in losses]))

    def _batches(self, pairs: IntMatrix) -> list[IntMatrix]:
        """Pairs in batches of about one size, so that none is left alone."""
        count = max(1, round(len(pairs) / self.batch_size))
        return [one for one in np.array_split(pairs, count) if len(one) > 1]

    def _loss(self, pairs: IntMatrix, shares: FloatVector) -> Any:
        import torch

        first, second = self.encode(pairs[:, 0]), self.encode(pairs[:, 1])
        asked = torch.as_tensor(pairs, dtype=torch.long, device=first.device)
        return contrast(first, second, asked, torch.as_tensor(shares, device=first.device), self.temperature)


def head_of(width: int, hidden: int, generator: np.random.Generator) -> dict[str, FloatMatrix]:
    """The arrays of a head that changes nothing yet: what it adds to a vector is zero.

    `inner` (d, h), `inner_bias` (h,), `outer` (h or d, d); without hidden values h is 0. Nothing is added to all
    vectors alike: contrast does not see it, and it was seen to grow until all of them lay together.
    """
    inner = generator.normal(0, np.sqrt(2 / width), (width, hidden)).astype(np.float32)
    outer = np.zeros((hidden or width, width), np.float32)
    return {"inner": inner, "inner_bias": np.zeros(hidden, np.float32), "outer": outer}


def through(vectors: Any, head: Any, relu: Callable[[Any], Any]) -> Any:
    """(n, d) what a head makes of vectors (n, d): x + relu(x A + a) B, or x + x B; numpy and torch alike."""
    inside = relu(vectors @ head["inner"] + head["inner_bias"]) if head["inner"].shape[1] else vectors
    return vectors + inside @ head["outer"]
