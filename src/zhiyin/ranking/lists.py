"""The lists that a draft has made: items, scores, where each came from, what was done to it, and with which chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix, IntVector
from zhiyin.data.queries import Queries
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.ranked import Notes, Ranked

PINNED = "pin (rule)"
"""The source of an item that a rule has given its place."""

OWN, COMPLETED, BY_RULE = 0, 1, 2
"""The numbers of sources."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeLists:
    """Lists of `k` places for each query."""

    items: IntMatrix
    """(n_queries, k) -1 where there is none."""
    scores: FloatMatrix
    """(n_queries, k) what each was worth; NaN for what completes a list."""
    source: AnyArray
    """(n_queries, k) 0 for a candidate, 1 for what completes a list, 2 for what a rule put there."""
    notes: Notes | None
    propensity: AnyArray | None

    @classmethod
    def of(cls, draft: Draft, tells: bool, draws: bool) -> MadeLists:
        """What a draft has chosen.

        Args:
            draft: with all places given away.
            tells: whether anything may have been done to the order of worth, so that notes are made.
            draws: whether chances are told.
        """
        ranked = draft.ranked_as("caps and pins") if draft.ranked.limits else draft.ranked
        rows = _first_rows(ranked, (draft.chosen >= 0).sum(1), draft.k)
        items = _at(ranked.candidates.item, rows, -1).astype(np.int32)
        scores = _at(ranked.worth, rows, np.nan).astype(np.float32)
        source = np.where((rows >= 0) & np.isnan(scores), COMPLETED, OWN).astype(np.uint8)
        for pin in draft.ranked.limits.pins:
            if pin.place <= draft.k:
                source[items[:, pin.place - 1] == pin.item, pin.place - 1] = BY_RULE
                held = (ranked.candidates.item == pin.item) & (ranked.place() == pin.place)
                ranked = ranked.with_remark("pinned at place {}", np.where(held, pin.place, -1))
        return cls(
            items, scores, source, ranked.notes(rows) if tells else None, _chances(ranked, rows) if draws else None
        )


def hide_seen(free: AnyArray, queries: Queries) -> None:
    """Take the items of each history away from (n_queries, n_items) what may be listed, in place."""
    free[queries.histories.owner(), queries.histories.item] = False


def with_pinned(ranked: Ranked, free: AnyArray, k: int) -> Ranked:
    """With the items that are pinned in lists of `k` and are no candidates; behind all others, and without a worth.

    They come after ranking, as further candidates would change what features say of the others.

    Args:
        ranked: candidates.
        free: (n_queries, n_items) what may be listed.
        k: the length of the lists.
    """
    found, n_items = ranked.candidates, free.shape[1]
    pinned = np.array([pin.item for pin in ranked.limits.pins if pin.place <= k], np.int32)
    pair = found.owner().astype(np.int64) * n_items + found.item
    there = np.isin(np.arange(len(free))[:, None] * n_items + pinned, pair)
    return ranked.with_more(np.where(free[:, pinned] & ~there, pinned, np.int32(-1))) if len(pinned) else ranked


def completed(draft: Draft, free: AnyArray, order: IntVector) -> Ranked:
    """The candidates of a draft and, behind those of its short lists, what completes them.

    Args:
        draft: with all places given away.
        free: (n_queries, n_items) what may be listed.
        order: items, the first to be taken first; all that are free, where a cap may hold some of them back.
    """
    ranked = draft.ranked
    left = free & (draft.chosen < 0).any(axis=1, keepdims=True)
    left[ranked.candidates.owner(), ranked.candidates.item] = False
    left = left[:, order]
    if not ranked.limits.caps:
        left &= np.cumsum(left, 1, dtype=np.int32) <= draft.k
    return ranked.with_more(np.where(left, order, np.int32(-1)))


def _first_rows(ranked: Ranked, lengths: AnyArray, k: int) -> AnyArray:
    """(n_queries, k) the first rows of each query, so many of them; -1 behind those."""
    column = np.arange(k)
    return np.where(column < lengths[:, None], ranked.candidates.offsets[:-1, None] + column, -1)


def _at(values: AnyArray, rows: AnyArray, empty: float) -> AnyArray:
    """Values at rows; `empty` for row -1."""
    found: AnyArray = np.append(values, np.array([empty], values.dtype))[rows]
    return found


def _chances(ranked: Ranked, rows: AnyArray) -> AnyArray:
    """(n_queries, k) of what was drawn; 1 for what was not left to chance."""
    chance = np.ones(len(ranked)) if ranked.propensity is None else np.nan_to_num(ranked.propensity, nan=1.0)
    return _at(chance, rows, np.nan)
