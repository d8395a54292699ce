"""Policies of who gets which coupon, and what the log of a trial says of what each person comes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, IntVector
from zhiyin.data.trials import Trial
from zhiyin.evaluation.significance import Estimate
from zhiyin.evaluation.uplift import qini


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Who gets what, and by what order."""

    arm: IntVector
    """(n,) 0 for nothing, 1, 2, ... for a coupon."""
    score: AnyArray
    """(n, n_coupons) the higher, the sooner a person should get that coupon."""


def doubly_robust(trial: Trial, expected: AnyArray) -> AnyArray:
    """(n, n_arms) a score of what each person comes to with each arm, right on average (Robins, Rotnitzky & Zhao 1994).

        y_i(a) = m(x_i, a) + [a_i = a] (y_i - m(x_i, a)) / p_i

    >>> doubly_robust(Trial.of([0, 1], [1.0, 0.0], 0.5), np.array([[0.5, 0.5], [0.25, 0.25]])).tolist()
    [[1.5, 0.5], [0.25, -0.25]]

    Args:
        trial: of n people.
        expected: (n, n_arms) by a model that has not learnt from them.
    """
    found, rows = np.array(expected, np.float64), np.arange(len(trial))
    found[rows, trial.arm] += (trial.outcome - expected[rows, trial.arm]) / trial.propensity
    return found


def until_spent(score: AnyArray, cost: AnyArray, money: float | None) -> BoolVector:
    """(n,) who gets something: the first by the score, until the next one costs more than is left.

    >>> until_spent(np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 2.0]), 3.0).tolist()
    [False, True, False]
    """
    first = np.argsort(-score, kind="stable")
    found = np.zeros(len(score), bool)
    found[first] = np.cumsum(cost[first]) <= (np.inf if money is None else money)
    return found


def order_of(score: AnyArray, outcomes: AnyArray, seed: int) -> Estimate:
    """The Qini of an order, from what each person comes to without and with a coupon (n, 2).

    Those are chances, or scores that are right on average, of all people. So of the trial that `qini` reads there is
    nothing left to tell: with what is expected as the outcome, its own scores are the differences, whatever the arms.
    """
    rows = np.arange(len(score))
    return qini(score, rows % 2, outcomes[rows, rows % 2], 0.5, expected=outcomes, seed=seed)
