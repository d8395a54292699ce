"""Encoders: events in, one state for each event out; what the item vectors are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zhiyin.nn.batches import Batch
from zhiyin.nn.blocks import HSTU, Block, Dropout, LiGR, PreNorm, Recent
from zhiyin.nn.items import ItemTable
from zhiyin.nn.relations import Relations

BlockName = Literal["prenorm", "ligr", "hstu"]

PACE = 8.0
"""How many times as fast relations learn, see `Relations`."""

SPREAD = 0.02
"""The standard deviation of the vectors before training."""


class Encoder(nn.Module):
    """Base: item vectors, and a state for each event of a batch.

    What a state is held against are the item vectors as they are; or, with a `temperature`, their directions, and the
    product is the cosine divided by it. Lengths then no longer tell popularity, and few epochs go a long way.
    """

    items: ItemTable
    norm: nn.LayerNorm
    features: nn.EmbeddingBag | None
    mask: nn.Parameter | None
    """Stands for the item of an event that is hidden."""
    temperature: float | None = None

    def enter(self, item: Tensor, features: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(..., d) what enters the first block.

        Args:
            item: (...) int64
            features: (..., n_features) int64
            hidden: (...) bool: events whose item the model must not know.
        """
        x = self.items(item)
        if self.mask is not None and hidden is not None:
            x = torch.where(hidden[..., None], self.mask, x)
        if self.features is None:
            return x
        told = self.features(features.flatten(0, -2)).unflatten(0, features.shape[:-1])
        return x + told

    def leave(self, x: Tensor) -> Tensor:
        """(..., d) the states, from what leaves the last block."""
        states: Tensor = self.norm(x)
        return states if self.temperature is None else F.normalize(states, dim=-1) / self.temperature

    def held(self, items: Tensor) -> Tensor:
        """(..., d) what states are held against, for some items."""
        return self.as_held(self.items(items))

    def held_all(self) -> Tensor:
        """(n_items, d) the same for all items."""
        return self.as_held(self.items.all())

    def as_held(self, vectors: Tensor) -> Tensor:
        """(..., d) item vectors as states are held against them."""
        return vectors if self.temperature is None else F.normalize(vectors, dim=-1)

    def forward(self, batch: Batch) -> Tensor:
        """(N, d) the state after each event."""
        raise NotImplementedError

    def last(self, batch: Batch) -> Tensor:
        """(n, d) the state after the last event of each sequence."""
        states: Tensor = self(batch)
        return states.index_select(0, batch.layout.last(batch.item.device))


class TransformerEncoder(Encoder):
    """Item and feature vectors, a stack of blocks, a last norm.

    Args:
        items: the vectors of the catalogue.
        width: d, of every vector.
        sizes: how many buckets each feature of an event has.
        block: which block.
        n_layers: how many.
        n_heads: divides `width`.
        hidden: the width between the two products of a feed-forward part.
        dropout: the rate, on what enters the first block and on what each branch adds.
        max_length: of a sequence.
        causal: whether an event sees only what came before it. If not, some events are hidden: a vector of its own
            stands for their items.
        relations: which relations between events bias attention: "position", "time".
        convolution: how many events before it are mixed into each event ahead of every block.
    """

    def __init__(
        self,
        items: ItemTable,
        width: int,
        sizes: Mapping[str, int],
        *,
        block: BlockName = "prenorm",
        n_layers: int = 2,
        n_heads: int = 2,
        hidden: int | None = None,
        dropout: float = 0.2,
        max_length: int = 200,
        causal: bool = True,
        relations: Sequence[str] = (),
        convolution: int = 0,
    ) -> None:
        super().__init__()
        if block == "hstu" and not causal:
            raise ValueError("the block hstu is causal; use another one to look at both sides")
        self.items, self.width, self.causal = items, width, causal
        self.features = nn.EmbeddingBag(sum(sizes.values()), width, mode="sum") if sizes else None
        self.mask = None if causal else nn.Parameter(torch.empty(1, width))
        self.relations = None
        if relations:
            pace = 1.0 if block == "hstu" else PACE  # which has no softmax
            self.relations = Relations(n_heads, max_length, "position" in relations, "time" in relations, causal, pace)
        self.blocks = nn.ModuleList(
            HSTU(width, n_heads, dropout, max_length)
            if block == "hstu"
            else {"prenorm": PreNorm, "ligr": LiGR}[block](width, n_heads, hidden or 4 * width, dropout, causal)
            for _ in range(n_layers)
        )
        self.recent = nn.ModuleList(Recent(width, convolution) for _ in range(n_layers if convolution else 0))
        self.drop, self.norm = Dropout(dropout), nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and not name.startswith(("relations", "recent")):
                nn.init.normal_(parameter, std=SPREAD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """(N, d) the state after each event."""
        return self._through(batch, last=False)

    def last(self, batch: Batch) -> Tensor:
        """(n, d) the state after the last event of each sequence, for which the last block works on those alone."""
        return self._through(batch, last=True)

    def _through(self, batch: Batch, last: bool) -> Tensor:
        """The states after each event, or after the last event of each sequence."""
        x = self.drop(self.enter(batch.item, batch.features, batch.hidden))
        biases = () if self.relations is None else self.relations(batch.layout, batch.seconds, batch.asked)
        place = torch.as_tensor(batch.layout.positions(), device=x.device) if self.recent else None
        for number, block in enumerate(self.blocks, 1):
            assert isinstance(block, Block)
            if self.recent:
                x = self.recent[number - 1](x, place)
            final = last and number == len(self.blocks)
            x = block.last(x, batch.layout, biases) if final else block(x, batch.layout, biases)
        return self.leave(x)


@contextmanager
def compiled(net: nn.Module) -> Iterator[None]:
    """Let torch compile, when they are first used, the halves of each block before and after attention.

    Inside the block of a `with`: a net that is copied or saved afterwards must not carry what was compiled of this one.
    """
    blocks = [one for one in net.modules() if isinstance(one, Block)]
    for one in blocks:
        one.project = torch.compile(one.project, dynamic=True)  # type: ignore[method-assign]
        one.mix = torch.compile(one.mix, dynamic=True)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for one in blocks:
            del one.project, one.mix
