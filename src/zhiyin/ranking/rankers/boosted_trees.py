"""Boosted trees: the ranker to begin with; LightGBM, by pairs (LambdaRank) or by single rows.

LambdaRank (Burges, MSR-TR-2010-82) pushes each pair of a wanted and an unwanted candidate apart by what swapping them
would change of NDCG. Single rows learn a chance (log loss) or a value (squares).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from zhiyin.arrays import DoubleMatrix, DoubleVector, FloatMatrix, FloatVector, LongVector, offsets_of
from zhiyin.config import Search, setting
from zhiyin.errors import DataError, MissingExtra
from zhiyin.ranking.rankers._line import learn_line, on_line, terms
from zhiyin.ranking.rankers.base import Ranker, RankerConfig, Rows, ordered
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)

MOST_ROWS = 10_000
"""Of a query, for LambdaRank."""
LOOKED_AT = 2_000
"""Rows in which it is looked at what moves what is said, about."""
LINE_ROWS = 20
"""Rows of a list in the middle, from which a line is learnt where it is not said whether."""
HIGHEST, MOST_GRADES = 30, 1_000
"""The highest grade above the least one, or above 0, and how many different ones there may be."""


class BoostedTreesConfig(RankerConfig):
    """Settings of `boosted_trees`."""

    objective: Literal["order", "chance", "value"] = "order"
    """What is learnt: the order inside a query (LambdaRank; a grade counts 2^grade - 1, halves too), the chance of the
    label 1, or the label itself."""
    n_trees: int = setting(500, ge=1, search=Search(100, 2_000, log=True))
    """The most trees; with a validation part, only those up to where it is best there are kept."""
    learning_rate: float = setting(0.05, gt=0, le=1, search=Search(0.01, 0.3, log=True))
    """How much each tree counts."""
    n_leaves: int = setting(31, ge=2, le=131_072, search=Search(7, 255, log=True))
    """The most leaves of a tree."""
    least_rows: int = setting(50, ge=1, search=Search(10, 1_000, log=True))
    """A leaf has so many rows at least."""
    features_a_tree: float = setting(0.8, gt=0, le=1, search=Search(0.3, 1.0))
    """The part of the features that a tree may look at, drawn anew for each."""
    regularization: float = setting(1.0, ge=0, search=Search(0.01, 100, log=True))
    """L2 weight on the values of leaves."""
    line: bool | None = None
    """Whether trees begin where a weighted sum of all numbers ends, which is learnt first (a conditional logit; for the
    objective `order`). A tree knows a score in steps only: where one retriever is far ahead of the others, a line keeps
    what it says in all its detail, and trees mend it. None: where an order is learnt from lists of 20 rows or more, as
    shorter ones say little of how far apart candidates are. Weights of unwanted rows count in trees alone."""
    patience: int = setting(30, ge=1)
    """Learning stops after so many trees without a better validation."""

    @model_validator(mode="after")
    def _line_orders(self) -> Self:
        if self.line and self.objective != "order":
            raise ValueError(f"a line is for the objective 'order', {self.objective!r} came; leave one of the two out")
        return self


class BoostedTrees(Ranker):
    """Gradient boosted decision trees; missing values and categories as they are."""

    config: BoostedTreesConfig
    learns = ("trees", "levels", "level_offsets", "line", "moves")
    trees: list[str]
    """The model as LightGBM writes it, in one text."""
    levels: FloatVector
    """The values of the categories that are renumbered, rising, those of one feature after those of another."""
    level_offsets: LongVector
    """(n_features + 1,) where those of each feature begin; none for what is not renumbered."""
    line: DoubleMatrix
    """(3, n_features) where trees begin, see `zhiyin.ranking.rankers._line`; zeros where they begin at nothing."""
    moves: DoubleVector
    """(n_features,) how far each feature moves what is said, in the mean over rows; see `importance`."""
    _booster: Any = None

    @property
    def says_chances(self) -> bool:
        """Of the objective `chance`."""
        return self.config.objective == "chance"

    @property
    def learns_order(self) -> bool:
        """Of the objective `order`."""
        return self.config.objective == "order"

    def ready(self) -> None:
        """LightGBM is."""
        _lightgbm()

    def _check(self, rows: Rows, what: str) -> None:
        super()._check(rows, what)
        if self.learns_order:
            self._check_grades(rows.label, what)
            longest = int(np.diff(rows.features.offsets).max(initial=0))
            if longest > MOST_ROWS:
                raise DataError(
                    f"{self.name} learns the order inside queries of at most {MOST_ROWS:,} rows, and one in the {what} "
                    f"has {longest:,}; leave some of its unwanted rows out, by lot (or lower the quotas of a "
                    "pipeline), or set objective = 'chance' in its settings to learn from each row by itself"
                )

    def _check_grades(self, label: FloatVector, what: str) -> None:
        n, highest = len(np.unique(label)), float(label.max() - min(0, label.min()))
        if highest > HIGHEST or n > MOST_GRADES:
            raise DataError(
                f"{self.name} learns an order from grades up to {HIGHEST}, each one more counting twice as much, and "
                f"at most {MOST_GRADES:,} different ones; {n:,} from {label.min():g} to {label.max():g} are in the "
                f"{what}: divide or round them, or set objective = 'value' in its settings"
            )

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        self.levels, self.level_offsets = _levels(rows.features)
        parameters = self._parameters(run)
        self.line = np.zeros((3, len(rows.features.names)))
        if self.learns_order:
            rows, validation, parameters["label_gain"] = _graded(rows, validation)
        if self._begins_on_line(rows):
            gain = np.array(parameters["label_gain"])[rows.label.astype(np.int64)]
            self.line = learn_line(rows.features, gain, run.generator(f"{self.name}: line"), rows.weight)
        self._booster = self._learnt(parameters, rows, validation)
        logger.info("%s: %d trees", self.name, self._booster.best_iteration or self.config.n_trees)
        self.trees = [self._booster.model_to_string(num_iteration=self._booster.best_iteration or -1)]
        self.derive()
        self.moves = self._moves(rows.features)

    def _begins_on_line(self, rows: Rows) -> bool:
        if self.config.line is not None or not self.learns_order:
            return bool(self.config.line)
        lengths = np.diff(rows.features.offsets)[rows.telling()]
        return len(lengths) > 0 and bool(np.median(lengths) >= LINE_ROWS)

    def _learnt(self, parameters: dict[str, Any], rows: Rows, validation: Rows | None) -> Any:
        """What LightGBM makes of the rows."""
        lightgbm, own = _lightgbm(), self.config
        data = self._data(rows)
        kept = [] if validation is None else [self._data(validation, data)]
        stop = [lightgbm.early_stopping(own.patience, verbose=False)] if kept else []
        try:
            return lightgbm.train(parameters, data, num_boost_round=own.n_trees, valid_sets=kept, callbacks=stop)
        except lightgbm.basic.LightGBMError as error:
            raise DataError(
                f"LightGBM cannot learn from these {len(rows):,} rows of {len(rows.features.names)} features, and "
                f"says: {error}; look at their labels, weights and features, or use another ranker"
            ) from error

    def derive(self) -> None:
        """Make what is not saved."""
        lightgbm = _lightgbm()
        try:
            self._booster = lightgbm.Booster(model_str=self.trees[0])
        except lightgbm.basic.LightGBMError as error:
            raise DataError(f"the trees of this {self.name} are damaged ({error}); save it anew") from error

    def _data(self, rows: Rows, like: Any = None) -> Any:
        table = rows.features
        groups = np.diff(table.offsets) if self.learns_order else None
        return _lightgbm().Dataset(
            self._renumbered(table.values),
            rows.label,
            weight=rows.weight,
            group=None if groups is None else groups[groups > 0],
            init_score=on_line(self.line, table) if self.line.any() else None,
            reference=like,
            categorical_feature=table.categories,
            free_raw_data=False,
            params={"verbosity": -1},
        )

    def _parameters(self, run: Run) -> dict[str, Any]:
        own = self.config
        objective = {"order": "lambdarank", "chance": "binary", "value": "regression"}[own.objective]
        metric = {"order": "ndcg", "chance": "binary_logloss", "value": "l2"}[own.objective]
        return {
            "objective": objective,
            "metric": metric,
            "eval_at": [10],
            "learning_rate": own.learning_rate,
            "num_leaves": own.n_leaves,
            "min_data_in_leaf": own.least_rows,
            "feature_fraction": own.features_a_tree,
            "lambda_l2": own.regularization,
            "num_threads": run.threads,
            "seed": int(run.generator(self.name).integers(2**31)),
            "deterministic": True,
            "verbosity": -1,
        }

    def _predict(self, features: FeatureTable) -> DoubleVector:
        values = self._renumbered(features.values)
        found: DoubleVector = np.asarray(self._booster.predict(values, num_threads=1), np.float64)
        return found + on_line(self.line, features)

    def _renumbered(self, values: FloatMatrix) -> FloatMatrix:
        """The same with hashed categories as 0, 1, 2, ...; those that were not learnt from are missing."""
        columns = np.flatnonzero(np.diff(self.level_offsets))
        if not len(columns):
            return values
        found = values.copy()
        for at in columns:
            levels = self.levels[self.level_offsets[at] : self.level_offsets[at + 1]]
            place = np.minimum(np.searchsorted(levels, values[:, at]), len(levels) - 1)
            found[:, at] = np.where(levels[place] == values[:, at], place, np.nan)
        return found

    def _moves(self, table: FeatureTable) -> DoubleVector:
        """(n_features,) the mean distance of what a feature adds, in line and trees together, from its mean."""
        step = -(-len(table) // LOOKED_AT)
        some = table.take(np.arange(len(table.offsets) - 1) % step == 0)
        told = self._booster.predict(self._renumbered(some.values), pred_contrib=True, num_threads=1)[:, :-1]
        told = told + terms(self.line, some)
        found: DoubleVector = np.abs(told - told.mean(0)).mean(0)
        return found

    def importance(self) -> dict[str, float]:
        """How far each feature moves what is said, in the mean over some of the rows that taught.

        What each adds to a row in the trees is its Shapley value (Lundberg et al., "From local explanations to global
        understanding with explainable AI for trees", 2020), and on the line its term.
        """
        return ordered(self.features, self.moves)


def _graded(rows: Rows, validation: Rows | None) -> tuple[Rows, Rows | None, list[float]]:
    """Rows with grades numbered from 0, as LightGBM wants them, and what each grade counts: 2^grade - 1.

    Where grades are below 0, the least one counts nothing.
    """
    grades = np.unique(np.concatenate([rows.label, [] if validation is None else validation.label]))

    def numbered(some: Rows) -> Rows:
        return replace(some, label=np.searchsorted(grades, some.label).astype(np.float32))

    above = grades.astype(np.float64) - min(0.0, float(grades[0]))
    held = None if validation is None else numbered(validation)
    return numbered(rows), held, (2**above - 1).tolist()


def _levels(table: FeatureTable) -> tuple[FloatVector, LongVector]:
    """`levels` and `level_offsets`: LightGBM keeps a table up to the largest number, and hashed numbers are large."""
    found: list[FloatVector] = [np.zeros(0, np.float32)] * len(table.names)
    for at in table.categories:
        seen = np.unique(table.values[:, at])
        seen = seen[~np.isnan(seen)]
        if len(seen) and seen[-1] >= 2 * len(seen):
            found[at] = seen
    return np.concatenate(found), offsets_of(np.array([len(one) for one in found]))


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("rank", "lightgbm", "boosted_trees") from None
    return lightgbm
