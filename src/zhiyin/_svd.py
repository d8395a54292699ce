"""The leading singular vectors of a large sparse matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import FloatMatrix

if TYPE_CHECKING:
    from scipy import sparse

MORE = 8
"""Directions that are followed beyond those that are asked for."""

ROUNDS = 4
"""Of the power iteration."""


def right_vectors(matrix: sparse.csr_array, n: int, generator: np.random.Generator) -> FloatMatrix:
    """(columns, at most n) the leading right singular vectors of a matrix, of length 1 each.

    A randomised SVD with power iteration (Halko, Martinsson and Tropp, SIAM Review 2011, alg. 4.4 and 5.1): its time
    is known beforehand, and it needs no more than some thin matrices.
    """
    most = min(matrix.shape)
    width = min(most, n + MORE)
    basis = generator.standard_normal((matrix.shape[1], width), np.float32)
    for _ in range(ROUNDS):
        basis = np.linalg.qr(matrix.T @ np.linalg.qr(matrix @ basis)[0])[0]
    # matrix @ basis = U S W^T, so that basis @ W holds right singular vectors; W from the small Gram matrix
    thin = matrix @ basis
    rotation = np.linalg.eigh((thin.T @ thin).astype(np.float64))[1][:, ::-1]
    found: FloatMatrix = basis @ rotation[:, : min(n, most)].astype(np.float32)
    return found
