"""What a sequence model learns from, and of which items: histories with something to foretell, events to ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from zhiyin.arrays import BoolVector, IntVector, LongVector
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.splitting.base import Cases


def answers(histories: Histories, kinds: Sequence[str], own: SequenceConfig, name: str) -> BoolVector | None:
    """(n_events,) which events training may ask for; None for all.

    Args:
        histories: to learn from.
        kinds: the names of the kinds of events.
        own: `repeats` and `target_kind` decide.
        name: of the model, for messages.

    Raises:
        ConfigError: there is no such kind.
        DataError: no event is left that follows another one.
    """
    found: BoolVector | None = None
    if own.repeats == "exclude":
        again = repeated_events(histories)
        found = ~again if again.any() else None
    if own.target_kind is not None:
        if own.target_kind not in kinds or histories.kind is None:
            raise ConfigError(unknown("target_kind", own.target_kind, kinds))
        wanted: BoolVector = np.equal(histories.kind, list(kinds).index(own.target_kind))
        found = wanted if found is None else found & wanted
    first = np.zeros(histories.n_events, bool)
    first[histories.offsets[:-1][histories.lengths > 0]] = True
    if found is not None and not (found & ~first).any():
        wanted_kind = f"of the kind {own.target_kind!r} " if own.target_kind else ""
        but = " that is no repeat" if own.repeats == "exclude" else ""
        raise DataError(f"{name} finds no event {wanted_kind}to learn from that follows another one{but}")
    return found


def may_learn(histories: Histories) -> BoolVector:
    """(n,) which histories have something to foretell."""
    return np.greater_equal(histories.lengths, 2)


def uses(histories: Histories, n_items: int) -> LongVector:
    """(n_items,) how often each item occurs beside another event, so that a model learns something of it."""
    occurring = histories.item[np.repeat(may_learn(histories), histories.lengths)]
    return np.bincount(occurring, minlength=n_items)


def learnt_values(met: BoolVector, sides: sparse.csr_array, silent: IntVector) -> BoolVector:
    """(n_values,) the values (n_items, n_values) that items have which training met, but for those that say nothing."""
    found: BoolVector = met.astype(np.float32) @ sides > 0
    found[silent] = False
    return found


def longest_window(histories: Histories, own: SequenceConfig, read: Sequence[str]) -> int:
    """The longest window of training, where places in it are looked at; else `max_length`."""
    options = own.model_dump()
    if "position" not in (*read, *options.get("relations", ())):
        return own.max_length
    ahead = options.get("objective") != "masked"  # the last event is only an answer
    return min(own.max_length, max(2 - ahead, int(histories.lengths.max(initial=1)) - ahead))


def repeated_events(histories: Histories) -> BoolVector:
    """(n_events,) events on an item that the same history had before."""
    owner = histories.owner()
    order = np.lexsort((histories.item, owner))  # stable, so that the first of equals stays first
    owner, item = owner[order], histories.item[order]
    again = np.zeros(histories.n_events, bool)
    again[order[1:]] = (owner[1:] == owner[:-1]) & (item[1:] == item[:-1])
    return again


def digest(cases: Cases) -> str:
    """A name for these cases: two that ask or expect something else have another."""
    found = hashlib.sha256()
    queries = cases.queries
    for histories in (queries.histories, cases.targets):
        for column in (histories.offsets, *histories.columns().values()):
            found.update(np.ascontiguousarray(column).data)
    if queries.now is not None:
        found.update(np.ascontiguousarray(queries.now).data)
    return found.hexdigest()[:16]
