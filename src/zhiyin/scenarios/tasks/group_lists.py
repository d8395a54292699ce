"""Lists for groups of people who decide together, from what each of them did alone (Baltrunas et al., RecSys 2010).

The pipeline of the recipe learns from single people. People of the test part are put into groups, at random or with
those who are like them; each group is asked once, at the moment of the cut, and gets one list by
`zhiyin.scenarios.aggregate`. It is held against what each member really took afterwards, alone: the value of a metric
is the mean over members, and that of "least ndcg@10" the smallest, which tells whether a list is fair.

Beside the pipeline stand popularity, "one member" (the list of the member with the longest history), and the oracle,
which aggregates the true chances by the same rule. Nobody lists what a filter of the rules takes from any member.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from zhiyin import splitting
from zhiyin.arrays import AnyArray, DoubleVector, IntMatrix, IntVector
from zhiyin.config import Config, setting
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Recommendations
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.evaluate import Evaluation, depth, lists_of, parse_metrics, world_of
from zhiyin.evaluation.significance import Sample, owners
from zhiyin.metrics.base import ListMetric, Lists
from zhiyin.metrics.base import World as Known
from zhiyin.models.base import Recommender
from zhiyin.models.popularity import Popularity
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run
from zhiyin.scenarios.aggregate import Rule, Scale, recommend_to_groups
from zhiyin.scenarios.opening import Data
from zhiyin.scenarios.report import ScenarioReport
from zhiyin.scenarios.tasks.base import Task, checks, events_of
from zhiyin.scenarios.tasks.lists import Told, against_popularity, asked_for, estimates
from zhiyin.scenarios.worlds.base import World
from zhiyin.splitting.base import Cases, Split

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Recipe

LEAST = "least "
"""Before the label of a metric: the smallest value of the members, and not the mean."""


class GroupListsConfig(Config):
    """Settings of `group_lists`."""

    size: int = setting(4, ge=2)
    """How many people a group has."""
    n_groups: int | None = setting(None, ge=1)
    """How many groups there are, nobody in two of them; None for as many as there are people for."""
    gathered: Literal["random", "alike"] = "random"
    """Who comes together: anybody, or people whose histories are alike."""
    rule: Rule = "mean"
    """How several opinions become one: `mean`, `least_misery` or `most_pleasure`."""
    scale: Scale = "places"
    """How opinions are made comparable: `places`, or `chances` where the ranker says chances."""


class GroupLists(Task):
    """A list for each group; popularity, one member, the pipeline and the oracle side by side."""

    config: GroupListsConfig

    def judge(self, recipe: Recipe, data: Data, run: Run) -> ScenarioReport:
        """See `Task.judge`."""
        own, measures = self.config, measures_of(recipe.metrics)
        dataset, world = events_of(recipe, data)
        split = asked_for(splitting.get(recipe.split.split)(**recipe.split.settings).split(dataset), recipe.wanted)
        asked = GroupCases.of(split.test, own, recipe.pipeline.repeats == "exclude", run)
        rules, known = Rules(recipe.pipeline.rules), world_of(split.development)

        def answered(model: Recommender, scale: Scale = "places", heard: AnyArray | None = None) -> Evaluation:
            found = asked.lists(model, depth([one.metric for one in measures], recipe.k), own.rule, scale, heard, run)
            return judged(found, asked.cases, measures, known)

        started = time.perf_counter()
        pipeline = Pipeline(recipe.pipeline).fit(split.development, run=run)
        fitted = time.perf_counter()
        popular = Popularity(**recipe.baseline).fit(split.development, run=run)
        results = {"popularity": answered(Told(popular._score, rules).fit(split.development))}
        results["one member"] = answered(pipeline, heard=asked.longest())
        before = time.perf_counter()
        results["pipeline"] = answered(pipeline, own.scale)
        seconds = {"learn": fitted - started, "answer": time.perf_counter() - before}
        if world is not None:
            results["oracle"] = answered(_oracle(world, rules, split), "chances")
        told = f"{len(asked.groups):,} groups of {own.size} ({own.gathered}) among the {dataset.n_users:,} users of "
        told += f"{dataset.name}: {dataset.n_items:,} items, {dataset.n_events:,} events"
        notes = (*split.facts.warnings, *asked.notes)
        return _report(recipe, measures[0].label, told, len(asked.groups), results, seconds, notes, run)


def _oracle(world: World, rules: Rules, split: Split) -> Recommender:
    """The true chances of each member, which sum to 1 over all items, also those that the group may not have."""

    def chances(queries: Queries) -> AnyArray:
        told = world.truth(queries)
        found: AnyArray = told / np.maximum(told.sum(1, keepdims=True), 1e-300)
        return found

    return Told(chances, rules).fit(split.development)


def _report(
    recipe: Recipe,
    first: str,
    data: str,
    n_groups: int,
    results: dict[str, Evaluation],
    seconds: dict[str, float],
    notes: tuple[str, ...],
    run: Run,
) -> ScenarioReport:
    test, ours = against_popularity(first, results, None, run), results["pipeline"].overall
    best = results["oracle"].overall[first] if "oracle" in results else None
    told = {name: estimates(one, None, run) for name, one in results.items()}
    found = checks(recipe.good, test, ours, results["popularity"].overall[first], best)
    return ScenarioReport(recipe.title, data, n_groups, told, test, tuple(found), seconds, notes)


# ---------------------------------------------------------------------- who is asked


@dataclass(frozen=True, slots=True, eq=False)
class GroupCases:
    """Groups, and what each of their members took."""

    people: Queries
    groups: IntMatrix
    """(n_groups, size) rows of `people`."""
    cases: Cases
    """Those of the members, group by group; without targets that no list of the group could have."""
    hidden: bool
    """Whether a group's list is without what its members had."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, test: Cases, own: GroupListsConfig, hidden: bool, run: Run) -> GroupCases:
        """Groups of the people of a test part; without those of which nobody took anything that a list could have.

        Raises:
            ConfigError: people are asked several times, or at different moments.
            DataError: there are not enough people, or nothing is left to ask.
        """
        now = test.queries.now
        if owners(test.queries.users) is not None or (now is not None and len(set(now.tolist())) > 1):
            raise ConfigError(
                "a group is asked at one moment, and the split asks its people at several; take global_time with "
                'targets = "all" under [split]'
            )
        groups = gathered(test.queries, own, run)
        cases = test.take(groups.ravel())
        targets = _findable(cases, own.size) if hidden else cases.targets
        some = (targets.lengths > 0).reshape(groups.shape).any(1)
        if not some.any():
            raise DataError("nobody takes anything later on that a group's list could have; nothing is left to ask")
        lost = cases.targets.n_events - targets.n_events
        notes = (f"{lost:,} of {cases.targets.n_events:,} targets are left out: another member had them",) * (lost > 0)
        left = Cases(cases.queries, targets).take(np.repeat(some, own.size))
        return cls(test.queries, groups[some], left, hidden, notes)

    def longest(self) -> IntMatrix:
        """(n_groups, 1) the member of each group with the longest history."""
        lengths = self.people.histories.lengths[self.groups]
        return np.take_along_axis(self.groups, lengths.argmax(1)[:, None], 1)

    def lists(
        self, model: Recommender, k: int, rule: Rule, scale: Scale, heard: AnyArray | None, run: Run
    ) -> Recommendations:
        """One list for each group."""
        some = None if heard is None else heard.tolist()
        groups = self.groups.tolist()
        return recommend_to_groups(
            model, self.people, groups, k, rule, scale=scale, heard=some, exclude_seen=self.hidden, run=run
        )


