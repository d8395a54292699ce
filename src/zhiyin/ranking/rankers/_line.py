"""A line to begin with: the candidates of a query told apart by a weighted sum of their numbers.

That a candidate is the wanted one has a chance that is the softmax of its sum over those of its query: a conditional
logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974, eq. 12), which is a convex problem.
It is learnt from the wanted candidates and a few of the unwanted ones; drawn evenly, these leave the answer what it is,
up to chance (McFadden, "Modelling the choice of residential location", 1978, on sampling of alternatives).
"""

from __future__ import annotations

import logging

import numpy as np
from scipy.optimize import minimize

from zhiyin.arrays import AnyArray, BoolVector, DoubleMatrix, DoubleVector, FloatMatrix, IntVector, offsets_of
from zhiyin.ranking.table import FeatureTable

logger = logging.getLogger(__name__)

UNWANTED = 60
"""So many unwanted candidates of each query, at most, teach."""
PENALTY = 1.0
"""L2 weight on the weights of numbers, beside the loss of a query."""
ITERATIONS = 200


def learn_line(table: FeatureTable, gain: DoubleVector, rng: np.random.Generator) -> DoubleMatrix:
    """(3, n_features) of each feature its weight, and its least and largest standard number; zeros of categories.

    A number counts in standard deviations above the mean of its query's candidates. Only how candidates differ tells
    them apart; and ages and counts, which grow from month to month, stay what the weights were learnt for.

    Args:
        table: the features of candidates.
        gain: (n,) how much each is wanted; 0 for one that is not, NaN for one that does not count.
        rng: which unwanted ones teach.
    """
    found = np.zeros((3, len(table.names)))
    numbers = [at for at, name in enumerate(table.names) if name not in table.sizes]
    offsets, drawn = _drawn(table, gain, rng)
    if not numbers or not drawn.any():
        return found
    owner = table.owner()
    values = np.stack([_standard(table, at, owner)[drawn] for at in numbers], 1, dtype=np.float32)
    found[0, numbers] = _solved(values, gain[drawn], offsets)
    found[1, numbers], found[2, numbers] = values.min(0), values.max(0)
    found[0, (found[1] == 0) & (found[2] == 0)] = 0
    return found


def on_line(line: DoubleMatrix, table: FeatureTable) -> DoubleVector:
    """(n,) the sum of each candidate; what is not known counts as the mean, what is beyond all known as its end."""
    found, owner = np.zeros(len(table)), table.owner()
    for at in np.flatnonzero(line[0]).tolist():
        weight, low, high = line[:, at]
        found += weight * np.clip(_standard(table, at, owner), low, high)
    return found


def _standard(table: FeatureTable, at: int, owner: IntVector) -> DoubleVector:
    """(n,) how many standard deviations a number is above the mean of its query; 0 where it is not known."""
    values, n = table.values[:, at].astype(np.float64), len(table.offsets) - 1
    known = np.isfinite(values)
    values[~known] = 0
    count = np.maximum(np.bincount(owner, known, n), 1)
    mean = np.bincount(owner, values, n) / count
    values -= mean[owner]
    values[~known] = 0
    spread = np.sqrt(np.bincount(owner, values**2, n) / count)
    some = spread > 1e-6 * np.abs(mean)  # below that it is rounding
    found: DoubleVector = values * np.divide(1, spread, where=some, out=np.zeros(n))[owner]
    return found


def _drawn(table: FeatureTable, gain: DoubleVector, rng: np.random.Generator) -> tuple[AnyArray, BoolVector]:
    """Offsets of the queries with a wanted candidate, and (n,) which candidates teach."""
    owner, n = table.owner(), len(table.offsets) - 1
    chance = np.where(gain > 0, -1.0, rng.random(len(gain)))
    chance[np.isnan(gain)] = 2.0
    order = np.lexsort((chance, owner))
    place = np.empty(len(gain), np.int64)
    place[order] = np.arange(len(gain)) - np.repeat(table.offsets[:-1], np.diff(table.offsets))
    wanted = np.bincount(owner, gain > 0, n)
    drawn: BoolVector = (wanted > 0)[owner] & (place < (wanted + UNWANTED)[owner]) & ~np.isnan(gain)
    lengths = np.bincount(owner[drawn], minlength=n)
    return offsets_of(lengths[lengths > 0]), drawn


def _solved(values: FloatMatrix, gain: DoubleVector, offsets: AnyArray) -> DoubleVector:
    """(n_numbers,) the weights of least loss."""
    starts, owner = offsets[:-1], np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    share = gain / np.add.reduceat(gain, starts)[owner]
    of_query = np.add.reduceat(gain, starts) / gain.sum() * len(starts)

    def loss(weight: DoubleVector) -> tuple[float, DoubleVector]:
        score = (values @ weight.astype(np.float32)).astype(np.float64)
        score -= np.maximum.reduceat(score, starts)[owner]
        above = np.exp(score)
        total = np.add.reduceat(above, starts)
        lost = of_query @ np.log(total) - (of_query[owner] * share) @ score
        slope = of_query[owner] * (above / total[owner] - share)
        value = lost + PENALTY * (weight @ weight)
        return value / len(starts), (values.T @ slope.astype(np.float32) + 2 * PENALTY * weight) / len(starts)

    found = minimize(loss, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    logger.info("a line: %d iterations, loss %.4f", found.nit, found.fun)
    weight: DoubleVector = found.x
    return weight
