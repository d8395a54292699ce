"""Global time: one moment cuts all users; models learn from what was before it and foretell what came after.

The one split that does not leak the future (Ji, Sun, Zhang & Li, "A critical study on data leakage in recommender
system offline evaluation", TOIS 2023). What is asked of the events after the cut is a choice of its own (compare Gusak
et al., "Time to split", RecSys 2025):

    all          one case per user: every event after the cut
    first        one case per user: the first event after the cut
    last         one case per user: the last event, asked at its own moment with all earlier events as history
    successive   one case per event after the cut, asked at its own moment with all earlier events as history
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import field_validator

from zhiyin.arrays import BoolVector, LongVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.moments import check_unit, first_of
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError
from zhiyin.splitting.base import Cases, Parts, Split, Splitter, SplitterConfig, cases_of, moments, opens

FOREVER = np.iinfo(np.int64).max


def moment(date: str | int) -> int:
    """Microseconds since 1970 of an ISO date or time (UTC where no zone is given), or of microseconds themselves.

    >>> moment("1970-01-02"), moment("1970-01-01T01:00+01:00"), moment(5)
    (86400000000, 0, 5)
    """
    if isinstance(date, int):
        return date
    if date.lstrip("-").isdigit() and len(date) > 8:  # eight digits are a date in ISO's basic form: 20240131
        return int(date)
    when = datetime.fromisoformat(date)
    since = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class GlobalTimeConfig(SplitterConfig):
    """Settings of `global_time`."""

    quantile: float = setting(0.9, gt=0, lt=1)
    """Share of the events before the cut. Not used where `date` is given."""
    date: str | int | None = None
    """The cut itself: an ISO date or time (UTC where no zone is given), or microseconds since 1970. Events at that very
    moment are after the cut."""
    validation: bool = True
    """Whether the last part before the cut is validation."""
    validation_quantile: float | None = setting(None, gt=0, lt=1)
    """Share of the events before the validation cut. By default validation gets as many events as the test, but at most
    half of what is before the cut (0.8 for a cut at 0.9)."""
    validation_date: str | int | None = None
    """The validation cut itself, in the form of `date`."""
    targets: Literal["all", "first", "last", "successive"] = "all"
    """What is asked of the events after the cut: all of a user's at once, the first, the last, or each one in turn with
    the history up to it."""
    max_history: int | None = setting(None, ge=1)
    """Keep only so many of the latest events in each query. With `successive` the histories together grow with the
    square of the activity after the cut, and this bounds them. None for all."""

    @field_validator("date", "validation_date")
    @classmethod
    def _is_a_moment(cls, date: str | int | None) -> str | int | None:
        if date is not None:
            try:
                moment(date)
            except ValueError as error:
                raise ValueError(
                    f"expected an ISO date such as 2024-01-31, or microseconds since 1970 ({error})"
                ) from None
        return date


class GlobalTime(Splitter):
    """Train before the validation cut, validate between the cuts, test after the test cut.

    Nothing at or after a query's `now` is in its history. `now` is the cut itself for targets `all` and `first` (what
    is known is what was known then), and the target's own moment for `last` and `successive`, whose histories also hold
    the user's earlier events after the cut. A user whose first event is after the cut has no history at first: with
    `cold_users=drop` those queries are left out and counted.

    Raises:
        DataError: times are not known, or a date is of another unit than microseconds.
        ConfigError: the validation cut is not before the test cut.
    """

    config: GlobalTimeConfig

    def _split(self, dataset: Dataset) -> Parts:
        time = _times(dataset, self.name)
        self._check_dates(dataset)
        cut = self._cut(time)
        before = time < cut
        development = dataset.keep(before)
        test = self._cases(dataset, cut, FOREVER)
        if not self.config.validation:
            return development, None, development, test
        start = self._validation_cut(time, cut, float(before.mean()))
        return dataset.keep(time < start), self._cases(dataset, start, cut), development, test

    def _check_dates(self, dataset: Dataset) -> None:
        """Refuse dates of another unit than the times of the events."""
        first = first_of(dataset.histories)
        for name in ("date", "validation_date"):
            if (date := getattr(self.config, name)) is not None:
                check_unit(name, np.array([moment(date)]), first, f"{dataset.name!r} has events")

    def _cut(self, time: LongVector) -> int:
        return moment(self.config.date) if self.config.date is not None else _at_quantile(time, self.config.quantile)

    def _validation_cut(self, time: LongVector, cut: int, share: float) -> int:
        if self.config.validation_date is not None:
            start = moment(self.config.validation_date)
        elif self.config.validation_quantile is not None:
            start = _at_quantile(time, self.config.validation_quantile)
        else:
            share = self.config.quantile if self.config.date is None else share
            start = min(_at_quantile(time, max(2 * share - 1, share / 2)), cut - 1)
        if start >= cut:
            raise ConfigError(
                f"the validation cut ({_shown(start)}) is not before the test cut ({_shown(cut)}); "
                "choose an earlier validation_quantile or validation_date"
            )
        return start

    def _cases(self, dataset: Dataset, start: int, stop: int) -> Cases:
        """The cases whose targets are at or after `start` and before `stop`."""
        histories, time = dataset.histories, _times(dataset, self.name)
        inside = (time >= start) & (time < stop)
        if self.config.targets in ("last", "successive"):
            target = inside if self.config.targets == "successive" else _last(histories, inside)
            return _own_moment_cases(dataset, np.flatnonzero(target), self.config.max_history)
        target = inside if self.config.targets == "all" else _first(histories, inside)
        history = time < start
        if self.config.max_history is not None:
            history = _latest(histories, history, self.config.max_history)
        return cases_of(dataset, history, target, np.full(dataset.n_users, start, np.int64))

    def folds(self, dataset: Dataset, k: int) -> Iterator[Split]:
        """Yield `k` splits by time, oldest first: consecutive test windows, each with only what is before it to learn.

        The last tests what `split(dataset)` tests. Going back from there, windows hold equal shares of the events (the
        share after `quantile`), or have equal lengths in time (that from `date` to the last event). Validation is the
        part before each window; explicit validation cuts are for a single split and are not used here.

        Raises:
            ConfigError: `k` windows do not fit before the last event.
            DataError: times are not known, or a date is of another unit than microseconds; or a window has nothing to
                learn from or to test on.
        """
        time = _times(dataset, self.name)
        self._check_dates(dataset)
        cuts = self._fold_cuts(time, first_of(dataset.histories), k)
        for start, stop in pairwise(cuts):
            settings = self.config.but(date=start, validation_quantile=None, validation_date=None)
            yield type(self)(settings).split(dataset.keep(time < stop, f" before {_shown(stop)}"))

    def _fold_cuts(self, time: LongVector, first: int | None, k: int) -> list[int]:
        if k < 1:
            raise ConfigError(f"{k} folds came; at least one is expected")
        end = int(time.max()) + 1
        if self.config.date is not None:
            last = moment(self.config.date)
            cuts = [last - back * (end - last) for back in range(k - 1, -1, -1)]
            fits = first is not None and cuts[0] > first
        else:
            share = 1 - self.config.quantile
            fits = k * share < 1 - 1e-9
            cuts = [_at_quantile(time, max(0.0, 1 - back * share)) for back in range(k, 1, -1)] + [self._cut(time)]
        if not fits:
            raise ConfigError(f"{k} test windows of this size leave nothing before the first; ask for fewer or shorter")
        return [*cuts, end]


def _times(dataset: Dataset, purpose: str) -> LongVector:
    order = "leave_last_out needs only the order; " if dataset.has_order() else ""
    dataset.need("time", purpose, f"{order}user_holdout and cold_items need neither times nor order")
    assert dataset.histories.time is not None
    return dataset.histories.time


def _at_quantile(time: LongVector, quantile: float) -> int:
    """The moment just after that quantile: events at the quantile itself are before the cut."""
    return math.floor(np.quantile(time, quantile)) + 1


def _shown(cut: int) -> str:
    try:
        return datetime.fromtimestamp(cut / 1e6, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return f"{cut} µs"


def _first(histories: Histories, inside: BoolVector) -> BoolVector:
    """(n_events,) the first event of each history that is inside."""
    first = inside.copy()
    first[1:] &= ~inside[:-1] | opens(histories)[1:]
    return first


def _last(histories: Histories, inside: BoolVector) -> BoolVector:
    """(n_events,) the last event of each history that is inside."""
    last = inside.copy()
    last[:-1] &= ~inside[1:] | opens(histories)[1:]
    return last


def _latest(histories: Histories, mask: BoolVector, n: int) -> BoolVector:
    """(n_events,) the last `n` events of each history where `mask` is true."""
    kept = histories.keep(mask)
    found = mask.copy()
    found[mask] = kept.from_end() < n
    return found


def _own_moment_cases(dataset: Dataset, places: LongVector, max_history: int | None) -> Cases:
    """One case for each event at `places`, asked at its moment: the history is what the user did strictly before."""
    histories = dataset.histories
    owner = np.searchsorted(histories.offsets, places, side="right") - 1
    stops = moments(histories)[places]
    starts = histories.offsets[owner]
    if max_history is not None:
        starts = np.maximum(starts, stops - max_history)
    lengths = stops - starts
    ends = np.cumsum(lengths)
    flat = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    columns = histories.columns()
    past = Histories.of_lengths(lengths, **{name: column[flat] for name, column in columns.items()})
    one = np.ones(len(places), np.int64)
    targets = Histories.of_lengths(one, **{name: column[places] for name, column in columns.items()})
    queries = Queries(
        past, dataset.items, columns["time"][places], tuple(dataset.users.decode(owner)), kinds=dataset.kinds
    )
    return Cases(queries, targets)
