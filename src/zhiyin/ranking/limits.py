"""Limits of a list: how many items of one creator or category it may have, and which items stand at which place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, LongVector, offsets_of
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.affinity import entries


@dataclass(frozen=True, slots=True, eq=False)
class Cap:
    """At most so many items of one value in a list."""

    label: str
    """What it is called for people."""
    values: sparse.csr_array
    """(n_items, n_values) which values each item has; one without any is never held back."""
    most: int


@dataclass(frozen=True, slots=True)
class Pin:
    """An item that has its place, from 1, in every list that it may be in."""

    item: int
    place: int


@dataclass(frozen=True, slots=True)
class Limits:
    """All that a list must keep to."""

    caps: tuple[Cap, ...] = ()
    pins: tuple[Pin, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.caps or self.pins)


class Count:
    """How many items of each value the lists in the making have, for one cap."""

    def __init__(self, cap: Cap, candidates: Candidates) -> None:
        self.cap, self._n = cap, len(candidates)
        self._row, value, _ = entries(cap.values, candidates.item)
        wanted = candidates.owner()[self._row].astype(np.int64) * cap.values.shape[1] + value
        keys, self._key = np.unique(wanted, return_inverse=True)
        self._first: LongVector = offsets_of(np.bincount(self._row, minlength=self._n))
        self._count = np.zeros(len(keys), np.int64)

    def add(self, rows: AnyArray) -> None:
        """Count candidates that are listed now, of one query at most one."""
        self._count[self._key[spans(self._first[rows], self._first[rows + 1])]] += 1

    def closed(self) -> BoolVector:
        """(n,) which candidates have a value of which there are enough."""
        full = self._count >= self.cap.most
        return np.bincount(self._row, full[self._key], self._n) > 0


def spans(start: LongVector, stop: LongVector) -> LongVector:
    """The numbers of several spans, one after the other.

    >>> spans(np.array([3, 7, 20]), np.array([5, 7, 22]))
    array([ 3,  4, 20, 21])
    """
    length = stop - start
    found: LongVector = np.arange(int(length.sum())) + np.repeat(stop - np.cumsum(length), length)
    return found
