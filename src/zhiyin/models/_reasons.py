"""Reasons: what of the history brought each recommended item, or what else put it there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import FloatMatrix, FloatVector, IntVector
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason, Recommendations
from zhiyin.models._filling import FILLED
from zhiyin.run import Run

if TYPE_CHECKING:
    from zhiyin.models.base import Recommender


def reasons_for(
    model: Recommender, found: Recommendations, batch: Queries, most: int
) -> tuple[tuple[tuple[Reason, ...], ...], ...]:
    """Per query and listed item at most `most` reasons, the strongest first."""
    return tuple(_of_query(model, found, batch.slice(row, row + 1), row, most) for row in range(len(found)))


def leave_one_out(model: Recommender, query: Queries, items: IntVector) -> FloatMatrix:
    """(n_events, n_items) the drop of the evidence for each item when an event of one query's history is left out."""
    n, rows = query.histories.n_events, model._rows(Run())
    events = np.arange(n)
    parts = [model._evidence(query, items)]
    for start in range(0, n, rows):
        left_out = events[start : start + rows]
        copies = query.take(np.zeros(len(left_out), np.int64))
        kept = copies.histories.keep((events != left_out[:, None]).ravel())
        parts.append(model._evidence(replace(copies, histories=kept), items))
    scores = np.concatenate(parts)
    scores = np.where(np.isfinite(scores), scores, 0)
    found: FloatMatrix = (scores[:1] - scores[1:]).astype(np.float32)
    return found


def _of_query(
    model: Recommender, found: Recommendations, query: Queries, row: int, most: int
) -> tuple[tuple[Reason, ...], ...]:
    listed = found.items[row][found.items[row] >= 0]
    shares = np.zeros((0, len(listed)), np.float32)
    if query.histories.n_events and len(listed):
        shares = model._contributions(query, listed)
    reasons: list[tuple[Reason, ...]] = []
    for place, item in enumerate(listed.tolist()):
        if found.source_of(row, place) == FILLED:
            reasons.append((_popular(model, item),))
        else:
            reasons.append(_of_history(model, item, query, shares[:, place], most))
    return tuple(reasons)


def _of_history(model: Recommender, item: int, query: Queries, shares: FloatVector, most: int) -> tuple[Reason, ...]:
    """The items of the history that add most to the score; where none does, what the model says of the item itself."""
    others, place = np.unique(query.histories.item, return_inverse=True)
    weights = np.bincount(place, shares, len(others))
    best = np.argsort(-weights, kind="stable")[:most]
    best = best[weights[best] > 0]
    if not len(best):
        general = model._general_reason(item, query)
        return () if general is None else (general,)
    ids = model.vocabulary.decode(others[best])
    return tuple(
        Reason("history", float(weights[at]), one, model._common(item, int(others[at])))
        for at, one in zip(best, ids, strict=True)
    )


def _popular(model: Recommender, item: int) -> Reason:
    count = int(model.popularity[item])
    return Reason("popularity", float(count), text=f"{count:,} events in the training data")
