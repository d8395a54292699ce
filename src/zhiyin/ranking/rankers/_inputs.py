"""What a table of features is to rankers that need numbers without gaps: knots of numbers, places of categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector, IntMatrix, LongVector, offsets_of
from zhiyin.config import setting
from zhiyin.ranking.rankers.base import Ranker, RankerConfig
from zhiyin.ranking.table import FeatureTable

ROWS_OF_KNOTS = 200_000
"""Quantiles are of so many rows, evenly drawn."""

PRIME = 2_654_435_761
"""Knuth's multiplier, by which numbers of categories are spread over buckets."""


class InputsConfig(RankerConfig):
    """Settings of rankers that read features so."""

    bins: int = setting(16, ge=1)
    """A number is a line of so many pieces, with as many rows in each; 1 for a straight line."""
    buckets: int = setting(20_000, ge=2)
    """Categories of more values are hashed into so many."""
    rare: int = setting(3, ge=1)
    """Values of a category with fewer rows count as one, which is also that of values never seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """How features are read, learnt from the training rows.

    The place of a category's value is 0 for one that is rare, was never seen, or is not known; others count from 1.
    """

    knots: FloatMatrix
    """(n_numbers, bins + 1) rising; those of a number of fewer different values repeat the last one."""
    places: IntMatrix
    """(1, n) the place of each value of each category, one category after the other."""
    starts: LongVector
    """(n_categories + 1,) where those of each category begin."""
    widths: LongVector
    """(n_categories,) how many places each has."""

    @classmethod
    def learn(cls, table: FeatureTable, config: InputsConfig) -> Self:
        """From the training rows."""
        drawn = np.unique(np.linspace(0, len(table) - 1, min(len(table), ROWS_OF_KNOTS)).astype(np.int64))
        knots = [_knots(table.values[drawn, at], config.bins) for at in _numbers(table)]
        sizes = [table.sizes[table.names[at]] for at in table.categories]
        found = [_places(table.values[:, at], n, config) for at, n in zip(table.categories, sizes, strict=True)]
        return cls(
            np.stack(knots) if knots else np.zeros((0, config.bins + 1), np.float32),
            np.concatenate([np.zeros(0, np.int32), *found])[None, :].astype(np.int32),
            offsets_of(sizes),
            np.array([one.max(initial=0) + 1 for one in found], np.int64),
        )

    def numbers(self, table: FeatureTable) -> FloatMatrix:
        """(n, n_numbers) as they are, NaN where not known."""
        return table.values[:, _numbers(table)]

    def categories(self, table: FeatureTable) -> AnyArray:
        """(n, n_categories) int64, the place of each value."""
        found = np.zeros((len(table), len(self.widths)), np.int64)
        for column, at in enumerate(table.categories):
            values, size = table.values[:, at], self.starts[column + 1] - self.starts[column]
            known = (values >= 0) & (values < size)  # false for NaN
            found[known, column] = self.places[0, self.starts[column] + values[known].astype(np.int64)]
        return found


class InputRanker(Ranker):
    """A ranker that reads features through `Inputs`."""

    config: InputsConfig
    learns: ClassVar[tuple[str, ...]] = ("knots", "places", "starts", "widths")
    knots: FloatMatrix
    places: IntMatrix
    starts: LongVector
    widths: LongVector
    inputs: Inputs

    @property
    def says_chances(self) -> bool:
        """Always, here."""
        return True

    def learn_inputs(self, table: FeatureTable) -> None:
        """Learn how features are read."""
        found = Inputs.learn(table, self.config)
        self.knots, self.places, self.starts, self.widths = found.knots, found.places, found.starts, found.widths
        self.inputs = found

    def derive(self) -> None:
        """Make what is not saved."""
        self.inputs = Inputs(self.knots, self.places, self.starts, self.widths)


def _numbers(table: FeatureTable) -> list[int]:
    """The places of the columns that are numbers."""
    return [at for at, name in enumerate(table.names) if name not in table.sizes]


def _knots(values: FloatVector, bins: int) -> FloatVector:
    """(bins + 1,) quantiles; the ends of a number that was never known are 0."""
    known = values[np.isfinite(values)]
    found = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1))) if len(known) else np.zeros(1)
    return np.pad(found, (0, bins + 1 - len(found)), "edge").astype(np.float32)


def _places(values: FloatVector, size: int, config: InputsConfig) -> AnyArray:
    """(size,) the place of each value: by its number where there are few, else by hash."""
    known = values[np.isfinite(values)].astype(np.int64)
    kept = np.bincount(known, minlength=size)[:size] >= config.rare
    n = int(kept.sum())
    found = np.zeros(size, np.int32)
    if n <= config.buckets:
        found[kept] = np.arange(1, n + 1)
    else:
        found[kept] = 1 + np.flatnonzero(kept) * PRIME % 2**32 % config.buckets
    return found
