"""What stands on embedded features: layers, products of features, several tasks at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Layers(nn.Module):
    """Linear layers, each followed by ReLU and dropout.

    Args:
        width: of what comes in.
        sizes: of each layer.
        dropout: the share of a layer that is left out in training.
    """

    def __init__(self, width: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, size in zip([width, *sizes[:-1]], sizes, strict=True):
            parts += [nn.Linear(before, size), nn.ReLU(), nn.Dropout(dropout)]
        self.parts, self.width = nn.Sequential(*parts), sizes[-1] if sizes else width

    def forward(self, x: Tensor) -> Tensor:
        """(n, width)."""
        return self.parts(x)


class Cross(nn.Module):
    """Products of features, one degree more a layer: x ← x₀ ⊙ (W x + b) + x (DCN-V2: Wang et al., WWW 2021, eq. 1).

    Args:
        width: of what comes in, and goes out.
        n_layers: how many.
        rank: W = U V of this rank (there, eq. 2); 0 for a full matrix.
    """

    def __init__(self, width: int, n_layers: int, rank: int = 0) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_square(width, rank) for _ in range(n_layers))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width)."""
        first = x
        for part in self.parts:
            x = first * part(x) + x
        return x


class DeepCross(nn.Module):
    """Products of features beside layers, and one number of both (parallel structure of DCN-V2)."""

    def __init__(self, width: int, sizes: Sequence[int], n_crosses: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.cross, self.deep = Cross(width, n_crosses, rank), Layers(width, sizes, dropout)
        self.last = nn.Linear(width + self.deep.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n,) log-odds."""
        return self.last(torch.cat([self.cross(x), self.deep(x)], 1))[:, 0]


class Experts(nn.Module):
    """For each task its own mixture of what several experts make (MMoE: Ma et al., KDD 2018); of one, a shared bottom.

    Args:
        width: of what comes in.
        sizes: of the layers of each expert.
        n_experts: how many.
        n_tasks: how many.
        dropout: as for `Layers`.
    """

    def __init__(self, width: int, sizes: Sequence[int], n_experts: int, n_tasks: int, dropout: float) -> None:
        super().__init__()
        self.experts = nn.ModuleList(Layers(width, sizes, dropout) for _ in range(n_experts))
        self.gates = nn.ModuleList(nn.Linear(width, n_experts) for _ in range(n_tasks if n_experts > 1 else 0))
        self.width = sizes[-1] if sizes else width

    def forward(self, x: Tensor, n_tasks: int) -> list[Tensor]:
        """(n, width) for each task."""
        made = torch.stack([one(x) for one in self.experts], 1)
        if not self.gates:
            return [made[:, 0]] * n_tasks
        return [(gate(x).softmax(1)[:, :, None] * made).sum(1) for gate in self.gates]


class Tasks(nn.Module):
    """Log-odds of several outcomes of the same candidates, from experts and a tower for each."""

    def __init__(
        self, width: int, sizes: Sequence[int], tower: int, n_experts: int, n_tasks: int, dropout: float
    ) -> None:
        super().__init__()
        self.bottom = Experts(width, sizes, n_experts, n_tasks, dropout)
        self.towers = nn.ModuleList(
            nn.Sequential(Layers(self.bottom.width, (tower,), dropout), nn.Linear(tower, 1)) for _ in range(n_tasks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_tasks)."""
        made = self.bottom(x, len(self.towers))
        return torch.cat([tower(one) for tower, one in zip(self.towers, made, strict=True)], 1)


def _square(width: int, rank: int) -> nn.Module:
    if not rank:
        return nn.Linear(width, width)
    return nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))


def listwise(logits: Tensor, label: Tensor, owner: Tensor, weight: Tensor) -> Tensor:
    """The mean over queries of the softmax loss inside each (ListNet: Cao et al., ICML 2007, top one).

    Args:
        logits: (n,).
        label: (n,) at least 0; a query without any counts nothing.
        owner: (n,) int64 rising from 0, the query of each.
        weight: (n,).
    """
    n = int(owner[-1]) + 1
    top = torch.full((n,), -torch.inf, dtype=logits.dtype, device=logits.device)
    top = top.scatter_reduce(0, owner, logits.detach(), "amax", include_self=True)
    total = torch.zeros(n, dtype=logits.dtype, device=logits.device)
    total = total.index_add(0, owner, (logits - top[owner]).exp())
    wanted = label * weight
    loss = (wanted * (total.log()[owner] + top[owner] - logits)).sum()
    return loss / wanted.sum().clamp(min=1e-12)
