"""RQ-KMeans: k-means of the vectors, then of what is left of them, level by level.

Residual quantisation (Chen, Guan and Wang, Sensors 2010) with k-means at each level, as QARM (Luo et al., 2024,
arXiv:2411.11739) and OneRec (Deng et al., 2025, arXiv:2502.18965) make their codes. The first digit says most, each one
after it refines. No net is trained, and nearly all values of a digit are used.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix
from zhiyin.run import Run
from zhiyin.semantic_ids._kmeans import Clusters, KMeansConfig, kmeans, nearest
from zhiyin.semantic_ids._residual import residual_codes, residual_sum
from zhiyin.semantic_ids.base import Codebook


class ResidualKMeansConfig(KMeansConfig):
    """Settings of `residual_kmeans`."""


class ResidualKMeans(Codebook):
    """A vector is the sum of one centre a level."""

    config: ResidualKMeansConfig
    learns = ("centres", "prices")
    centres: AnyArray
    """(levels, n_codes, d) float32."""
    prices: FloatMatrix
    """(levels, n_codes) what is added to the squared distances; zeros where codes are not balanced."""

    def _fit(self, vectors: FloatMatrix, run: Run) -> None:
        found, rest = [], vectors
        for level in run.progress.track(range(self.levels), self.levels, f"{self.name}: levels"):
            clusters = kmeans(rest, self.config, run.generator(f"{self.name}: level {level}"), run)
            rest = rest - clusters.centres[nearest(rest, clusters)[0]]
            found.append(clusters)
        self.centres = np.stack([one.centres for one in found])
        self.prices = np.stack([one.prices for one in found])

    def _assign(self, vectors: FloatMatrix) -> IntMatrix:
        return residual_codes(vectors, [Clusters(*pair) for pair in zip(self.centres, self.prices, strict=True)])

    def _decode(self, codes: IntMatrix) -> FloatMatrix:
        return residual_sum(codes, self.centres)
