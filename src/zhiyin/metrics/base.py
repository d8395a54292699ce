"""Metric: how good a list, a predicted value or a predicted probability was.

Three kinds, by what they look at:

    ListMetric          recommended lists beside the targets (ndcg, recall, coverage, ...)
    ValueMetric         predicted values beside the true ones (rmse, mae)
    ProbabilityMetric   predicted probabilities beside what happened (auc, log_loss, ...)

Each can be called with plain lists:

    >>> from zhiyin.metrics import NDCG
    >>> round(NDCG(k=3)([["a", "b", "c"]], [["b"]]), 4)
    0.6309
"""

from __future__ import annotations

import typing
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntMatrix, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError

IdLists: TypeAlias = Sequence[Sequence[Hashable]]


@dataclass(frozen=True)
class World:
    """What list metrics may know beside the lists: the catalogue and how it was used in training.

    `n_items`: size of the catalogue; `popularity` (n_items,) training events of each item; `n_users`: training users;
    `categories` (n_items, n_categories) sparse 0/1, or None where items have none.
    """

    n_items: int
    popularity: LongVector
    n_users: int = 1
    categories: sparse.csr_array | None = None


@dataclass(frozen=True)
class Lists:
    """Recommended lists beside what really followed.

    `items` (n, width) int32, best first, padded with -1; `targets` and `histories` have one row per list. Targets that
    occur twice count once.
    """

    items: IntMatrix
    targets: Histories
    histories: Histories
    world: World

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def hits(self) -> BoolVector:
        """(n, width) whether the item at that place is a target; a repeated item hits only once."""
        return _hits(self.items, self.targets, self.world.n_items)

    @cached_property
    def n_targets(self) -> LongVector:
        """(n,) the number of different targets of each list."""
        keys = self.targets.owner().astype(np.int64) * self.world.n_items + self.targets.item
        return np.bincount(np.unique(keys) // self.world.n_items, minlength=len(self)).astype(np.int64)

    @classmethod
    def of(cls, recommended: IdLists, targets: IdLists, histories: IdLists | None = None) -> Lists:
        """Lists of any ids, for a person at the prompt; popularity is counted in the histories."""
        if len(recommended) != len(targets):
            raise DataError(
                f"{len(recommended)} lists came with {len(targets)} lists of targets; one for each is expected"
            )
        past = histories if histories is not None else [[] for _ in recommended]
        number: dict[Hashable, int] = {}
        for one in (one for group in (*recommended, *targets, *past) for one in group):
            number.setdefault(one, len(number))
        coded = [[[number[one] for one in row] for row in group] for group in (recommended, targets, past)]
        width = max((len(row) for row in coded[0]), default=0)
        items = np.array([row + [-1] * (width - len(row)) for row in coded[0]], np.int32).reshape(
            len(recommended), width
        )
        history = Histories.of_lists(coded[2])
        popularity = np.bincount(history.item, minlength=len(number)).astype(np.int64)
        return cls(items, Histories.of_lists(coded[1]), history, World(max(1, len(number)), popularity, len(past)))


def _hits(items: IntMatrix, targets: Histories, n_items: int) -> BoolVector:
    wanted = np.unique(targets.owner().astype(np.int64) * n_items + targets.item)
    keys = np.arange(len(items), dtype=np.int64)[:, None] * n_items + items
    hits: BoolVector = np.isin(keys, wanted) & (items >= 0)
    first = np.zeros(items.size, bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return hits & first.reshape(items.shape)


class MetricConfig(Config):
    """Settings of a metric that has none."""


class AtK(Config):
    """Settings of a metric of the first `k` places."""

    k: int = setting(10, ge=1)
    """How many places of the list count."""


class Metric:
    """Base of every metric: settings, a label, and whether more is better."""

    config: Config
    higher_is_better: ClassVar[bool | None] = True
    """None where neither direction is good in itself (popularity share, repeat rate)."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        wanted = typing.get_type_hints(type(self))["config"]
        self.config = wanted.read(options, self.name) if config is None else config

    @property
    def name(self) -> str:
        """The name by which the metric is found."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def label(self) -> str:
        """The name with its cut-off: "ndcg@10"."""
        k = getattr(self.config, "k", None)
        return self.name if k is None else f"{self.name}@{k}"


class ListMetric(Metric):
    """A metric of recommended lists. It writes `_per_query`, or `_overall` when it is no mean over queries."""

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        """(n,) float64; NaN for a query for which the metric is not defined."""
        raise NotImplementedError

    def _overall(self, lists: Lists) -> float:
        values = self._per_query(lists)
        known = ~np.isnan(values)
        return float(values[known].mean()) if known.any() else float("nan")

    @property
    def is_mean(self) -> bool:
        """Whether the metric is a mean over queries (so that queries can be paired and resampled)."""
        return type(self)._overall is ListMetric._overall

    def per_query(self, lists: Lists) -> DoubleVector:
        """(n,) the value of each query; NaN where it is not defined."""
        return self._per_query(lists)

    def overall(self, lists: Lists) -> float:
        """One value for all lists."""
        return self._overall(lists)

    def __call__(self, recommended: IdLists, targets: IdLists, histories: IdLists | None = None) -> float:
        """The value for plain lists of ids: recommended, best first; what was really taken; what was known before."""
        return self._overall(Lists.of(recommended, targets, histories))


class ValueMetric(Metric):
    """A metric of predicted values, from the error of each prediction."""

    config: MetricConfig
    higher_is_better = False

    def _errors(self, truth: DoubleVector, predicted: DoubleVector) -> DoubleVector:
        """(n,) the loss of each prediction; their mean, after `_finish`, is the metric."""
        raise NotImplementedError

    def _finish(self, mean: float) -> float:
        return mean

    def __call__(self, truth: Sequence[float] | AnyArray, predicted: Sequence[float] | AnyArray) -> float:
        """The value for true and predicted values."""
        true, guess = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
        if true.shape != guess.shape:
            raise DataError(f"{true.shape} true values came with {guess.shape} predictions; one for each is expected")
        return self._finish(float(self._errors(true, guess).mean())) if len(true) else float("nan")


class ProbabilityMetric(Metric):
    """A metric of predicted probabilities."""

    config: Config

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        raise NotImplementedError

    def __call__(
        self,
        happened: Sequence[bool] | AnyArray,
        probability: Sequence[float] | AnyArray,
        group: Sequence[Hashable] | None = None,
    ) -> float:
        """The value for what happened (0 or 1), its predicted probability, and the group (user) of each case."""
        true, guess = np.asarray(happened).astype(bool), np.asarray(probability, np.float64)
        if true.shape != guess.shape:
            raise DataError(f"{true.shape} outcomes came with {guess.shape} probabilities; one for each is expected")
        groups = None if group is None else np.unique(np.asarray(group), return_inverse=True)[1].astype(np.int64)
        return self._overall(true, guess, groups)
