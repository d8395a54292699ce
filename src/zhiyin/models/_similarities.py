"""Similarities between sparse vectors: of items over their users, or of users over their items.

The vectors on the right are fixed and prepared once; those on the left come in blocks (items of the training data, or
the histories of queries). All sums are exact or are made in float64, so a similarity does not depend on the block
that it was computed in, and equal vectors are equally similar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import model_validator
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix, offsets_of
from zhiyin.config import Config, Search, setting
from zhiyin.retrieval.exact import NOTHING

Sparse: TypeAlias = Any
"""A scipy csr_array; scipy has no types."""

DENSE_SHARE = 0.1
"""A feature that more than this share of the vectors has is multiplied densely. One multiplication inside a BLAS
product takes about a hundredth of the time of one inside a sparse product, and it is made for share x share of all
pairs."""

DENSE_BYTES = 64 * 2**20
"""The most memory that the dense features may take."""

THIN_SHARE = 0.1
"""A product with fewer terms than this share of its places stays sparse."""

CHUNK_BYTES = 2**19
"""Element by element work is done on about this much at a time, so that it stays in the processor's cache."""

RATED = ("pearson", "adjusted_cosine")
SETS = ("jaccard", "log_likelihood")


class SimilarityConfig(Config):
    """What is compared, and how."""

    similarity: Literal["cosine", "dot", "adjusted_cosine", "pearson", "jaccard", "log_likelihood"] = "cosine"
    """How alike two vectors are. `pearson` and `adjusted_cosine` compare values (ratings); `jaccard` and
    `log_likelihood` compare only who met whom; `dot` is the product without normalisation."""
    signal: Literal["strength", "value", "deviation"] = "strength"
    """What `cosine` and `dot` compare: how much the events speak for the item, their values (ratings), or the values
    minus the mean of the own vector."""
    weighting: Literal["none", "bm25", "tfidf"] = "none"
    """How `strength` is weighted before `cosine` or `dot`. `dot` with `bm25` is Okapi BM25."""
    k1: float = setting(1.2, gt=0, search=Search(0.1, 200, log=True))
    """BM25: how soon more strength of one pair stops to count."""
    b: float = setting(0.75, ge=0, le=1, search=Search(0, 1))
    """BM25: how much long vectors are discounted."""
    shrinkage: float = setting(0.0, ge=0, search=Search(0, 100))
    """Similarities that rest on n common entries are multiplied by n / (n + shrinkage)."""
    minimum_overlap: int = setting(1, ge=1)
    """Two vectors with fewer common entries are not similar at all."""

    @model_validator(mode="after")
    def _weighting_fits(self) -> SimilarityConfig:
        fits = self.similarity in ("cosine", "dot") and self.signal == "strength"
        if self.weighting != "none" and not fits:
            raise ValueError(
                f"weighting = {self.weighting} is for similarity = cosine or dot of signal = strength, not for "
                f"{self.similarity} of {self.signal}"
            )
        return self

    @property
    def needs_values(self) -> bool:
        """Whether the similarity is one of values, which the events must then have."""
        return self.similarity in RATED or (self.similarity not in SETS and self.signal != "strength")


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Vectors to compare, the rows of (n, n_features) sparse float32, and how much each entry counts (None: 1)."""

    vectors: Sparse
    weight: AnyArray | None = None

    def data(self, of: AnyArray) -> Sparse:
        """A matrix with the same places and other numbers."""
        return sparse.csr_array((of, self.vectors.indices, self.vectors.indptr), shape=self.vectors.shape)

    def weights(self) -> AnyArray:
        """(entries,) how much each entry counts."""
        return np.ones(self.vectors.nnz, np.float32) if self.weight is None else self.weight

    def weighted(self) -> Sparse:
        """The vectors times the weights."""
        return self.vectors if self.weight is None else self.data(self.vectors.data * self.weight)

    def take(self, start: int, stop: int) -> Profiles:
        """Some consecutive rows."""
        low, high = self.vectors.indptr[start], self.vectors.indptr[stop]
        return Profiles(self.vectors[start:stop], None if self.weight is None else self.weight[low:high])


class Products:
    """All inner products of sparse vectors with fixed ones, the frequent features densely and the others sparsely."""

    def __init__(self, right: Sparse, whole: bool) -> None:
        """Prepare `right` (n, n_features); `whole` says that the vectors on the left hold whole numbers too."""
        self.n = right.shape[0]
        self.dtype: Any = np.float32 if whole and _is_exact(right) else np.float64
        self.frequent = _frequent(right, np.dtype(self.dtype).itemsize)
        columns = right.astype(self.dtype).T.tocsr()  # (n_features, n)
        self.dense: AnyArray = columns[self.frequent].toarray()
        self.sparse = _without_rows(columns, self.frequent)

    def entries(self, left: Sparse) -> Sparse:
        """(m, n) sparse: the products that are not 0, in no order; only where no feature is frequent."""
        return left.astype(self.dtype) @ self.sparse

    def __call__(self, left: Sparse) -> AnyArray:
        """(m, n) the products of `left` (m, n_features) with the prepared vectors."""
        left = left.astype(self.dtype)
        found: AnyArray = (left @ self.sparse).toarray()
        if len(self.frequent):
            found += left[:, self.frequent].toarray() @ self.dense
        return found


def _is_exact(matrix: Sparse) -> bool:
    """Whether float32 holds every sum of products exactly: whole numbers that stay below 2^24."""
    largest = float(np.abs(matrix.data).max(initial=0))
    return largest**2 * matrix.shape[1] < 2**24 and bool((matrix.data == np.rint(matrix.data)).all())


def _frequent(matrix: Sparse, item_bytes: int) -> AnyArray:
    """The features that most vectors have, as many as may be held densely, in the order of their numbers."""
    n = matrix.shape[0]
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    most = np.argsort(-counts, kind="stable")[: DENSE_BYTES // max(1, item_bytes * n)]
    return np.sort(most[counts[most] > DENSE_SHARE * n])


def _without_rows(matrix: Sparse, rows: AnyArray) -> Sparse:
    """The same matrix with some of its rows emptied."""
    keep = np.ones(matrix.shape[0], bool)
    keep[rows] = False
    lengths = np.diff(matrix.indptr)
    entries = np.repeat(keep, lengths)
    parts = (matrix.data[entries], matrix.indices[entries], offsets_of(lengths * keep))
    return sparse.csr_array(parts, shape=matrix.shape)


class Measure:
    """One kind of similarity to fixed vectors: which products it is made of, and how."""

    def __init__(self, right: Profiles, whole: bool) -> None:
        self.products = tuple(Products(matrix, whole) for matrix in self.factors(right)[0])
        self.theirs = self.margin(right)

    def factors(self, of: Profiles) -> tuple[tuple[Sparse, ...], tuple[Sparse, ...]]:
        """The right and the left factors of the products, made of some profiles; most measures have one product."""
        return (of.weighted(),), (of.weighted(),)

    def margin(self, of: Profiles) -> DoubleVector:
        """(n,) what is known of each vector alone: its length, the size of its set; infinite or 0 for an empty one."""
        return np.ones(of.vectors.shape[0])

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """The similarities from the products and the margins of the left and the right vectors, element by element."""
        raise NotImplementedError


class Dot(Measure):
    """The inner product."""

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """The product itself."""
        return products[0]


class Cosine(Measure):
    """The cosine of the angle between two whole vectors (Sarwar et al., WWW 2001, section 3.1.1)."""

    def margin(self, of: Profiles) -> DoubleVector:
        """(n,) the lengths."""
        return _norms(of.weighted())

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """The product over the two lengths: over their product, so that sim(i, j) is sim(j, i) to the last bit."""
        dtype = products[0].dtype
        cosine: AnyArray = products[0] / (own.astype(dtype) * theirs.astype(dtype))
        return cosine


class SetMeasure(Measure):
    """A similarity that looks only at which entries two vectors share."""

    def __init__(self, right: Profiles, whole: bool) -> None:
        super().__init__(right, whole)
        self.n_features = float(right.vectors.shape[1])

    def factors(self, of: Profiles) -> tuple[tuple[Sparse, ...], tuple[Sparse, ...]]:
        """Only the weights of the entries."""
        weights = of.data(of.weights())
        return (weights,), (weights,)

    def margin(self, of: Profiles) -> DoubleVector:
        """(n,) the sizes of the sets."""
        return np.asarray(of.data(of.weights()).sum(axis=1), np.float64)


class Jaccard(SetMeasure):
    """The common entries' share of all entries of the two; with weights: the sum of minima over that of maxima."""

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """The intersection over the union."""
        union = own + theirs - products[0]
        share: AnyArray = products[0] / np.where(union > 0, union, 1)
        return share


