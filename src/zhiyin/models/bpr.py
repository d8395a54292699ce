"""BPR: matrix factorisation for pairwise ranking (Rendle et al., UAI 2009), over the library `implicit`.

`implicit` learns the vectors, but cannot score a history that it never saw. Ours does: it maximises the very objective
of the training (BPR-Opt, section 4) over the history's vector alone, with the item vectors fixed. That is a convex
problem of `embedding_size` unknowns; a few damped Newton steps solve it. A saved model needs no `implicit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector, IntVector, LongVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Queries
from zhiyin.errors import DataError
from zhiyin.models._factors import (
    FactorRecommender,
    buckets,
    by_item,
    each_epoch,
    gather,
    implicit_module,
    one_blas_thread,
    user_items,
)
from zhiyin.run import Run

NEWTON_STEPS = 3
CG_STEPS = 3
"""Three steps of three leave the objective within 0.0005 of its optimum, from a start that was learnt (measured)."""


class BPRConfig(Config):
    """Settings of `bpr`."""

    embedding_size: int = setting(64, ge=1, le=4096, search=Search(16, 256, log=True))
    """The length of a vector, without the item's bias."""
    learning_rate: float = setting(0.05, gt=0, search=Search(1e-3, 0.2, log=True))
    """Step size of the stochastic gradient descent."""
    regularization: float = setting(0.01, gt=0, search=Search(1e-4, 0.1, log=True))
    """L2 weight on the vectors, for each sampled pair."""
    epochs: int = setting(100, ge=1, search=Search(20, 300, log=True))
    """How often as many pairs are drawn as there are events."""
    n_negatives: int = setting(128, ge=1)
    """How many items, drawn by popularity as in training, a history is compared with when it is folded in."""


class BPR(FactorRecommender):
    """Score by x·y + b: y and b were learnt, x maximises the mean of ln σ(score of a history item - score of another).

    An event of strength 0 or less is no like and takes no part.
    """

    config: BPRConfig
    learns = ("item_vectors", "negatives", "start")
    negatives: IntVector
    """(n_negatives,) the items that every history is compared with, but for those it holds."""
    start: FloatMatrix
    """(d + 2, d) the linear map from `_features` of a history to the vector that training gave its user."""

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        taken = _likes(user_items(train))
        if not taken.nnz:
            raise DataError(f"bpr cannot learn from {train.name!r}: every event has a strength of 0 or less")
        model = self._learn(taken, run)
        self.item_vectors = np.asarray(model.item_factors, np.float32)
        self.start = _start(taken, self.item_vectors[:, :-1], np.asarray(model.user_factors)[:, :-1])
        chance = np.bincount(taken.indices, minlength=train.n_items) / taken.nnz
        draw = run.generator("bpr negatives").choice(train.n_items, self.config.n_negatives, p=chance)
        self.negatives = np.sort(draw).astype(np.int32)

    def _learn(self, taken: sparse.csr_matrix, run: Run) -> Any:
        library = implicit_module("bpr", "bpr (fitting)")
        with one_blas_thread():
            model = library.BayesianPersonalizedRanking(
                factors=self.config.embedding_size,
                learning_rate=self.config.learning_rate,
                regularization=self.config.regularization,
                iterations=self.config.epochs,
                num_threads=1,  # its threads race, and the same seed would not give the same vectors
                random_state=int(run.generator("bpr").integers(2**31)),
            )
            model.fit(taken, show_progress=False, callback=each_epoch(run, self.config.epochs, "bpr: fit"))
        return model

    def _encode(self, queries: Queries) -> FloatMatrix:
        """(n_queries, embedding_size + 1); the last place is 1, for the bias."""
        taken = _likes(queries.histories.matrix(self.n_items))
        found = np.ones((len(queries), self.item_vectors.shape[1]), np.float32)
        found[np.diff(taken.indptr) == 0, :-1] = 0
        for rows, pairs in self._pairs(taken):
            start = _features(pairs.mean_like(), np.diff(taken.indptr)[rows]) @ self.start
            found[rows, :-1] = maximise(pairs, start, self.config.regularization, NEWTON_STEPS, CG_STEPS)
        return found

    def _pairs(self, taken: sparse.csr_array) -> Iterator[tuple[LongVector, Pairs]]:
        """The comparisons of all histories that like anything, in buckets, with the numbers of their histories."""
        against = self.item_vectors[self.negatives]
        ones = np.ones(taken.nnz, np.float32)
        for bucket in buckets(taken.indptr.astype(np.int64), 4 * (2 * against.shape[1] + 4 * len(against))):
            like = _mean(gather(ones, bucket))
            other = _mean(np.asarray(taken[bucket.rows][:, self.negatives].toarray() == 0, np.float32))
            vectors = self.item_vectors[gather(taken.indices, bucket)]
            yield bucket.rows, Pairs(vectors[..., :-1], vectors[..., -1], like, against[:, :-1], against[:, -1], other)

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """At the optimum λx = Σ_ij p_ij (y_i - y_j), with p_ij the pull of a comparison: each item i has a summand."""
        shares = np.zeros((self.n_items, len(items)))
        taken = _likes(query.histories.matrix(self.n_items))
        for _, pairs in self._pairs(taken):
            start = np.zeros((1, pairs.others.shape[1]), np.float32)
            x = maximise(pairs, start, self.config.regularization, steps=20, cg_steps=20)
            pull = pairs.pull(pairs.wrong(x))[0][: taken.nnz]
            own = pull.sum(1)[:, None] * pairs.likes[0][: taken.nnz] - pull @ pairs.others
            shares[taken.indices] = own @ self.item_vectors[items, :-1].T / self.config.regularization
        _, _, _, part = by_item(query.histories.item, np.maximum(query.histories.strength(), 0))
        found: FloatMatrix = (shares[query.histories.item] * part[:, None]).astype(np.float32)
        return found


