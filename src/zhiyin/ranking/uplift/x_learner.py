"""X-learner: effects are learnt as such, each arm told by the model of the other (Künzel et al., PNAS 2019).

    1. the outcome in each arm        m_0, m_1, as in the T-learner
    2. what each person has gained    y - m_0(x) of those who were given it, m_1(x) - y of those who were not
    3. two models of that gain        from the former, τ_1(x), and from the latter, τ_0(x)
    4. the effect                     g τ_0(x) + (1 - g) τ_1(x)

No gain is told by a model that has seen its row, since each is told by the model of the other arm. The weight g is the
part of those who were given it (of them and of those with nothing): the paper allows any, and takes the propensity;
ours is its mean, which needs no model for new people. So the gains that the model of the larger arm tells count more.
With several arms, each is held against nothing on its own.

What a person gains is smoother over people than what it buys, so the models of step 3 are coarser by default than those
of step 1: few leaves, slow steps.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import AnyArray, IntVector
from zhiyin.data.trials import Trial
from zhiyin.ranking.table import FeatureTable
from zhiyin.ranking.uplift._crossed import Crossed, Learner, some_of
from zhiyin.ranking.uplift.base import UpliftConfig, UpliftModel
from zhiyin.run import Run


class XLearnerConfig(UpliftConfig):
    """Settings of `x_learner`."""

    effects: Learner = Learner(settings={"n_leaves": 7, "least_rows": 100, "learning_rate": 0.03})
    """What learns effects; it must be able to learn values, as `boosted_trees` is."""


class XLearner(UpliftModel):
    """What those who were given something have gained, and what those who were not would have."""

    config: XLearnerConfig

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what is in `crossed`."""
        arms = range(1, self.n_arms)
        return (*super().parts, *(f"effect-{arm}-{name}" for arm in arms for name in ("given", "not-given")))

    def _fit(self, features: FeatureTable, trial: Trial, fold: IntVector, run: Run) -> None:
        for arm in range(1, trial.n_arms):
            for name, rows, gained in self._gained(features, trial, arm):
                told = some_of(features, rows, gained, trial.weight)
                self.crossed[f"effect-{arm}-{name}"] = Crossed.fit(self.config.effects, "value", told, fold[rows], run)

    def _gained(self, features: FeatureTable, trial: Trial, arm: int) -> list[tuple[str, AnyArray, AnyArray]]:
        """Of those with the arm and those with nothing: a name, which they are (n,), and what they gain by it (n,)."""
        without, by_it = (self.crossed[f"outcome-{one}"].predict(features) for one in (0, arm))
        return [
            ("given", trial.arm == arm, trial.outcome - without),
            ("not-given", trial.arm == 0, by_it - trial.outcome),
        ]

    def _effects(self, features: FeatureTable, outcomes: AnyArray) -> AnyArray:
        columns = []
        for arm in range(1, self.n_arms):
            given, other = (self.crossed[f"effect-{arm}-{name}"].predict(features) for name in ("given", "not-given"))
            part = self.shares[arm] / (self.shares[arm] + self.shares[0])
            columns.append(part * other + (1 - part) * given)
        return np.stack(columns, 1)
