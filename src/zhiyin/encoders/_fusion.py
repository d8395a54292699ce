"""The algebra of `fused`: second moments of several blocks side by side, and the linear maps that follow from them.

x (n, D) are the vectors of all parts side by side, each part's mean taken away; C (D, D) is their second moment over
complete items. What a part would say is predicted from those that speak, C_ma (C_aa + R)^-1 x_a, the least-squares
prediction with a ridge R, which is also the conditional mean of a normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, FloatVector, LongVector, offsets_of

RIDGES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""That are tried, as shares of a part's mean variance."""
CAUTIOUS = 1.0
"""The ridge where too few items are there to try any."""
FOLDS = 5
"""One of so many complete items is held out to try ridges on."""
FLOOR = 0.01
"""Of the mean variance, added to each direction that is whitened: what hardly varies is mostly noise."""


@dataclass(slots=True, eq=False)
class Filling:
    """Predicts what missing parts would say.

    `moment` (D, D) holds the ridge on its diagonal already; `sizes` (P,) the widths of the parts.
    """

    moment: FloatMatrix
    sizes: LongVector
    maps: dict[bytes, FloatMatrix] = field(default_factory=dict)
    """By which parts speak: from what they say to what the others would say."""

    def fill(self, x: FloatMatrix, there: BoolVector) -> FloatMatrix:
        """`x` (n, D) with its missing blocks predicted, in place; `there` (n, P) says which parts speak."""
        for pattern in np.unique(there, axis=0):
            if pattern.all() or not pattern.any():
                continue
            rows = np.flatnonzero((there == pattern).all(1))
            known = np.repeat(pattern, self.sizes)
            x[np.ix_(rows, ~known)] = x[np.ix_(rows, known)] @ self._map(pattern, known)
        return x

    def _map(self, pattern: BoolVector, known: BoolVector) -> FloatMatrix:
        key = pattern.tobytes()
        if key not in self.maps:
            self.maps[key] = prediction(self.moment.astype(np.float64), known).astype(np.float32)
        return self.maps[key]


def prediction(moment: AnyArray, known: BoolVector) -> AnyArray:
    """(known, unknown) the map C_aa^-1 C_am of a moment whose diagonal holds a ridge."""
    from scipy.linalg import solve

    found: AnyArray = solve(moment[np.ix_(known, known)], moment[np.ix_(known, ~known)], assume_a="pos")
    return found


def side_by_side(blocks: Sequence[FloatMatrix], mean: FloatVector) -> tuple[FloatMatrix, BoolVector]:
    """X (n, D), zero where a part says nothing, and which parts speak (n, P)."""
    there = np.stack([block.any(1) for block in blocks], axis=1)
    x = np.concatenate(blocks, axis=1) - mean
    x *= np.repeat(there, [block.shape[1] for block in blocks], axis=1)
    return x, there


def with_ridge(moment: AnyArray, sizes: LongVector, ridge: float) -> AnyArray:
    """The moment with so much of each part's mean variance on the diagonal."""
    diagonal = np.diag(moment)
    edges = offsets_of(sizes)
    means = [diagonal[low:high].mean() for low, high in pairwise(edges)]
    added = np.maximum(ridge * np.repeat(means, sizes), np.finfo(np.float32).tiny)
    found: AnyArray = moment + np.diag(added)
    return found


def best_ridge(complete: FloatMatrix, sizes: LongVector) -> tuple[float, DoubleVector]:
    """The ridge that predicts held-out items best, and the share (P,) of each part's variance that it predicts there.

    NaN where there are too few items to tell.
    """
    n, parts = len(complete), len(sizes)
    if n < 2 * FOLDS:
        return CAUTIOUS, np.full(parts, np.nan)
    held = np.arange(n) % FOLDS == 0
    moment = second_moment(complete[~held])
    told = complete[held].astype(np.float64)
    tried = [_explained(told, with_ridge(moment, sizes, ridge), sizes) for ridge in RIDGES]
    best = int(np.argmax([shares.mean() for shares in tried]))
    return RIDGES[best], tried[best]


def _explained(told: AnyArray, moment: AnyArray, sizes: LongVector) -> DoubleVector:
    """(P,) the share of each part's variance that the other parts predict."""
    shares = np.zeros(len(sizes))
    for part in range(len(sizes)):
        known = np.repeat(np.arange(len(sizes)) != part, sizes)
        error = told[:, ~known] - told[:, known] @ prediction(moment, known)
        shares[part] = 1 - (error**2).sum() / max(float((told[:, ~known] ** 2).sum()), np.finfo(np.float64).tiny)
    return shares


def second_moment(x: FloatMatrix, rows: int = 16_384) -> AnyArray:
    """(D, D) the mean of x_i x_i^T, in 64 bits."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), rows):
        block = x[start : start + rows].astype(np.float64)
        total += block.T @ block
    return total / max(1, len(x))


def scaling(moment: AnyArray, whiten: float) -> AnyArray:
    """The map (d, d) after which a part has a mean squared length of 1; a number where nothing is whitened.

    `whiten` takes that power of the differences in variance between directions away.
    """
    if not whiten:
        return np.array(1 / np.sqrt(np.trace(moment)))
    variances, directions = np.linalg.eigh(moment)
    floor = FLOOR * variances.mean()
    scale = (np.maximum(variances, 0) + floor) ** (-whiten / 2)
    length = np.sqrt((np.maximum(variances, 0) * scale**2).sum())
    found: AnyArray = (directions * (scale / length)) @ directions.T
    return found


def agreement(moment: AnyArray, sizes: LongVector, size: int) -> AnyArray:
    """(D, at most size) the directions in which the parts of an item agree most, each weighted by how much they do.

    Generalised canonical correlation analysis, MAXVAR (Kettenring, Biometrika 1971): C u = l B u, B the blocks of C
    on the diagonal. Of P parts that agree entirely l is P, of such that have nothing in common 1; the weight is
    (l - 1) / (P - 1), and what nobody agrees in is left out.
    """
    from scipy.linalg import eigh

    own = np.repeat(np.arange(len(sizes)), sizes)
    blocks = np.where(own[:, None] == own[None], moment, 0)
    low = max(0, len(moment) - size)
    shares, found = eigh(moment, blocks, subset_by_index=[low, len(moment) - 1])
    weights = np.maximum(0, (shares[::-1] - 1) / (len(sizes) - 1))
    kept = weights > 1e-6
    agreed: AnyArray = (found[:, ::-1] * weights)[:, kept]
    return agreed
