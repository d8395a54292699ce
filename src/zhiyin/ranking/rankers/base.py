"""Ranker: features of candidates go in, one number for each comes out; the base class does the rest.

A ranker writes `_fit` and `_predict` and names what it learnt in `learns`. Names of features, checks, weights of
classes and calibration to chances are here, once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, FloatVector
from zhiyin.config import Component, Config
from zhiyin.errors import DataError, NotFittedError
from zhiyin.ranking import chances
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)


NO_MAP = np.zeros((0, 2, 0))


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
    outcomes: Mapping[str, FloatVector] = field(default_factory=dict)
    """(n,) each, 1 or 0: what else became of each candidate, by name, such as "click" and "conversion"."""

    def __post_init__(self) -> None:
        further = ((f"outcomes {name!r}", column) for name, column in self.outcomes.items())
        for name, column in (("labels", self.label), ("weights", self.weight), *further):
            if column is None:
                continue
            if len(column) != len(self.features):
                raise DataError(f"{len(column)} {name} came for {len(self.features)} candidates; one each is expected")
            if not np.isfinite(column).all():
                raise DataError(f"{int((~np.isfinite(column)).sum()):,} {name} are no numbers; leave such rows out")

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of several tables of the same features, one after the other."""
        first = parts[0]
        return cls(
            FeatureTable.join([one.features for one in parts]),
            np.concatenate([one.label for one in parts]),
            None if first.weight is None else np.concatenate([one.weight for one in parts if one.weight is not None]),
            {name: np.concatenate([one.outcomes[name] for one in parts]) for name in first.outcomes},
        )

    def take(self, queries: BoolVector) -> Rows:
        """The rows of some queries, in their order."""
        kept = queries[self.features.owner()]
        return Rows(
            self.features.take(queries),
            self.label[kept],
            None if self.weight is None else self.weight[kept],
            {name: column[kept] for name, column in self.outcomes.items()},
        )

    def balanced(self) -> Rows:
        """The same, with weights by which wanted rows (label above 0) and unwanted ones count as much together."""
        weight = np.ones(len(self), np.float64) if self.weight is None else self.weight.astype(np.float64)
        wanted = self.label > 0
        total = weight.sum()
        for some in (wanted, ~wanted):
            weight[some] *= total / 2 / max(weight[some].sum(), 1e-12)
        return replace(self, weight=weight.astype(np.float32))


class RankerConfig(Config):
    """Settings of every ranker."""

    balance: bool = False
    """Whether wanted and unwanted rows count as much together, where few are wanted. Chances shift by it, unless they
    are calibrated."""
    calibration: chances.Method = "none"
    """How what is said becomes a chance: `isotonic`, `platt`, or not at all; learnt from the validation rows."""


