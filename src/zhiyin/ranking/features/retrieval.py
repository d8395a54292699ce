"""What the retrievers say of a candidate: its score, how it stands to those of others, its place."""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, FloatVector
from zhiyin.config import Config
from zhiyin.ranking._within import standard
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family

SCORE = "score of "
"""How a column of a retriever's scores begins."""


class RetrievalConfig(Config):
    """Settings of `retrieval`: none."""


class Retrieval(Family):
    """For each retriever: its score, the same in standard deviations over the query's candidates, and the place there.

    A score means something else in each query (the length of the history, the sharpness of the model), which the last
    two take out. NaN where a retriever says nothing of an item.
    """

    config: RetrievalConfig

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        found: dict[str, AnyArray] = {}
        total = np.zeros(len(candidates))
        for name, score in candidates.columns.items():
            if name.startswith(SCORE):
                who = name.removeprefix(SCORE)
                found[name] = score
                found[f"standard score of {who}"] = standard(score[:, None], candidates.offsets)[:, 0]
                found[f"place by {who}"] = place = places(score, candidates)
                total += np.where(np.isnan(place), 0, 1 / (60 + place))
        if len(found) > 3:
            found["reciprocal ranks of all retrievers"] = total
        return found


def places(score: FloatVector, candidates: Candidates) -> AnyArray:
    """(n,) the place by score among the query's candidates, from 1; NaN for an item without a score."""
    owner = candidates.owner()
    known = np.isfinite(score)
    order = np.lexsort((np.where(known, -score, np.inf), owner))
    found = np.empty(len(score))
    found[order] = np.arange(len(score)) - np.repeat(candidates.offsets[:-1], candidates.lengths) + 1
    found[~known] = np.nan
    return found
