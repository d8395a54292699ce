"""Reliability: of all that were given a chance, how many happened; a table, one number, and a picture.

Cases are put in bins of about equally many by their chance; in each, the mean chance stands beside the share that
happened, with its 95 % interval (Wilson 1927). Where chances can be taken at their word, the points are on the
diagonal. The one number is the calibration error (see `zhiyin.metrics.calibration_error`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics._intervals import wilson
from zhiyin.page import charts
from zhiyin.page.chart import Chart


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What was said beside what happened, bin by bin, lower chances first; see `reliability`."""

    said: DoubleVector
    """(n_bins,) the mean chance."""
    happened: DoubleVector
    """(n_bins,) the share that happened."""
    low: DoubleVector
    """(n_bins,) the lower end of its interval."""
    high: DoubleVector
    """(n_bins,) the upper end."""
    n: LongVector
    """(n_bins,) cases."""

    @property
    def error(self) -> float:
        """The mean distance between the two, weighed by cases: the calibration error of these bins."""
        return float((self.n * np.abs(self.said - self.happened)).sum() / self.n.sum())

    @property
    def honest(self) -> float:
        """The part of the bins in whose interval the mean chance lies; about 0.95 where chances are right."""
        return float(((self.low <= self.said) & (self.said <= self.high)).mean())

    def chart(self, title: str = "Reliability", name: str = "said and happened") -> Chart:
        """Happened over said, between the ends of the intervals and beside the diagonal."""
        top = float(max(self.said.max(), self.high.max()))
        lines = {
            name: (self.said, self.happened),
            "95 % interval, low": (self.said, self.low),
            "95 % interval, high": (self.said, self.high),
            "at their word": (np.array([0.0, top]), np.array([0.0, top])),
        }
        caption = f"{int(self.n.sum()):,} cases in {len(self.n)} bins; calibration error {self.error:.4f}"
        return charts.line(lines, title, "chance that was said", "share that happened", caption=caption)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        columns = {name: getattr(self, name).tolist() for name in ("said", "happened", "low", "high", "n")}
        return {**columns, "error": self.error, "honest": self.honest}

    def __str__(self) -> str:
        lines = [f"{'said':>8} {'happened':>9}  {'95 % interval':<17} {'cases':>9}"]
        for said, happened, low, high, n in zip(self.said, self.happened, self.low, self.high, self.n, strict=True):
            lines.append(f"{said:8.4f} {happened:9.4f}  {low:7.4f} to {high:.4f} {n:10,}")
        return "\n".join([*lines, f"calibration error {self.error:.4f}"])


def reliability(happened: AnyArray, chance: AnyArray, n_bins: int = 15) -> Reliability:
    """What was said beside what happened.

    >>> print(reliability([0, 0, 0, 1, 1, 1, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.7, 0.7, 0.7, 0.7], n_bins=2))
        said  happened  95 % interval         cases
      0.2000    0.2500   0.0456 to 0.6994          4
      0.7000    0.7500   0.3006 to 0.9544          4
    calibration error 0.0500

    Args:
        happened: (n,) 1 or 0.
        chance: (n,) between 0 and 1.
        n_bins: how many bins there are at most; cases of one chance are in one.

    Raises:
        DataError: columns of different lengths or none at all, chances that are none, labels other than 0 and 1.
        ConfigError: no bin.
    """
    label, said = np.asarray(happened, np.float64), np.asarray(chance, np.float64)
    if n_bins < 1:
        raise ConfigError(f"n_bins={n_bins} came; at least one is needed")
    if len(label) != len(said) or not len(label):
        raise DataError(f"{len(label)} cases came with {len(said)} chances; as many of both are expected, and some")
    if not np.isin(label, (0, 1)).all():
        raise DataError("cases are expected to be 1 (happened) or 0; others came")
    if not ((said >= 0) & (said <= 1)).all():
        raise DataError(f"chances lie between 0 and 1; these go from {said.min():g} to {said.max():g}")
    _, place = np.unique(np.searchsorted(np.sort(said), said) * n_bins // len(said), return_inverse=True)
    n = np.bincount(place)
    count = np.bincount(place, label)
    ends = [wilson(float(one), float(of)) for one, of in zip(count, n, strict=True)]
    return Reliability(
        np.bincount(place, said) / n,
        count / n,
        np.array([one.low for one in ends]),
        np.array([one.high for one in ends]),
        n.astype(np.int64),
    )
