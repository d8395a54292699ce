"""Conversion rate: how often a click, or an exposure, led to what the business is for (Ma et al., SIGIR 2018).

CVR = conversions / clicks        per = "click"
CTCVR = conversions / exposures   per = "exposure": also conversions without a click count
"""

from __future__ import annotations

from typing import Literal

from zhiyin.arrays import DoubleVector
from zhiyin.config import Config
from zhiyin.errors import DataError
from zhiyin.metrics.base import ExposureMetric, not_more


class ConversionRateConfig(Config):
    """Settings of `conversion_rate`."""

    per: Literal["click", "exposure"] = "click"
    """What conversions are divided by."""


class ConversionRate(ExposureMetric):
    """Conversions per click or per exposure; NaN where there is none of those.

    >>> ConversionRate()(exposed=[1, 1, 1, 1], clicked=[1, 0, 0, 1], converted=[1, 0, 0, 0])
    0.5
    >>> ConversionRate(per="exposure")(exposed=[1, 1, 1, 1], clicked=[1, 0, 0, 1], converted=[1, 0, 0, 0])
    0.25
    """

    config: ConversionRateConfig

    def _share(
        self, exposed: DoubleVector, clicked: DoubleVector, converted: DoubleVector | None
    ) -> tuple[DoubleVector, DoubleVector]:
        if converted is None:
            raise DataError("conversion_rate needs the conversions of each row, none came; give converted=...")
        if self.config.per == "exposure":
            return converted, exposed
        not_more("conversions", converted, "clicks", clicked)
        return converted, clicked
