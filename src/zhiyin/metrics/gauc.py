"""GAUC: the AUC inside each user's own cases, averaged over users (Zhu et al., KDD 2017; Zhou et al., KDD 2018).

GAUC = Σ_u w_u · AUC_u / Σ_u w_u        over the users who have cases of both outcomes, w_u their number of cases

What a single list must do is to order one user's items, so users who click more than others should not decide it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from zhiyin.arrays import BoolVector, DoubleVector, LongVector
from zhiyin.config import Config
from zhiyin.errors import DataError
from zhiyin.metrics.auc import auc_of_groups
from zhiyin.metrics.base import ProbabilityMetric


class GAUCConfig(Config):
    """Settings of `gauc`."""

    weight: Literal["impressions", "clicks", "equal"] = "impressions"
    """What a user's AUC weighs: the number of their cases, of those that happened, or the same for everybody."""


class GAUC(ProbabilityMetric):
    """Weighted mean of the users' AUC; NaN where no user has both outcomes.

    >>> GAUC()([1, 0, 1, 0, 0], [0.9, 0.1, 0.2, 0.3, 0.4], group=["ada", "ada", "bob", "bob", "bob"])
    0.4
    """

    config: GAUCConfig
    any_score = True

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        if group is None:
            raise DataError("gauc needs the group (user) of each case, none came; give group=...")
        values = auc_of_groups(happened, probability, group)
        weight = self._weight(happened, group)
        known = ~np.isnan(values)
        return float(np.average(values[known], weights=weight[known])) if known.any() else float("nan")

    def _weight(self, happened: BoolVector, group: LongVector) -> DoubleVector:
        impressions = np.bincount(group).astype(np.float64)
        if self.config.weight == "clicks":
            return np.bincount(group, happened, minlength=len(impressions)).astype(np.float64)
        return impressions if self.config.weight == "impressions" else np.ones_like(impressions)
