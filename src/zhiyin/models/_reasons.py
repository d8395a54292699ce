"""Reasons: what of a query brought each recommended item, an event of its history or its words, or what else did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import FloatMatrix, FloatVector, IntVector
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason, Recommendations
from zhiyin.errors import shortened
from zhiyin.models._filling import FILLED
from zhiyin.models._wishes import TEXT, wished
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
    words = np.zeros(len(listed), np.float32)
    if len(listed) and wished(query).any():
        words = model._worth_of_words(query, listed)
    reasons: list[tuple[Reason, ...]] = []
    for place, item in enumerate(listed.tolist()):
        if found.source_of(row, place) == FILLED:
            reasons.append((_popular(model, item),))
        else:
            reasons.append(_of_what_came(model, item, query, shares[:, place], float(words[place]), most))
    return tuple(reasons)


def _of_what_came(
    model: Recommender, item: int, query: Queries, shares: FloatVector, words: float, most: int
) -> tuple[Reason, ...]:
    """What adds most to the score, items of the history or words; where nothing does, what the model says of the item.

    Args:
        model: which scores.
        item: which is listed.
        query: one.
        shares: (n_events,) what each event of the history adds.
        words: what those of the query add.
        most: reasons.
    """
    others, place = np.unique(query.histories.item, return_inverse=True)
    weights = np.bincount(place, shares, len(others))
    best = np.argsort(-weights, kind="stable")[:most]
    best = best[weights[best] > 0]
    ids = model.vocabulary.decode(others[best])
    found = [
        Reason("history", float(weights[at]), one, model._common(item, int(others[at])))
        for at, one in zip(best, ids, strict=True)
    ]
    if words > 0:
        asked = shortened(query.context[TEXT][0])
        found.append(Reason(TEXT, words, text=f"near to what was asked for: {asked}"))
        found.sort(key=lambda one: -one.weight)
    if not found:
        general = model._general_reason(item, query)
        return () if general is None else (general,)
    return tuple(found[:most])


def _popular(model: Recommender, item: int) -> Reason:
    count = int(model.popularity[item])
    return Reason("popularity", float(count), text=f"{count:,} events in the training data")
