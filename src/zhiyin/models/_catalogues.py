"""A sequence model over another catalogue: a new item is what is told of it, a known one stays what it was.

Nothing is learnt anew. What makes it possible is that an item's own row counts for nothing until it is used, see
`zhiyin.nn.texts`; so an item enters a catalogue at the price of reading it, and a model that learnt from one set
answers for another whose items say what they are.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from zhiyin.arrays import FloatMatrix, IntVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.encoders.base import item_table
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._newcomers import lean, lenders_of
from zhiyin.models._tables import own_table
from zhiyin.models._wishes import TOLD
from zhiyin.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from zhiyin.models._learning import SequenceLearner
    from zhiyin.models._sequences import SequenceRecommender
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.reading import Reading

SHARE = ".share"
"""Ends the name of the array that says how much of its own row each item has."""

M = TypeVar("M", bound="SequenceRecommender")


def extended(model: M, items: pa.Table | Dataset, run: Run) -> M:
    """The model with these items too, behind those that it has; see `SequenceRecommender.with_items`."""
    table = _checked(model, items)
    new = table.filter(pa.array(model.vocabulary.encode(table.column("item_id")) < 0))
    if not new.num_rows:
        return model
    ids = Vocabulary(pa.concat_arrays([model.vocabulary.ids, _ids(new)]))
    place = np.concatenate([np.arange(model.n_items), np.full(new.num_rows, -1)]).astype(np.int32)
    said, sides = _read(model, new, run)
    if said is not None:
        assert model.said is not None
        said = np.concatenate([model.said, said])
    if sides is not None:
        sides = sparse.csr_array(sparse.vstack([model.item_sides, sides], format="csr"))
    return _over(model, ids, place, said, sides, run)


def replaced(model: M, items: pa.Table | Dataset, run: Run) -> M:
    """The model over these items and no others, in their order; see `SequenceRecommender.with_catalogue`."""
    table = _checked(model, items)
    ids = Vocabulary(_ids(table))
    return _over(model, ids, model.vocabulary.encode(ids.ids), *_read(model, table, run), run)


def goes_on(begun: SequenceLearner, reading: Reading, train: Dataset) -> Reading:
    """The reading of events with which learning goes on from a model.

    Raises:
        DataError: events do not tell the same.
    """
    if list(reading.features) != begun.read or (train.kinds != begun.kinds and "kind" in begun.read):
        came = [*reading.features, *train.kinds]
        raise DataError(
            f"{begun.name} is told {', '.join([*begun.read, *begun.kinds]) or 'nothing'} of events, but {train.name!r} "
            f"tells {', '.join(came) or 'nothing'}; go on with data that tell the same, or fit anew"
        )
    return replace(reading, edges=begun.edges)


def take(net: Encoder, begun: Encoder) -> None:
    """Give a net all that another one over the same items has learnt, and not how much items were used.

    Raises:
        ConfigError: the nets are not of one shape.
    """
    found = {name: value for name, value in begun.state_dict().items() if not name.endswith(SHARE)}
    try:
        missing = net.load_state_dict(found, strict=False)
    except RuntimeError as error:
        raise ConfigError(
            f"a model goes on with settings that leave its net as it is; {str(error).splitlines()[1].strip()}"
        ) from None
    left = [name for name in (*missing.missing_keys, *missing.unexpected_keys) if not name.endswith(SHARE)]
    if left:
        raise ConfigError(
            f"a model goes on with settings that leave its net as it is; {', '.join(left)} is not the same"
        )


def _checked(model: SequenceRecommender, items: pa.Table | Dataset) -> pa.Table:
    """The table of items, if the model can say anything of new ones."""
    model.vocabulary  # noqa: B018 - there is one once it is fitted
    if model.texts is None and not model.places_by_sides:
        raise ConfigError(
            f"{model.name} knows items by their use (text={model.config.text}), so it has nothing to say of new ones; "
            f"fit it {TOLD}, or anew on the new catalogue"
        )
    table = item_table(items, model.name)
    if "item_id" not in table.column_names:
        raise DataError(f"items have no column item_id; {', '.join(table.column_names) or 'none'} came")
    ids = _ids(table)
    if ids.null_count or len(pc.unique(ids)) < len(ids):
        twice = pc.value_counts(ids).filter(pc.greater(pc.value_counts(ids).field("counts"), 1))
        which = f"such as {twice[0]['values'].as_py()!r}" if len(twice) else "some are empty"
        raise DataError(f"each item has an id of its own, but ids came twice or not at all, {which}")
    return table


def _ids(table: pa.Table) -> pa.Array:
    found = table.column("item_id").cast(pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _read(model: SequenceRecommender, items: pa.Table, run: Run) -> tuple[FloatMatrix | None, sparse.csr_array | None]:
    """What items say and what they have in common with others, as far as the model is told of it."""
    said = None if model.texts is None else model.texts.of(items, run)
    return said, None if model.item_columns is None else model.item_columns.of(items)


def _over(
    model: M,
    ids: Vocabulary,
    place: IntVector,
    said: FloatMatrix | None,
    sides: sparse.csr_array | None,
    run: Run,
) -> M:
    """The model with other items.

    Args:
        model: stays as it is.
        ids: of the items.
        place: (n,) the number that each has in the model; -1 for a new one.
        said: (n, s) what each says, if the model is told.
        sides: (n, n_values) their features, if the model is told of any.
        run: threads.
    """
    found = copy.copy(model)
    old = place >= 0
    found.items, found.said, found.item_sides = ids, said, sides
    found.popularity = np.where(old, model.popularity[place], 0)
    found.uses = np.where(old, model.uses[place], 0)
    found.known = old & model.known[place]
    if said is not None:
        found.known |= said.any(1)
    if sides is not None and model.item_columns is not None:
        found.known |= ~old & model.item_columns.know(sides)
    found._renumbered(place)
    found.net = found._made(found._sizes(found._maker().reading))
    state, own = model.net.state_dict(), found.net.state_dict()
    rows = _per_item(model.net)
    found.net.load_state_dict({name: value for name, value in state.items() if name not in rows}, strict=False)
    for name in _own_rows(model.net):
        own[name].copy_(_moved(state[name], place))
    found.net.to(next(model.net.parameters()).device)
    lenders = lenders_of(found.uses, found.known)
    lean(found.net.items, found.known & ~old, lenders, model.config.neighbours, run)
    found._settle()
    return found


def _moved(rows: Tensor, place: IntVector) -> Tensor:
    """The rows of a table at their new places; zeros for a new item, whose own row counts for nothing."""
    import torch

    found = rows.new_zeros((len(place), *rows.shape[1:]))
    old = np.flatnonzero(place >= 0)
    found[torch.from_numpy(old)] = rows[torch.from_numpy(place[old].astype(np.int64))]
    return found.cpu()


def _per_item(net: Encoder) -> set[str]:
    """The names of the arrays that have a row for each item, or say where its row is."""
    from zhiyin.nn.items import ItemTable

    return {
        f"{prefix}.{name}"
        for prefix, table in net.named_modules()
        if isinstance(table, ItemTable)
        for name in table.per_item
    }


def _own_rows(net: Encoder) -> set[str]:
    """The same of what items have of their own, and of how much of it counts."""
    table = own_table(net.items)
    rows = {
        f"{prefix}.{name}"
        for prefix, one in net.named_modules()
        if table is not None and one is table
        for name in table.per_item
    }
    return rows | {name for name in net.state_dict() if name.endswith(SHARE)}
