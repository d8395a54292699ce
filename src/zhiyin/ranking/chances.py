"""Chances that can be taken at their word: scores into chances, and how near chances are to what happened.

A score orders; to bid with it, to weigh it with a price or to add it to another one, it must be a chance: of all that
were given 0.2, a fifth happens. Neither map here falls where the score rises, so no order is turned; where a map is
level, scores that differ become one chance. If the score tells nothing of what happened, or the opposite, all become
their mean, which is logged.

*Isotonic* (Zadrozny & Elkan, KDD 2002): the rising curve that is nearest to what happened (pool adjacent violators),
straight between the middles of its steps and level beyond the first and the last of them. For validation parts of a
thousand rows and more.

*Platt* (Platt 1999; Lin, Lin & Weng, Machine Learning 2007): σ(a s + b), of the log-odds where scores are chances
already; a is 0 or more. Two numbers, for small validation parts.
"""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix
from zhiyin.errors import DataError

logger = logging.getLogger(__name__)

Method: TypeAlias = Literal["none", "isotonic", "platt"]

STEPS = 100
"""Of Newton at most; about ten are taken."""


def learn(method: Method, score: AnyArray, label: AnyArray, weight: AnyArray | None = None) -> FloatMatrix:
    """(2, m) what `apply` needs, from scores and what happened: the knots of a curve, or the two numbers of Platt.

    >>> learn("isotonic", np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1])).round(2)
    array([[1.  , 2.5 , 4.  ],
           [0.17, 0.5 , 0.83]])

    Raises:
        DataError: labels are not 0 and 1, or all the same.
    """
    found = np.asarray(label, np.float64)
    if not np.isin(found, (0, 1)).all():
        raise DataError("chances are calibrated on labels 0 and 1; others came: say what happened, and not how much")
    if not 0 < found.sum() < len(found):
        raise DataError(f"all {len(found):,} validation labels are the same; chances cannot be calibrated on them")
    counts = np.ones(len(found)) if weight is None else np.asarray(weight, np.float64)
    scores = np.asarray(score, np.float64)
    learnt = (_platt if method == "platt" else _isotonic)(scores, found, counts)
    level = learnt[0, 0] == 0 if method == "platt" else learnt.shape[1] == 1
    if level and np.ptp(scores) > 0:
        logger.warning(
            "of %d validation rows what happened does not rise with the score: it says nothing, or the opposite; each "
            "chance is the mean of all, and their order is lost",
            len(found),
        )
    return learnt


def apply(method: Method, learnt: FloatMatrix, score: AnyArray) -> DoubleVector:
    """(n,) the chances of scores."""
    if method == "platt":
        return np.asarray(expit(learnt[0, 0] * score + learnt[1, 0]), np.float64)
    return np.asarray(np.interp(score, learnt[0], learnt[1]), np.float64)


def log_odds(chance: AnyArray) -> DoubleVector:
    """(n,) of chances; those that are 0 or 1 as if they were 1e-9 from it."""
    return np.asarray(logit(np.clip(np.asarray(chance, np.float64), 1e-9, 1 - 1e-9)), np.float64)


def _isotonic(score: DoubleVector, label: DoubleVector, weight: DoubleVector) -> FloatMatrix:
    """The middle and height of each step; a step that saw one outcome alone is not taken to be sure of it."""
    values, place = np.unique(score, return_inverse=True)
    total = np.bincount(place, weight)
    height = np.bincount(place, weight * label) / np.where(total > 0, total, 1)
    found = isotonic_regression(height, weights=np.maximum(total, 1e-12))
    step = np.repeat(np.arange(len(found.blocks) - 1), np.diff(found.blocks))
    middle = np.bincount(step, total * values) / np.maximum(np.bincount(step, total), 1e-12)
    least = 1 / (len(label) + 2)
    return np.stack([middle, np.clip(found.x[found.blocks[:-1]], least, 1 - least)]).astype(np.float64)


def _platt(score: DoubleVector, label: DoubleVector, weight: DoubleVector) -> FloatMatrix:
    """Newton with halved steps; labels are drawn a little to the middle, as Platt does, so that all stays finite.

    Where the best slope is below 0, the best that is not is 0 (the loss is convex), with the mean of the labels.
    """
    n = np.array([weight[label == 0].sum(), weight[label == 1].sum()])
    wanted = np.where(label == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    middle, spread = score.mean(), float(score.std()) or 1.0
    basis = np.stack([(score - middle) / spread, np.ones(len(score))], 1)
    found = np.array([0.0, np.log((n[1] + 1) / (n[0] + 1))])
    loss = _loss(basis @ found, wanted, weight)
    for _ in range(STEPS):
        chance = expit(basis @ found)
        slope = basis.T @ (weight * (chance - wanted))
        curve = (basis.T * (weight * np.maximum(chance * (1 - chance), 1e-12))) @ basis + 1e-10 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while (lower := _loss(basis @ (found - size * step), wanted, weight)) > loss and size > 1e-6:
            size /= 2
        if loss - lower < 1e-12 * max(1.0, abs(loss)):
            break
        found, loss = found - size * step, lower
    if found[0] <= 0:
        return np.array([[0.0], [logit(np.average(wanted, weights=weight))]])
    return np.array([[found[0] / spread], [found[1] - found[0] * middle / spread]])


def _loss(odds: DoubleVector, wanted: DoubleVector, weight: DoubleVector) -> float:
    return float((weight * (np.logaddexp(0, odds) - wanted * odds)).sum())
