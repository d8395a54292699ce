"""Codes of residuals: each digit names the piece that is nearest to what the digits before have left."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import FloatMatrix, IntMatrix
from zhiyin.semantic_ids._kmeans import Clusters, nearest


def residual_codes(vectors: FloatMatrix, levels: list[Clusters]) -> IntMatrix:
    """(n, levels) the codes of vectors."""
    rest, codes = vectors, np.empty((len(vectors), len(levels)), np.int32)
    for level, clusters in enumerate(levels):
        codes[:, level] = nearest(rest, clusters)[0]
        rest = rest - clusters.centres[codes[:, level]]
    return codes


def residual_sum(codes: IntMatrix, centres: FloatMatrix) -> FloatMatrix:
    """(n, d) the sum of the pieces that codes (n, at most levels) name, of centres (levels, n_codes, d)."""
    found = np.zeros((len(codes), centres.shape[2]), np.float32)
    for level, column in enumerate(codes.T):
        found += centres[level, column]
    return found
