"""Coverage at k: how much of the catalogue is recommended to anybody (Ge et al., RecSys 2010, catalogue coverage).

COV@k = |{items among the first k places of any list}| / |catalogue|
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import IntVector
from zhiyin.metrics.base import AtK, CorpusMetric


class Coverage(CorpusMetric):
    """Share of the catalogue that stands in at least one list; it grows with the number of lists.

    >>> Coverage(k=2)([["a", "b"], ["b", "c"]], catalogue=["a", "b", "c", "d"])
    0.75
    """

    config: AtK

    def _of_counts(self, counts: IntVector) -> float:
        return float(np.count_nonzero(counts) / len(counts))
