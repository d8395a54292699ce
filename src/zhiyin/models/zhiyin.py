"""Zhiyin: the house recipe, a gated Transformer that is told what each event was worth.

A causal Transformer with gated residual branches (LiGR: Borisyuk et al., 2025). It is told how far apart events are
instead of where they stand, and the value of each (a rating, a watch ratio) where there is one; ahead of every block
the last three events are mixed into each. Scores are cosines divided by a temperature. It learns by the softmax over
all items, or against 2,048 negatives that the batch shares, with a warm-up, a cosine schedule and averaged weights.
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import Search, setting
from zhiyin.models.transformer import Transformer, TransformerConfig
from zhiyin.nn.reading import Feature


class ZhiyinConfig(TransformerConfig):
    """Settings of `zhiyin`."""

    embedding_size: int = setting(128, ge=4, le=4096, search=Search(64, 256, log=True))
    """The length of a vector."""
    n_heads: int = setting(4, ge=1, le=64)
    """Parts of a vector that attend each in its own way; divides `embedding_size`."""
    dropout: float = setting(0.3, ge=0, lt=1, search=Search(0.0, 0.6))
    """The share of numbers that are dropped at random in training."""
    temperature: float | None = setting(0.07, gt=0, le=1, search=Search(0.03, 0.2, log=True))
    """Hold states against the directions of item vectors: scores are cosines divided by this. None: plain products."""
    block: Literal["prenorm", "ligr", "hstu"] = "ligr"
    """What stands in a layer."""
    relations: tuple[Literal["position", "time"], ...] = ("position",)
    """What tells how far two events are apart."""
    convolution: int = setting(3, ge=0, le=16)
    """So many events before it are mixed into each event ahead of every block, by a depthwise convolution. 0: none."""
    features: tuple[Feature, ...] = ("value",)
    """What is told of an event beside its item; what the data lack is left out."""
    n_negatives: int = setting(2048, ge=1, search=Search(512, 8192, log=True))
    """How many items every answer of a batch is held against, where not against all."""
    batch_size: int = setting(3200, ge=1)
    """Events in a batch; of a small log so many fewer that an epoch has 16 steps, but 256 at least."""
    learning_rate: float = setting(2e-3, gt=0, search=Search(1e-4, 1e-2, log=True))
    """Of Adam."""


class Zhiyin(Transformer):
    """A gated causal Transformer over a user's events."""

    config: ZhiyinConfig
