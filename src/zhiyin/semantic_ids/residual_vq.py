"""RQ-VAE: a net that squeezes vectors, the residual codes of what it makes of them, and a net that brings them back.

Residual quantisation in the middle of an autoencoder (Zeghidour et al., SoundStream, TASLP 2021; Lee et al., CVPR
2022), as TIGER (Rajput et al., NeurIPS 2023, sec. 3.1) makes its codes: gradients pass straight through the codes (van
den Oord et al., NIPS 2017), centres begin with k-means, and those that nothing is near to begin anew elsewhere.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector, IntMatrix
from zhiyin.config import setting
from zhiyin.errors import MissingExtra
from zhiyin.run import Run
from zhiyin.semantic_ids._kmeans import Clusters
from zhiyin.semantic_ids._residual import residual_codes, residual_sum
from zhiyin.semantic_ids.base import Codebook, CodebookConfig


class ResidualVQConfig(CodebookConfig):
    """Settings of `residual_vq`."""

    embedding_size: int = setting(32, ge=1, le=4096)
    """To how many numbers a vector is squeezed."""
    hidden_size: int = setting(256, ge=1, le=65_536)
    """The width of the layers between."""
    n_layers: int = setting(2, ge=1, le=16)
    """How many layers squeeze, and how many bring back."""
    commitment: float = setting(0.25, ge=0)
    """Weight of the distance that squeezed vectors keep from their centres."""
    epochs: int = setting(60, ge=1)
    """How often all vectors are seen with codes."""
    warmup: int = setting(20, ge=0)
    """How often they are seen before there are codes."""
    batch_size: int = setting(256, ge=1)
    """Vectors that are seen at once."""
    learning_rate: float = setting(1e-3, gt=0)
    """Of Adam; it falls to zero along a cosine."""


class ResidualVQ(Codebook):
    """A vector is what a net makes of the sum of one centre a level. After `fit`, all is done in numpy."""

    config: ResidualVQConfig
    learns = ("centres", "weights")
    centres: AnyArray
    """(levels, n_codes, embedding_size) float32."""
    weights: FloatVector
    """(n_weights,) of both nets, layer by layer, those that squeeze first."""

    def _fit(self, vectors: FloatMatrix, run: Run) -> None:
        try:
            from zhiyin.semantic_ids._rqvae import train
        except ImportError:
            raise MissingExtra("sequence", "torch", f"the codebook {self.name}") from None
        self.centres, self.weights = train(vectors, self.config, shapes(self.config, vectors.shape[1]), run, self.name)

    def _assign(self, vectors: FloatMatrix) -> IntMatrix:
        none = np.zeros(self.config.n_codes, np.float32)
        squeezed = passed(vectors, self._layers()[: self.config.n_layers])
        return residual_codes(squeezed, [Clusters(centres, none) for centres in self.centres])

    def _decode(self, codes: IntMatrix) -> FloatMatrix:
        return passed(residual_sum(codes, self.centres), self._layers()[self.config.n_layers :])

    def _layers(self) -> list[FloatMatrix]:
        sizes = shapes(self.config, len(self.mean))
        ends = np.cumsum([rows * columns for rows, columns in sizes])
        pieces = np.split(self.weights, ends[:-1])
        return [piece.reshape(size) for piece, size in zip(pieces, sizes, strict=True)]


def shapes(config: ResidualVQConfig, width: int) -> list[tuple[int, int]]:
    """The shape (inputs + 1, outputs) of each layer, those that squeeze first; the last row is what is added."""
    sizes = [width, *(config.hidden_size for _ in range(config.n_layers - 1)), config.embedding_size]
    return [(before + 1, after) for way in (sizes, sizes[::-1]) for before, after in pairwise(way)]


def passed(vectors: FloatMatrix, layers: list[FloatMatrix]) -> FloatMatrix:
    """(n, outputs) what layers make of vectors; between them, what is negative becomes 0."""
    found = vectors
    for place, layer in enumerate(layers):
        found = (np.maximum(found, 0) if place else found) @ layer[:-1] + layer[-1]
    return found