class LogLikelihood(SetMeasure):
    """Dunning's likelihood ratio G2 that two entries meet by chance, scaled as 1 - 1 / (1 + G2) to lie below 1.

    Dunning, "Accurate methods for the statistics of surprise and coincidence", Computational Linguistics 19(1), 1993.
    Pairs that meet less often than by chance are not similar.
    """

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """2 (sum of x log x over the four cells, minus the same over the margins, plus n log n), scaled."""
        both, total = products[0].astype(np.float64), self.n_features
        ratio = _x_log_x(both) + _x_log_x(own - both) + _x_log_x(theirs - both) + total * np.log(total)
        ratio += _x_log_x(total - own - theirs + both)
        ratio -= _x_log_x(own) + _x_log_x(total - own) + _x_log_x(theirs) + _x_log_x(total - theirs)
        surprise = 2 * np.maximum(ratio, 0)
        return np.where(both * total > own * theirs, surprise / (1 + surprise), 0)


def _x_log_x(x: AnyArray) -> AnyArray:
    found: AnyArray = x * np.log(np.where(x > 0, x, 1))
    return found


class Correlation(Measure):
    """The cosine of two vectors of deviations over the entries that both have.

    With deviations from the mean of the own vector it is Pearson's correlation (Breese et al., UAI 1998, equation 1);
    with deviations from the mean of the other side, the adjusted cosine (Sarwar et al., WWW 2001, section 3.1.3).
    """

    def factors(self, of: Profiles) -> tuple[tuple[Sparse, ...], tuple[Sparse, ...]]:
        """Products of deviations, of our squares with their places, of our places with their squares."""
        places, squares = of.data(of.weights()), of.data(of.vectors.data**2 * of.weights())
        return (of.weighted(), places, squares), (of.weighted(), squares, places)

    def of(self, products: Sequence[AnyArray], own: AnyArray, theirs: AnyArray) -> AnyArray:
        """The first product over the root of the two others."""
        return np.clip(products[0] / _spread(products[1] * products[2]), -1, 1)


