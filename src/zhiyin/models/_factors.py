"""Folding in: the vector of a history that training never saw, given the vectors of the items.

`Ridge` answers many small weighted ridge regressions at once, in closed form; `als` and `svd` are made of it.
`FactorRecommender` is the part that the models with item vectors share.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, FloatVector, IntMatrix, IntVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.errors import MissingExtra
from zhiyin.models.base import VectorRecommender
from zhiyin.retrieval.exact import NOTHING, search
from zhiyin.run import Run

BLOCK_BYTES = 8 * 2**20
"""The most memory for the gathered vectors of one block of histories."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Histories that are padded to one length: `rows` (m,) their numbers, `places` (m, length) where their events lie.

    A place of -1 is padding. The length depends on a history alone, so its answer does not depend on its neighbours.
    """

    rows: LongVector
    places: LongVector


def buckets(offsets: LongVector, bytes_per_event: int) -> Iterator[Bucket]:
    """Group non-empty histories by padded length (1, 2, 3, 4, 6, 8, 12, ...: at most a third is padding)."""
    lengths = np.diff(offsets)
    padded = _padded_length(lengths)
    for length in np.unique(padded[lengths > 0]):
        rows = np.flatnonzero((padded == length) & (lengths > 0))
        step = max(1, BLOCK_BYTES // int(length * bytes_per_event))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            places = offsets[some, None] + np.arange(length)
            yield Bucket(some, np.where(places < offsets[some + 1, None], places, -1))


def _padded_length(lengths: LongVector) -> LongVector:
    power = np.exp2(np.ceil(np.log2(np.maximum(lengths, 1)))).astype(np.int64)
    return np.where(lengths <= power * 3 // 4, np.maximum(power * 3 // 4, 1), power)


def gather(column: AnyArray, bucket: Bucket) -> AnyArray:
    """(m, length) the column's entries at the places of a bucket, 0 at padding."""
    return np.where(bucket.places >= 0, column[bucket.places], column.dtype.type(0))


class Ridge:
    """Many ridge regressions over the same vectors: x = (P + Σ_j w_j v_j v_jᵀ)⁻¹ Σ_j t_j v_j.

    P is the prior (d, d), and j runs over the events of a history. Everything is computed in coordinates in which P is
    the identity: there the systems are well conditioned (with P = VᵀV + λI no v_j is longer than 1) and float32 is
    enough. A history shorter than d is solved in its dual form, an (events, events) system: (I + W K) a = t and
    x = Vᵀ a, with K the products of its vectors.

    Args:
        vectors: (n_items, d) v.
        prior: (d, d) P, symmetric and positive definite.
    """

    def __init__(self, vectors: AnyArray, prior: AnyArray) -> None:
        self._root = cholesky(np.asarray(prior, np.float64), lower=True)
        self._white = self._whiten(vectors)

    def _whiten(self, vectors: AnyArray) -> FloatMatrix:
        turned = solve_triangular(self._root, np.asarray(vectors, np.float64).T, lower=True)
        return np.ascontiguousarray(turned.T, np.float32)

    def solve(self, offsets: LongVector, item: IntVector, weight: FloatVector, target: FloatVector) -> FloatMatrix:
        """(n, d) float32, one answer per history; zeros for an empty one.

        Args:
            offsets: (n + 1,) where each history begins in the flat arrays.
            item: (n_events,) the numbers of the vectors.
            weight: (n_events,) w, at least -1.
            target: (n_events,) t.
        """
        width = self._white.shape[1]
        found = np.zeros((len(offsets) - 1, width), np.float32)
        for bucket in buckets(offsets, 4 * width):
            vectors = self._white[gather(item, bucket)]
            answer = _dual if vectors.shape[1] < width else _primal
            found[bucket.rows] = answer(vectors, gather(weight, bucket), gather(target, bucket))
        turned = solve_triangular(self._root, found.T.astype(np.float64), lower=True, trans="T")
        return np.ascontiguousarray(turned.T, np.float32)


def _primal(vectors: AnyArray, weights: FloatMatrix, targets: FloatMatrix) -> FloatMatrix:
    """(m, d) from (m, length, d) vectors: one (d, d) system per history."""
    turned = vectors.transpose(0, 2, 1)
    return _solve(turned @ (vectors * weights[..., None]), (turned @ targets[..., None])[..., 0])


