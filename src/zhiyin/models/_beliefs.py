"""Beliefs: where the vectors of one side of a rating matrix lie, and how sure that is; learnt from the other side.

A value is x = b_u + b_i + p_u·q_i plus noise of variance σ². A row of either side is z = (b, p); what it meets on the
other side is a = (1, q), with the bias b of its own that is taken off the value. With the other side held as it is
believed, the row's own belief is Gaussian and exact (Lim and Teh, KDD Cup 2007):

    C = (P + Σ_j E[a_j a_jᵀ] / σ²)⁻¹,    E[z] = C (P m + Σ_j (y_j E[a_j] - E[a_j b_j]) / σ²)

where m is what is expected of the row before it has said anything, and P how surely. Ridge regression on the means
alone takes uncertain vectors at their word; the covariances in E[a aᵀ] are what keeps rare items from being believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, IntVector, LongVector, offsets_of
from zhiyin.models._similarities import Sparse

FLOATS_AT_ONCE = 2**21
"""Systems are solved in blocks of about so many numbers."""

PRIOR_ROWS, PRIOR_VARIANCE = 5.0, 0.05
"""A covariance is learnt as if so many rows of this variance had been seen before, in units of the values' variance."""

FIRST_VARIANCE, FIRST_SPREAD = 0.3, 0.01
"""Before anything is learnt: how far rows may be from what is expected of them, and how unsure the vectors are that
items begin with. Where the first is small, vectors hardly leave zero, and learn slowly from there."""

