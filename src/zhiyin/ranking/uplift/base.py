"""Uplift model: a trial goes in, what each arm changes for each person comes out; the base class does the rest.

A model writes `_effects`, and `_fit` and `parts` where it learns more than the outcome in each arm, as all do. Checks,
folds, weights by propensity, saving and loading are here, once.

*Folds.* Each thing is learnt by several rankers, each from all folds but one, on which it stops (cross-fitting;
Chernozhukov et al. 2018); what they say is averaged. Averages of models that differ by a part of their rows err less
than one model does, and an effect, a difference, is small beside the errors of what it is a difference of. That holds
of new people. What one of the trial did, all models of that arm but one have learnt, so `predict` is surer of them than
it may be: it is to be judged on others.

*Weights.* Where some were given something more often than others, each row counts 1 / propensity, so that the people of
each arm stand for all people of the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from zhiyin._numbers import as_numbers
from zhiyin.arrays import AnyArray, DoubleVector, IntVector
from zhiyin.config import Component, Config, setting
from zhiyin.data.trials import Trial
from zhiyin.errors import DataError, NotFittedError
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.table import FeatureTable, check_table
from zhiyin.ranking.uplift._crossed import Crossed, Learner, folds_of, some_of
from zhiyin.run import Run


class UpliftConfig(Config):
    """Settings of every uplift model."""

    outcomes: Learner = Learner(settings={"n_leaves": 7})
    """What learns the outcome in each arm: chances where outcomes are 0 and 1, else values."""
    folds: int = setting(5, ge=2, le=50)
    """So many rankers for each thing to learn, each from all folds but one, on which it stops."""


class UpliftModel(Component):
    """Base of every uplift model."""

    config: UpliftConfig
    room = "zhiyin.ranking.uplift"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save beside those of every model: numpy arrays, or lists of text."""
    features: list[str]
    """The names of the features that it has learnt from."""
    shares: DoubleVector
    """(n_arms,) the part of the people in each arm of the trial."""
    limits: DoubleVector
    """(2,) the least and the most that an outcome can be: 0 and 1 for chances, else infinite."""
    crossed: dict[str, Crossed]
    """The rankers, by what they foretell."""

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of all attributes to save."""
        return ("features", "shares", "limits", *self.learns)

    @property
    def n_arms(self) -> int:
        """How many arms the trial had, nothing among them."""
        return len(self.shares)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what is in `crossed`."""
        return tuple(f"outcome-{arm}" for arm in range(self.n_arms))

    def _fit(self, features: FeatureTable, trial: Trial, fold: IntVector, run: Run) -> None:
        """Learn what is needed beside the outcome in each arm."""

    def _effects(self, features: FeatureTable, outcomes: AnyArray) -> AnyArray:
        """(n, n_arms - 1) what each arm changes, from the features and what is expected in each arm (n, n_arms)."""
        raise NotImplementedError

    def fit(
        self,
        features: FeatureTable,
        treatment: AnyArray,
        outcome: AnyArray,
        propensity: AnyArray | float | None = None,
        run: Run | None = None,
    ) -> Self:
        """Learn from a trial.

        Args:
            features: a row for each person, a query of its own, as `FeatureTable.of` makes it; of what was known
                before anything was given.
            treatment: (n,) 0 for nothing, 1, 2, ... for what was given.
            outcome: (n,) 1 and 0, or values.
            propensity: (n,) the chance of the arm that each was given; or one number, that of arm 1 where there is no
                other; None for a trial by lot.
            run: how.

        Raises:
            DataError: no table of features came; an arm has nobody, or too few of either outcome to learn from; a
                propensity is 0 or 1; an outcome is no number; there are not as many rows as people.
        """
        chance = None if propensity is None else as_numbers("propensity", propensity)
        trial = Trial.of(as_numbers("treatment", treatment), as_numbers("outcome", outcome), chance)
        self._check(features, trial)
        run = run or Run()
        fold = self._folds(trial, run)
        self.crossed = {}
        for arm in range(trial.n_arms):
            rows = trial.arm == arm
            told = some_of(features, rows, trial.outcome, trial.weight)
            objective = "chance" if trial.is_binary else "value"
            self.crossed[f"outcome-{arm}"] = Crossed.fit(self.config.outcomes, objective, told, fold[rows], run)
        self.features = list(features.names)
        self.shares = np.asarray(trial.counts / len(trial), np.float64)
        self.limits = np.array([0.0, 1.0] if trial.is_binary else [-np.inf, np.inf])
        self._fit(features, trial, fold, run)
        return self

    def predict(self, features: FeatureTable, arms: Sequence[int] | None = None) -> AnyArray:
        """(n, n_arms - 1) float64: by how much each arm changes the outcome of each person, against nothing.

        Args:
            features: a row for each person.
            arms: (m,) only these, in this order, from 1; then (n, m).

        Raises:
            NotFittedError: before `fit`.
            DataError: a feature that was learnt from is not there, or an arm was not in the trial.
        """
        return self._effects_and_outcomes(features, arms)[0]

    def expected(self, features: FeatureTable, arms: Sequence[int] | None = None) -> AnyArray:
        """(n, n_arms) float64: the outcome that is expected of each person with nothing, then in each arm.

        With `arms`, of nothing and these. An arm's outcome is that of nothing and the effect, within what is possible.

        Raises:
            NotFittedError, DataError: as `predict`.
        """
        effects, outcomes = self._effects_and_outcomes(features, arms)
        return np.concatenate([outcomes[:, :1], np.clip(outcomes[:, :1] + effects, *self.limits)], 1)

    def _effects_and_outcomes(self, features: FeatureTable, arms: Sequence[int] | None) -> tuple[AnyArray, AnyArray]:
        self._ready()
        check_table(features, self.name)
        wanted = list(range(1, self.n_arms)) if arms is None else list(arms)
        for arm in wanted:
            if not isinstance(arm, (int, np.integer)):
                raise DataError(f"arm {arm!r} came; whole numbers from 1 to {self.n_arms - 1} are expected")
            if not 1 <= arm < self.n_arms:
                raise DataError(f"arm {arm} was not in the trial; it had 1 to {self.n_arms - 1} beside nothing")
        known = features.as_named(self.features)
        if not len(known):
            return np.zeros((0, len(wanted))), np.zeros((0, self.n_arms))
        outcomes = np.stack([self.crossed[f"outcome-{arm}"].predict(known) for arm in range(self.n_arms)], 1)
        return self._effects(known, outcomes)[:, np.array(wanted, np.int64) - 1], outcomes

    def _ready(self) -> None:
        if not hasattr(self, "shares") or not all(one in self.crossed for one in self.parts):
            raise NotFittedError(f"{self.name} is not fitted yet; call fit(features, treatment, outcome) first")

    def _check(self, features: FeatureTable, trial: Trial) -> None:
        check_table(features, self.name)
        if len(features) != len(trial) or len(features.offsets) != len(features) + 1:
            raise DataError(
                f"{len(features)} rows of {len(features.offsets) - 1} queries came for {len(trial)} people; a row for "
                "each is expected, a query of its own: FeatureTable.of makes such tables"
            )
        for arm in range(trial.n_arms):
            values, counts = np.unique(trial.outcome[trial.arm == arm], return_counts=True)
            if counts.sum() - counts.max() < 2 or counts.sum() < self.config.folds:
                most = values[counts.argmax()]
                raise DataError(
                    f"arm {arm} has {counts.sum()} people, {counts.max()} of them with the outcome {most:g}; two "
                    f"others are needed at least, and as many people as folds ({self.config.folds}): wait for more "
                    "outcomes, or join arms"
                )

    def _folds(self, trial: Trial, run: Run) -> IntVector:
        """(n,) in each arm for itself."""
        rng, fold = run.generator("uplift folds"), np.empty(len(trial), np.int32)
        for arm in range(trial.n_arms):
            fold[trial.arm == arm] = folds_of(trial.outcome[trial.arm == arm], self.config.folds, rng)
        return fold

    # ------------------------------------------------------------------ the saved form

    def derive(self) -> None:
        """Make what is not saved; nothing here."""

    def write(self, folder: Path) -> None:
        """Write the rankers."""
        for name, one in self.crossed.items():
            one.save(folder / name)

    def read(self, folder: Path) -> None:
        """Read the rankers."""
        self.crossed = {name: Crossed.load(folder / name, self.config.folds) for name in self.parts}

    def save(self, folder: str | Path) -> Path:
        """Write it to a new folder, whole or not at all.

        Raises:
            NotFittedError: before `fit`.
            DataError: the folder is there already, or the disk refuses to write.
        """
        self._ready()
        return save(self, Path(folder))

    @staticmethod
    def load(folder: str | Path) -> UpliftModel:
        """Open what `save` wrote, whichever model it is.

        Raises:
            DataError: the folder is missing, damaged, or holds something else.
        """
        from zhiyin.ranking import uplift

        found: UpliftModel = load(Path(folder), "uplift", "uplift model", uplift.get)
        return found
