"""MAE: the mean absolute error of predicted values, in their unit (Herlocker et al., TOIS 2004).

MAE = (1/n) · Σ |predicted − true|
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import MetricConfig, ValueMetric


class MAE(ValueMetric):
    """Mean absolute error; every step of error weighs alike.

    >>> MAE()([4, 2], [5, 4])
    1.5
    """

    config: MetricConfig

    def _errors(self, truth: DoubleVector, predicted: DoubleVector) -> DoubleVector:
        found: DoubleVector = np.abs(predicted - truth)
        return found
