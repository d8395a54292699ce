"""A line to begin with: the candidates of a query told apart by a weighted sum of their numbers.

That a candidate is the wanted one has a chance that is the softmax of its sum over those of its query: a conditional
logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974, eq. 12), which is a convex problem.
Of the unwanted candidates of a query a few are drawn, and each stands for as many as there are to one that was drawn
(Bengio and Senécal, "Quick training of probabilistic neural nets by importance sampling", 2003).
"""

from __future__ import annotations

import logging

import numpy as np
from scipy.optimize import minimize

from zhiyin.arrays import (
    AnyArray,
    BoolVector,
    DoubleMatrix,
    DoubleVector,
    FloatMatrix,
    FloatVector,
    LongVector,
    offsets_of,
)
from zhiyin.ranking._within import blocks, standard_or_mean
from zhiyin.ranking.table import FeatureTable

logger = logging.getLogger(__name__)

UNWANTED = 60
"""So many unwanted candidates of each query, at most, teach."""
MOST = 2_000_000
"""So many candidates teach, at most: of more, whole queries are drawn. A few dozen weights need no more."""
PENALTY = 1.0
"""L2 weight on the weights of numbers, beside the loss of a query."""
ITERATIONS = 200
AT_ONCE = 50_000
"""Rows whose numbers are looked at together."""


def learn_line(
    table: FeatureTable, gain: DoubleVector, rng: np.random.Generator, weight: FloatVector | None = None
) -> DoubleMatrix:
    """(3, n_features) of each feature its weight, and its least and largest standard number; zeros of categories.

    A number counts in standard deviations above the mean of its query's candidates. Only how candidates differ tells
    them apart; and ages and counts, which grow from month to month, stay what the weights were learnt for.

    Args:
        table: the features of candidates.
        gain: (n,) how much each is wanted.
        rng: which unwanted ones teach.
        weight: (n,) how much each wanted one counts; one of 0 does not count at all, wanted or not.
    """
    found = np.zeros((3, len(table.names)))
    numbers = np.array([at for at, name in enumerate(table.names) if name not in table.sizes], np.int64)
    gain = _above_least(gain if weight is None else np.where(weight > 0, gain, np.nan), table)
    gain = gain if weight is None else gain * weight
    drawn, stands_for = _drawn(table, gain, rng)
    if not len(numbers) or not drawn.any():
        return found
    lengths = np.bincount(table.owner()[drawn], minlength=len(table.offsets) - 1)
    values = np.empty((int(lengths.sum()), len(numbers)), np.float32)
    done = 0
    for rows, offsets in blocks(table.offsets, AT_ONCE):
        some = standard_or_mean(table.values[rows][:, numbers], offsets)[0][drawn[rows]]
        values[done : done + len(some)] = some
        done += len(some)
    found[0, numbers] = _solved(values, gain[drawn], np.log(stands_for[drawn]), offsets_of(lengths[lengths > 0]))
    found[1, numbers], found[2, numbers] = values.min(0), values.max(0)
    found[0, (found[1] == 0) & (found[2] == 0)] = 0
    return found


def on_line(line: DoubleMatrix, table: FeatureTable) -> DoubleVector:
    """(n,) the sum of each candidate; what is not known counts as the mean, what is beyond all known as its end."""
    found = np.zeros(len(table))
    used = np.flatnonzero(line[0])
    if len(used):
        for rows, offsets in blocks(table.offsets, AT_ONCE):
            found[rows] = _clipped(line[:, used], table.values[rows][:, used], offsets) @ line[0, used]
    return found


def terms(line: DoubleMatrix, table: FeatureTable) -> DoubleMatrix:
    """(n, n_features) what each feature adds to the sum of each candidate."""
    found = np.zeros((len(table), len(table.names)))
    used = np.flatnonzero(line[0])
    found[:, used] = _clipped(line[:, used], table.values[:, used], table.offsets) * line[0, used]
    return found


def _clipped(line: DoubleMatrix, values: AnyArray, offsets: LongVector) -> DoubleMatrix:
    """(n, n_columns) standard numbers between the least and the largest that were learnt from; 0 for one not known."""
    found, _ = standard_or_mean(values, offsets)
    np.maximum(found, line[1], out=found)
    np.minimum(found, line[2], out=found)
    return found


def _above_least(gain: DoubleVector, table: FeatureTable) -> DoubleVector:
    """(n,) how much more each is wanted than the least wanted one of its query, as an order knows differences alone.

    NaN stays.
    """
    least = np.full(len(table.offsets) - 1, np.inf)
    np.fmin.at(least, table.owner(), gain)
    found: DoubleVector = gain - least[table.owner()]
    return found


def _drawn(table: FeatureTable, gain: DoubleVector, rng: np.random.Generator) -> tuple[BoolVector, DoubleVector]:
    """(n,) which candidates teach, all of them of queries with a wanted one, and for how many each of them stands.

    Those whose gain is NaN do not.
    """
    owner, n = table.owner(), len(table.offsets) - 1
    counts = ~np.isnan(gain)
    chance = np.where(gain > 0, -1.0, rng.random(len(gain)))
    chance[~counts] = 2.0
    order = np.lexsort((chance, owner))
    place = np.empty(len(gain), np.int64)
    place[order] = np.arange(len(gain)) - np.repeat(table.offsets[:-1], np.diff(table.offsets))
    wanted, unwanted = np.bincount(owner, gain > 0, n), np.bincount(owner, gain == 0, n)
    drawn: BoolVector = (wanted > 0)[owner] & (place < (wanted + UNWANTED)[owner]) & counts
    if (total := np.count_nonzero(drawn)) > MOST:
        some = np.zeros(n, bool)
        some[rng.permutation(n)[: int(n * MOST / total)]] = True
        drawn &= some[owner]
    return drawn, np.where(gain > 0, 1.0, np.maximum(unwanted / UNWANTED, 1)[owner])


def _solved(values: FloatMatrix, gain: DoubleVector, shift: DoubleVector, offsets: AnyArray) -> DoubleVector:
    """(n_numbers,) the weights of least loss; `shift` (n,) is added to the sum of each candidate."""
    starts, owner = offsets[:-1], np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    share = gain / np.add.reduceat(gain, starts)[owner]
    of_query = np.add.reduceat(gain, starts) / gain.sum() * len(starts)

    def loss(weight: DoubleVector) -> tuple[float, DoubleVector]:
        score = (values @ weight.astype(np.float32)).astype(np.float64) + shift
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
