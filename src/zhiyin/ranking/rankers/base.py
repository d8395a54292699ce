"""Ranker: features of candidates go in, one number for each comes out; the base class does the rest.

A ranker writes `_fit` and `_predict` and names what it learnt in `learns`. Names of features, checks, calibration to
probabilities are here, once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, FloatVector
from zhiyin.config import Component, Config
from zhiyin.errors import DataError, NotFittedError
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a ranker learns from: candidates and what became of them.

    Raises:
        DataError: as many labels as rows are expected, each a number.
    """

    features: FeatureTable
    label: FloatVector
    """(n,) 1 for what was wanted and 0 for what was not, or a grade, or a rating."""
    weight: FloatVector | None = None
    """(n,) how much each row counts; None for all alike."""

    def __post_init__(self) -> None:
        for name, column in (("labels", self.label), ("weights", self.weight)):
            if column is None:
                continue
            if len(column) != len(self.features):
                raise DataError(f"{len(column)} {name} came for {len(self.features)} candidates; one each is expected")
            if not np.isfinite(column).all():
                raise DataError(f"{int((~np.isfinite(column)).sum()):,} {name} are no numbers; leave such rows out")


class Ranker(Component):
    """Base of every ranker."""

    config: Config
    room = "zhiyin.ranking.rankers"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays, or lists of text."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return ("features", *self.learns)

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.features: list[str] = []

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        raise NotImplementedError

    def _predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) the higher, the better."""
        raise NotImplementedError

    def derive(self) -> None:
        """Make from what was learnt what is not saved."""

    def fit(self, rows: Rows, validation: Rows | None = None, run: Run | None = None) -> Self:
        """Learn from rows; with `validation`, stop where it is best there.

        Raises:
            DataError: no rows came, or all of one label: nothing can be told apart.
        """
        if not len(rows.label):
            raise DataError(f"{self.name} cannot learn from no rows")
        if (rows.label == rows.label[0]).all():
            raise DataError(
                f"all {len(rows.label):,} rows have the label {rows.label[0]:g}; a ranker learns to tell apart what "
                "was wanted from what was not, so both are needed: look at how candidates and targets were made"
            )
        if validation is not None:
            validation = Rows(validation.features.as_named(rows.features.names), validation.label, validation.weight)
            if not len(validation.label) or (validation.label == validation.label[0]).all():
                logger.warning("%s: the validation rows are of one label, and cannot say when to stop", self.name)
                validation = None
        self.features = list(rows.features.names)
        self._fit(rows, validation, run or Run())
        return self

    def predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) what each candidate is worth.

        Raises:
            NotFittedError: before `fit`.
            DataError: a feature that was learnt from is not there.
        """
        if not self.features:
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(rows) first")
        if not len(features):
            return np.zeros(0)
        return self._predict(features.as_named(self.features))

    def importance(self) -> dict[str, float]:
        """How much each feature says, the most first, together 1; empty where the ranker cannot tell."""
        return {}


def ordered(names: Sequence[str], amounts: AnyArray) -> dict[str, float]:
    """Names by amounts, the largest first, as parts of their sum."""
    total = float(np.sum(amounts)) or 1.0
    order = np.argsort(-np.asarray(amounts), kind="stable")
    return {names[at]: float(amounts[at]) / total for at in order}
