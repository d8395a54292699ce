"""Log loss: how surprised the predictions are by what happened (Bishop, Pattern Recognition 2006, eq. 4.90).

L = −(1/n) · Σ ( y · ln p + (1 − y) · ln(1 − p) ),   p clipped to [clip, 1 − clip]
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import BoolVector, DoubleVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.metrics.base import ProbabilityMetric


class LogLossConfig(Config):
    """Settings of `log_loss`."""

    clip: float = setting(1e-15, gt=0, lt=0.5)
    """How near to 0 and 1 a probability may come: a sure but wrong prediction costs −ln(clip), not infinity."""


class LogLoss(ProbabilityMetric):
    """Mean negative log-likelihood, in nats.

    >>> round(LogLoss()([1, 0], [0.5, 0.5]), 4)
    0.6931
    """

    config: LogLossConfig
    higher_is_better = False

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        return cross_entropy(happened, probability, self.config.clip)


def cross_entropy(happened: BoolVector, probability: DoubleVector, clip: float) -> float:
    """The mean of −ln(probability of what happened), in nats."""
    p = np.clip(probability, clip, 1 - clip)
    return float(-np.where(happened, np.log(p), np.log1p(-p)).mean())
