"""Metric: how good a list, a predicted value, a predicted probability or what was shown was.

Four kinds, by what they look at:

    ListMetric          recommended lists beside the targets (ndcg, recall, novelty, ...)
      CorpusMetric      the same, but one number for all lists together (coverage, gini)
    ValueMetric         predicted values beside the true ones (rmse, mae)
    ProbabilityMetric   predicted probabilities beside what happened (auc, log_loss, ...)
    ExposureMetric      what was shown, clicked and converted (click_through_rate, conversion_rate)

Each can be called with plain lists:

    >>> from zhiyin.metrics import NDCG
    >>> round(NDCG(k=3)([["a", "b", "c"]], [["b"]]), 4)
    0.6309
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.config import Component, Config, setting
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics._intervals import Interval, student, wilson
from zhiyin.metrics._lists import Categories, IdLists, Lists, World, listed_counts, positive

__all__ = [
    "AtK",
    "Categories",
    "CorpusMetric",
    "ExposureMetric",
    "IdLists",
    "Interval",
    "ListMetric",
    "Lists",
    "Metric",
    "MetricConfig",
    "ProbabilityMetric",
    "ValueMetric",
    "World",
    "mean_of_known",
    "not_more",
    "positive",
    "where_targets",
    "wilson",
]

Numbers: TypeAlias = Sequence[float] | AnyArray
Groups: TypeAlias = Sequence[Hashable] | AnyArray
_Share: TypeAlias = tuple[DoubleVector, DoubleVector]
"""Successes and trials."""


class MetricConfig(Config):
    """Settings of a metric that has none."""


class AtK(Config):
    """Settings of a metric of the first `k` places."""

    k: int = setting(10, ge=1)
    """How many places of the list count."""


class Metric(Component):
    """Base of every metric: settings, a label, and whether more is better."""

    config: Config
    room = "zhiyin.metrics"
    higher_is_better: ClassVar[bool | None] = True
    """None where neither direction is good in itself (popularity share, repeat rate)."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.label!r}"

    @property
    def label(self) -> str:
        """The name, the cut-off and what is not the usual setting: "ndcg@10", "recall@5[truncated=true]"."""
        k = getattr(self.config, "k", None)
        return (self.name if k is None else f"{self.name}@{k}") + self._unusual()

    def _unusual(self) -> str:
        fields = type(self.config).model_fields
        values = {name: getattr(self.config, name) for name in fields if name != "k"}
        changed = {name: value for name, value in values.items() if value != fields[name].default}
        return "".join(
            f"[{name}={str(value).lower() if isinstance(value, bool) else value}]" for name, value in changed.items()
        )


# ---------------------------------------------------------------------- lists


def mean_of_known(values: DoubleVector) -> float:
    """The mean of the values that are not NaN; NaN where there is none."""
    known = ~np.isnan(values)
    return float(values[known].mean()) if known.any() else float("nan")


def where_targets(lists: Lists, values: DoubleVector) -> DoubleVector:
    """(n,) the values, NaN for a query without targets."""
    return np.where(lists.n_targets > 0, values, np.nan)


class ListMetric(Metric):
    """A metric of recommended lists. It writes `_per_query`, or `_overall` when it is no mean over queries."""

    config: AtK

    def _per_query(self, lists: Lists) -> DoubleVector:
        """(n,) float64; NaN for a query for which the metric is not defined."""
        raise NotImplementedError

    def _overall(self, lists: Lists) -> float:
        return mean_of_known(self._per_query(lists))

    @property
    def is_mean(self) -> bool:
        """Whether the metric is a mean over queries (so that queries can be paired and resampled)."""
        return type(self)._overall is ListMetric._overall

    def per_query(self, lists: Lists) -> DoubleVector:
        """(n,) the value of each query; NaN where it is not defined.

        Raises:
            ConfigError: the metric has one value for all lists together (see `is_mean`).
        """
        if not self.is_mean:
            raise ConfigError(f"{self.label} is one number for all lists and has no value per query; use overall()")
        return self._per_query(lists)

    def overall(self, lists: Lists) -> float:
        """One value for all lists; NaN where it is defined for none."""
        return self._overall(lists)

    def resampled(self, lists: Lists, rows: AnyArray) -> float:
        """The value as if only the queries `rows` (numbers, with repeats) had been asked: one draw of a bootstrap.

        For a mean over queries it is cheaper to draw from `per_query` once computed.
        """
        if self.is_mean:
            return mean_of_known(self._per_query(lists)[rows])
        return self._overall(lists.take(rows))

    def __call__(
        self,
        recommended: IdLists,
        targets: IdLists | None = None,
        histories: IdLists | None = None,
        categories: Categories | None = None,
        catalogue: Iterable[Hashable] = (),
    ) -> float:
        """The value for plain lists of ids.

        Args:
            recommended: for each query the list, best first.
            targets: what was really taken; nothing when not given.
            histories: what was known before; popularity is counted there.
            categories: of each item.
            catalogue: items that exist beside those that occur in the others.
        """
        return self._overall(Lists.of(recommended, targets, histories, categories, catalogue))


