"""Normalised entropy: the log loss against that of always saying the average rate (He et al., ADKDD 2014, eq. 1).

NE = [ −(1/n) · Σ ( y · ln p + (1 − y) · ln(1 − p) ) ] / [ −( r · ln r + (1 − r) · ln(1 − r) ) ],   r = mean of y

Below 1 the predictions know more than the rate alone; unlike log loss, rates of different size can be compared.
"""

from __future__ import annotations

import math

from zhiyin.arrays import BoolVector, DoubleVector, LongVector
from zhiyin.metrics.base import ProbabilityMetric
from zhiyin.metrics.log_loss import LogLossConfig, cross_entropy


class NormalisedEntropyConfig(LogLossConfig):
    """Settings of `normalised_entropy`."""


class NormalisedEntropy(ProbabilityMetric):
    """Log loss over the entropy of the average rate; NaN where all or none of the cases happened.

    >>> NormalisedEntropy()([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])
    1.0
    """

    config: NormalisedEntropyConfig
    higher_is_better = False

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        rate = float(happened.mean())
        if rate in (0, 1):
            return float("nan")
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))
        return cross_entropy(happened, probability, self.config.clip) / entropy
