"""BPR: matrix factorisation for pairwise ranking (Rendle et al., UAI 2009), over the library `implicit`.

`implicit` learns the vectors, but cannot score a history that it never saw. Ours reads a history as Koren does (KDD
2008, section 4.2) and Paterek before (KDD Cup 2007): by the sum of its items' vectors over the root of their number,
taken to where training puts such users by one linear map, which is fitted to them in closed form. A score is then a sum
over the history. A saved model needs no `implicit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, FloatMatrix, IntVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.models._factors import FactorRecommender, by_item, each_epoch, implicit_module, one_blas_thread, user_items
from zhiyin.run import Run


class BPRConfig(Config):
    """Settings of `bpr`."""

    embedding_size: int = setting(64, ge=1, le=4096, search=Search(16, 256, log=True))
    """The length of a vector, without the item's bias."""
    learning_rate: float = setting(0.05, gt=0, search=Search(1e-3, 0.2, log=True))
    """Step size of the stochastic gradient descent."""
    regularization: float = setting(0.01, gt=0, search=Search(1e-4, 0.1, log=True))
    """L2 weight on the vectors, for each sampled pair; and on the map from histories to vectors, for each user."""
    epochs: int = setting(100, ge=1, search=Search(20, 300, log=True))
    """How often as many pairs are drawn as there are events."""


class BPR(FactorRecommender):
    """Score by x·y + b: y and b were learnt, and x = (Σ_j y_j / √n) M over the n different items j of the history.

    M is the ridge regression of the trained users' vectors on their own histories. Besides reading strangers, it ranks
    better than the trained vectors do (see docs/experiments.md). An event of strength 0 or less is no like and takes no
    part, nor does one on an item that nobody liked in training.
    """

    config: BPRConfig
    learns = ("item_vectors", "reading")
    reading: FloatMatrix
    """(d, d) M."""

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        taken = _likes(user_items(train))
        if not taken.nnz:
            raise DataError(f"bpr cannot learn from {train.name!r}: every event has a strength of 0 or less")
        model = self._learn(taken, run)
        self.item_vectors = np.asarray(model.item_factors, np.float32)
        liked = np.bincount(taken.indices, minlength=train.n_items) > 0
        self.item_vectors[~liked] = 0  # never drawn, so they are as random as they began
        users = np.asarray(model.user_factors)[:, :-1]
        self.reading = _reading(self._summed(taken), users, self.config.regularization)
        self._prepare()

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

    def _summed(self, taken: Any) -> FloatMatrix:
        """(n, d) Σ_j y_j / √n over the liked items (n, n_items) sparse 0/1 of each history; zeros without any."""
        number = np.maximum(np.diff(taken.indptr), 1)[:, None]
        found: FloatMatrix = ((taken @ self.item_vectors[:, :-1]) / np.sqrt(number)).astype(np.float32)
        return found

    def _encode(self, queries: Queries) -> FloatMatrix:
        """(n_queries, embedding_size + 1): x, and 1 for the bias; zeros throughout where nothing known is liked."""
        users = self._summed(self._known_likes(queries)) @ self.reading
        return np.column_stack([users, users.any(axis=1)]).astype(np.float32)

    def _known_likes(self, queries: Queries) -> sparse.csr_array:
        """(n_queries, n_items) sparse: 1 for each liked item that somebody liked in training."""
        known = queries.histories.keep(self._known[queries.histories.item])
        likes: sparse.csr_array = _likes(known.matrix(self.n_items))
        return likes

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Item j adds y_j M y_i / √n to the score of item i; its events share that by their strength."""
        history = query.histories
        _, _, _, part = by_item(history.item, np.maximum(history.strength(), 0))
        number = max(1, self._known_likes(query).nnz)
        vectors = self.item_vectors[history.item, :-1] @ self.reading / np.sqrt(number)
        found: FloatMatrix = (vectors @ self.item_vectors[items, :-1].T * part[:, None]).astype(np.float32)
        return found


def _likes(taken: Any) -> Any:
    """The same sparse matrix with 1 where the strength is positive, and nothing elsewhere."""
    taken = taken.copy()
    taken.data = (taken.data > 0).astype(np.float32)
    taken.eliminate_zeros()
    return taken


def _reading(summed: FloatMatrix, users: AnyArray, regularization: float) -> FloatMatrix:
    """(d, d) the ridge regression of vectors (n, d) on others (n, d), with an L2 weight for each of the n rows."""
    rows = summed.astype(np.float64)
    system = rows.T @ rows + regularization * len(rows) * np.eye(rows.shape[1])
    found: FloatMatrix = np.linalg.solve(system, rows.T @ users).astype(np.float32)
    return found
