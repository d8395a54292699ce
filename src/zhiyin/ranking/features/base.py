"""Families of features: what a dataset and the pairs of queries and items become, column by column.

A family writes `_fit` and `_columns`, and names what it learnt in `learns`. Three things hold for all of them:

* *Nothing after now.* What counts events counts those that are strictly before the moment of the query, whatever else
  the dataset holds; so rows of a ranker may be made of any moment of a log, with one look-up structure for all.
* *One path.* A feature is made by the same code for a million rows of training and for the candidates of one live
  query; there is nothing to keep in step.
* *Names are for people*: "events of the item, last 7 days".

A column of numbers is float32, NaN where nothing is known; one of categories int32, -1 where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.config import Component, Config
from zhiyin.data.dataset import Dataset
from zhiyin.errors import NotFittedError
from zhiyin.ranking.candidates import Candidates
from zhiyin.run import Run


class Family(Component):
    """Base of every family of features."""

    config: Config
    room = "zhiyin.ranking.features"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays, scipy CSR matrices, or lists of text."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.fitted = False

    def suits(self, train: Dataset) -> bool:
        """Whether these data have what the family needs; one that does not is left out."""
        return True

    def _fit(self, train: Dataset, run: Run) -> None:
        """Learn what features are made with; nothing for a family that reads the pairs alone."""

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        """Name -> (n,) float32 numbers or int32 categories."""
        raise NotImplementedError

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many values each column of categories may have."""
        return {}

    def fit(self, train: Dataset, run: Run | None = None) -> Self:
        """Learn from a dataset: its whole log, as each feature looks only at what is before its own moment."""
        self._fit(train, run or Run())
        self.fitted = True
        return self

    def columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        """The features of each candidate.

        Raises:
            NotFittedError: before `fit`.
        """
        if not self.fitted:
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(dataset) first")
        return {name: _plain(column) for name, column in self._columns(candidates).items()}


def _plain(column: AnyArray) -> AnyArray:
    return column.astype(np.int32 if column.dtype.kind in "iu" else np.float32, copy=False)


def numbers(column: AnyArray) -> AnyArray:
    """A count as a number, and not as a category."""
    return column.astype(np.float32)
