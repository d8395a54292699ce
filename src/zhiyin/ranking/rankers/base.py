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

FEW = 0.1
"""An order that is learnt from a smaller part of the queries is warned of."""


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

    def telling(self) -> BoolVector:
        """(n_queries,) whether a query has rows of two different labels; no other one says anything of an order."""
        lengths = np.diff(self.features.offsets)
        found = np.zeros(len(lengths), bool)
        if len(self):
            starts = self.features.offsets[:-1][lengths > 0]
            found[lengths > 0] = np.maximum.reduceat(self.label, starts) > np.minimum.reduceat(self.label, starts)
        return found

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
    chance_map: DoubleVector
    """(n_outcomes, 2, m) what makes chances of what is said; see `zhiyin.ranking.chances`. (0, 2, 0) for nothing."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return ("features", "buckets", "chance_map", *self.learns)

    @property
    def says_chances(self) -> bool:
        """Whether `_predict` gives chances, and not numbers of another scale."""
        return False

    @property
    def learns_order(self) -> bool:
        """Whether the order inside queries is learnt, so that rows of one query are only held against each other."""
        return False

    @property
    def reads_histories(self) -> bool:
        """Whether rows must come with their items and histories."""
        return False

    @property
    def learnt_outcomes(self) -> tuple[str, ...]:
        """The outcomes that are learnt from, one for each of what is `foretold`; none where the label is."""
        return ()

    @property
    def foretold(self) -> tuple[str, ...]:
        """The names of what `_predict` foretells; the last one is what a candidate is worth."""
        return ("chance",) if self.says_chances or self._method != "none" else ("worth",)

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.features: list[str] = []
        self.buckets: list[str] = []
        self.chance_map = NO_MAP

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        raise NotImplementedError

    def with_vectors(self, vectors: FloatMatrix) -> Self:
        """The same, yet to learn, told the vectors (n_items, d) of a model that knows the items; of no use here."""
        return self

    def _predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) the higher, the better; or (n, n_outcomes) of all that is `foretold`."""
        raise NotImplementedError

    def _check(self, rows: Rows, what: str) -> None:
        """Refuse rows, or validation rows, as `what` says, that cannot be learnt from."""
        odd = rows.label[~np.isin(rows.label, (0, 1))]
        if self.says_chances and len(odd):
            raise DataError(
                f"{self.name} learns chances from labels 0 and 1; others came: use a threshold (the {what} hold "
                f"{odd[0]:g}, say)"
            )
        for name in self.learnt_outcomes:
            if name not in rows.outcomes:
                there = ", ".join(rows.outcomes) or "none"
                raise DataError(
                    f"{self.name} learns {name!r}, of which the {what} say nothing; their outcomes: {there}"
                )

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
            DataError: no rows or features came, or rows of one label alone: nothing can be told apart; an order is to
                be learnt, and no query has rows of different labels; chances are to be learnt from other labels than 0
                and 1, or to be calibrated without validation rows in which each outcome does and does not happen; an
                outcome that is learnt from is missing, in validation rows too; or what the ranker itself refuses.
        """
        self._check_labels(rows)
        self._check(rows, "rows")
        if self.learns_order:
            self._check_lists(rows)
        held = None if validation is None else self._held_rows(validation, rows.features.names)
        if self._method != "none":
            self._check_calibration(held)
        self.features = list(rows.features.names)
        self.buckets = _buckets(rows.features)
        self.chance_map = NO_MAP
        balance = getattr(self.config, "balance", False)
        self._fit(rows.balanced() if balance else rows, self._stopping(held), run or Run())
        if held is not None and self._method != "none":
            self._calibrate(held)
        return self

    def _check_labels(self, rows: Rows) -> None:
        if not len(rows.label):
            raise DataError(f"{self.name} cannot learn from no rows")
        if not rows.features.names:
            raise DataError(f"{self.name} cannot learn from no features; look at what they were made of")
        if _alike(rows.label):
            raise DataError(
                f"all {len(rows.label):,} rows have the label {rows.label[0]:g}; a ranker learns to tell apart what "
                "was wanted from what was not, so both are needed: look at how candidates and targets were made"
            )

    def _check_lists(self, rows: Rows) -> None:
        """An order is only told by queries that have rows of different labels."""
        lengths = np.diff(rows.features.offsets)
        n, telling = int((lengths > 0).sum()), int(rows.telling().sum())
        if not telling:
            raise DataError(
                f"{self.name} learns the order inside queries, and none of these {n:,} has rows of two different "
                f"labels (the longest has {int(lengths.max()):,} rows); set objective = 'chance' in its settings to "
                "learn from each row by itself, or give lists in which something was wanted and something was not"
            )
        if telling < FEW * n:
            logger.warning(
                "%s: an order is learnt from %d of %d queries, as the others have rows of one label alone; "
                "objective = 'chance' learns from all rows",
                self.name,
                telling,
                n,
            )

    def _held_rows(self, validation: Rows, names: Sequence[str]) -> Rows | None:
        """The validation rows with the features of these names; None where all of them are alike."""
        if len(validation):
            self._check(validation, "validation rows")
            if not all(_alike(column) for column in self._happened(validation)):
                return replace(validation, features=validation.features.as_named(names))
        logger.warning("%s: the validation rows are of one label, and cannot say when to stop", self.name)
        return None

    def _stopping(self, held: Rows | None) -> Rows | None:
        """The validation rows, if they say when to stop: of an order, lists of one row or label say nothing."""
        if held is None or not self.learns_order or held.telling().any():
            return held
        logger.warning(
            "%s: no query of the validation rows has rows of two different labels; they cannot say when to stop",
            self.name,
        )
        return None

    def _happened(self, rows: Rows) -> list[FloatVector]:
        """(n,) each: what became of rows, for each of what is `foretold`."""
        return [rows.outcomes[name] for name in self.learnt_outcomes] or [rows.label] * len(self.foretold)

    @property
    def _method(self) -> chances.Method:
        found: chances.Method = getattr(self.config, "calibration", "none")
        return found

    def _check_calibration(self, held: Rows | None) -> None:
        if held is None:
            raise DataError(
                f"{self.name} is to give chances (calibration={self._method}) and got no validation rows of both "
                "labels to learn them from; give fit some, or leave calibration at 'none'"
            )
        for name, column in zip(self.foretold, self._happened(held), strict=True):
            if _alike(column):
                raise DataError(
                    f"{self.name} is to give chances (calibration={self._method}), and {name!r} "
                    f"{'always' if column[0] else 'never'} happens in the {len(held):,} validation rows; give fit some "
                    "in which it does and does not happen, or leave calibration at 'none'"
                )

    def _calibrate(self, held: Rows) -> None:
        labels, said = self._happened(held), self._said(held.features)
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
        known = features.as_named(self.features)
        self._check_buckets(known)
        said = self._said(known)
        if not self.chance_map.size:
            return said
        columns = [chances.apply(self._method, one, said[:, at]) for at, one in enumerate(self.chance_map)]
        return np.stack(columns, 1)

    def _check_buckets(self, features: FeatureTable) -> None:
        for name, learnt, now in zip(self.features, self.buckets, _buckets(features), strict=True):
            if learnt != now:
                raise DataError(
                    f"feature {name!r} has {now or 'no'} categories and the ranker has learnt from {learnt or 'none'}, "
                    "of which numbers mean others; make both tables with the same `buckets`"
                )

    def predict(self, features: FeatureTable) -> DoubleVector:
        """(n,) what each candidate is worth.

        Raises:
            NotFittedError: before `fit`.
            DataError: a feature that was learnt from is not there, or has other categories.
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


def _alike(column: FloatVector) -> bool:
    """Whether all are the same."""
    return bool((column == column[0]).all())


def ordered(names: Sequence[str], amounts: AnyArray) -> dict[str, float]:
    """Names by amounts, the largest first, as parts of their sum."""
    total = float(np.sum(amounts)) or 1.0
    order = np.argsort(-np.asarray(amounts), kind="stable")
    return {names[at]: float(amounts[at]) / total for at in order}


def _buckets(table: FeatureTable) -> list[str]:
    """How many values each column of categories may have, as text; "" for numbers."""
    return [str(table.sizes[name]) if name in table.sizes else "" for name in table.names]
