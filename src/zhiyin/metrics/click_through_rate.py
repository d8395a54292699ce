"""Click-through rate: how often what was shown was clicked (Richardson et al., WWW 2007).

CTR = clicks / exposures
"""

from __future__ import annotations

from zhiyin.arrays import DoubleVector
from zhiyin.metrics.base import ExposureMetric, MetricConfig


class ClickThroughRate(ExposureMetric):
    """Clicks per exposure, from a log of single exposures or of counts; NaN without exposures.

    >>> rate = ClickThroughRate()
    >>> rate(exposed=[1, 1, 1, 1], clicked=[1, 0, 0, 1])
    0.5
    >>> rate.interval(exposed=[1000], clicked=[20])
    Interval(low=0.01298..., high=0.03069...)
    """

    config: MetricConfig

    def _share(
        self, exposed: DoubleVector, clicked: DoubleVector, converted: DoubleVector | None
    ) -> tuple[DoubleVector, DoubleVector]:
        return clicked, exposed
