"""Product quantisation: the vector cut into parts, and k-means of each part (Jegou, Douze and Schmid, TPAMI 2011).

Digits do not refine each other and have no order, so that a model may foretell all of them at once (RPG: Hou et al.,
KDD 2025, arXiv:2506.05781). Before the cut, vectors are turned onto their principal directions, which are dealt out so
that all parts vary alike: optimised product quantisation in its parametric form (Ge et al., CVPR 2013).
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, IntMatrix
from zhiyin.errors import DataError
from zhiyin.run import Run
from zhiyin.semantic_ids._kmeans import Clusters, KMeansConfig, kmeans, nearest
from zhiyin.semantic_ids.base import Codebook


class ProductQuantizerConfig(KMeansConfig):
    """Settings of `product_quantizer`."""

    rotate: bool = True
    """Whether principal directions are dealt out to the parts; otherwise each part has numbers that stand together."""


class ProductQuantizer(Codebook):
    """A vector is put together from one centre for each of its parts."""

    config: ProductQuantizerConfig
    learns = ("rotation", "centres", "prices")
    rotation: FloatMatrix
    """(d, levels * width) whose columns are the directions of the parts, or zeros where a part has fewer."""
    centres: AnyArray
    """(levels, n_codes, width) float32."""
    prices: FloatMatrix
    """(levels, n_codes) what is added to the squared distances; zeros where codes are not balanced."""

    def _fit(self, vectors: FloatMatrix, run: Run) -> None:
        if vectors.shape[1] < self.levels:
            raise DataError(
                f"{self.name} cuts vectors into {self.levels} parts, vectors of {vectors.shape[1]} came; set levels to "
                f"at most {vectors.shape[1]}"
            )
        self.rotation = dealt_out(vectors, self.levels) if self.config.rotate else cut(vectors.shape[1], self.levels)
        found = []
        for level in run.progress.track(range(self.levels), self.levels, f"{self.name}: parts"):
            part = vectors @ self._part(level)
            found.append(kmeans(part, self.config, run.generator(f"{self.name}: part {level}"), run))
        self.centres = np.stack([one.centres for one in found])
        self.prices = np.stack([one.prices for one in found])

    def _assign(self, vectors: FloatMatrix) -> IntMatrix:
        codes = np.empty((len(vectors), self.levels), np.int32)
        for level, (centres, prices) in enumerate(zip(self.centres, self.prices, strict=True)):
            codes[:, level] = nearest(vectors @ self._part(level), Clusters(centres, prices))[0]
        return codes

    def _decode(self, codes: IntMatrix) -> FloatMatrix:
        found = np.zeros((len(codes), len(self.rotation)), np.float32)
        for level, column in enumerate(codes.T):
            found += self.centres[level, column] @ self._part(level).T
        return found

    def _part(self, level: int) -> FloatMatrix:
        """(d, width) the directions of one part."""
        width = self.rotation.shape[1] // self.levels
        return self.rotation[:, level * width : (level + 1) * width]


def cut(n: int, parts: int) -> FloatMatrix:
    """(n, parts * width) the directions of numbers that stand together; parts differ by one number at most."""
    return _columns(np.eye(n), [list(part) for part in np.array_split(np.arange(n), parts)])


def dealt_out(vectors: FloatMatrix, parts: int) -> FloatMatrix:
    """(d, parts * width) the principal directions of (n, d) vectors of mean 0, dealt out so that parts vary alike.

    From the largest variance on, each goes to the part with the smallest product of variances that has room.
    """
    gram = vectors.T @ vectors
    variances, directions = np.linalg.eigh(gram.astype(np.float64) / len(vectors))
    return _columns(directions[:, ::-1], shares(variances[::-1], parts))


def shares(variances: DoubleVector, parts: int) -> list[list[int]]:
    """For each part the places of its variances, which come in falling order."""
    least = max(float(variances[0]) * 1e-9, np.finfo(np.float64).tiny)
    weight = np.log(np.maximum(variances, least) / max(float(variances[-1]), least))  # none below 0
    places: list[list[int]] = [[] for _ in range(parts)]
    sums, room = np.zeros(parts), [len(one) for one in np.array_split(variances, parts)]
    for place in range(len(variances)):
        open_ = [part for part in range(parts) if len(places[part]) < room[part]]
        part = min(open_, key=lambda one: (sums[one], len(places[one])))
        places[part].append(place)
        sums[part] += weight[place]
    return places


def _columns(directions: AnyArray, places: list[list[int]]) -> FloatMatrix:
    """The directions at these places, part by part, each filled up with zeros to the same width."""
    width = max(map(len, places))
    found = np.zeros((len(directions), len(places), width), np.float32)
    for part, members in enumerate(places):
        found[:, part, : len(members)] = directions[:, members]
    return found.reshape(len(directions), -1)
