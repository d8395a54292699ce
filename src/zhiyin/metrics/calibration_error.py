"""Calibration error: how far predicted probabilities are from what happened (Guo et al., ICML 2017, eq. 3).

ECE = Σ_b (n_b / n) · | mean of y in bin b − mean of p in bin b |

bins = "mass": about equally many cases in each (Nixon et al., CVPR workshops 2019), so that the few high probabilities
               of a click log do not fill bins of their own; bin of a case = ⌊B · (cases with a smaller p) / n⌋,
               so cases of equal p share one
bins = "width": equal pieces of [0, 1]; bin of a case = min(⌊B · p⌋, B − 1)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from zhiyin.arrays import BoolVector, DoubleVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.metrics.base import ProbabilityMetric


class CalibrationErrorConfig(Config):
    """Settings of `calibration_error`."""

    n_bins: int = setting(15, ge=1)
    """Number of bins."""
    bins: Literal["mass", "width"] = "mass"
    """Bins of equally many cases, or of equal width."""


class CalibrationError(ProbabilityMetric):
    """Expected calibration error: 0 when of the cases said to have 30 %, 30 % happen, and so on.

    >>> round(CalibrationError(n_bins=2)([0, 0, 1, 1], [0.2, 0.2, 0.7, 0.7]), 4)  # (0.2 + 0.3) / 2
    0.25
    """

    config: CalibrationErrorConfig
    higher_is_better = False

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        gaps = np.bincount(self._bins(probability), happened - probability)
        return float(np.abs(gaps).sum() / len(happened))

    def _bins(self, probability: DoubleVector) -> LongVector:
        """(n,) the bin of each case, from 0."""
        n_bins = self.config.n_bins
        if self.config.bins == "width":
            return np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
        smaller = np.searchsorted(np.sort(probability), probability, side="left")
        found: LongVector = smaller * n_bins // len(probability)
        return found