def _likes(taken: Any) -> Any:
    """The same sparse matrix with 1 where the strength is positive, and nothing elsewhere."""
    taken = taken.copy()
    taken.data = (taken.data > 0).astype(np.float32)
    taken.eliminate_zeros()
    return taken


def _features(mean: FloatMatrix, length: AnyArray) -> FloatMatrix:
    """(n, d + 2): the mean vector of a history's items, 1, and the logarithm of their number."""
    return np.column_stack([mean, np.ones(len(mean)), np.log(np.maximum(length, 1))]).astype(np.float32)


def _start(taken: sparse.csr_matrix, vectors: FloatMatrix, users: FloatMatrix) -> FloatMatrix:
    """(d + 2, d) the ridge regression of the trained users' vectors on the features of their histories."""
    length = np.diff(taken.indptr)
    mean = (taken @ vectors) / np.maximum(length, 1)[:, None]
    known = length > 0
    features = _features(mean, length)[known].astype(np.float64)
    system = features.T @ features + 1e-4 * known.sum() * np.eye(features.shape[1])
    found: FloatMatrix = np.linalg.solve(system, features.T @ users[known]).astype(np.float32)
    return found


def _mean(weight: FloatMatrix) -> FloatMatrix:
    """Weights (m, n) scaled to a sum of 1; zeros stay zeros."""
    total = weight.sum(axis=1, keepdims=True)
    found: FloatMatrix = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    return found


