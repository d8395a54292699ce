"""What is known of an ad at a request, from a log of shows; and rankers that learn clicks and conversions from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking import rankers
from zhiyin.ranking.pipeline_config import RankerChoice
from zhiyin.ranking.rankers.base import Ranker, Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

HOUR = 3_600_000_000
OUTCOMES = ("click", "conversion")
SMOOTHING = 10.0
"""A rate counts as many shows, or clicks, with the usual rate as this, beside what was seen."""


Counts: TypeAlias = tuple[DoubleVector, DoubleVector, DoubleVector]
"""(n,) each: shows, clicks and conversions."""


@dataclass(frozen=True, slots=True, eq=False)
class AdLog:
    """Shows of ads by time, in numbers; n of them, of `n_ads` in categories, to people in segments."""

    who: IntVector
    """(n,) the numbers of the people."""
    ad: IntVector
    """(n,) the numbers of the ads."""
    time: LongVector
    """(n,) microseconds since 1970."""
    told: Mapping[str, IntVector]
    """(n,) each: numbers of what was known of the moment, by name, such as "device"."""
    seen: IntVector
    """(n,) how often the person had seen the ad on that day before."""
    click: BoolVector
    conversion: BoolVector
    """(n,) each: what came of it."""
    category: IntVector
    """(n_ads,) of each ad."""
    segment: IntVector
    """(n_users,) of each person."""

    def __len__(self) -> int:
        return len(self.who)

    @classmethod
    def of(cls, log: pa.Table, items: pa.Table, users: pa.Table, told: Mapping[str, Sequence[str]]) -> Self:
        """From a table by time with `user_id`, `item_id`, `time`, `seen`, `clicked`, `converted` and what is `told`.

        Args:
            log: a row for each show.
            items: the ads: `item_id` and `category`.
            users: the people: `user_id` and `segment`.
            told: of each column of the moment the values that there are.
        """
        categories, segments = (
            sorted(set(of[name].to_pylist())) for of, name in ((items, "category"), (users, "segment"))
        )
        return cls(
            _places(log["user_id"], users["user_id"].to_pylist()),
            _places(log["item_id"], items["item_id"].to_pylist()),
            log["time"].to_numpy(),
            {name: _places(log[name], values) for name, values in told.items()},
            log["seen"].to_numpy().astype(np.int32),
            log["clicked"].to_numpy(),
            log["converted"].to_numpy(),
            _places(items["category"], categories),
            _places(users["segment"], segments),
        )

    def keys(self, who: IntVector, ad: IntVector) -> dict[str, LongVector]:
        """By what shows are counted: (n,) the number of each person, and of each person in the category of the ad."""
        whole = who.astype(np.int64)
        return {
            "person": whole,
            "person in the category": whole * (int(self.category.max()) + 1) + self.category[ad],
        }


def _places(column: pa.ChunkedArray, values: Sequence[str]) -> IntVector:
    number = {value: at for at, value in enumerate(values)}
    return np.array([number[one] for one in column.to_pylist()], np.int32)


def known_of_rows(log: AdLog) -> FeatureTable:
    """What was known of each show: counts are of shows that were before it."""
    counted = {name: _before(key, log) for name, key in log.keys(log.who, log.ad).items()}
    return _table(log, log.who, log.ad, log.time, log.told, log.seen, counted)


def known_of_pairs(
    log: AdLog, who: IntVector, time: LongVector, told: Mapping[str, IntVector], seen: int
) -> FeatureTable:
    """What is known of each ad at each request, request by request: counts are those at the end of the log.

    Args:
        log: what was until then.
        who: (n,) the numbers of the people.
        time: (n,) microseconds since 1970, after the log.
        told: (n,) each: what is known of the moment.
        seen: how often the person has seen the ad on that day; the same for all.
    """
    n_ads, n = len(log.category), len(who)
    ad, rows = np.tile(np.arange(n_ads, dtype=np.int32), n), np.repeat(np.arange(n), n_ads)
    past, here = log.keys(log.who, log.ad), log.keys(who[rows], ad)
    counted = {name: _until_end(past[name], here[name], log) for name in past}
    at_moment = {name: column[rows] for name, column in told.items()}
    return _table(log, who[rows], ad, time[rows], at_moment, np.full(len(ad), seen), counted)


def _until_end(past: LongVector, here: LongVector, log: AdLog) -> Counts:
    """What is counted in the whole log, by the keys of its rows, of each of the keys that are asked for."""
    least = int(max(past.max(initial=0), here.max(initial=0))) + 1
    columns = (np.ones(len(log)), log.click, log.conversion)
    shows, clicks, conversions = (np.bincount(past, one, least)[here].astype(np.float64) for one in columns)
    return shows, clicks, conversions


def _before(key: LongVector, log: AdLog) -> Counts:
    """What is counted in the rows of the same key before each row."""
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    lengths = np.diff(np.append(first, len(key)))

    def before(column: AnyArray) -> DoubleVector:
        some = column[order].astype(np.float64)
        running = np.cumsum(some) - some
        found = np.empty(len(key))
        found[order] = running - np.repeat(running[first], lengths)
        return found

    return before(np.ones(len(key))), before(log.click), before(log.conversion)


def _table(
    log: AdLog,
    who: IntVector,
    ad: IntVector,
    time: LongVector,
    told: Mapping[str, IntVector],
    seen: AnyArray,
    counted: Mapping[str, Counts],
) -> FeatureTable:
    """Columns side by side."""
    categories = {"ad": ad, "category": log.category[ad], "segment": log.segment[who], **told}
    numbers: dict[str, AnyArray] = {"hour": time // HOUR % 24, "seen today": seen}
    click_rate = log.click.mean()
    conversion_rate = log.conversion.sum() / max(1, log.click.sum())
    for name, (shows, clicks, conversions) in counted.items():
        numbers[f"shows, {name}"] = shows
        numbers[f"click rate, {name}"] = (clicks + SMOOTHING * click_rate) / (shows + SMOOTHING)
        numbers[f"conversion rate, {name}"] = (conversions + SMOOTHING * conversion_rate) / (clicks + SMOOTHING)
    columns = {**categories, **numbers}
    values = np.stack([column.astype(np.float32) for column in columns.values()], 1)
    sizes = {name: max(len(log.category), len(log.segment), 64) for name in categories}
    return FeatureTable(tuple(columns), values, sizes, np.arange(len(ad) + 1))


# ---------------------------------------------------------------------- chances


class Chances:
    """Chances of a click, and of a click with a conversion after it; by one ranker of both, or by one for each."""

    def __init__(self, choice: RankerChoice) -> None:
        """Make the rankers.

        Raises:
            ConfigError: an unknown ranker or setting, or one that says no chances.
        """
        one: Ranker = rankers.get(choice.ranker)(**choice.settings)
        self.both = set(OUTCOMES) <= set(one.foretold)
        self.rankers = [one] if self.both else [one, rankers.get(choice.ranker)(**choice.settings)]
        if not self.both and one.foretold != ("chance",):
            raise ConfigError(
                f"{choice.ranker} foretells {', '.join(one.foretold)}; a bid needs chances: set objective='chance' or "
                "calibration='isotonic' in its settings"
            )

    def fit(self, log: AdLog, features: FeatureTable, early: BoolVector, run: Run) -> Self:
        """Learn from early rows, stop and calibrate on the others.

        Raises:
            DataError: in one of the two parts nobody clicks, or nobody converts.
        """
        outcomes = {"click": log.click, "conversion": log.conversion}
        for some in (early, ~early):
            if not (log.conversion[some].any() and (log.click & ~log.conversion)[some].any()):
                raise DataError("too few clicks or conversions came to learn from; a longer log is needed")
        label = {name: column.astype(np.float32) for name, column in outcomes.items()}
        if self.both:
            rows = Rows(features, label["conversion"], None, label)
            self.rankers[0].fit(rows.take(early), rows.take(~early), run)
            return self
        for ranker, name, some in zip(self.rankers, OUTCOMES, (np.ones(len(log), bool), log.click), strict=True):
            rows = Rows(features, label[name])
            ranker.fit(rows.take(early & some), rows.take(~early & some), run)
        return self

    def of(self, features: FeatureTable) -> tuple[DoubleVector, DoubleVector]:
        """(n,) each: the chance of a click, and that of a click with a conversion after it."""
        if self.both:
            found = self.rankers[0].outcomes(features)
            return found["click"], found["conversion"]
        click, after = (one.predict(features) for one in self.rankers)
        return click, click * after
