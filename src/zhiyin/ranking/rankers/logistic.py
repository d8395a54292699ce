"""Logistic regression that can be read: the log-odds are a sum, one curve for each number, one step for each value.

A number is a line of pieces between its quantiles, so that what is not straight (an age, an hour, a price) needs no
expert; what is not known has a height of its own. So the model is a generalised additive one (Hastie & Tibshirani 1986)
with linear splines, learnt as one convex problem with one answer, by L-BFGS. Heights are penalised, so that a curve
stays at 0, which is the mean of all rows, where there is little to learn it from.
"""

from __future__ import annotations

import logging

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from zhiyin.arrays import AnyArray, DoubleVector
from zhiyin.config import Search, setting
from zhiyin.errors import DataError
from zhiyin.ranking.rankers._inputs import InputRanker, InputsConfig
from zhiyin.ranking.rankers.base import Rows, ordered
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 100_000


class LogisticConfig(InputsConfig):
    """Settings of `logistic`."""

    regularization: float = setting(1.0, gt=0, search=Search(0.01, 1_000, log=True))
    """L2 weight on heights, in rows."""
    iterations: int = setting(300, ge=1)
    """Of L-BFGS, at most."""


class Logistic(InputRanker):
    """Chances of the label 1, as a sum of what each feature says; see `curve`."""

    config: LogisticConfig
    learns = (*InputRanker.learns, "height", "constant", "spread", "kinds")
    height: DoubleVector
    """(n_columns,) the log-odds at each knot and for not knowing, number by number, then of each value, category by
    category."""
    constant: DoubleVector
    """(1,) the log-odds without any of them."""
    spread: DoubleVector
    """(n_features,) the standard deviation over the training rows of what each says, numbers first."""
    kinds: list[str]
    """The names of the features, numbers first."""

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        table = rows.features
        self.learn_inputs(table)
        self.kinds = [name for name in table.names if name not in table.sizes]
        self.kinds += [name for name in table.names if name in table.sizes]
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight.astype(np.float64)
        basis = sparse.vstack([self._basis(table, at) for at in _blocks(len(table))], "csr")
        self._solve(basis, rows.label.astype(np.float64), weight / weight.mean())
        self.spread = np.concatenate([self._summands(table, at) for at in _blocks(len(table))]).std(0)

    def _solve(self, basis: sparse.csr_array, label: DoubleVector, weight: DoubleVector) -> None:
        """Least loss; columns are measured in what their own curvature is at first, which L-BFGS needs to be quick."""
        turned, penalty = basis.T.tocsr(), self.config.regularization
        share = np.clip((weight * label).sum() / weight.sum(), 1e-6, 1 - 1e-6)
        curvature = share * (1 - share) * (turned.power(2) @ weight)
        unit = 1 / np.sqrt(curvature + penalty)

        def loss(given: DoubleVector) -> tuple[float, DoubleVector]:
            height = given[:-1] * unit
            odds = basis @ height + given[-1]
            residual = weight * (expit(odds) - label)
            value = (weight * (np.logaddexp(0, odds) - label * odds)).sum() + penalty / 2 * (height**2).sum()
            slope = unit * (turned @ residual + penalty * height)
            return value / len(label), np.append(slope, residual.sum()) / len(label)

        start = np.append(np.zeros(basis.shape[1]), np.log(share / (1 - share)))
        limits = {"maxiter": self.config.iterations, "ftol": 1e-9, "gtol": 1e-7}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=limits)
        logger.info("%s: %d iterations, log loss %.4f with its penalty", self.name, found.nit, found.fun)
        self.height, self.constant = found.x[:-1] * unit, found.x[-1:]

    # ------------------------------------------------------------------ columns

    @property
    def _size(self) -> int:
        """Columns of a number: its knots, and not knowing."""
        return int(self.knots.shape[1]) + 1

    def _entries(self, table: FeatureTable, block: slice) -> tuple[AnyArray, DoubleVector]:
        """(m, e) columns and what stands there: two knots for each number, one for each category."""
        some = FeatureTable(table.names, table.values[block], table.sizes, np.zeros(1, np.int64))
        numbers, categories = self.inputs.numbers(some), self.inputs.categories(some)
        places = [_hats(numbers[:, at], knots) for at, knots in enumerate(self.knots)]
        column = [at * self._size + np.stack([low, high], 1) for at, (low, high, _) in enumerate(places)]
        share = [np.stack([1 - part, part], 1) for _, _, part in places]
        start = len(self.knots) * self._size + np.concatenate([[0], np.cumsum(self.widths)[:-1]])
        column.append(categories + start[: len(self.widths)].astype(np.int64))
        share.append(np.ones(categories.shape))
        return np.concatenate(column, 1), np.concatenate(share, 1)

    def _basis(self, table: FeatureTable, block: slice) -> sparse.csr_array:
        """(m, n_columns) what the heights are weighed with."""
        column, share = self._entries(table, block)
        n, wide = len(self.knots) * self._size + int(self.widths.sum()), column.shape[1]
        offsets = np.arange(len(column) + 1) * wide
        parts = (share.astype(np.float32).ravel(), column.astype(np.int32).ravel(), offsets)
        return sparse.csr_array(parts, shape=(len(column), n))

    def _summands(self, table: FeatureTable, block: slice) -> AnyArray:
        """(m, n_features) what each feature adds to the log-odds, numbers first."""
        column, share = self._entries(table, block)
        each = self.height[column] * share
        pairs = 2 * len(self.knots)
        return np.concatenate([each[:, 0:pairs:2] + each[:, 1:pairs:2], each[:, pairs:]], 1)

    # ------------------------------------------------------------------ answering

    def _predict(self, features: FeatureTable) -> DoubleVector:
        parts = [self._summands(features, at).sum(1) for at in _blocks(len(features))]
        return np.asarray(expit(np.concatenate(parts) + self.constant[0]), np.float64)

    def importance(self) -> dict[str, float]:
        """By how far what a feature says differs from row to row."""
        return ordered(self.kinds, self.spread)

    def curve(self, feature: str) -> list[tuple[float, float]]:
        """What a number says: (value, log-odds) at its knots, and (NaN, log-odds) for not knowing it.

        Raises:
            DataError: there is no number of that name.
        """
        numbers = self.kinds[: len(self.knots)]
        if feature not in numbers:
            raise DataError(f"{feature!r} is no number that was learnt from; there are: {', '.join(numbers) or 'none'}")
        at = numbers.index(feature)
        heights = self.height[at * self._size : (at + 1) * self._size]
        points = dict(zip(self.knots[at].tolist(), heights[:-1].tolist(), strict=True))
        return [*points.items(), (float("nan"), float(heights[-1]))]


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(n, start + ROWS_AT_ONCE)) for start in range(0, n, ROWS_AT_ONCE)]


def _hats(values: AnyArray, knots: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """(n,) each: the knot below, the one above, and how far a value has come from one to the other.

    One that is not known stands at the column after the knots, one beyond the ends at the end. Knots that repeat the
    last one are never reached.
    """
    last = int(np.searchsorted(knots, knots[-1]))
    missing = np.isnan(values)
    held = np.clip(np.where(missing, knots[0], values), knots[0], knots[-1]).astype(np.float64)
    low = np.clip(np.searchsorted(knots[: last + 1], held, side="right") - 1, 0, max(0, last - 1))
    high = np.minimum(low + 1, last)
    width = (knots[high] - knots[low]).astype(np.float64)
    part = np.where(width > 0, (held - knots[low]) / np.where(width > 0, width, 1), 0.0)
    return np.where(missing, len(knots), low), np.where(missing, len(knots), high), part
