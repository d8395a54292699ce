"""Intervals of a share, for rates of logged exposures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from zhiyin.arrays import DoubleVector
from zhiyin.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Interval:
    """Between which numbers a rate lies, at a level of confidence."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """The score interval of a share of independent trials (Wilson, JASA 1927); NaN without trials.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n),   p = successes/n

    >>> wilson(0, 10)
    Interval(low=0.0, high=0.2775...)

    Raises:
        ConfigError: `level` is not between 0 and 1.
    """
    _check(level)
    if not trials:
        return UNKNOWN
    z = float(ndtri((1 + level) / 2))
    p, share = successes / trials, z * z / trials
    centre = p + share / 2
    spread = z * np.sqrt(p * (1 - p) / trials + share / (4 * trials))
    low = 0.0 if successes == 0 else (centre - spread) / (1 + share)
    high = 1.0 if successes == trials else (centre + spread) / (1 + share)
    return Interval(float(low), float(high))


def student(rates: DoubleVector, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of rates, cut to 0 and 1; NaN for fewer than two."""
    _check(level)
    if len(rates) < 2:
        return UNKNOWN
    spread = stdtrit(len(rates) - 1, (1 + level) / 2) * rates.std(ddof=1) / np.sqrt(len(rates))
    return Interval(float(max(0, rates.mean() - spread)), float(min(1, rates.mean() + spread)))


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"a level of confidence lies between 0 and 1 (as 0.95 does), {level:g} came")
