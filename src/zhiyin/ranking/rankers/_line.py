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

from zhiyin.arrays import AnyArray, BoolVector, DoubleMatrix, DoubleVector, FloatMatrix, offsets_of
from zhiyin.ranking.table import FeatureTable

logger = logging.getLogger(__name__)

UNWANTED = 60
"""So many unwanted candidates of each query, at most, teach."""
PENALTY = 1.0
"""L2 weight on the weights of numbers in standard deviations, beside the loss of a query."""
ITERATIONS = 200


def learn_line(table: FeatureTable, gain: DoubleVector, rng: np.random.Generator) -> DoubleMatrix:
    """(4, n_features) of each feature its weight, its mean, and its least and largest value; zeros of categories.

    Args:
        table: the features of candidates.
        gain: (n,) how much each is wanted; 0 for one that is not, NaN for one that does not count.
        rng: which unwanted ones teach.
    """
    found = np.zeros((4, len(table.names)))
    numbers = [at for at, name in enumerate(table.names) if name not in table.sizes]
    offsets, drawn = _drawn(table, gain, rng)
    if not numbers or not drawn.any():
        return found
    values = table.values[drawn][:, numbers]
    known = np.isfinite(values)
    count = np.maximum(known.sum(0), 1)
    values[~known] = 0
    mean = values.sum(0, dtype=np.float64) / count
    values -= mean.astype(np.float32)
    values[~known] = 0
    spread = np.sqrt(np.einsum("nd,nd->d", values, values, dtype=np.float64) / count)
    unit = np.where(spread > 1e-9 * np.abs(mean), spread, 0)
    values *= np.divide(1, unit, where=unit > 0, out=np.zeros_like(unit)).astype(np.float32)
    weight = _solved(values, gain[drawn], offsets)
    low, high = (values.min(0, initial=0), values.max(0, initial=0))
    found[:, numbers] = np.stack(
        [
            np.divide(weight, unit, where=unit > 0, out=np.zeros_like(unit)),
            mean,
            mean + low * unit,
            mean + high * unit,
        ]
    )
    return found


def on_line(line: DoubleMatrix, values: FloatMatrix) -> DoubleVector:
    """(n,) the sum of each candidate; what is not known counts as the mean, what is beyond all known as its end.

    Args:
        line: see `learn_line`.
        values: (n, n_features).
    """
    found = np.zeros(len(values))
    for at in np.flatnonzero(line[0]):
        weight, mean, low, high = line[:, at]
        found += weight * np.nan_to_num(np.clip(values[:, at], low, high) - mean, nan=0.0)
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
