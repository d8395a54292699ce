"""User holdout: whole users are held out, to see how a model serves people it never met (strong generalisation).

Marlin (2004), chapter 3; the protocol of Liang et al. (Mult-VAE, WWW 2018, section 4.1): of a held-out user's events a
share is shown as the query and the rest must be foretold.
"""

from __future__ import annotations

import numpy as np

from zhiyin.arrays import BoolVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError
from zhiyin.splitting.base import Parts, Splitter, SplitterConfig, cases_of


class UserHoldoutConfig(SplitterConfig):
    """Settings of `user_holdout`."""

    test_share: float = setting(0.1, gt=0, lt=1)
    """Share of the users that are held out for the test."""
    validation_share: float = setting(0.1, ge=0, lt=1)
    """Share of the users that are held out for validation; 0 for none."""
    query_share: float = setting(0.8, gt=0, lt=1)
    """Share of a held-out user's events that is the query, rounded; at least one event is query and one target."""
    minimum_events: int = setting(5, ge=2)
    """Only users with at least so many events are held out; the others are trained on."""


class UserHoldout(Splitter):
    """Test on users of whom training saw nothing.

    The query is the earlier part of their events where the order is known, and a seeded random part where it is not.
    `now` is the moment of the first target.

    Raises:
        ConfigError: test and validation together would leave no user to learn from.
    """

    config: UserHoldoutConfig
    leaks = (
        "user_holdout leaks time: the training users' events may be later than those of the held-out users, "
        "so its numbers say how new users are served, not what to expect of tomorrow"
    )

    def _split(self, dataset: Dataset) -> Parts:
        histories = dataset.histories
        rng = np.random.default_rng(self.config.seed)
        test_users, validation_users = self._held_out(histories, rng)
        shown = self._shown(histories, dataset.has_order(), rng)
        test, validation = test_users.repeat(histories.lengths), validation_users.repeat(histories.lengths)
        validation_cases = cases_of(dataset, validation & shown, validation & ~shown)
        return (
            dataset.keep(~(test | validation)),
            validation_cases if self.config.validation_share else None,
            dataset.keep(~test),
            cases_of(dataset, test & shown, test & ~shown),
        )

    def _held_out(self, histories: Histories, rng: np.random.Generator) -> tuple[BoolVector, BoolVector]:
        """((n_users,), (n_users,)) the users of the test and of validation."""
        settings = self.config
        if settings.test_share + settings.validation_share >= 1:
            raise ConfigError(
                f"test_share {settings.test_share} and validation_share {settings.validation_share} "
                "leave no user to learn from; together they must be below 1"
            )
        able = rng.permutation(np.flatnonzero(histories.lengths >= settings.minimum_events))
        n_test = max(1, round(settings.test_share * len(able)))
        n_validation = max(1, round(settings.validation_share * len(able))) if settings.validation_share else 0
        test, validation = np.zeros((2, len(histories)), bool)
        test[able[:n_test]] = True
        validation[able[n_test : n_test + n_validation]] = True
        return test, validation

    def _shown(self, histories: Histories, ordered: bool, rng: np.random.Generator) -> BoolVector:
        """(n_events,) whether the event would be in the query of its user."""
        n_query = np.clip(
            np.round(self.config.query_share * histories.lengths), 1, np.maximum(1, histories.lengths - 1)
        )
        place = np.arange(histories.n_events) - np.repeat(histories.offsets[:-1], histories.lengths)
        if not ordered:
            shuffled = np.lexsort((rng.random(histories.n_events), histories.owner()))
            place[shuffled] = place.copy()
        shown: BoolVector = place < np.repeat(n_query, histories.lengths)
        return shown
