"""Lists for people: the pipeline of a recipe, asked one question for each event after the cut, at its own moment.

Popularity and the oracle keep to the filters of the recipe's rules, as the pipeline does: a baseline that lists what
may not be listed would be too easy to beat. All three are asked the same questions, and learn from the same part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zhiyin import splitting
from zhiyin.arrays import AnyArray, FloatMatrix
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.evaluate import Evaluation, evaluate, parse_metrics, world_of
from zhiyin.evaluation.significance import Estimate, PairedTest, bootstrap, interval, owners, paired
from zhiyin.metrics.base import ListMetric
from zhiyin.models.base import Recommender
from zhiyin.models.popularity import Popularity
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run
from zhiyin.scenarios.opening import Data
from zhiyin.scenarios.report import ScenarioReport
from zhiyin.scenarios.tasks.base import Task, checks, events_of
from zhiyin.splitting.base import Cases, Split

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Recipe


class Told(Recommender):
    """Scores that are told by a function of queries, and nothing where filters forbid it; learns nothing itself."""

    def __init__(self, says: Callable[[Queries], AnyArray], rules: Rules) -> None:
        super().__init__()
        self.says, self.rules = says, rules

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        self.rules.fit(train)

    def _score(self, queries: Queries) -> FloatMatrix:
        said = self.says(queries)
        free = self.rules.lets(queries, self.n_items) & (said > 0)
        return np.where(free, said, -np.inf).astype(np.float32)


class ListsConfig(Config):
    """Settings of `lists`: none; all is said by the sections `split` and `pipeline`."""


class Lists(Task):
    """A list for each question; popularity, the pipeline and the oracle side by side."""

    config: ListsConfig

    def judge(self, recipe: Recipe, data: Data, run: Run) -> ScenarioReport:
        """See `Task.judge`."""
        dataset, world = events_of(recipe, data)
        split = asked_for(splitting.get(recipe.split.split)(**recipe.split.settings).split(dataset), recipe.wanted)
        started = time.perf_counter()
        pipeline = Pipeline(recipe.pipeline).fit(split.development, run=run)
        fitted = time.perf_counter()
        judged = {"popularity": _judged(_popularity(recipe, split, run), recipe, split, run)}
        asked = time.perf_counter()
        judged["pipeline"] = _judged(pipeline, recipe, split, run)
        seconds = {"learn": fitted - started, "answer": time.perf_counter() - asked}
        if world is not None:
            oracle = Told(world.truth, Rules(recipe.pipeline.rules)).fit(split.development)
            judged["oracle"] = _judged(oracle, recipe, split, run)
        return _report(recipe, dataset, split, judged, seconds, run)


def asked_for(split: Split, wanted: float | None) -> Split:
    """The split without test targets of less value than is wanted, and without cases that have no other.

    Raises:
        DataError: events have no values, or none is so large.
    """
    if wanted is None:
        return split
    value = split.test.targets.value
    if value is None:
        raise DataError(
            f"wanted={wanted:g} came, but events of {split.development.name!r} have no values; leave it out"
        )
    targets = split.test.targets.keep(value >= wanted)
    rows = targets.lengths > 0
    if not rows.any():
        raise DataError(f"no event that is asked for has a value of {wanted:g} or more; lower `wanted`")
    return replace(split, test=Cases(split.test.queries, targets).take(rows))


def _popularity(recipe: Recipe, split: Split, run: Run) -> Recommender:
    """The most used items, of those that the filters leave, as quickly forgotten as the recipe says."""
    plain = Popularity(**recipe.baseline).fit(split.development, run=run)
    return Told(plain._score, Rules(recipe.pipeline.rules)).fit(split.development)


def _judged(model: Recommender, recipe: Recipe, split: Split, run: Run) -> Evaluation:
    hidden = recipe.pipeline.repeats == "exclude"
    return evaluate(model, split.test, recipe.metrics, world_of(split.development), recipe.k, run, hidden)


def _report(
    recipe: Recipe, dataset: Dataset, split: Split, judged: dict[str, Evaluation], seconds: dict[str, float], run: Run
) -> ScenarioReport:
    first = _first(recipe)
    owner = owners(split.test.queries.users)
    results = {name: estimates(one, owner, run) for name, one in judged.items()}
    test = against_popularity(first, judged, owner, run)
    worse = judged["popularity"].overall[first]
    best = judged["oracle"].overall[first] if "oracle" in judged else None
    return ScenarioReport(
        recipe.title,
        f"{dataset.name}: {dataset.n_users:,} users, {dataset.n_items:,} items, {dataset.n_events:,} events",
        len(split.test),
        results,
        test,
        tuple(checks(recipe.good, test, judged["pipeline"].overall, worse, best)),
        seconds,
        split.facts.warnings,
    )


def _first(recipe: Recipe) -> str:
    """The label of the metric that decides.

    Raises:
        ConfigError: it has no value for each question.
    """
    first = parse_metrics(recipe.metrics)[0]
    if not isinstance(first, ListMetric) or not first.is_mean:
        raise ConfigError(
            f"the first metric decides, and {first.label} has no value for each question; begin with ndcg@10"
        )
    return first.label


def estimates(found: Evaluation, owner: Any, run: Run) -> dict[str, Estimate]:
    """Each metric, with its interval where it has a value for each question."""
    labels = list(found.samples)
    draws = bootstrap([found.samples[one] for one in labels], run.seed, owner=owner)
    made = {
        label: Estimate.of(found.overall[label], *interval(draws[:, at]), found.samples[label].n)
        for at, label in enumerate(labels)
    }
    return {label: made.get(label, Estimate.of(value)) for label, value in found.overall.items()}


def against_popularity(first: str, judged: Mapping[str, Evaluation], owner: Any, run: Run) -> PairedTest:
    """The pipeline against popularity, on the metric that decides."""
    ours, theirs = ((name, judged[name].samples[first]) for name in ("pipeline", "popularity"))
    return paired(first, ours, theirs, run.seed, owner)
