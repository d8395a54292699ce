"""k-means in numpy: greedy seeds, Lloyd's rounds in blocks, no empty clusters, and clusters of even size where asked.

Seeds: k-means++ (Arthur and Vassilvitskii, SODA 2007), of a few candidates each time the best. Rounds: Lloyd (IEEE
Transactions on Information Theory, 1982). Even sizes: each cluster has a price that is added to the squared distance.
The best clustering of given sizes is always one of prices (Aurenhammer, Hoffmann and Aronov, Algorithmica 1998), so
that the cluster of a vector still depends on nothing but the vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from zhiyin._parallel import in_blocks
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntVector
from zhiyin.config import setting
from zhiyin.run import Run, Silent
from zhiyin.semantic_ids.base import CodebookConfig

SEEDED_FROM = 32
"""Seeds are looked for among so many vectors for each code."""
TINY = 1e-5
"""Squared distances below this part of the mean square length are those of equal vectors, but for rounding."""
PRICED = 2**24
"""Prices are learnt from at most so many distances, which are held in memory."""
SETTLED = 5e-4
"""Rounds end when the error falls by no more than this part."""
FIRST, SOFT, LAST = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1), (0.1,), (0.1, 0.03, 0.01, 0.003)
"""How softly vectors are shared out among clusters of even size: before the rounds, in each, and after them."""
FIRST_STEPS, STEPS, LAST_STEPS = 8, 5, 30
"""How often prices move at one softness."""
LEAST = 1e-9
"""The load of a cluster that nothing reaches."""


class KMeansConfig(CodebookConfig):
    """Settings of codebooks that are made of k-means."""

    rounds: int = setting(25, ge=1)
    """Of moving each centre to the mean of its vectors, at most."""
    restarts: int = setting(1, ge=1)
    """How often to begin anew; the clusters of the smallest error are taken."""
    balanced: bool = False
    """Whether all values of a digit are to be used about equally often; less so where groups lie far apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Where clusters are, and what is added to the squared distances from there."""

    centres: FloatMatrix
    """(k, d)."""
    prices: FloatVector
    """(k,) zeros where clusters may have any size."""


def kmeans(vectors: FloatMatrix, config: KMeansConfig, generator: np.random.Generator, run: Run) -> Clusters:
    """The `n_codes` clusters of (n, d) vectors; of several beginnings the one with the smallest error."""
    quiet = replace(run, progress=Silent())
    found = [_once(vectors, config, generator, quiet) for _ in range(config.restarts)]
    return min(found, key=lambda pair: pair[1])[0]


def nearest(vectors: FloatMatrix, clusters: Clusters) -> tuple[IntVector, FloatVector]:
    """(n,) the cluster of each vector, and (n,) its squared distance from the centre, without the price."""
    costs = _costs(vectors, clusters)
    codes = costs.argmin(1).astype(np.int32)
    length = np.einsum("nd,nd->n", vectors, vectors)
    distances = np.take_along_axis(costs, codes[:, None], 1)[:, 0] - clusters.prices[codes] + length
    return codes, np.maximum(distances, 0)


def _costs(vectors: FloatMatrix, clusters: Clusters) -> FloatMatrix:
    """(n, k) squared distances with prices, less the squared length of the vector."""
    costs = vectors @ (-2 * clusters.centres.T)
    costs += np.einsum("kd,kd->k", clusters.centres, clusters.centres) + clusters.prices
    found: FloatMatrix = costs
    return found


def _once(
    vectors: FloatMatrix, config: KMeansConfig, generator: np.random.Generator, run: Run
) -> tuple[Clusters, float]:
    """The clusters from one beginning, and their mean squared error."""
    n = config.n_codes
    some = generator.permutation(len(vectors))
    none, priced = np.zeros(n, np.float32), vectors[some[: max(n, PRICED // n)]]
    if config.balanced:  # where many vectors are, many clusters are wanted
        clusters = evened(priced, Clusters(vectors[some[:n]], none), FIRST, FIRST_STEPS)
    else:
        clusters = Clusters(seeds(vectors[some[: SEEDED_FROM * n]], n, generator), none)
    before = np.inf
    for _ in range(config.rounds):
        codes, distances = _all_nearest(vectors, clusters, run)
        error = float(distances.mean(dtype=np.float64))
        if before - error <= SETTLED * error and np.bincount(codes, minlength=n).all():
            break
        clusters, before = replace(clusters, centres=_moved(vectors, codes, distances, clusters.centres)), error
        if config.balanced:
            clusters = evened(priced, clusters, SOFT, STEPS)
    if config.balanced:
        clusters = evened(priced, clusters, LAST, LAST_STEPS)
    _, distances = _all_nearest(vectors, clusters, run)
    return clusters, float(distances.mean(dtype=np.float64))


def seeds(vectors: FloatMatrix, n: int, generator: np.random.Generator) -> FloatMatrix:
    """(n, d) vectors far from each other: each is drawn by its squared distance from those before, the best of a few.

    Where fewer vectors than `n` differ, the last ones are zeros.
    """
    length = np.einsum("nd,nd->n", vectors, vectors)
    tiny, tries = TINY * length.mean(), 2 + int(np.log(n))
    chosen = [int(generator.integers(len(vectors)))]
    far = np.full(len(vectors), np.inf, np.float32)
    drawn = np.array(chosen)
    while True:
        distances = length[:, None] - 2 * (vectors @ vectors[drawn].T) + length[drawn]  # (n_vectors, tries)
        closer = np.minimum(far[:, None], np.where(distances > tiny, distances, 0))
        best = int(closer.sum(0, dtype=np.float64).argmin())
        far = closer[:, best]
        if len(drawn) > 1:
            chosen.append(int(drawn[best]))
        total = np.cumsum(far, dtype=np.float64)
        if len(chosen) == n or not total[-1] > 0:
            break
        drawn = np.searchsorted(total, generator.random(tries) * total[-1], side="right")
        drawn = np.minimum(drawn, len(vectors) - 1)
    found = np.zeros((n, vectors.shape[1]), np.float32)
    found[: len(chosen)] = vectors[chosen]
    return found


def _all_nearest(vectors: FloatMatrix, clusters: Clusters, run: Run) -> tuple[IntVector, FloatVector]:
    """`nearest` in blocks of bounded memory."""
    row_bytes = 4 * (2 * len(clusters.centres) + vectors.shape[1])
    parts = in_blocks(
        lambda start, stop: nearest(vectors[start:stop], clusters), len(vectors), row_bytes, run, "nearest"
    )
    return np.concatenate([codes for codes, _ in parts]), np.concatenate([distances for _, distances in parts])


def _moved(vectors: FloatMatrix, codes: IntVector, distances: FloatVector, centres: FloatMatrix) -> FloatMatrix:
    """Each centre at the mean of its vectors; one without any, at a vector that is served worst."""
    found, counts = means(vectors, codes, len(centres))
    empty = counts == 0
    found[empty] = centres[empty]
    return revived(found, empty, vectors, distances)


def revived(centres: FloatMatrix, dead: BoolVector, vectors: FloatMatrix, distances: FloatVector) -> FloatMatrix:
    """Centres of which the dead ones stand at the vectors that are farthest from their own; others stay."""
    tiny = TINY * np.einsum("nd,nd->n", vectors, vectors).mean()
    worst = np.argsort(-distances, kind="stable")[: np.count_nonzero(dead)]
    worst = worst[distances[worst] > tiny]
    found = centres.copy()
    found[np.flatnonzero(dead)[: len(worst)]] = vectors[worst]
    return found


def means(vectors: FloatMatrix, codes: IntVector, n: int) -> tuple[FloatMatrix, AnyArray]:
    """(n, d) the mean of the vectors of each code, zeros where there are none; (n,) how many there are."""
    counts = np.bincount(codes, minlength=n)
    order = np.argsort(codes, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(counts)])
    members = sparse.csr_array((np.ones(len(codes), np.float32), order, offsets), shape=(n, len(codes)))
    found: FloatMatrix = (members @ vectors) / np.maximum(counts, 1).astype(np.float32)[:, None]
    return found, counts


def evened(vectors: FloatMatrix, clusters: Clusters, softness: Sequence[float], steps: int) -> Clusters:
    """The clusters with prices by which each has about as many of these vectors as any other.

    Sinkhorn's scaling (Cuturi, NIPS 2013): a vector is shared out among clusters, the less so the smaller `softness`,
    and prices rise where more than an even share arrives. Softness is a part of the mean squared distance from the
    nearest centre; a small one is reached by way of larger ones.
    """
    costs = _costs(vectors, replace(clusters, prices=np.zeros_like(clusters.prices)))
    length = np.einsum("nd,nd->n", vectors, vectors)
    near = float(np.maximum(costs.min(1) + length, 0).mean(dtype=np.float64))
    even, prices = len(vectors) / len(clusters.centres), clusters.prices
    for soft in softness:
        unit = max(soft * near, TINY * float(length.mean()), float(np.finfo(np.float32).tiny))
        for _ in range(steps):
            shares = (costs + prices) / -unit
            shares -= shares.max(1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(1, keepdims=True)
            load = np.maximum(shares.sum(0, dtype=np.float64), LEAST)
            prices = prices + (unit * np.log(load / even)).astype(np.float32)
            prices -= prices.mean()
    return replace(clusters, prices=prices)
