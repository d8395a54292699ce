"""Company: which items are used together, as pairs drawn from histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, IntMatrix
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError

MOST_HELD = 4_096
"""Pairs on which learning is watched."""
FEWEST_HELD = 16
"""With fewer, nothing is held out."""
TRIES = 20
"""How often pairs are drawn to find those of items that are held out."""


@dataclass(frozen=True, slots=True, eq=False)
class Company:
    """Histories from which pairs are drawn: an event, and one that follows it within `window` events.

    Where the order is not known, any two events of a history are a pair. Pairs of an item with itself are none.
    """

    histories: Histories
    window: int
    ordered: bool

    @property
    def n_firsts(self) -> int:
        """How many events another one can be drawn for."""
        return int(np.maximum(self.histories.lengths - self.ordered, 0)[self.histories.lengths > 1].sum())

    def draw(self, n: int, generator: np.random.Generator) -> IntMatrix:
        """(at most n, 2) item numbers: each event as often as any other."""
        past = self.histories
        after = past.from_end()
        firsts = np.flatnonzero(after > 0 if self.ordered else np.repeat(past.lengths, past.lengths) > 1)
        if not len(firsts):
            return np.zeros((0, 2), np.int32)
        at = generator.choice(firsts, n)
        if self.ordered:
            other = at + 1 + (generator.random(n) * np.minimum(after[at], self.window)).astype(np.int64)
        else:
            begins = np.repeat(past.offsets[:-1], past.lengths)[at]
            length = np.repeat(past.lengths, past.lengths)[at]
            step = 1 + (generator.random(n) * (length - 1)).astype(np.int64)
            other = begins + (at - begins + step) % length
        pairs = np.stack([past.item[at], past.item[other]], axis=1).astype(np.int32)
        found: IntMatrix = pairs[pairs[:, 0] != pairs[:, 1]]
        return found


def company_of(dataset: Dataset, speaks: BoolVector, window: int, name: str) -> Company:
    """The company of the items that have a vector.

    Raises:
        DataError: no two of them are used by one user.
    """
    kept = dataset.histories.keep(speaks[dataset.histories.item])
    found = Company(kept, window, dataset.has_order())
    if not len(found.draw(1_000, np.random.default_rng(0))):
        raise DataError(
            f"{name} learns from items that one user used, and no history in {dataset.name!r} has two different items "
            f"with something to read ({dataset.n_events:,} events of {dataset.n_users:,} users came)"
        )
    return found


def split(company: Company, share: float, generator: np.random.Generator) -> tuple[Company, IntMatrix]:
    """Company without a share of its items, and pairs (n, 2) that each hold one of these; none if they are too few."""
    touched = np.unique(company.histories.item)
    held = np.zeros(int(touched.max()) + 1, bool)
    held[generator.permutation(touched)[: round(share * len(touched))]] = True
    rest = Company(company.histories.keep(~held[company.histories.item]), company.window, company.ordered)
    found = [_of(held, company.draw(MOST_HELD, generator)) for _ in range(TRIES if held.any() else 0)]
    pairs = np.concatenate([*found, np.zeros((0, 2), np.int32)])[:MOST_HELD]
    if len(np.unique(pairs, axis=0)) < FEWEST_HELD or not len(rest.draw(1_000, generator)):
        return company, np.zeros((0, 2), np.int32)
    return rest, pairs


def _of(held: BoolVector, pairs: AnyArray) -> AnyArray:
    return pairs[held[pairs].any(1)]