def _spread(product: AnyArray) -> AnyArray:
    """The root of the product of two sums of squares; infinite where one of the two does not vary at all."""
    return np.sqrt(np.where(product > 1e-18, product, np.inf))


def _norms(matrix: Sparse) -> DoubleVector:
    """(n,) the length of each vector; infinite for an empty one, so that it is similar to nothing."""
    squares = np.add.reduceat(np.append(matrix.data.astype(np.float64) ** 2, 0), matrix.indptr[:-1])
    squares[np.diff(matrix.indptr) == 0] = 0
    return np.sqrt(np.where(squares > 0, squares, np.inf))


MEASURES: dict[str, type[Measure]] = {
    "cosine": Cosine,
    "dot": Dot,
    "jaccard": Jaccard,
    "log_likelihood": LogLikelihood,
    "pearson": Correlation,
    "adjusted_cosine": Correlation,
}


class Similarity:
    """The similarity that the settings ask for, to fixed vectors; densely, or only where two vectors meet."""

    def __init__(self, config: SimilarityConfig, right: Profiles, whole: bool = True) -> None:
        """Prepare `right`; `whole` says that the entries on the left count fully, never by a fraction."""
        self.config, self.n = config, int(right.vectors.shape[0])
        self.measure = MEASURES[config.similarity](right, whole)
        counts = config.shrinkage > 0 or config.minimum_overlap > 1
        self.overlap = Products(_ones(right), True) if counts else None

    @property
    def row_bytes(self) -> int:
        """About how much memory the comparison of one vector with all the fixed ones takes."""
        matrices = len(self.measure.products) + (self.overlap is not None)
        first = self.measure.products[0].sparse
        terms = float((np.diff(first.indptr).astype(np.float64) ** 2).sum()) / max(1, self.n)
        if not len(self.measure.products[0].frequent) and terms < THIN_SHARE * self.n:
            return int(min(4 * terms, self.n)) * 64 * matrices + 1024  # some rows are longer than the mean
        return self.n * (24 + 16 * matrices)

    def thin(self, left: Profiles) -> bool:
        """Whether so few of the pairs meet that `entries` is the faster way."""
        first = self.measure.products[0]
        return not len(first.frequent) and is_thin(left.vectors, first.sparse)

    def __call__(self, left: Profiles) -> FloatMatrix:
        """(m, n) float32; `NOTHING` for pairs with fewer than `minimum_overlap` common entries."""
        products, counts, own = self._factors(left)
        parts = [product(factor) for product, factor in products]
        common = None if counts is None else counts[0](counts[1])
        found = np.empty(parts[0].shape, np.float32)
        step = max(1, CHUNK_BYTES // max(1, 8 * self.n))
        for start in range(0, len(found), step):
            rows = slice(start, start + step)
            value = self.measure.of([part[rows] for part in parts], own[rows, None], self.measure.theirs)
            found[rows] = value if common is None else self._trusted(value, common[rows])
        return found

    def entries(self, left: Profiles) -> Sparse:
        """(m, n) sparse float32, numbers in order: the similarities that are not 0."""
        products, counts, own = self._factors(left)
        parts = [in_order(product.entries(factor)) for product, factor in products]
        places = parts[0]
        row = np.repeat(np.arange(places.shape[0]), np.diff(places.indptr))
        values = [places.data, *(_at(places, row, part) for part in parts[1:])]
        found = self.measure.of(values, own[row], self.measure.theirs[places.indices])
        if counts is not None:
            found = self._trusted(found, _at(places, row, in_order(counts[0].entries(counts[1]))))
        return sparse.csr_array((found.astype(np.float32), places.indices, places.indptr), shape=places.shape)

    def _factors(
        self, left: Profiles
    ) -> tuple[list[tuple[Products, Sparse]], tuple[Products, Sparse] | None, AnyArray]:
        factors = list(zip(self.measure.products, self.measure.factors(left)[1], strict=True))
        counts = None if self.overlap is None else (self.overlap, _ones(left))
        return factors, counts, self.measure.margin(left)

    def _trusted(self, found: AnyArray, common: AnyArray) -> AnyArray:
        """Significance weighting (Koren & Bell, Recommender Systems Handbook 2011, section 5.4.2)."""
        common = common.astype(np.float64)
        shrunk = found * (common / np.maximum(common + self.config.shrinkage, 1))
        return np.where(common >= self.config.minimum_overlap, shrunk, NOTHING)


def _ones(profiles: Profiles) -> Sparse:
    return profiles.data(np.ones(profiles.vectors.nnz, np.float32))


def is_thin(left: Sparse, right: Sparse) -> bool:
    """Whether `left @ right` has few terms for its size, so that it is better left sparse."""
    terms = int(np.diff(right.indptr)[left.indices].sum())
    return bool(terms < THIN_SHARE * left.shape[0] * right.shape[1])


def in_order(matrix: Sparse) -> Sparse:
    """The same matrix with the columns of each row in ascending order, in linear time."""
    return matrix.tocsc().tocsr()


def _at(places: Sparse, row: AnyArray, other: Sparse) -> AnyArray:
    """The numbers of `other` at the places of a sparse matrix, 0 where it has none; both in order."""
    if other.nnz == places.nnz and np.array_equal(other.indices, places.indices):
        found: AnyArray = other.data
        return found
    wanted = row * places.shape[1] + places.indices.astype(np.int64)
    owner = np.repeat(np.arange(other.shape[0]), np.diff(other.indptr))
    known = np.append(owner * other.shape[1] + other.indices.astype(np.int64), -1)
    place = np.searchsorted(known[:-1], wanted)
    return np.where(known[place] == wanted, np.append(other.data, 0)[place], 0)
