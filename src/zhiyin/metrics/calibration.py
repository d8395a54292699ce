"""Calibration at k: how far the categories of the list are from those of the history (Steck, RecSys 2018, §3).

p(c) = Σ_{events i of the history} w_i · p(c|i) / Σ w_i,   q(c) the same over the list, each place alike
p(c|i) = 1 / (number of categories of i) for each of them;  w_i the weight of the event;  items without any do not count

divergence = "kl": Σ_c p(c) · log₂(p(c) / q̃(c)),   q̃ = (1 − α) · q + α · p,   α = 0.01:  0 to log₂(1/α) = 6.64 bits
divergence = "js": ½ Σ_c p(c) · log₂(p(c) / m(c)) + ½ Σ_c q(c) · log₂(q(c) / m(c)),   m = (p + q) / 2:  0 to 1 bit
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from zhiyin.arrays import BoolVector, DoubleVector
from zhiyin.config import setting
from zhiyin.metrics.base import AtK, ListMetric, Lists


class CalibrationConfig(AtK):
    """Settings of `calibration`."""

    divergence: Literal["kl", "js"] = "kl"
    """Kullback-Leibler from history to list, as in the paper, or Jensen-Shannon, which is symmetric and at most 1."""
    alpha: float = setting(0.01, gt=0, lt=1)
    """How much of the history's mix is stirred into the list's, so that a missing category costs a finite amount."""


class Calibration(ListMetric):
    """Divergence of the list's categories from the history's, in bits; less is better.

    NaN where the history or the list has no item with categories.

    >>> kinds = {"a": ["crime"], "b": ["love"], "c": ["crime"], "d": ["love"]}
    >>> Calibration(k=2, divergence="js")([["c", "d"], ["a"]], histories=[["a", "b"], ["d"]], categories=kinds)
    0.5
    """

    config: CalibrationConfig
    higher_is_better = False

    def _per_query(self, lists: Lists) -> DoubleVector:
        past, shares = lists.history_mix, lists.world.category_vectors(1)
        if past is None or shares is None:
            return np.full(len(lists), np.nan)
        p, has_p = _normalised(past)
        q, has_q = _normalised(lists.category_mix(self.config.k, shares))
        found = self._kl(p, q) if self.config.divergence == "kl" else _js(p, q)
        return np.where(has_p & has_q, np.maximum(found, 0), np.nan)

    def _kl(self, p: sparse.csr_array, q: sparse.csr_array) -> DoubleVector:
        """(n,) where q(c) = 0 the summand is p(c) · log₂(1/α), so only categories of both need to be looked at."""
        row, p_both, q_both = _common(p, q)
        alpha = self.config.alpha
        gain = p_both * (np.log2(p_both / ((1 - alpha) * q_both + alpha * p_both)) + np.log2(alpha))
        found: DoubleVector = np.bincount(row, gain, minlength=p.shape[0]) - np.log2(alpha)
        return found


def _js(p: sparse.csr_array, q: sparse.csr_array) -> DoubleVector:
    """(n,) where either is 0 the summand is half the other, so only categories of both need to be looked at."""
    row, p_both, q_both = _common(p, q)
    middle = (p_both + q_both) / 2
    gain = p_both * (np.log2(p_both / middle) - 1) + q_both * (np.log2(q_both / middle) - 1)
    found: DoubleVector = 1 + np.bincount(row, gain, minlength=p.shape[0]) / 2
    return found


def _normalised(mix: sparse.csr_array) -> tuple[sparse.csr_array, BoolVector]:
    """The rows over their sums, without stored zeros and in order, and whether each had any."""
    total = np.asarray(mix.sum(axis=1)).ravel()
    scaled = mix.copy()  # the next lines sort in place, and the history's mix is kept for other metrics
    scaled.data /= np.repeat(np.where(total > 0, total, 1), np.diff(mix.indptr))
    scaled.sum_duplicates()
    scaled.eliminate_zeros()
    return scaled, total > 0


def _common(p: sparse.csr_array, q: sparse.csr_array) -> tuple[DoubleVector, DoubleVector, DoubleVector]:
    """The row, p and q of every category that both have."""
    p_both, q_both = p.multiply(_ones(q)).tocsr(), q.multiply(_ones(p)).tocsr()
    row = np.repeat(np.arange(p.shape[0]), np.diff(p_both.indptr))
    return row, p_both.data, q_both.data


def _ones(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
