"""One ranker for each fold, learnt from the other folds and stopped on its own, and all of them as one.

Each row stops the one ranker that has not learnt from it. Afterwards all speak together, of any row; of one that they
were made of, all but one know the outcome. What is said of such rows flatters, so others are to be judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from zhiyin.arrays import BoolVector, DoubleVector, IntVector
from zhiyin.config import Config
from zhiyin.ranking import rankers
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.rankers.base import Ranker, Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run


class Learner(Config):
    """A ranker and its settings; also as text, its name."""

    ranker: str = "boosted_trees"
    """Its name, or `package.module:Class`; see `zhiyin list rankers`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults; an objective is set as it is needed."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"ranker": value} if isinstance(value, str) else value

    def made(self, objective: str) -> Ranker:
        """A new one that learns "chance" or "value", if it can be told."""
        wanted = rankers.get(self.ranker)
        told = {"objective": objective} if "objective" in wanted.settings().model_fields else {}
        found: Ranker = wanted(**{**told, **self.settings})
        return found


class Crossed:
    """The rankers of all folds as one."""

    def __init__(self, parts: list[Ranker]) -> None:
        self.parts = parts

    @classmethod
    def fit(cls, learner: Learner, objective: str, rows: Rows, fold: IntVector, run: Run) -> Crossed:
        """Learn one for each fold (n,)."""
        made = []
        for at in range(int(fold.max()) + 1):
            train, held = rows.take(fold != at), rows.take(fold == at)
            made.append(learner.made(objective).fit(train, held, run))
        return cls(made)

    def predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) the mean of all, also of rows that most of them have learnt from."""
        return np.asarray(np.mean([one.predict(features) for one in self.parts], axis=0), np.float64)

    def save(self, folder: Path) -> None:
        """Write each to a folder of its own."""
        for at, one in enumerate(self.parts):
            save(one, folder / f"{at:02d}")

    @classmethod
    def load(cls, folder: Path, n: int) -> Crossed:
        """Open what `save` wrote of `n` rankers."""
        return cls([load(folder / f"{at:02d}", "rankers", "ranker", rankers.get) for at in range(n)])


def folds_of(outcome: DoubleVector, n: int, rng: np.random.Generator) -> IntVector:
    """(len(outcome),) a fold for each row, by lot; small and large outcomes are in all of them alike."""
    order = np.lexsort((rng.random(len(outcome)), outcome))
    found = np.empty(len(outcome), np.int32)
    found[order] = np.arange(len(outcome)) % n
    return found


def some_of(features: FeatureTable, rows: BoolVector, outcome: DoubleVector, weight: DoubleVector) -> Rows:
    """The rows of some people, with what is to be foretold and how much each counts (n,), of all people."""
    weights = weight[rows]
    same = bool(np.ptp(weights) < 1e-9)
    return Rows(features.take(rows), outcome[rows].astype(np.float32), None if same else weights.astype(np.float32))
