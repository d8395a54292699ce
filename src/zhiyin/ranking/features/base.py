"""Families of features: what a dataset and the pairs of queries and items become, column by column.

A family writes `_fit` and `_columns`, and names what it learnt in `learns`. Three things hold for all of them:

* *Nothing after now.* Of the log of all people, a feature counts what is strictly before the moment of the query,
  however far the log goes on; of the person, what the history of the query holds. So rows of a ranker may be made of
  any moment of a log, with one look-up structure for all.
* *One path.* A feature is made by the same code for a million rows of training and for the candidates of one live
  query; there is nothing to keep in step.
* *Names are for people*: "events of the item, last 7 days".

A column of numbers is float32, NaN where nothing is known; one of categories int32, -1 where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

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
    counts: ClassVar[bool] = False
    """Whether it counts the events of all people, and so goes on counting with a log that goes on."""
    names: list[str]
    """The columns that a query which says all that the training data do has; one that says less has NaN there."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return ("names", *self.learns)

    def suits(self, train: Dataset) -> bool:
        """Whether these data have what the family needs; one that does not is left out."""
        return True

    def _fit(self, train: Dataset, run: Run) -> None:
        """Learn what features are made with; nothing for a family that reads the pairs alone."""

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        """Name -> (n,) float32 numbers or int32 categories."""
        raise NotImplementedError

    def derive(self) -> None:
        """Make from what was learnt what is not saved."""

    def write(self, folder: Path) -> None:
        """Write what is saved beside `saved`; nothing here."""

    def read(self, folder: Path) -> None:
        """Read what `write` wrote."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many values each column of categories may have."""
        return {}

    def fit(self, train: Dataset, run: Run | None = None) -> Self:
        """Learn from a dataset: its whole log, as each feature looks only at what is before its own moment."""
        self._fit(train, run or Run())
        self.names = list(self._columns(_example(train)))
        return self

    def columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        """The features of each candidate; NaN, or -1, where a query does not say what they are made of.

        Raises:
            NotFittedError: before `fit`.
        """
        if not hasattr(self, "names"):
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(dataset) first")
        found = {name: _plain(column) for name, column in self._columns(candidates).items()}
        sizes = self.sizes
        for name in self.names:
            if name not in found:
                found[name] = np.full(len(candidates), *((-1, np.int32) if name in sizes else (np.nan, np.float32)))
        further = [name for name in found if name not in self.names]
        return {name: found[name] for name in (*self.names, *further)}


def _example(train: Dataset) -> Candidates:
    """The user of the most events and an item, with all that the data say."""
    user = int(np.argmax(train.histories.lengths))
    return Candidates(train.queries(np.array([user])), np.array([0, 1]), np.zeros(1, np.int32))


def _plain(column: AnyArray) -> AnyArray:
    return column.astype(np.int32 if column.dtype.kind in "iu" else np.float32, copy=False)


def numbers(column: AnyArray) -> AnyArray:
    """A count as a number, and not as a category."""
    return column.astype(np.float32)