LEAST_NOISE = 1e-3
"""Of the values' variance: where a model fits without error, its systems must stay solvable."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Values of one side: row `i` gave `value[offsets[i]:offsets[i + 1]]` to `other`."""

    offsets: LongVector
    other: IntVector
    value: DoubleVector

    def sums(self, of: AnyArray, weight: DoubleVector | None = None) -> AnyArray:
        """(n, d) the sums of some rows of the other side (n_others, d), each times its `weight` (n_events,)."""
        data = np.ones(len(self.other)) if weight is None else weight
        matrix: Sparse = sparse.csr_array((data, self.other, self.offsets), shape=(len(self.offsets) - 1, len(of)))
        found: AnyArray = matrix @ of
        return found

    def turned(self, n_others: int) -> Known:
        """The same as rows of the other side."""
        owner = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))
        order = np.argsort(self.other, kind="stable")
        return Known(offsets_of(np.bincount(self.other, minlength=n_others)), owner[order], self.value[order])

    def slice(self, start: int, stop: int) -> Known:
        """The rows `start` to `stop`."""
        low, high = self.offsets[start], self.offsets[stop]
        return Known(self.offsets[start : stop + 1] - low, self.other[low:high], self.value[low:high])


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """(n, k) means and (n, k, k) covariances of (bias, vector)."""

    mean: AnyArray
    spread: AnyArray

    def met(self) -> Met:
        """What the other side reads of it."""
        seen = self.mean.astype(np.float64)
        seen[:, 0] = 1
        spread = self.spread.astype(np.float64)
        bias, own = self.mean[:, :1].astype(np.float64), spread[:, 0].copy()
        spread[:, 0], spread[:, :, 0] = 0, 0
        products = seen * bias
        products[:, 1:] += own[:, 1:]
        square = bias[:, 0] ** 2 + own[:, 0]
        return Met(seen, seen[:, :, None] * seen[:, None, :] + spread, products, bias[:, 0], square)


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """One side as the other reads it."""

    seen: AnyArray
    """(n, k) E[a]."""
    squares: AnyArray
    """(n, k, k) E[a aᵀ]."""
    products: AnyArray
    """(n, k) E[a b]."""
    bias: DoubleVector
    """(n,) E[b]."""
    bias_square: DoubleVector
    """(n,) E[b²]."""

    def left(self, known: Known) -> DoubleVector:
        """(n_events,) E[(y - b)²], what the bias leaves open."""
        y, other = known.value, known.other
        found: DoubleVector = y**2 - 2 * y * self.bias[other] + self.bias_square[other]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What is expected of rows: `features @ weights`, with the precision (k, k) of the rest around it."""

    weights: AnyArray
    """(n_features, k), the first feature being 1."""
    precision: AnyArray

    @classmethod
    def first(cls, n_features: int, width: int) -> Prior:
        """Before anything is learnt: zero."""
        return cls(np.zeros((n_features, width)), np.eye(width) / FIRST_VARIANCE)

    @classmethod
    def of(cls, beliefs: Beliefs, features: FloatMatrix, seen: BoolVector, regularization: float) -> Prior:
        """The best one for what is believed of the rows that were `seen`; the weights by ridge regression."""
        told, mean = features[seen].astype(np.float64), beliefs.mean[seen].astype(np.float64)
        penalty = np.full(told.shape[1], regularization)
        penalty[0] = 1e-6
        weights = np.linalg.solve(told.T @ told + np.diag(penalty), told.T @ mean)
        rest = mean - told @ weights
        total = rest.T @ rest + beliefs.spread[seen].sum(0, dtype=np.float64)
        total[np.diag_indices_from(total)] += PRIOR_ROWS * PRIOR_VARIANCE
        precision = np.linalg.inv(total / (len(mean) + PRIOR_ROWS))
        return cls(weights.astype(np.float32), precision.astype(np.float32))


def believe(known: Known, met: Met, middle: AnyArray, precision: AnyArray, noise: float) -> tuple[Beliefs, float]:
    """What is believed of rows by what they said, and the sum of their expected squared errors.

    Args:
        known: their values, less the mean.
        met: the other side.
        middle: (n, k) m, what is expected of each row.
        precision: (k, k) P.
        noise: σ².
    """
    n, width = middle.shape
    mean, spread = np.zeros((n, width), np.float32), np.zeros((n, width, width), np.float32)
    flat, open_error, step = met.squares.reshape(-1, width**2), 0.0, max(1, FLOATS_AT_ONCE // width**2)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        some = known.slice(rows.start, rows.stop)
        squares = some.sums(flat).reshape(-1, width, width)
        target = some.sums(met.seen, some.value) - some.sums(met.products)
        inverse = np.linalg.inv(precision + squares / noise)
        found = np.einsum("nkl,nl->nk", inverse, middle[rows].astype(np.float64) @ precision + target / noise)
        mean[rows], spread[rows] = found, inverse
        open_error += float(met.left(some).sum() - 2 * (found * target).sum())
        open_error += float(np.einsum("nkl,nkl->", inverse + found[:, :, None] * found[:, None, :], squares))
    return Beliefs(mean, spread), open_error


def learn(
    known: Known, people: FloatMatrix, features: FloatMatrix, first: AnyArray, penalty: float, rounds: Iterable[object]
) -> tuple[Beliefs, Prior, float]:
    """Variational EM: users, what is expected of users, the noise, items, what is expected of items, in turn.

    Args:
        known: the values of users, less the mean, in units of their deviation.
        people: (n_users, f) the features of users, the first being 1.
        features: (n_items, c) those of items.
        first: (n_items, k) where items begin.
        penalty: L2 weight on what features weigh.
        rounds: as often as it has elements.

    Returns:
        What is believed of items, what is expected of users, and the noise.
    """
    n_items, width = first.shape
    by_item, noise = known.turned(n_items), 1.0
    said, rated = np.diff(known.offsets) > 0, np.diff(by_item.offsets) > 0
    of_users, of_items = Prior.first(people.shape[1], width), Prior.first(features.shape[1], width)
    items = Beliefs(first, np.tile(FIRST_SPREAD * np.eye(width), (n_items, 1, 1)))
    for _ in rounds:
        users, error = believe(known, items.met(), people @ of_users.weights, of_users.precision, noise)
        of_users = Prior.of(users, people, said, penalty)
        noise = max(error / len(known.value), LEAST_NOISE)
        items, _ = believe(by_item, users.met(), features @ of_items.weights, of_items.precision, noise)
        of_items = Prior.of(items, features, rated, penalty)
    return items, of_users, noise
