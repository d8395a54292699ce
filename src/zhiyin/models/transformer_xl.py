"""Transformer-XL: attention over segments of a history and a memory of what came before (Dai et al., ACL 2019).

For users with thousands of events. A history of n events costs n * (segment + memory) * embedding_size for each layer's
attention, beside n * embedding_size² for its products: linear in n, where attention over the whole is quadratic. What
lies up to about `n_layers * memory` events before the segment of the last event can still matter (2,000 events by
default); a query is read no further back. Recurrence without such an end is `gru4rec`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from zhiyin.config import Search, setting
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.nn.reading import Feature

if TYPE_CHECKING:
    from zhiyin.data.histories import Histories
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.memory import Footprint


class TransformerXLConfig(SequenceConfig):
    """Settings of `transformer_xl`."""

    max_length: int = setting(2000, ge=2, le=100_000)
    """The longest history that is looked at; of a longer one, the last events."""
    features: tuple[Feature, ...] = ()
    """What is told of an event beside its item; what the data lack is left out. Attention knows distances anyway."""
    segment: int = setting(200, ge=1, le=4096)
    """Events that attend to each other; a training gradient stays inside a segment."""
    memory: int = setting(900, ge=0, le=20_000)
    """Events before a segment that each layer attends to as well; 0 for none."""
    n_layers: int = setting(2, ge=1, le=64, search=Search(1, 4))
    """How many blocks stand on each other; each reaches back by another `memory`."""
    n_heads: int = setting(2, ge=1, le=64)
    """Parts of a vector that attend each in its own way; divides `embedding_size`."""
    hidden_size: int | None = setting(None, ge=4)
    """The width between the products of a block's feed-forward part; by default four times `embedding_size`."""
    gated: bool = False
    """Whether feed-forward parts are SwiGLU's instead of two products with a ReLU between them."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.embedding_size % self.n_heads:
            raise ValueError(f"embedding_size {self.embedding_size} is not divided by n_heads {self.n_heads}")
        return self


class TransformerXL(SequenceRecommender):
    """Each event looks at those before it in its segment and at the memory of earlier segments."""

    config: TransformerXLConfig

    def _net(self, sizes: dict[str, int]) -> Encoder:
        from zhiyin.nn.xl import TransformerXLEncoder

        own = self.config
        return TransformerXLEncoder(
            self._items(),
            own.embedding_size,
            sizes,
            segment=own.segment,
            memory=own.memory,
            n_layers=own.n_layers,
            n_heads=own.n_heads,
            hidden=own.hidden_size,
            gated=own.gated,
            dropout=own.dropout,
        )

    def _no_live(self) -> str:
        return "hands its memory on in whole segments"

    def _footprint(self, histories: Histories) -> Footprint:
        own, whole = self.config, super()._footprint(histories)
        seen = min(whole.max_length, own.segment + own.memory)  # by an event in a layer, however long a window is
        return replace(whole, seen=seen, gated=own.gated)