@dataclass(frozen=True, slots=True)
class Pairs:
    """The comparisons of m histories, each of `length` items with the same `n` negatives.

    `likes` (m, length, d), `like_bias` (m, length) and `like_weight` (m, length) with sum 1; `others` (n, d),
    `other_bias` (n,) and `other_weight` (m, n) with sum 1, or 0 throughout for a history that holds all negatives.
    """

    likes: AnyArray
    like_bias: FloatMatrix
    like_weight: FloatMatrix
    others: FloatMatrix
    other_bias: FloatVector
    other_weight: FloatMatrix

    def mean_like(self) -> FloatMatrix:
        """(m, d) the mean vector of each history's items."""
        return self.gathered(self.like_weight)

    def gathered(self, weight: FloatMatrix) -> FloatMatrix:
        """(m, d) the sum of each history's item vectors with weights (m, length)."""
        summed: FloatMatrix = (weight[:, None, :] @ self.likes)[:, 0]
        return summed

    def seen_by(self, x: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
        """(m, length) and (m, n) the products of x (m, d) with the likes and the negatives."""
        return (self.likes @ x[..., None])[..., 0], x @ self.others.T

    def wrong(self, x: FloatMatrix) -> AnyArray:
        """(m, length, n) σ(s_j - s_i): the chance of the wrong order of item i and negative j at `x` (m, d)."""
        like, other = self.seen_by(x)
        like += self.like_bias
        other += self.other_bias
        found: AnyArray = like[:, :, None] - other[:, None, :]
        np.minimum(found, 60, out=found)  # beyond, exp would soon overflow, and the chance is 0 either way
        np.exp(found, out=found)
        found += 1
        np.reciprocal(found, out=found)
        return found

    def pull(self, wrong: AnyArray) -> AnyArray:
        """(m, length, n) how strongly each comparison pulls at x: its weight times its chance of being wrong."""
        found: AnyArray = wrong * self.like_weight[:, :, None] * self.other_weight[:, None, :]
        return found

    def reach(self, move: FloatMatrix) -> FloatVector:
        """(m,) the most that `move` (m, d) changes the difference of any item and negative that are compared."""
        like, other = self.seen_by(move)
        liked, used = self.like_weight > 0, self.other_weight > 0
        low, high = (np.where(used, other, edge) for edge in (np.inf, -np.inf))
        up = np.where(liked, like, -np.inf).max(1) - low.min(1)
        down = high.max(1) - np.where(liked, like, np.inf).min(1)
        most: FloatVector = np.maximum(np.maximum(up, down), 0)
        return most


def maximise(pairs: Pairs, start: FloatMatrix, regularization: float, steps: int, cg_steps: int) -> FloatMatrix:
    """(m, d) x = argmin Σ_ij w_i v_j softplus(s_j - s_i) + λ/2 |x|², s = x·y + b: damped Newton steps from `start`.

    A step is shortened by ln(1 + r) / r, where r is the most that it changes any difference of scores: the logistic
    loss is generalised self-concordant, so the objective falls at each step, without a search along the line (Sun and
    Tran-Dinh, Mathematical Programming 2019). Newton's equation is solved by `cg_steps` conjugate gradients.
    """
    x = start.copy()
    for _ in range(steps):
        wrong = pairs.wrong(x)
        pull = pairs.pull(wrong)
        gradient = regularization * x - pairs.gathered(pull.sum(2)) + pull.sum(1) @ pairs.others
        move = Curvature.of(pairs, pull, wrong, regularization).solve(gradient, cg_steps)
        reach = np.maximum(pairs.reach(move), 1e-12)
        x -= move * (np.log1p(reach) / reach)[:, None]
    return x


@dataclass(frozen=True, slots=True)
class Curvature:
    """The Hessian of the objective at one point, as its product with a vector; `bend` (m, length, n) is its weight."""

    pairs: Pairs
    bend: AnyArray
    like: FloatMatrix
    other: FloatMatrix
    regularization: float

    @classmethod
    def of(cls, pairs: Pairs, pull: AnyArray, wrong: AnyArray, regularization: float) -> Curvature:
        """The curvature where the comparisons have these pulls and chances of being wrong; writes over `pull`."""
        pull *= 1 - wrong
        return cls(pairs, pull, pull.sum(2), pull.sum(1), regularization)

    def times(self, x: AnyArray) -> AnyArray:
        """(m, d) the Hessian times `x` (m, d): Σ_ij bend_ij (y_i - y_j) (y_i - y_j)·x + λx."""
        like, other = self.pairs.seen_by(x)
        on_like = self.like * like - (self.bend @ other[..., None])[..., 0]
        on_other = self.other * other - (like[:, None, :] @ self.bend)[:, 0]
        product: AnyArray = self.regularization * x + self.pairs.gathered(on_like) + on_other @ self.pairs.others
        return product

    def diagonal(self) -> AnyArray:
        """(m, d) about the diagonal of the Hessian, at least λ: what the steps are scaled with."""
        total = np.maximum(self.other.sum(1, keepdims=True), 1e-20)
        crossed = self.pairs.gathered(self.like) * (self.other @ self.pairs.others) / total
        likes = (self.like[:, None, :] @ self.pairs.likes**2)[:, 0]
        bent: AnyArray = np.maximum(likes + self.other @ self.pairs.others**2 - 2 * crossed, 0)
        return self.regularization + bent

    def solve(self, right: FloatMatrix, steps: int) -> FloatMatrix:
        """(m, d) the Hessian's inverse times `right` (m, d), by preconditioned conjugate gradients."""
        scale = 1 / self.diagonal()
        found, rest = np.zeros_like(right), right.copy()
        way = scale * rest
        size = (rest * way).sum(1, keepdims=True)
        for _ in range(steps):
            bent = self.times(way)
            step = size / np.maximum((way * bent).sum(1, keepdims=True), 1e-30)
            found += step * way
            rest -= step * bent
            next_size = (rest * scale * rest).sum(1, keepdims=True)
            way = scale * rest + way * (next_size / np.maximum(size, 1e-30))
            size = next_size
        return found
