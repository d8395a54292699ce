"""Ads: for each request of a day the ad is shown whose bid is the highest, while there is money for it.

A bid is the campaign's value of a conversion, times the chance of one that is foretold for this person now, times the
weight of its pacer (`zhiyin.ranking.pacing`). Auctions are those of `_auction`: nobody sees an ad more than `most`
times that day, and an ad pays for a show what it had to beat. Five rows are reported:

    average    each ad by its rate in the log, whoever asks: the popularity of ads; paced, as all but one are
    predicted  each ad by the chances that a ranker has learnt from the log
    unpaced    the same chances, but each ad bids all that a show is worth until its money is gone
    true       each ad by its true chances: what better chances alone could bring
    oracle     what no choice of ads can be worth more than; see `bound` of `_auction`

For the n requests of the day, with w(i) the true worth of a show of what was shown at i (0 where nothing was):

    value             1,000 mean(w)                            clicks and conversions alike, of outcomes that are drawn
    click error       the calibration error of chances of a click, for all ads at all requests, as if none was seen yet
    conversion error  the same of a click with a conversion after it
    promised          Σ worth that was said of what was shown / Σ w: 1 where bids can be taken at their word. Chances
                      may be honest of all ads and not of those that win, of which too much is said the more often
    spent             Σ what was paid / Σ budgets
    evenness          Σ_ads share of the money · max_t |part of its money spent until t - F(t)|, F the forecast of
                      traffic: 0 where all money lasts the day
    capped            shows to somebody who had met the ad `most` times

All policies meet the same requests and the same luck: two numbers are drawn for each request, and who shows the same
ad there has the same outcome.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector
from zhiyin.config import Config, setting
from zhiyin.errors import ConfigError, unknown
from zhiyin.evaluation.reliability import reliability
from zhiyin.evaluation.significance import Estimate, PairedTest, Sample, bootstrap, interval, paired
from zhiyin.ranking.pacing import Pacer
from zhiyin.ranking.pipeline_config import RankerChoice
from zhiyin.run import Run
from zhiyin.scenarios.opening import Data
from zhiyin.scenarios.report import Check, ScenarioReport
from zhiyin.scenarios.tasks._ad_log import SMOOTHING, AdLog, Chances, known_of_pairs, known_of_rows
from zhiyin.scenarios.tasks._auction import Day, Shown, bound, replay
from zhiyin.scenarios.tasks.base import Task, checks
from zhiyin.scenarios.worlds.ads import DEVICES, HOUR, PLACES
from zhiyin.scenarios.worlds.ads import Ads as World
from zhiyin.scenarios.worlds.base import DAY

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Recipe

REQUESTS = 1_000
"""Value, clicks and conversions are told for so many requests."""

EACH = ("value", "clicks", "conversions")
"""Metrics with a value for each request."""

METRICS = (*EACH, "click error", "conversion error", "promised", "spent", "evenness", "capped")


class AdsConfig(Config):
    """Settings of `ads`."""

    ranker: RankerChoice = RankerChoice(
        ranker="multi_task", settings={"calibration": "platt", "epochs": 6, "hidden": (32,), "learning_rate": 0.01}
    )
    """What learns chances of clicks and conversions: `multi_task` both at once; another one, such as `boosted_trees`
    with objective = "chance", is taken twice, the second time for conversions of clicks."""
    held: float = setting(0.2, gt=0, lt=1)
    """The latest part of the log, on which rankers stop and are calibrated."""
    most: int = setting(2, ge=1)
    """Nobody sees an ad more often on the day."""
    step: float = setting(20.0, ge=0)
    """How quickly bids follow the money that is left; see `Pacer`."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The day: who asks, what would come of each ad, and the luck that all policies share."""

    day: Day
    value: DoubleVector
    """(n_ads,) the money for a conversion."""
    chances: AnyArray
    """(2, most, n, n_ads) true chances of a click, and of a click with a conversion, by how often it was seen."""
    lots: AnyArray
    """(2, n) uniform numbers: for the click, and for the conversion after it."""
    drawn: AnyArray
    """(2, n, n_ads) bool: what would come of each ad at each request, for calibration."""

    @classmethod
    def of(cls, world: World, most: int, run: Run) -> Truth:
        """Of the requests of a world."""
        asked, rng = world.requests(), run.generator("ads outcomes")
        click = np.stack([world.clicks(asked, seen) for seen in range(most)])
        after = world.conversions(asked)
        lots, drawn = rng.random((2, len(asked))), rng.random((2, len(asked), len(world.value)))
        clicked = drawn[0] < click[0]
        outcomes = np.stack([clicked, clicked & (drawn[1] < after)])
        day = Day(asked.who, asked.time, world.floors())
        return cls(day, world.value, np.stack([click, click * after]), lots, outcomes)

    def came(self, shown: Shown) -> tuple[DoubleVector, BoolVector, BoolVector]:
        """(n,) each: the true worth of what was shown, whether it was clicked, and whether that was a conversion."""
        click, both = (shown.of(chance) for chance in self.chances)
        clicked = self.lots[0] < click
        after = np.divide(both, click, out=np.zeros_like(both), where=click > 0)
        return shown.of(self.chances[1] * self.value), clicked, clicked & (self.lots[1] < after)


