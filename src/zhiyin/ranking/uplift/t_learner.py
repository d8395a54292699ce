"""T-learner: the outcome in each arm by a model of its own; the effect is their difference.

Named by Künzel, Sekhon, Bickel & Yu (PNAS 2019) for its two models; with nothing and m arms there are m + 1. It is the
plain one. Its weakness: each model is as fine as its own rows allow, so where one arm is small, the coarseness of its
model is taken for an effect. There is no S-learner here, one model with the arm among its features: trees leave the arm
out where effects are small, and then say that there are none.
"""

from __future__ import annotations

from zhiyin.arrays import AnyArray
from zhiyin.ranking.table import FeatureTable
from zhiyin.ranking.uplift.base import UpliftConfig, UpliftModel


class TLearnerConfig(UpliftConfig):
    """Settings of `t_learner`."""


class TLearner(UpliftModel):
    """What is expected with something, less what is expected with nothing."""

    config: TLearnerConfig

    def _effects(self, features: FeatureTable, outcomes: AnyArray) -> AnyArray:
        effects: AnyArray = outcomes[:, 1:] - outcomes[:, :1]
        return effects
