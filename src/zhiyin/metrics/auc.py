"""AUC: the chance that a case that happened was scored above one that did not (Hanley & McNeil, Radiology 1982).

AUC = (1 / (P · N)) · Σ_{happened a} Σ_{not b} ( [s_a > s_b] + ½ [s_a = s_b] )
    = ( Σ_{happened a} rank_a − P (P + 1) / 2 ) / (P · N)        the mean rank for equal scores; O(n log n)
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import BoolVector, DoubleVector, LongVector
from zhiyin.metrics.base import MetricConfig, ProbabilityMetric, positive


class AUC(ProbabilityMetric):
    """Area under the ROC curve, a tie counting half; NaN where all or none of the cases happened.

    >>> AUC()([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1])  # 3 of 4 pairs in order, one tied
    0.875
    """

    config: MetricConfig
    any_score = True

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        return float(auc_of_groups(happened, probability, np.zeros(len(happened), np.int64))[0])


def auc_of_groups(happened: BoolVector, score: DoubleVector, group: LongVector) -> DoubleVector:
    """(n_groups,) the AUC inside each group (numbered from 0); NaN for one with a single outcome."""
    order = np.lexsort((score, group))
    groups, scores = group[order], score[order]
    counts = np.bincount(group)
    starts = np.cumsum(counts) - counts
    rank = _mean_places(groups, scores) - starts[groups]
    wins = np.bincount(groups, rank * happened[order], minlength=len(counts))
    yes = np.bincount(group, happened, minlength=len(counts))
    found: DoubleVector = (wins - yes * (yes + 1) / 2) / positive(yes * (counts - yes))
    return found


def _mean_places(groups: LongVector, scores: DoubleVector) -> DoubleVector:
    """(n,) the place of each sorted case, from 1; cases of one group with equal scores share the mean of theirs."""
    n = len(groups)
    starts = np.flatnonzero(np.append(True, (groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1])))
    sizes = np.diff(np.append(starts, n))
    return np.repeat(starts + (sizes + 1) / 2, sizes)