def _dual(vectors: AnyArray, weights: FloatMatrix, targets: FloatMatrix) -> FloatMatrix:
    """(m, d) from (m, length, d) vectors: one (length, length) system per history."""
    shares = _solve((vectors @ vectors.transpose(0, 2, 1)) * weights[..., None], targets)
    found: FloatMatrix = (shares[:, None, :] @ vectors)[:, 0]
    return found


def _solve(systems: AnyArray, right: FloatMatrix) -> FloatMatrix:
    """(m, n) the answers x of (I + system) x = right; writes over `systems` (m, n, n)."""
    diagonal = np.arange(systems.shape[1])
    systems[:, diagonal, diagonal] += 1
    solved: FloatMatrix = np.linalg.solve(systems, right[..., None])[..., 0]
    return solved


class FactorRecommender(VectorRecommender):
    """A vector model that keeps silent where it knows nothing.

    It says nothing about an item that no training event touched, and nothing to a history whose vector is zero
    throughout: to an empty one, or one of dislikes or of such items alone.

    A model calls `_prepare` when it is fitted, and may add to it what else it derives from the item vectors.
    """

    learns: ClassVar[tuple[str, ...]] = ("item_vectors",)

    _known: BoolVector
    """(n_items,) whether training says anything of the item."""

    def _prepare(self) -> None:
        """Derive what is not saved; called after fitting and after loading alike."""
        self._known = (self.popularity > 0) & self.item_vectors.any(axis=1)

    def _read(self, folder: Path) -> None:
        self._prepare()

    def _knows(self, items: IntVector) -> BoolVector:
        return np.take(self._known, items)

    def _score(self, queries: Queries) -> FloatMatrix:
        vectors = self._encode(queries)
        scores: FloatMatrix = vectors @ self.item_vectors.T
        scores[:, ~self._known] = NOTHING
        scores[~vectors.any(axis=1)] = NOTHING
        return scores

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        """The best of `_score`, without ever holding it."""
        allowed = self._known if allowed is None else allowed & self._known
        some = None if allowed.all() else allowed
        seen = block.histories if exclude_seen else None
        vectors = self._encode(block)
        items, scores = search(vectors, self.item_vectors, k, seen=seen, allowed=some, run=Run(threads=1))
        silent = ~vectors.any(axis=1)
        items[silent], scores[silent] = -1, np.nan
        return items, scores


def by_item(item: IntVector, strength: FloatVector) -> tuple[IntVector, DoubleVector, LongVector, DoubleVector]:
    """What one history says of each distinct item, and what each event has of that.

    Returns:
        (n,) the distinct items, (n,) their summed strength, (n_events,) the place of each event's item among them, and
        (n_events,) each event's part of its item's strength.
    """
    items, place = np.unique(item, return_inverse=True)
    total: DoubleVector = np.bincount(place, strength, len(items)).astype(np.float64)
    part: DoubleVector = np.divide(strength, total[place], out=np.zeros(len(place)), where=total[place] != 0)
    return items, total, place.astype(np.int64), part


def implicit_module(name: str, purpose: str) -> Any:
    """The module `implicit.cpu.<name>`.

    Raises:
        MissingExtra: the library is not installed.
    """
    try:
        return importlib.import_module(f"implicit.cpu.{name}")
    except ImportError as error:
        raise MissingExtra("factors", "implicit", purpose) from error


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run with one BLAS thread: `implicit` has threads of its own, and the two kinds get into each other's way."""
    from threadpoolctl import threadpool_limits  # comes with implicit

    with threadpool_limits(1, "blas"):
        yield


def each_epoch(run: Run, epochs: int, description: str) -> Callable[..., None]:
    """What `implicit` is to call after each epoch, so that the progress of the run goes on."""
    steps = run.progress.track(range(epochs), epochs, description)
    next(steps)

    def done(*_: object) -> None:
        next(steps, None)

    return done


def user_items(train: Dataset) -> sparse.csr_matrix:
    """(n_users, n_items) the summed strength of each pair, in the form that `implicit` takes."""
    return sparse.csr_matrix(train.histories.matrix(train.n_items))
