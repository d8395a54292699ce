"""Run: a recipe on its data, beside popularity and, where the truth is known, the oracle; and is it any good?

Popularity and the oracle keep to the filters of the recipe's rules, as the pipeline does: a baseline that lists what
may not be listed would be too easy to beat. All three are asked the same questions, and learn from the same part.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin import splitting
from zhiyin.arrays import AnyArray, FloatMatrix
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.evaluation.evaluate import Evaluation, evaluate, parse_metrics, world_of
from zhiyin.evaluation.significance import Estimate, PairedTest, bootstrap, interval, owners, sign_flip
from zhiyin.metrics.base import ListMetric
from zhiyin.models.base import Recommender
from zhiyin.models.popularity import Popularity
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run
from zhiyin.scenarios import worlds
from zhiyin.scenarios.recipe import DataChoice, Recipe
from zhiyin.scenarios.report import Check, ScenarioReport
from zhiyin.scenarios.worlds.base import World
from zhiyin.splitting.base import Cases, Split

logger = logging.getLogger(__name__)


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


def run(recipe: Recipe, data: Dataset | World | None = None, run: Run | None = None) -> ScenarioReport:
    """Run a recipe.

    Args:
        recipe: what to do.
        data: a dataset, or a world, instead of what the recipe names.
        run: seed, threads, memory.

    Raises:
        ConfigError: the recipe names something unknown, or the data lack a column that it needs.
        DataError: the data cannot be read, or nothing is left to learn from or to ask.
    """
    how = run or Run()
    found = opened(recipe.data, how) if data is None else data
    world = found if isinstance(found, World) else None
    dataset = weighed(found.dataset() if isinstance(found, World) else found, recipe.weights)
    split = _asked(splitting.get(recipe.split.split)(**recipe.split.settings).split(dataset), recipe.wanted)
    started = time.perf_counter()
    pipeline = Pipeline(recipe.pipeline).fit(split.development, run=how)
    fitted = time.perf_counter()
    judged = {"popularity": _judged(_popularity(recipe, split, how), recipe, split, how)}
    asked = time.perf_counter()
    judged["pipeline"] = _judged(pipeline, recipe, split, how)
    seconds = {"learn": fitted - started, "answer": time.perf_counter() - asked}
    if world is not None:
        oracle = Told(world.truth, Rules(recipe.pipeline.rules)).fit(split.development)
        judged["oracle"] = _judged(oracle, recipe, split, how)
    return _report(recipe, dataset, split, judged, seconds, how)


def opened(data: DataChoice, run: Run) -> Dataset | World:
    """What a recipe names as its data: a world, or a dataset that is prepared now where it is not yet.

    Raises:
        ConfigError: an unknown world or setting.
        DataError: the data are not there, or cannot be read.
    """
    if data.world is not None:
        made: World = worlds.get(data.world)(**data.settings)
        return made
    return _from_source(data.source, run) if data.source is not None else _from_tables(data, run)


def weighed(dataset: Dataset, weights: Mapping[str, float]) -> Dataset:
    """The same dataset with what an event of each kind weighs; kinds that are not named keep what they have, else 1.

    Raises:
        ConfigError: no event can be of such a kind.
    """
    if not weights:
        return dataset
    for one in weights:
        if one not in dataset.kinds:
            raise ConfigError(f"[weights]: {unknown('kind of event', one, dataset.kinds)}")
    past = dataset.histories
    weight = past.strength().copy()
    if past.kind is not None:
        for kind, told in weights.items():
            weight[past.kind == dataset.kinds.index(kind)] = told
    return dataset.with_histories(replace(past, weight=weight))


# ---------------------------------------------------------------------- data


def _from_source(source: str, run: Run) -> Dataset:
    from zhiyin.data import catalog
    from zhiyin.data.prepare import prepare
    from zhiyin.data.sources.folder import open_folder

    folder = Path(source).expanduser()
    if not (folder / "manifest.json").is_file():
        folder = catalog.resolve(source)
    if (folder / "manifest.json").is_file():
        return Dataset.load(folder)
    events, items, users = open_folder(folder)
    return prepare(events, items, users, name=folder.name, run=run)


def _from_tables(data: DataChoice, run: Run) -> Dataset:
    from zhiyin.data.prepare import prepare
    from zhiyin.data.tables import Catalogue, EventLog, Users

    assert data.events is not None
    events = EventLog.read(data.events, roles=data.roles)
    items = None if data.items is None else Catalogue.read(data.items, roles=data.item_roles)
    users = None if data.users is None else Users.read(data.users, roles=data.user_roles)
    return prepare(events, items, users, name=Path(data.events).stem, run=run)


# ---------------------------------------------------------------------- judging


def _asked(split: Split, wanted: float | None) -> Split:
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
    """The most used items, of those that the filters leave."""
    plain = Popularity().fit(split.development, run=run)
    return Told(plain._score, Rules(recipe.pipeline.rules)).fit(split.development)


def _judged(model: Recommender, recipe: Recipe, split: Split, run: Run) -> Evaluation:
    hidden = recipe.pipeline.repeats == "exclude"
    return evaluate(model, split.test, recipe.metrics, world_of(split.development), recipe.k, run, hidden)


def _report(
    recipe: Recipe, dataset: Dataset, split: Split, judged: dict[str, Evaluation], seconds: dict[str, float], run: Run
) -> ScenarioReport:
    first = _first(recipe)
    owner = owners(split.test.queries.users)
    results = {name: _estimates(one, owner, run) for name, one in judged.items()}
    test = _test(first, judged, owner, run)
    return ScenarioReport(
        recipe.title,
        f"{dataset.name}: {dataset.n_users:,} users, {dataset.n_items:,} items, {dataset.n_events:,} events",
        len(split.test),
        results,
        test,
        tuple(_checks(recipe, first, judged, test)),
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


def _estimates(found: Evaluation, owner: Any, run: Run) -> dict[str, Estimate]:
    """Each metric, with its interval where it has a value for each question."""
    labels = list(found.samples)
    draws = bootstrap([found.samples[one] for one in labels], run.seed, owner=owner)
    made = {
        label: Estimate.of(found.overall[label], *interval(draws[:, at]), found.samples[label].n)
        for at, label in enumerate(labels)
    }
    return {label: made.get(label, Estimate.of(value)) for label, value in found.overall.items()}


def _test(first: str, judged: Mapping[str, Evaluation], owner: Any, run: Run) -> PairedTest:
    ours, theirs = judged["pipeline"].samples[first], judged["popularity"].samples[first]
    draws = bootstrap([ours, theirs], run.seed, owner=owner)
    low, high = interval(draws[:, 0] - draws[:, 1])
    p = float(sign_flip((ours.values() - theirs.values())[:, None], run.seed, owner=owner)[0])
    return PairedTest(first, "pipeline", "popularity", ours.value - theirs.value, low, high, p, p, ours.n)


def _checks(recipe: Recipe, first: str, judged: Mapping[str, Evaluation], test: PairedTest) -> list[Check]:
    good, ours = recipe.good, judged["pipeline"].overall
    gain = ours[first] / judged["popularity"].overall[first] - 1 if judged["popularity"].overall[first] else np.inf
    found = [
        Check(
            f"gain of {first} over popularity, as a part of it",
            float(gain),
            f"{good.gain:g} or more",
            gain >= good.gain,
        ),
        Check("p of that gain", test.p, "below 0.05, and a gain", test.beyond_chance and test.difference > 0),
    ]
    if good.oracle is not None and "oracle" in judged:
        part = ours[first] / judged["oracle"].overall[first]
        found.append(
            Check(f"part of the oracle's {first}", float(part), f"{good.oracle:g} or more", part >= good.oracle)
        )
    for label, bound in good.bounds.items():
        low, high = (-np.inf if bound.least is None else bound.least), (np.inf if bound.most is None else bound.most)
        said = [f"{name} {at:g}" for name, at in (("least", bound.least), ("most", bound.most)) if at is not None]
        found.append(Check(label, ours[label], " and ".join(said), low <= ours[label] <= high))
    return found
