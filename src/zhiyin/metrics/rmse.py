"""RMSE: the root of the mean squared error of predicted values, in their unit (Herlocker et al., TOIS 2004).

RMSE = √( (1/n) · Σ (predicted − true)² )
"""

from __future__ import annotations

import math

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import MetricConfig, ValueMetric


class RMSE(ValueMetric):
    """Root mean squared error; large errors weigh more.

    >>> RMSE()([4, 2], [4, 4]) == 2**0.5
    True
    """

    config: MetricConfig

    def _errors(self, truth: DoubleVector, predicted: DoubleVector) -> DoubleVector:
        return (predicted - truth) ** 2

    def _finish(self, mean: float) -> float:
        return math.sqrt(mean)
