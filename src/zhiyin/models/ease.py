"""EASE: each item as a closed-form ridge regression on all others (Steck, WWW 2019).

With G = XᵀX + λI and P = G⁻¹, the weights are B = I - P / diag(P) (eq. 8): exact, no epochs, O(items³) time. The Gram
matrix, its Cholesky factor, its inverse and the weights take turns in the memory of one matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import blas, lapack

from zhiyin.arrays import AnyArray, FloatMatrix, IntVector
from zhiyin.config import Config, Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.models.base import Recommender
from zhiyin.retrieval.exact import NOTHING
from zhiyin.run import Run

SINGLE_LIMIT = 1e5
"""Up to this bound on the condition of the Gram matrix, float32 is precise enough (about three digits are left)."""
DENSE_SHARE = 0.08
"""From this share of filled places on, a product with a dense history block is faster than with a sparse one."""
SPARSE_COST = 250.0
"""How many times longer one multiplication of a sparse product takes than one of a dense product (measured)."""


class EASEConfig(Config):
    """Settings of `ease`."""

    regularization: float = setting(500.0, gt=0, search=Search(10, 5_000, log=True))
    """L2 weight on the diagonal of the item-item Gram matrix."""
    neighbours: int | None = setting(None, ge=1)
    """Keep only this many weights of each item, the largest in size, as a sparse matrix; None for all, dense."""
    memory_mib: int = setting(8192, ge=1)
    """The most memory that the item-item matrix may take, in MiB."""


class EASE(Recommender):
    """Score a history by `history @ weights`; what an event adds is a row of the weights."""

    config: EASEConfig
    learns = ("weights",)
    weights: Any
    """(n_items, n_items) float32, dense, or a sparse CSR array with `neighbours`; column i predicts item i."""

    def _fit(self, train: Dataset, validation: object, run: Run) -> None:
        taken = train.histories.matrix(train.n_items)
        single = condition_bound(taken, self.config.regularization) <= SINGLE_LIMIT
        self._check_memory(train.n_items, 4 if single else 12)
        gram = gram_matrix(taken if single else taken.astype(np.float64), run)
        weights = _weights(gram, self.config.regularization)
        k = self.config.neighbours
        self.weights = np.asarray(weights, np.float32) if k is None else _largest(weights, k)

    def _check_memory(self, n_items: int, bytes_per_weight: int) -> None:
        need = n_items**2 * bytes_per_weight / 2**20
        if need > self.config.memory_mib:
            raise DataError(
                f"ease needs a matrix of {n_items:,} x {n_items:,} items, {need:,.0f} MiB, and memory_mib = "
                f"{self.config.memory_mib:,}: raise memory_mib, keep fewer items, or take a model with neighbours only "
                "(item_knn) or with vectors (als)"
            )

    def _score(self, queries: Queries) -> FloatMatrix:
        taken = queries.histories.matrix(self.n_items)
        scores = _product(taken, self.weights)
        scores[~scores.any(axis=1)] = NOTHING  # an empty history, or one of items that training never met
        scores[:, self.popularity == 0] = NOTHING
        return scores

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        rows = self.weights[query.histories.item][:, items]
        dense = rows.toarray() if sparse.issparse(rows) else rows
        found: FloatMatrix = np.asarray(dense * query.histories.strength()[:, None], np.float32)
        return found


def _product(taken: sparse.csr_array, weights: Any) -> FloatMatrix:
    """(n_queries, n_items) float32, in C order."""
    if sparse.issparse(weights):
        product: FloatMatrix = (taken @ weights).toarray()
        return product
    if taken.nnz > DENSE_SHARE * taken.shape[0] * taken.shape[1]:
        return np.asarray(taken.toarray() @ weights, np.float32)
    return np.asarray(taken @ weights, np.float32)


def gram_matrix(taken: sparse.csr_array, run: Run) -> AnyArray:
    """(n_items, n_items) XᵀX of a sparse (n_users, n_items) X, of its type, in Fortran order; at least the lower half.

    The sparse product costs Σ_u length_u² slow steps, the dense one n_users · n_items² / 2 fast ones; the cheaper is
    taken, the sparse one in blocks of items, the dense one in blocks of users.
    """
    n_users, n_items = taken.shape
    lengths = np.diff(taken.indptr).astype(np.float64)
    gram: AnyArray = np.zeros((n_items, n_items), taken.dtype, order="F")
    if SPARSE_COST * (lengths**2).sum() < n_users * float(n_items) ** 2 / 2:
        by_item = taken.T.tocsr()
        step = run.block_rows((8 + 2 * taken.dtype.itemsize) * n_items)  # as if the sparse product had no zeros
        for start in range(0, n_items, step):
            gram[:, start : start + step] = (by_item[start : start + step] @ taken).toarray().T
        return gram
    update = blas.ssyrk if taken.dtype == np.float32 else blas.dsyrk
    step = run.block_rows(taken.dtype.itemsize * n_items)
    for start in range(0, n_users, step):
        block = taken[start : start + step].toarray()
        gram = update(1.0, block.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    return gram


def condition_bound(taken: sparse.csr_array, regularization: float) -> float:
    """An upper bound on the condition number of XᵀX + λI: the largest row sum of |X|ᵀ|X| + λI, over λ."""
    size = abs(taken)
    largest = float((size.T @ size.sum(axis=1)).max())
    return (largest + regularization) / regularization


def _weights(gram: AnyArray, regularization: float) -> AnyArray:
    """B = I - P / diag(P) in C order, written over the lower half of `gram` (n_items, n_items), in Fortran order."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += regularization
    factorise, invert = (lapack.spotrf, lapack.spotri) if gram.dtype == np.float32 else (lapack.dpotrf, lapack.dpotri)
    factor, failed = factorise(gram, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise DataError(f"the Gram matrix is not positive definite at item {failed}; raise regularization")
    inverse, _ = invert(factor, lower=1, overwrite_c=1)
    _mirror(inverse)
    weights: AnyArray = inverse.T  # symmetric, so the transpose is itself, in the order that rows are read in
    weights /= -weights[diagonal, diagonal]
    weights[diagonal, diagonal] = 0
    return weights


def _mirror(lower: AnyArray, step: int = 512) -> None:
    """Copy the lower triangle of a square matrix onto the upper one, in place, block by block."""
    for start in range(0, len(lower), step):
        stop = min(start + step, len(lower))
        lower[start:stop, stop:] = lower[stop:, start:stop].T
        corner = lower[start:stop, start:stop]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T


def _largest(weights: AnyArray, k: int) -> sparse.csr_array:
    """The `k` weights of each column that are largest in size; zeros are left out."""
    n_items = len(weights)
    k = min(k, n_items)
    places = np.empty((n_items, k), np.int64)
    for start in range(0, n_items, 512):
        block = np.abs(weights[:, start : start + 512]).T
        places[start : start + 512] = np.sort(np.argpartition(block, n_items - k, axis=1)[:, n_items - k :], axis=1)
    column = np.repeat(np.arange(n_items), k)
    row = places.ravel()
    kept = sparse.csr_array((np.asarray(weights[row, column], np.float32), (row, column)), shape=weights.shape)
    kept.eliminate_zeros()
    return kept
