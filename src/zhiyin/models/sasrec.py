"""SASRec: causal self-attention over a user's items (Kang and McAuley, ICDM 2018).

With the loss that makes it strong: a softmax against negatives that the batch shares, in place of the paper's binary
cross-entropy with one negative (Klenitskiy and Vasilev, RecSys 2023). gSASRec (Petrov and Macdonald, RecSys 2023) is
`loss="gbce"`; nearest to the paper's own loss is `loss="bce"`, with negatives that the batch shares.
"""

from __future__ import annotations

from zhiyin.models.transformer import Transformer, TransformerConfig


class SASRecConfig(TransformerConfig):
    """Settings of `sasrec`."""


class SASRec(Transformer):
    """Each event looks at those before it; the last state is held against the vectors of all items."""

    config: SASRecConfig
