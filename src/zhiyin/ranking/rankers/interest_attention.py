"""DIN over a sequence model: what of a history bears on this candidate (Zhou et al., KDD 2018).

A person has several interests, and a candidate touches some. So the history is not one vector: the candidate looks
through it and weighs each item anew. The vectors of items may be those of a sequence model, which knows after what and
before what they are used; they stay as they are and are turned by a matrix that learns, beside a vector of each item's
own. The result, the candidate and their product stand beside the other features in a net as of `deep_cross`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from zhiyin.arrays import FloatMatrix
from zhiyin.config import setting
from zhiyin.errors import DataError
from zhiyin.ranking.rankers._nets import NetRanker
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.rankers.deep_cross import DeepCrossConfig

if TYPE_CHECKING:
    from torch import nn


class InterestAttentionConfig(DeepCrossConfig):
    """Settings of `interest_attention`."""

    interest_size: int = setting(32, ge=1)
    """Of the vectors of items in which a history is weighed."""
    own_vectors: bool = True
    """Whether each item learns a vector of its own beside the given ones; without given ones it always does."""


class InterestAttention(NetRanker):
    """Chances, or an order, by what of the history bears on each candidate, and all other features."""

    config: InterestAttentionConfig
    learns = (*NetRanker.learns, "vectors")
    vectors: FloatMatrix
    """(n_items, d) of a sequence model, (n_items, 0) where none are given."""

    @property
    def reads_histories(self) -> bool:
        """Always, here."""
        return True

    def with_vectors(self, vectors: FloatMatrix) -> Self:
        """The same, yet to learn, with the vectors (n_items, d) of a model that knows the items; NaN for none."""
        self.vectors = np.nan_to_num(np.asarray(vectors, np.float32))
        return self

    def _begin(self, rows: Rows) -> None:
        table = rows.features
        assert table.item is not None
        assert table.history is not None
        most = int(max(table.item.max(initial=0), table.history.max(initial=0))) + 1
        if not hasattr(self, "vectors") or not self.vectors.shape[1]:  # none are given
            self.vectors = np.zeros((most, 0), np.float32)
        if len(self.vectors) < most:
            raise DataError(
                f"items up to number {most - 1} came, and vectors of {len(self.vectors)} alone; give `with_vectors` "
                "those of a model that knows all items"
            )

    def _made(self) -> nn.Module:
        import torch

        from zhiyin.nn.fields import Fields
        from zhiyin.nn.interest import InterestNet

        own = self.config
        fields = Fields(torch.from_numpy(self.knots), self.widths.tolist(), own.embedding_size)
        return InterestNet(
            fields,
            torch.from_numpy(np.array(self.vectors, np.float32)),
            own.interest_size,
            own.own_vectors,
            own.hidden,
            own.n_crosses,
            own.rank,
            own.dropout,
            own.embedding_size,
        )