class CorpusMetric(ListMetric):
    """A metric of how often each item is listed in all lists together. It writes `_of_counts`.

    Its draws of a bootstrap need the lists alone, not targets and histories. As a draw holds only about 63 % of the
    queries, what counts different items (coverage) is lower in every draw than in the whole.
    """

    def _of_counts(self, counts: IntVector) -> float:
        """The value, from (n_items,) the number of places at which each item of the catalogue stands."""
        raise NotImplementedError

    def _overall(self, lists: Lists) -> float:
        if not len(lists):
            return float("nan")
        return self._of_counts(listed_counts(lists.items[:, : self.config.k], lists.world.n_items))

    def resampled(self, lists: Lists, rows: AnyArray) -> float:
        """The value as if only the queries `rows` (numbers, with repeats) had been asked: one draw of a bootstrap."""
        drawn = lists.items[np.asarray(rows), : self.config.k]
        return self._of_counts(listed_counts(drawn, lists.world.n_items)) if len(drawn) else float("nan")


# ---------------------------------------------------------------------- values and probabilities


def _numbers(what: str, values: Numbers) -> DoubleVector:
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be numbers: {error}") from error
    if found.ndim != 1:
        raise DataError(f"{what} of shape {found.shape} came; one number for each case, (n,), is expected")
    if not np.isfinite(found).all():
        raise DataError(f"{np.count_nonzero(~np.isfinite(found))} of {len(found)} {what} are NaN or infinite")
    return found


def _same_length(what: str, first: AnyArray, other: str, second: AnyArray) -> None:
    if len(first) != len(second):
        raise DataError(f"{len(first)} {what} came with {len(second)} {other}; one for each is expected")


class ValueMetric(Metric):
    """A metric of predicted values, from the error of each prediction."""

    config: MetricConfig
    higher_is_better = False

    def _errors(self, truth: DoubleVector, predicted: DoubleVector) -> DoubleVector:
        """(n,) the loss of each prediction; their mean, after `_finish`, is the metric."""
        raise NotImplementedError

    def _finish(self, mean: float) -> float:
        return mean

    def errors(self, truth: Numbers, predicted: Numbers) -> DoubleVector:
        """(n,) the loss of each prediction, so that predictions can be paired and resampled."""
        true, guess = _numbers("true values", truth), _numbers("predictions", predicted)
        _same_length("true values", true, "predictions", guess)
        return self._errors(true, guess)

    def __call__(self, truth: Numbers, predicted: Numbers) -> float:
        """The value for true and predicted values; NaN for none.

        Raises:
            DataError: their numbers differ, or a value is NaN or infinite.
        """
        errors = self.errors(truth, predicted)
        return self._finish(float(errors.mean())) if len(errors) else float("nan")


class ProbabilityMetric(Metric):
    """A metric of predicted probabilities."""

    config: Config
    any_score: ClassVar[bool] = False
    """Whether any number will do (only the order counts), or it must be a probability between 0 and 1."""

    def _overall(self, happened: BoolVector, probability: DoubleVector, group: LongVector | None) -> float:
        """The value of at least one case; `group` (n,) counts from 0."""
        raise NotImplementedError

    def __call__(self, happened: Sequence[bool] | AnyArray, probability: Numbers, group: Groups | None = None) -> float:
        """The value for what happened (0 or 1), its predicted probability, and the group (user) of each case.

        Raises:
            DataError: their numbers differ, an outcome is not 0 or 1, or a probability is not between 0 and 1.
        """
        true, guess = _numbers("outcomes", happened), _numbers("probabilities", probability)
        _same_length("outcomes", true, "probabilities", guess)
        if not np.isin(true, (0, 1)).all():
            raise DataError(f"outcomes must be 0 or 1, {true[~np.isin(true, (0, 1))][0]:g} came")
        if not self.any_score and len(guess) and (guess.min() < 0 or guess.max() > 1):
            raise DataError(
                f"{self.name} needs probabilities between 0 and 1, they go from {guess.min():g} to {guess.max():g}"
            )
        groups = None if group is None else _groups(group, "outcomes", len(true))[1]
        return self._overall(true > 0, guess, groups) if len(true) else float("nan")


