"""Whitening: vectors on their leading directions, each of which then varies as much as any other.

What a language model says of texts lies in a narrow cone, and most of its variance in a few directions that all texts
share. Centred, rotated and scaled, texts use all of a space (Huang et al., EMNLP Findings 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector
from zhiyin.errors import ConfigError

SLIGHT = 1e-6
"""Directions with less than this part of the variance of the leading one are noise, and are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """The map (x - mean) @ directions, of which rows of length 1 are taken."""

    mean: FloatVector
    """(d,)."""
    directions: FloatMatrix
    """(d, s), the direction of most variance first, each scaled so that it has a variance of 1; zeros behind the last
    one that is more than noise."""

    @classmethod
    def fit(cls, vectors: FloatMatrix, size: int, scaled: bool = True) -> Whitening:
        """The `size` leading directions of vectors (n, d); rows of zeros say nothing and do not count.

        With `scaled` false, directions keep their variances (principal components), so that what is alike in the ways
        that tell most items apart stays alike.

        Raises:
            ConfigError: fewer than two different vectors came.
        """
        told = np.asarray(vectors)[np.asarray(vectors).any(1)]
        mean = told.mean(0, dtype=np.float64) if len(told) else np.zeros(vectors.shape[1])
        variances, found = np.linalg.eigh(_covariance(told, mean))
        variances, found = variances[::-1], found[:, ::-1]
        kept = int(np.count_nonzero(variances[:size] > SLIGHT * max(variances[0], 0)))
        if not kept or variances[0] <= 0:
            raise ConfigError(f"{len(told)} vectors came that say something, all alike; no direction tells them apart")
        directions = np.zeros((len(mean), size), np.float32)
        directions[:, :kept] = found[:, :kept] / (np.sqrt(variances[:kept]) if scaled else 1)
        return cls(mean.astype(np.float32), directions)

    def apply(self, vectors: FloatMatrix) -> FloatMatrix:
        """(n, s) float32, rows of length 1; zeros for rows of zeros."""
        told = np.asarray(vectors).any(1)
        found: AnyArray = (np.asarray(vectors) - self.mean) @ self.directions
        length = np.linalg.norm(found, axis=1, keepdims=True)
        unit: FloatMatrix = (found / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
        unit[~told] = 0
        return unit


def _covariance(vectors: FloatMatrix, mean: AnyArray, rows: int = 65_536) -> AnyArray:
    """(d, d) in blocks, so that no second copy of the vectors is made."""
    total = np.zeros((len(mean), len(mean)))
    for start in range(0, len(vectors), rows):
        block = vectors[start : start + rows] - mean
        total += block.T @ block
    return total / max(1, len(vectors))
