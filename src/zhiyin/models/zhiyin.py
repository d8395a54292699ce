"""Zhiyin: the house recipe, a gated Transformer that is told what each event was worth.

A causal Transformer with gated residual branches (LiGR: Borisyuk et al., 2025), told how far apart events are instead
of where they stand, and the value of each (a rating, a watch ratio) where there is one; the softmax over all items, or
against 2,048 negatives that the batch shares; a warm-up, a cosine, and averaged weights.
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import Search, setting
from zhiyin.models.transformer import Transformer, TransformerConfig
from zhiyin.nn.reading import Feature


class ZhiyinConfig(TransformerConfig):
    """Settings of `zhiyin`."""

    block: Literal["prenorm", "ligr", "hstu"] = "ligr"
    """What stands in a layer."""
    relations: tuple[Literal["position", "time"], ...] = ("position",)
    """What tells how far two events are apart."""
    features: tuple[Feature, ...] = ("value",)
    """What is told of an event beside its item; what the data lack is left out."""
    n_negatives: int = setting(2048, ge=1, search=Search(512, 8192, log=True))
    """How many items every answer of a batch is held against, where not against all."""
    batch_size: int = setting(3200, ge=1)
    """Events in a batch."""
    learning_rate: float = setting(2e-3, gt=0, search=Search(1e-4, 1e-2, log=True))
    """Of Adam."""


class Zhiyin(Transformer):
    """A gated causal Transformer over a user's events."""

    config: ZhiyinConfig