def gathered(people: Queries, own: GroupListsConfig, run: Run) -> IntMatrix:
    """(n_groups, size) who comes together; nobody twice.

    People who are alike: whoever is drawn takes along those of whom are left whose histories have the largest cosine
    with theirs.

    Raises:
        DataError: there are not enough people.
    """
    order = run.generator("groups of people").permutation(len(people)).astype(np.int32)
    n_groups = len(people) // own.size if own.n_groups is None else own.n_groups
    if not 0 < n_groups * own.size <= len(people):
        raise DataError(
            f"{max(n_groups, 1):,} groups of {own.size} came, {len(people):,} people can be asked; lower n_groups or "
            "size under [task]"
        )
    if own.gathered == "random":
        return order[: n_groups * own.size].reshape(n_groups, own.size)
    return _alike(people, order, n_groups, own.size)


def _alike(people: Queries, order: IntVector, n_groups: int, size: int) -> IntMatrix:
    profiles = people.histories.without("weight").matrix(len(people.items))
    profiles.data[:] = 1
    length = np.sqrt(np.maximum(profiles.sum(1), 1))
    free, groups = np.ones(len(people), bool), np.zeros((n_groups, size), np.int32)
    for at in range(n_groups):
        first = order[free[order]][0]
        free[first] = False
        like = np.where(free, (profiles @ profiles[[first]].T).toarray()[:, 0] / length, -1)
        groups[at] = [first, *np.argsort(-like, kind="stable")[: size - 1]]
        free[groups[at]] = False
    return groups


