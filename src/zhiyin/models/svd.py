"""SVD: biased matrix factorisation of ratings (Koren, Bell and Volinsky, IEEE Computer 2009, eq. 5).

A rating is predicted as μ + b_u + b_i + p_u·q_i. Users and items are solved in turn, each in closed form; a bare
history with values is folded in as training folds in its users. It predicts what a person would say of an item. As a
ranker it is weak: it does not ask whether the person would take the item at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, FloatVector, IntVector, LongVector, offsets_of
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.errors import DataError
from zhiyin.models._factors import Ridge
from zhiyin.models.base import RatingPredictor
from zhiyin.retrieval.exact import NOTHING
from zhiyin.run import Run


class SVDConfig(Config):
    """Settings of `svd`."""

    embedding_size: int = setting(16, ge=1, le=4096, search=Search(4, 128, log=True))
    """The length of a vector."""
    regularization: float = setting(10.0, gt=0, search=Search(1, 50, log=True))
    """L2 weight on each vector, as against one squared error."""
    bias_regularization: float = setting(5.0, gt=0, search=Search(0.5, 50, log=True))
    """L2 weight on each bias."""
    epochs: int = setting(15, ge=1, search=Search(5, 40))
    """How often users and items are solved in turn."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """Known values of one side: row `i` rated `other[offsets[i]:offsets[i + 1]]` with `value`, less the mean."""

    offsets: LongVector
    other: IntVector
    value: FloatVector

    def turned(self, n_others: int) -> Ratings:
        """The same ratings as rows of the other side."""
        owner = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))
        order = np.argsort(self.other, kind="stable")
        return Ratings(offsets_of(np.bincount(self.other, minlength=n_others)), owner[order], self.value[order])


class SVD(RatingPredictor):
    """Predict values by μ + b_u + b_i + p_u·q_i, and score by the prediction."""

    config: SVDConfig
    learns = ("item_vectors", "mean", "limits", "rated")
    item_vectors: FloatMatrix
    """(n_items, 1 + d) the bias b_i and the vector q_i of each item."""
    mean: FloatVector
    """(1,) μ, the mean of all values."""
    limits: FloatVector
    """(2,) the least and the greatest value; a prediction stays between them."""
    rated: LongVector
    """(n_items,) how many values are known of each item."""

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        known = _with_values(train.histories)
        if known.value is None or not known.n_events:
            raise DataError(
                f"svd learns from values (ratings), and {train.name!r} has none; give its events a column `value`, or "
                "take a model of implicit feedback such as als"
            )
        self.mean = np.array([known.value.mean(dtype=np.float64)], np.float32)
        self.limits = np.array([known.value.min(), known.value.max()], np.float32)
        self.rated = np.bincount(known.item, minlength=train.n_items).astype(np.int64)
        users = Ratings(known.offsets, known.item, known.value - self.mean[0])
        items = users.turned(train.n_items)
        width = self.config.embedding_size
        first = run.generator("svd").normal(0, 0.1, (train.n_items, width))
        self.item_vectors = np.column_stack([np.zeros(train.n_items), first]).astype(np.float32)
        for _ in run.progress.track(range(self.config.epochs), self.config.epochs, "svd: fit"):
            self.item_vectors = self._solve(items, self._solve(users, self.item_vectors))

    def _solve(self, ratings: Ratings, others: FloatMatrix) -> FloatMatrix:
        """(n, 1 + d) the bias and vector of each row, given those of the other side."""
        targets = ratings.value - others[ratings.other, 0]
        ones = np.ones(len(targets), np.float32)
        return Ridge(_beside_one(others), self._prior()).solve(ratings.offsets, ratings.other, ones, targets)

    def _prior(self) -> DoubleVector:
        width = self.item_vectors.shape[1] - 1
        return np.diag([self.config.bias_regularization] + [self.config.regularization] * width)

    def _encode(self, queries: Queries) -> FloatMatrix:
        """(n_queries, 1 + d) the bias b_u and the vector p_u of each history; zeros for an empty one."""
        known = _with_values(queries.histories)
        if known.value is None:
            if queries.histories.n_events:
                raise DataError(
                    "svd reads the values (ratings) of a history, and these have none; give them as in "
                    'Query.of(["item"], values=[4.0])'
                )
            return np.zeros((len(queries), self.item_vectors.shape[1]), np.float32)
        return self._solve(Ratings(known.offsets, known.item, known.value - self.mean[0]), self.item_vectors)

    def _score(self, queries: Queries) -> FloatMatrix:
        users = self._encode(queries)
        scores: FloatMatrix = users @ _beside_one(self.item_vectors).T
        scores += self.item_vectors[:, 0] + self.mean[0]
        scores[:, self.rated == 0] = NOTHING
        return scores

    def _predict(self, queries: Queries, items: IntVector) -> FloatVector:
        users = self._encode(queries)
        found: FloatVector = (users * _beside_one(self.item_vectors[items])).sum(axis=1)
        found += self.item_vectors[items, 0] + self.mean[0]
        clipped: FloatVector = np.clip(found, self.limits[0], self.limits[1])
        return clipped

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Event j adds t_j z_jᵀ A⁻¹ z_i to b_u + p_u·q_i: z = (1, q), t_j what μ + b_j leaves open, A the system."""
        history = query.histories
        shares = np.zeros((history.n_events, len(items)), np.float32)
        if history.value is None:
            return shares
        known = ~np.isnan(history.value)
        taken = self.item_vectors[history.item[known]].astype(np.float64)
        seen = _beside_one(taken)
        system = self._prior() + seen.T @ seen
        target = history.value[known] - self.mean[0] - taken[:, 0]
        toward = np.linalg.solve(system, _beside_one(self.item_vectors[items]).T.astype(np.float64))
        shares[known] = target[:, None] * (seen @ toward)
        return shares

    def _general_reason(self, item: int, query: Queries) -> Reason:
        value = float(self.mean[0] + self.item_vectors[item, 0])
        return Reason("popularity", value, text=f"valued at {value:.1f} by {int(self.rated[item]):,} events")


def _with_values(histories: Histories) -> Histories:
    """The histories with only the events whose value is known; as they are without a column of values."""
    return histories if histories.value is None else histories.keep(~np.isnan(histories.value))


def _beside_one(vectors: AnyArray) -> AnyArray:
    """The same rows with a 1 in place of the bias: what a row of the other side is multiplied with."""
    found = vectors.copy()
    found[:, 0] = 1
    return found
