"""ALS: matrix factorisation of implicit feedback (Hu, Koren and Volinsky, ICDM 2008), over the library `implicit`.

`implicit` learns the item vectors. Ours is the rest: any bare history is folded in by the exact closed form (eq. 4),
and every score is taken apart into what each event adds to it (eq. 7). A saved model needs no `implicit`.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, IntVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.models._factors import (
    FactorRecommender,
    Ridge,
    by_item,
    each_epoch,
    implicit_module,
    one_blas_thread,
    user_items,
)
from zhiyin.run import Run


class ALSConfig(Config):
    """Settings of `als`."""

    embedding_size: int = setting(64, ge=1, le=4096, search=Search(16, 256, log=True))
    """The length of a vector."""
    regularization: float = setting(0.05, gt=0, search=Search(1e-3, 10, log=True))
    """L2 weight on the vectors."""
    alpha: float = setting(10.0, gt=0, search=Search(1, 100, log=True))
    """Confidence of an event of strength 1, where a pair without an event has confidence 1."""
    epochs: int = setting(15, ge=1, search=Search(5, 50))
    """How often users and items are solved in turn."""


class ALS(FactorRecommender):
    """Score by x·y, where y are learnt item vectors and x is the exact least-squares vector of the history.

    With confidence c_j = alpha * strength of history item j, x = (YᵀY + Σ_j (c_j - 1) y_j y_jᵀ + λI)⁻¹ Σ_j c_j y_j. As
    in `implicit`, an event of negative strength is a dislike held with confidence |c_j|.
    """

    config: ALSConfig
    _prior: AnyArray
    _ridge: Ridge

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        library = implicit_module("als", "als (fitting)")
        with one_blas_thread():
            model = library.AlternatingLeastSquares(
                factors=self.config.embedding_size,
                regularization=self.config.regularization,
                alpha=self.config.alpha,
                iterations=self.config.epochs,
                num_threads=run.threads,
                random_state=int(run.generator("als").integers(2**31)),
            )
            model.fit(user_items(train), show_progress=False, callback=each_epoch(run, self.config.epochs, "als: fit"))
        self.item_vectors = np.asarray(model.item_factors, np.float32)
        self._prepare()

    def _prepare(self) -> None:
        super()._prepare()
        vectors = self.item_vectors.astype(np.float64)
        self._prior = vectors.T @ vectors + self.config.regularization * np.eye(vectors.shape[1])
        self._ridge = Ridge(self.item_vectors, self._prior)

    def _encode(self, queries: Queries) -> FloatMatrix:
        taken = queries.histories.matrix(self.n_items)
        confidence = self.config.alpha * taken.data
        weight, target = np.abs(confidence) - 1, np.maximum(confidence, 0)
        return self._ridge.solve(taken.indptr.astype(np.int64), taken.indices, weight, target)

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Hu et al., eq. 7: event j adds c_j y_jᵀ A⁻¹ y_i to the score of item i, with A the system of the history."""
        taken, strength, place, part = by_item(query.histories.item, query.histories.strength())
        vectors = self.item_vectors[taken].astype(np.float64)
        confidence = self.config.alpha * strength
        system = self._prior + vectors.T @ (vectors * (np.abs(confidence) - 1)[:, None])
        seen_from = np.linalg.solve(system, self.item_vectors[items].T.astype(np.float64))
        shares = np.maximum(confidence, 0)[:, None] * (vectors @ seen_from)
        found: FloatMatrix = (shares[place] * part[:, None]).astype(np.float32)
        return found