class Ads(Task):
    """Which ad is shown, by what a show is worth; see the module."""

    config: AdsConfig

    def judge(self, recipe: Recipe, data: Data, run: Run) -> ScenarioReport:
        """See `Task.judge`."""
        first, world = _first(recipe), _world(recipe, data)
        started = time.perf_counter()
        log = AdLog.of(world.impressions(), world.items, world.users, {"device": DEVICES, "place": PLACES})
        chances = self._learnt(log, run)
        fitted = time.perf_counter()
        said = self._said(log, chances, world)
        answered = time.perf_counter()
        truth = Truth.of(world, self.config.most, run)
        average = np.broadcast_to(_average(log)[:, None, None], truth.chances.shape)
        told = {"average": average, "predicted": said, "unpaced": said, "true": truth.chances}
        measured = {name: self._measured(world, log, truth, one, name != "unpaced") for name, one in told.items()}
        best = bound(truth.chances[1] * truth.value, truth.day, world.budget) / len(truth.day) * REQUESTS
        return ScenarioReport(
            recipe.title,
            f"{world.name}: {len(log.segment):,} people, {len(log.category):,} ads, {len(log):,} shows in the log",
            len(truth.day),
            _results(recipe, measured, best, truth.day.who, run),
            test := _test(first, measured, truth.day.who, run),
            tuple(_checked(recipe, test, measured, best)),
            {"learn": fitted - started, "answer": answered - fitted},
        )

    def _learnt(self, log: AdLog, run: Run) -> Chances:
        early = log.time < np.quantile(log.time, 1 - self.config.held)
        return Chances(self.config.ranker).fit(log, known_of_rows(log), early, run)

    def _said(self, log: AdLog, chances: Chances, world: World) -> AnyArray:
        """(2, most, n, n_ads) chances that are foretold, as `Truth.chances`."""
        asked = world.requests()
        told, found = {"device": asked.device, "place": asked.place}, []
        for seen in range(self.config.most):
            both = chances.of(known_of_pairs(log, asked.who, asked.time, told, seen))
            found.append(np.stack(both).reshape(2, len(asked), -1))
        return np.stack(found, 1)

    def _measured(
        self, world: World, log: AdLog, truth: Truth, said: AnyArray, paced: bool
    ) -> dict[str, Sample | float]:
        """What came of bids by these chances: (n,) values for each request, or one number."""
        pacer = self._pacer(world, log, paced)
        worths = said[1] * truth.value
        shown = replay(worths, truth.day, pacer)
        worth, clicked, converted = truth.came(shown)
        errors = [reliability(truth.drawn[at].ravel(), said[at, 0].ravel()).error for at in (0, 1)]
        came = (worth, clicked.astype(np.float64), converted.astype(np.float64))
        each = {name: Sample.of(REQUESTS * one) for name, one in zip(EACH, came, strict=True)}
        return {
            **each,
            "click error": errors[0],
            "conversion error": errors[1],
            "promised": float(shown.of(worths).sum() / worth.sum()) if worth.any() else float("nan"),
            "spent": float(pacer.spent.sum() / pacer.budget.sum()),
            "evenness": evenness(shown, truth.day, pacer),
            "capped": float(over_cap(shown, truth.day, self.config.most)),
        }

    def _pacer(self, world: World, log: AdLog, paced: bool) -> Pacer:
        """Full purses, and the traffic of the log as forecast."""
        budgets = dict(zip(world.items["item_id"].to_pylist(), world.budget.tolist(), strict=True))
        start = int(world.requests().time[0] // DAY * DAY)
        traffic = np.bincount(log.time // HOUR % 24, minlength=24)
        return Pacer(budgets, start, start + DAY, traffic=traffic, step=self.config.step if paced else 0.0)


def evenness(shown: Shown, day: Day, pacer: Pacer) -> float:
    """How far the money of an ad is from lasting the day, in the mean over money; NaN where none was spent.

    Of each ad it is the largest distance between the part of its money that is spent until a moment, and the part of
    the traffic that was foreseen until then (as Kolmogorov and Smirnov measure two laws), 0 to 1.
    """
    share = np.array([pacer.share(one) for one in day.time.tolist()])
    distance, money = [], []
    for ad in range(len(pacer)):
        paid = np.where(shown.ad == ad, shown.paid, 0)
        if paid.any():
            course = np.cumsum(paid) / paid.sum()
            before = np.append(0, course[:-1])  # just before each request
            distance.append(np.maximum(np.abs(course - share), np.abs(before - share)).max())
            money.append(paid.sum())
    return float(np.average(distance, weights=money)) if money else float("nan")


def over_cap(shown: Shown, day: Day, most: int) -> int:
    """How many shows there were to somebody who had met the ad `most` times."""
    some = shown.ad >= 0
    _, counts = np.unique(np.stack([day.who[some], shown.ad[some]]), axis=1, return_counts=True)
    return int(np.maximum(counts - most, 0).sum())


def _average(log: AdLog) -> AnyArray:
    """(2, n_ads) the rates of clicks and of conversions of each ad, a little drawn to that of all."""
    n_ads = len(log.category)
    shows = np.bincount(log.ad, minlength=n_ads)
    counts = (np.bincount(log.ad, one, n_ads) + SMOOTHING * one.mean() for one in (log.click, log.conversion))
    return np.stack([one / (shows + SMOOTHING) for one in counts])


def _world(recipe: Recipe, data: Data) -> World:
    if not isinstance(data, World):
        came = "a plain table" if isinstance(data, pa.Table) else getattr(data, "name", type(data).__name__)
        raise ConfigError(
            f"the task {recipe.task.task!r} replays a day, for which it must be known what would have come of each ad; "
            f"{came} came, and the world 'ads' is expected: on your own traffic take a ranker and a Pacer as in "
            "docs/scenarios/ads.md, and compare by a trial"
        )
    return data


def _first(recipe: Recipe) -> str:
    """The metric that decides.

    Raises:
        ConfigError: it has no value for each request, or a metric is unknown.
    """
    for label in recipe.metrics:
        if label not in METRICS:
            raise ConfigError(f"metrics: {unknown('metric of ads', label, METRICS)}")
    if recipe.metrics[0] not in EACH:
        raise ConfigError(
            f"the first metric decides, and {recipe.metrics[0]} has no value for each request; begin with value"
        )
    return recipe.metrics[0]


def _number(one: Sample | float) -> float:
    return one.value if isinstance(one, Sample) else one


def _results(
    recipe: Recipe, measured: Mapping[str, Mapping[str, Sample | float]], best: float, owner: IntVector, run: Run
) -> dict[str, dict[str, Estimate]]:
    """Each metric that is asked for of each policy, and the bound, which has a value alone."""
    found = {name: {one: _estimate(of[one], owner, run) for one in recipe.metrics} for name, of in measured.items()}
    found["oracle"] = {one: Estimate.of(best if one == "value" else np.nan) for one in recipe.metrics}
    return found


def _estimate(one: Sample | float, owner: IntVector, run: Run) -> Estimate:
    """With its interval, where it has a value for each request."""
    if not isinstance(one, Sample):
        return Estimate.of(one)
    return Estimate.of(one.value, *interval(bootstrap([one], run.seed, owner=owner)[:, 0]), one.n)


def _checked(
    recipe: Recipe, test: PairedTest, measured: Mapping[str, Mapping[str, Sample | float]], best: float
) -> list[Check]:
    """What is predicted against the average and the bound; the bound is one of value alone."""
    values = {label: _number(one) for label, one in measured["predicted"].items()}
    worse = _number(measured["average"][test.metric])
    return checks(recipe.good, test, values, worse, best if test.metric == "value" else None)


def _test(first: str, measured: Mapping[str, Mapping[str, Sample | float]], owner: IntVector, run: Run) -> PairedTest:
    """Predicted against average; a person's requests are one witness."""
    ours, theirs = (measured[name][first] for name in ("predicted", "average"))
    assert isinstance(ours, Sample)
    assert isinstance(theirs, Sample)
    return paired(first, ("predicted", ours), ("average", theirs), run.seed, owner)
