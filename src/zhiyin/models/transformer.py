"""Transformer: the general sequence model, of which the models with papers of their own are settings.

A history becomes a row of vectors (what the item is, and what else is known of the event), blocks let each event look
at those before it, and the last state is held against the vectors of all items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from zhiyin.config import Search, names, setting
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.models._sequences import SequenceRecommender

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder


class TransformerConfig(SequenceConfig):
    """Settings of `transformer`."""

    n_layers: int = setting(2, ge=1, le=64, search=Search(1, 4))
    """How many blocks stand on each other."""
    n_heads: int = setting(2, ge=1, le=64)
    """Parts of a vector that attend each in its own way; divides `embedding_size`."""
    hidden_size: int | None = setting(None, ge=4)
    """The width between the products of a block's feed-forward part; by default four times `embedding_size`, in `ligr`,
    which has three products, twice."""
    block: Literal["prenorm", "ligr", "hstu"] = "prenorm"
    """What stands in a layer."""
    relations: tuple[Literal["position", "time"], ...] = ()
    """What tells how far two events are apart."""
    convolution: int = setting(0, ge=0, le=16)
    """So many events before it are mixed into each event ahead of every block, by a depthwise convolution. 0: none."""
    objective: Literal["next", "all_action", "masked"] = "next"
    """What an event answers: the next one, one of the next `horizon`, or (from both sides) one that is hidden."""
    horizon: int = setting(10, ge=1)
    """How far `all_action` looks ahead, in events."""
    masked: float = setting(0.2, gt=0, lt=1)
    """The share of events that `masked` hides."""

    @field_validator("relations", mode="before")
    @classmethod
    def _related(cls, value: Any) -> Any:
        return names(value)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.embedding_size % self.n_heads:
            raise ValueError(f"embedding_size {self.embedding_size} is not divided by n_heads {self.n_heads}")
        if self.block == "hstu" and self.objective == "masked":
            raise ValueError("block hstu is causal, objective masked looks at both sides; use another block")
        return self

    def _without_use(self, loss: str) -> dict[str, str]:
        found = super()._without_use(loss)
        if self.block == "hstu":
            found["hidden_size"] = "block hstu has no feed-forward part"
        if self.objective != "all_action":
            found["horizon"] = f"objective {self.objective} looks no further than one event"
        if self.objective != "masked":
            found["masked"] = f"objective {self.objective} hides no items"
        return found


class Transformer(SequenceRecommender):
    """Attention over a user's events (Vaswani et al., NeurIPS 2017; Kang and McAuley, ICDM 2018)."""

    config: TransformerConfig

    def _net(self, sizes: dict[str, int]) -> Encoder:
        from zhiyin.nn.encoder import TransformerEncoder

        return TransformerEncoder(self._items(), self.config.embedding_size, sizes, **self._shape())

    def _shape(self) -> dict[str, Any]:
        """What the encoder is like, beside its items, its width and the features of events."""
        own = self.config
        return {
            "block": own.block,
            "n_layers": own.n_layers,
            "n_heads": own.n_heads,
            "hidden": own.hidden_size or own.embedding_size * (2 if own.block == "ligr" else 4),
            "dropout": own.dropout,
            "max_length": own.max_length,
            "causal": own.objective != "masked",
            "convolution": own.convolution,
            "relations": [one for one in own.relations if one != "time" or self.trained_on["clock"] == "time"],
        }

    def _no_live(self) -> str:
        both = self.config.objective == "masked"
        return "looks at both sides of an event, so a new one changes what is known of all others" if both else ""

    def _maker(self, device: torch.device | None = None) -> BatchMaker:
        maker = super()._maker(device)
        if "time" in self.config.relations and self.trained_on["clock"] == "time":
            maker.blind = self.config.blind
        maker.objective, maker.horizon, maker.masked = self.config.objective, self.config.horizon, self.config.masked
        return maker
