"""BERT4Rec: attention to both sides, learnt by guessing hidden items (Sun et al., CIKM 2019).

A query is answered by hiding one more event after the history. The loss is the softmax over all items, as in the paper,
where a catalogue is not too large for it (`loss="auto"`).
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import setting
from zhiyin.models.transformer import Transformer, TransformerConfig


class BERT4RecConfig(TransformerConfig):
    """Settings of `bert4rec`."""

    objective: Literal["masked"] = "masked"
    """What an event answers: the item that is hidden in its place."""
    masked: float = setting(0.2, gt=0, lt=1)
    """The share of events that training hides; of short histories more must be hidden for an answer each."""
    epochs: int = setting(100, ge=1)
    """How often training sees every event, at most. A fifth of the answers of other models takes more epochs."""


class BERT4Rec(Transformer):
    """Each event looks at all others; the state of a hidden one is held against the vectors of all items."""

    config: BERT4RecConfig
