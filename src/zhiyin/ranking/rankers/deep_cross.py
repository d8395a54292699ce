"""DCN-V2: learnt products of features beside layers (Wang et al., WWW 2021); numbers are read as lines of pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin.config import Search, setting
from zhiyin.ranking.rankers._nets import NetConfig, NetRanker

if TYPE_CHECKING:
    from torch import nn


class DeepCrossConfig(NetConfig):
    """Settings of `deep_cross`."""

    n_crosses: int = setting(3, ge=0, search=Search(0, 4))
    """Layers of products; 0 for a plain net."""
    rank: int = setting(32, ge=0)
    """Of the matrices of products; 0 for full ones."""


class DeepCross(NetRanker):
    """Chances, or an order, by products of features beside layers."""

    config: DeepCrossConfig

    def _made(self) -> nn.Module:
        import torch
        from torch import nn

        from zhiyin.nn import crossing
        from zhiyin.nn.fields import Fields

        own = self.config
        fields = Fields(torch.from_numpy(self.knots), self.widths.tolist(), own.embedding_size)
        width = fields.n * own.embedding_size
        head = crossing.DeepCross(width, own.hidden, own.n_crosses, own.rank, own.dropout)
        return nn.Sequential(fields, nn.Flatten(1), head)