class Ranker(Component):
    """Base of every ranker."""

    config: Config
    room = "zhiyin.ranking.rankers"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays, or lists of text."""
    reads_histories: ClassVar[bool] = False
    """Whether rows must come with their items and histories."""
    chance_map: DoubleVector
    """(n_outcomes, 2, m) what makes chances of what is said; see `zhiyin.ranking.chances`. (0, 2, 0) for nothing."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return ("features", "chance_map", *self.learns)

    @property
    def says_chances(self) -> bool:
        """Whether `_predict` gives chances, and not numbers of another scale."""
        return False

    @property
    def foretold(self) -> tuple[str, ...]:
        """The names of what `_predict` foretells; the last one is what a candidate is worth."""
        return ("chance",) if self.says_chances or self._method != "none" else ("worth",)

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.features: list[str] = []
        self.chance_map = NO_MAP

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        raise NotImplementedError

    def with_vectors(self, vectors: FloatMatrix) -> Self:
        """The same, yet to learn, told the vectors (n_items, d) of a model that knows the items; of no use here."""
        return self

    def _predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) the higher, the better; or (n, n_outcomes) of all that is `foretold`."""
        raise NotImplementedError

    def ready(self) -> None:
        """See that what it needs is installed, before anything else is learnt for it.

        Raises:
            MissingExtra: it is not.
        """

    def derive(self) -> None:
        """Make from what was learnt what is not saved."""

    def write(self, folder: Path) -> None:
        """Write what is saved beside `saved`; nothing here."""

    def read(self, folder: Path) -> None:
        """Read what `write` wrote."""

    def fit(self, rows: Rows, validation: Rows | None = None, run: Run | None = None) -> Self:
        """Learn from rows; with `validation`, stop where it is best there, and calibrate on it.

        Raises:
            DataError: no rows came, or all of one label: nothing can be told apart; or chances are to be calibrated
                without validation rows of both labels.
        """
        if not len(rows.label):
            raise DataError(f"{self.name} cannot learn from no rows")
        if (rows.label == rows.label[0]).all():
            raise DataError(
                f"all {len(rows.label):,} rows have the label {rows.label[0]:g}; a ranker learns to tell apart what "
                "was wanted from what was not, so both are needed: look at how candidates and targets were made"
            )
        if validation is not None:
            validation = replace(validation, features=validation.features.as_named(rows.features.names))
            if not len(validation.label) or (validation.label == validation.label[0]).all():
                logger.warning("%s: the validation rows are of one label, and cannot say when to stop", self.name)
                validation = None
        self.features = list(rows.features.names)
        self.chance_map = NO_MAP
        self._fit(rows.balanced() if getattr(self.config, "balance", False) else rows, validation, run or Run())
        if self._method != "none":
            self._calibrate(validation)
        return self

    @property
    def _method(self) -> chances.Method:
        found: chances.Method = getattr(self.config, "calibration", "none")
        return found

    def _calibrate(self, held: Rows | None) -> None:
        if held is None:
            raise DataError(
                f"{self.name} is to give chances (calibration={self._method}) and got no validation rows of both "
                "labels to learn them from; give fit some, or leave calibration at 'none'"
            )
        labels = [held.outcomes.get(name, held.label) for name in self.foretold]
        said = self._said(held.features)
        maps = [chances.learn(self._method, said[:, at], one, held.weight) for at, one in enumerate(labels)]
        longest = max(one.shape[1] for one in maps)
        self.chance_map = np.stack([np.pad(one, ((0, 0), (0, longest - one.shape[1])), "edge") for one in maps])

    def _said(self, features: FeatureTable) -> AnyArray:
        """(n, n_outcomes) what is calibrated: log-odds, where chances are said."""
        found = self._predict(features).reshape(len(features), -1)
        return chances.log_odds(found) if self.says_chances and self._method != "none" else found

    def _foretell(self, features: FeatureTable) -> AnyArray:
        """(n, n_outcomes)."""
        if not self.features:
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(rows) first")
        if not len(features):
            return np.zeros((0, len(self.foretold)))
        said = self._said(features.as_named(self.features))
        if not self.chance_map.size:
            return said
        columns = [chances.apply(self._method, one, said[:, at]) for at, one in enumerate(self.chance_map)]
        return np.stack(columns, 1)

    def predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) what each candidate is worth.

        Raises:
            NotFittedError: before `fit`.
            DataError: a feature that was learnt from is not there.
        """
        return np.asarray(self._foretell(features)[:, -1], np.float64)

    def outcomes(self, features: FeatureTable) -> dict[str, DoubleVector]:
        """(n,) each: all that is `foretold` of each candidate, by name.

        Raises:
            NotFittedError, DataError: as `predict`.
        """
        return dict(zip(self.foretold, self._foretell(features).T, strict=True))

    def importance(self) -> dict[str, float]:
        """How much each feature says, the most first, together 1; empty where the ranker cannot tell."""
        return {}


def ordered(names: Sequence[str], amounts: AnyArray) -> dict[str, float]:
    """Names by amounts, the largest first, as parts of their sum."""
    total = float(np.sum(amounts)) or 1.0
    order = np.argsort(-np.asarray(amounts), kind="stable")
    return {names[at]: float(amounts[at]) / total for at in order}
