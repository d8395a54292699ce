"""HSTU: gated pointwise attention that knows how long ago each event was (Zhai et al., ICML 2024).

Weights need not sum to one, so that how much of a taste there is, and not only which, reaches the state. What tells
events apart is a bias for their distance in place and in time instead of vectors for positions.
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import setting
from zhiyin.models.transformer import Transformer, TransformerConfig
from zhiyin.nn.reading import Feature


class HSTUConfig(TransformerConfig):
    """Settings of `hstu`."""

    block: Literal["hstu"] = "hstu"
    """What stands in a layer."""
    objective: Literal["next", "all_action"] = "next"
    """What an event answers: the next one, or one of the next `horizon`."""
    relations: tuple[Literal["position", "time"], ...] = ("position", "time")
    """What tells how far two events are apart; without times, position alone."""
    features: tuple[Feature, ...] = ()
    """What is told of an event beside its item; what the data lack is left out."""
    n_layers: int = setting(4, ge=1, le=64)
    """How many blocks stand on each other."""


class HSTU(Transformer):
    """A stack of one gated attention each, without feed-forward parts."""

    config: HSTUConfig