def _groups(group: Groups, what: str, n: int) -> tuple[AnyArray, LongVector]:
    """The different groups, and (n,) the number of each case's group."""
    labels = np.asarray(group)
    if labels.ndim != 1 or len(labels) != n:
        raise DataError(f"{n} {what} came with groups of shape {labels.shape}; one for each is expected")
    try:
        names, place = np.unique(labels, return_inverse=True)
    except TypeError as error:  # None among texts, say
        raise DataError(f"groups must all be of one kind, text or numbers: {error}") from error
    return names, place.astype(np.int64)


# ---------------------------------------------------------------------- logged exposures


class ExposureMetric(Metric):
    """A rate from a log of what was shown. Rows are single exposures (0 or 1 in each column) or counts of many."""

    config: Config

    def _share(self, exposed: DoubleVector, clicked: DoubleVector, converted: DoubleVector | None) -> _Share:
        """(n,) successes and (n,) trials of each row."""
        raise NotImplementedError

    def value(
        self,
        exposed: Numbers,
        clicked: Numbers,
        converted: Numbers | None = None,
        group: Groups | None = None,
    ) -> float:
        """The rate of all rows together; NaN without trials.

        With `group` (the user of each row): the mean of the groups' rates, so that every user counts alike.

        Raises:
            DataError: numbers of rows differ, a count is negative, or more was clicked than shown.
        """
        if group is not None:
            return mean_of_known(self._rates(self._checked(exposed, clicked, converted), group)[1])
        successes, trials = self._checked(exposed, clicked, converted)
        return float(successes.sum() / trials.sum()) if trials.sum() else float("nan")

    __call__ = value

    def by_group(
        self, exposed: Numbers, clicked: Numbers, converted: Numbers | None, group: Groups
    ) -> dict[Hashable, float]:
        """The rate of each group (a user, a scenario, a position); NaN for one without trials."""
        names, rates = self._rates(self._checked(exposed, clicked, converted), group)
        return dict(zip(names.tolist(), rates.tolist(), strict=True))

    def interval(
        self,
        exposed: Numbers,
        clicked: Numbers,
        converted: Numbers | None = None,
        group: Groups | None = None,
        level: float = 0.95,
    ) -> Interval:
        """The interval of `value`: Wilson's, which takes rows as independent.

        With `group`, Student's t interval of the mean of the groups' rates; NaN below two groups.
        """
        successes, trials = self._checked(exposed, clicked, converted)
        if group is None:
            return wilson(float(successes.sum()), float(trials.sum()), level)
        rates = self._rates((successes, trials), group)[1]
        return student(rates[~np.isnan(rates)], level)

    def _checked(self, exposed: Numbers, clicked: Numbers, converted: Numbers | None) -> _Share:
        shown, chosen = _numbers("exposures", exposed), _numbers("clicks", clicked)
        bought = None if converted is None else _numbers("conversions", converted)
        for what, column in (("clicks", chosen), ("conversions", bought)):
            if column is not None:
                _same_length("exposures", shown, what, column)
                not_more(what, column, "exposures", shown)
        return self._share(shown, chosen, bought)

    def _rates(self, share: _Share, group: Groups) -> tuple[AnyArray, DoubleVector]:
        successes, trials = share
        names, place = _groups(group, "exposures", len(trials))
        sums = [np.bincount(place, column, len(names)) for column in (successes, trials)]
        return names, sums[0] / positive(sums[1])


def not_more(what: str, column: DoubleVector, than: str, limit: DoubleVector) -> None:
    """Refuse rows with a negative count, or with more of one thing than of what it is a part of."""
    wrong = (column < 0) | (column > limit)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {row} has {column[row]:g} {what} for {limit[row]:g} {than}; between 0 and {limit[row]:g} are expected"
        )
