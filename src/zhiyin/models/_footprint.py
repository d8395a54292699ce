"""What the memory of training a sequence model depends on, before it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin.data.histories import Histories
from zhiyin.models._tables import N_CODES

if TYPE_CHECKING:
    from zhiyin.models._learning import SequenceLearner
    from zhiyin.nn.memory import Footprint


def footprint(model: SequenceLearner, histories: Histories) -> Footprint:
    """The sizes of a model that is to learn from histories; one without attention says less."""
    from zhiyin.nn.items import SPARSE_FROM
    from zhiyin.nn.memory import Footprint

    own, n_items = model.config, model.n_items
    options = own.model_dump()
    rows = own.codes * N_CODES or None
    if model.item_sides is not None:  # of `row_width`
        rows = (rows or n_items) + model.item_sides.shape[1] * max(1, own.codes)
    return Footprint(
        width=own.embedding_size,
        n_layers=options.get("n_layers", 1),
        n_heads=options.get("n_heads", 0),
        max_length=min(own.max_length, int(histories.lengths.max(initial=1))),
        n_items=n_items,
        hidden=options.get("hidden_size"),
        n_negatives=None if own.loss_for(n_items) == "softmax" else min(own.n_negatives, n_items),
        table_rows=rows,
        row_width=own.own_width // max(1, own.codes),
        sparse=not own.codes and n_items >= SPARSE_FROM,
        gated=options.get("block") == "ligr",
        biased="time" in options.get("relations", ()),
        convolution=options.get("convolution", 0),
        average=own.average > 0,
        copied=not model.known.all(),
    )
