"""GRU4Rec: a gated recurrent unit over a user's events (Hidasi et al., ICLR 2016).

Trained against negatives that the batch shares, with vectors that serve as input and as output, as its authors came to
do (Hidasi and Karatzoglou, CIKM 2018): `sampled_softmax` is that paper's cross-entropy with additional samples. Its
losses TOP1-max and BPR-max are not among ours; `loss="bce"` is the pointwise one. Where the paper starts a session
from nothing, here a history is one sequence; split it by session to have the paper's setting.
A query of n events costs n * hidden_size² for each layer, and its events are taken in one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin.config import Search, setting
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.nn.reading import Feature

if TYPE_CHECKING:
    from zhiyin.nn.encoder import Encoder


class GRU4RecConfig(SequenceConfig):
    """Settings of `gru4rec`."""

    features: tuple[Feature, ...] = ()
    """What is told of an event beside its item; what the data lack is left out. A recurrence knows the order anyway."""
    n_layers: int = setting(1, ge=1, le=16, search=Search(1, 3))
    """How many recurrent units stand on each other."""
    hidden_size: int | None = setting(None, ge=4, le=8192)
    """The length of the recurrent state; by default `embedding_size`."""


class GRU4Rec(SequenceRecommender):
    """A state that takes in one event after the other is held against the vectors of all items."""

    config: GRU4RecConfig

    def _net(self, sizes: dict[str, int]) -> Encoder:
        from zhiyin.nn.recurrent import GRUEncoder

        own = self.config
        return GRUEncoder(
            self._items(),
            own.embedding_size,
            sizes,
            hidden=own.hidden_size,
            n_layers=own.n_layers,
            dropout=own.dropout,
        )