def _findable(cases: Cases, size: int) -> Histories:
    """The targets of members without those that any member of the same group had before."""
    n_items, past, targets = len(cases.queries.items), cases.queries.histories, cases.targets
    had = np.zeros((len(cases) // size, n_items), bool)
    had[past.owner() // size, past.item] = True
    return targets.keep(~had[targets.owner() // size, targets.item])


# ---------------------------------------------------------------------- how lists are judged


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric, and whether of the members' values the smallest counts, or the mean."""

    metric: ListMetric
    least: bool

    @property
    def label(self) -> str:
        """That of the metric, after "least " where the smallest value counts."""
        return f"{LEAST if self.least else ''}{self.metric.label}"

    def of(self, lists: Lists, size: int) -> DoubleVector:
        """(n_groups,) the value of each group, of those of its members who took anything.

        Args:
            lists: one for each member, group by group.
            size: how many members a group has.
        """
        each = self.metric.per_query(lists).reshape(-1, size)
        known = ~np.isnan(each)
        if self.least:
            found = np.where(known, each, np.inf).min(1)
        else:
            found = np.where(known, each, 0).sum(1) / np.maximum(known.sum(1), 1)
        return np.where(known.any(1), found, np.nan)


def measures_of(labels: Sequence[str]) -> tuple[Measure, ...]:
    """What is measured, each once.

    Raises:
        ConfigError: one is unknown, or is no metric of lists; one has no value for each group where it needs one.
    """
    found = [Measure(_list_metric(one.removeprefix(LEAST)), one.startswith(LEAST)) for one in labels]
    for at, one in enumerate(found):
        if (at == 0 or one.least) and not one.metric.is_mean:
            said = "the first metric decides" if at == 0 else f"{one.label!r} came"
            raise ConfigError(f"{said}, and {one.metric.label} has no value for each member; ndcg@10 has")
    return tuple({one.label: one for one in found}.values())


def _list_metric(label: str) -> ListMetric:
    metric = parse_metrics([label])[0]
    assert isinstance(metric, ListMetric)  # one that comes alone is of lists
    return metric


def judged(found: Recommendations, cases: Cases, measures: Sequence[Measure], known: Known) -> Evaluation:
    """Hold one list for each group against what its members took.

    Args:
        found: the lists.
        cases: those of the members, group by group; all groups are of one size.
        measures: what is measured.
        known: what metrics may know of the catalogue.
    """
    size = len(cases) // len(found)
    lists = lists_of(found.take(np.repeat(np.arange(len(found)), size)), cases, known)
    samples = {one.label: Sample.of(one.of(lists, size)) for one in measures if one.metric.is_mean}
    whole = {one.label: one.metric.overall(lists) for one in measures if not one.metric.is_mean}
    overall = {one.label: samples[one.label].value if one.label in samples else whole[one.label] for one in measures}
    listed = found.items >= 0
    filled = float((found.source[listed] > 0).mean()) if found.source is not None and listed.any() else 0.0
    return Evaluation(found, samples, overall, filled)
