"""What a query asks for in words: a text is the vector of an item that says it, and joins the state of the history.

States, items and texts are of one space, so a sum is all that is needed, and the catalogue is searched as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.models._sequences import SequenceRecommender
    from zhiyin.run import Run

SPOKEN = "with text=added, null_space or frozen, or with words"
"""What a model must have been told to read a query in words."""
TOLD = "with text=added, null_space or frozen, or with words or item_features (and codes=0)"
"""What a model must have been told to know new items."""
TEXT, WEIGHT = "text", "text_weight"
"""Of the context of a query: what is asked for, and how much that weighs beside the history (by default 1)."""


def wished(queries: Queries) -> BoolVector:
    """(n,) which queries ask for something in words.

    Raises:
        DataError: something else than text came.
    """
    if TEXT not in queries.context:
        return np.zeros(len(queries), bool)
    said = np.asarray(queries.context[TEXT]).tolist()
    for one in said:
        if one is not None and not isinstance(one, str):
            raise DataError(f"context {TEXT!r} = {one!r} came; a text is expected, or None for a query without one")
    return np.array([bool(one and one.strip()) for one in said], bool)


def check(name: str, queries: Queries) -> None:
    """Refuse words that the model `name` does not read.

    Raises:
        ConfigError: a query asks for something in words.
    """
    if wished(queries).any():
        raise ConfigError(
            f"{name} reads no text, but a query came with context {TEXT!r}; take a sequence model that was fitted "
            f"{SPOKEN}, or leave it out"
        )


def text_vectors(model: SequenceRecommender, texts: Sequence[str], run: Run) -> FloatMatrix:
    """(n, d) the vectors of items that would say these texts; see `SequenceRecommender.text_vectors`."""
    import torch

    from zhiyin.models._tables import side_table

    if not model.speaks:
        raise ConfigError(f"{model.name} is not told what items say (text={model.config.text}); fit it {SPOKEN}")
    parts, says = [], np.zeros(len(texts), bool)
    with torch.inference_mode():
        if model.texts is not None and (model.texts.reads or not model.config.words):
            said = model.texts.of_texts(list(texts), run)
            says |= said.any(1)
            told = model._unused(torch.from_numpy(said).to(next(model.net.parameters()).device))
            parts.append(told * torch.from_numpy(said.any(1)).to(told.device)[:, None])
        if model.config.words:
            assert model.item_columns is not None
            words = model.item_columns.of_texts(texts)
            says |= np.diff(words.indptr) > 0
            parts.append(side_table(model.net.items).valued(words))
        found = model.net.as_held(torch.stack(parts).sum(0))
    vectors: FloatMatrix = found.cpu().numpy()
    vectors[~says] = np.nan
    return vectors


def mixed(model: SequenceRecommender, states: FloatMatrix, queries: Queries) -> FloatMatrix:
    """(n, d) the states of histories, NaN for an empty one, with what their queries ask for in words.

    A text of weight w adds its direction, w times as long as the state; without a history it stands alone.
    """
    asks = np.flatnonzero(wished(queries))
    if not len(asks):
        return states
    texts = np.asarray(queries.context[TEXT])[asks].tolist()
    vectors = model.text_vectors(texts)
    told = np.isfinite(vectors[:, 0])
    asks, vectors, weights = asks[told], vectors[told], _weights(queries)[asks[told]]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    found, own = states.copy(), states[asks]
    size = np.linalg.norm(own, axis=1, keepdims=True)
    both = own + weights[:, None] * size * directions
    found[asks] = np.where(np.isfinite(own), both, vectors)
    return found


def _weights(queries: Queries) -> FloatVector:
    """(n,) how much the text of each query weighs."""
    if WEIGHT not in queries.context:
        return np.ones(len(queries), np.float32)
    given: AnyArray = np.asarray(queries.context[WEIGHT])
    try:
        found = np.array([1.0 if one is None else float(one) for one in given.tolist()], np.float32)
    except (TypeError, ValueError):
        found = np.full(len(given), np.nan, np.float32)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise DataError(f"context {WEIGHT!r} = {given.tolist()} came; numbers from 0 on are expected")
    return found
