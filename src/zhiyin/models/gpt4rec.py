"""GPT4Rec: a decoder in GPT-2's manner that foretells all that comes soon, not the next item alone.

The decoder over item vectors is gptRec's (Petrov and Macdonald, 2023, "GPTRec", in its plain next-item form); that an
event answers any of the next ones is the dense all-action loss of PinnerFormer (Pancha et al., KDD 2022).
It is meant for lists of the next day or week, not for the very next item: compare both on your own horizon.
"""

from __future__ import annotations

from typing import Literal

from zhiyin.config import setting
from zhiyin.models.transformer import Transformer, TransformerConfig


class GPT4RecConfig(TransformerConfig):
    """Settings of `gpt4rec`."""

    objective: Literal["next", "all_action"] = "all_action"
    """What an event answers: the next one, or one of the next `horizon`."""
    horizon: int = setting(5, ge=1)
    """How far an answer may lie ahead, in events."""


class GPT4Rec(Transformer):
    """Each event answers one of those that follow it, drawn anew in each epoch."""

    config: GPT4RecConfig
