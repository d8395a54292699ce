"""Cold items: some items lose all their events, to see who can recommend what nobody has touched yet.

Only content (text, categories, price, ...) can lead to them; a model of behaviour alone scores at chance here. See
Schein, Popescul, Ungar & Pennock, "Methods and metrics for cold-start recommendations" (SIGIR 2002).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from zhiyin.arrays import BoolVector, LongVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.splitting.base import Cases, Parts, Splitter, SplitterConfig, cases_of


class ColdItemsConfig(SplitterConfig):
    """Settings of `cold_items`."""

    test_share: float = setting(0.1, gt=0, lt=1)
    """Share of the items (of those with events) that are cold in the test."""
    validation_share: float = setting(0.1, ge=0, lt=1)
    """Share of the items that are cold in validation; 0 for none."""
    choose: Literal["newest", "random"] = "newest"
    """`newest` takes the items whose first event is latest, as it will be live; it becomes `random` without times."""
    cold_items: Literal["keep"] = "keep"
    """Every target is on a cold item here."""


class ColdItems(Splitter):
    """Test on events of items that training never saw.

    A case is a user with events on cold items: these are the targets. The query is what the user did on warm items
    before the first of them (strictly before in time; all of it where no order is known), and `now` is the moment of
    that first target. Cold items stay in the catalogue, with their content and without events.

    Raises:
        DataError: there are too few items with events.
        ConfigError: test and validation together would leave no warm item.
    """

    config: ColdItemsConfig
    leaks = (
        "cold_items leaks time: training events on warm items may be later than the test events, "
        "so its numbers say who can place a new item, not what to expect of tomorrow"
    )

    def _split(self, dataset: Dataset) -> Parts:
        test_items, validation_items = self._cold(dataset)
        item = dataset.histories.item
        test, validation = test_items[item], validation_items[item]
        warm = ~(test | validation)
        return (
            dataset.keep(warm),
            _cases(dataset, warm, validation) if self.config.validation_share else None,
            dataset.keep(~test),
            _cases(dataset, ~test, test),
        )

    def _cold(self, dataset: Dataset) -> tuple[BoolVector, BoolVector]:
        """((n_items,), (n_items,)) the cold items of the test and of validation."""
        settings = self.config
        if settings.test_share + settings.validation_share >= 1:
            raise ConfigError(
                f"test_share {settings.test_share} and validation_share {settings.validation_share} "
                "leave no warm item; together they must be below 1"
            )
        order = self._from_cold_to_warm(dataset)
        n_test = max(1, round(settings.test_share * len(order)))
        n_validation = max(1, round(settings.validation_share * len(order))) if settings.validation_share else 0
        if n_test + n_validation >= len(order):
            raise DataError(f"{self.name} needs more than {len(order)} items with events in {dataset.name!r}")
        test, validation = np.zeros((2, dataset.n_items), bool)
        test[order[:n_test]] = True
        validation[order[n_test : n_test + n_validation]] = True
        return test, validation

    def _from_cold_to_warm(self, dataset: Dataset) -> LongVector:
        """The items with events: the newest first, or in a seeded random order."""
        touched = np.flatnonzero(dataset.popularity > 0)
        time = dataset.histories.time
        if self.config.choose == "random" or dataset.clock != "time" or time is None:
            return np.random.default_rng(self.config.seed).permutation(touched)
        first = np.full(dataset.n_items, np.iinfo(np.int64).max)
        np.minimum.at(first, dataset.histories.item, time)
        return touched[np.argsort(-first[touched], kind="stable")]


def _cases(dataset: Dataset, warm: BoolVector, cold: BoolVector) -> Cases:
    return cases_of(dataset, warm & _before_first(dataset, cold), cold)


def _before_first(dataset: Dataset, cold: BoolVector) -> BoolVector:
    """(n_events,) whether the event is before its user's first cold one (strictly); all without a known order."""
    histories = dataset.histories
    if not dataset.has_order():
        return np.ones(histories.n_events, bool)
    clock = histories.time if dataset.clock == "time" and histories.time is not None else np.arange(histories.n_events)
    return clock < np.repeat(_first_moment(histories, clock, cold), histories.lengths)


def _first_moment(histories: Histories, clock: LongVector, cold: BoolVector) -> LongVector:
    """(n_users,) the value of `clock` at each user's first cold event; the largest number for users of none."""
    chosen = histories.keep(cold)
    first = np.full(len(histories), np.iinfo(np.int64).max)
    some = chosen.lengths > 0
    first[some] = clock[cold][chosen.offsets[:-1][some]]
    return first
