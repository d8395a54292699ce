"""Lists for groups: who comes together, what is asked of a list, and how the recipe's report comes about."""

from typing import Any

import numpy as np
import pytest

from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Recommendations
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics.base import World as Known
from zhiyin.run import Run
from zhiyin.scenarios import worlds
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.report import ScenarioReport
from zhiyin.scenarios.run import run
from zhiyin.scenarios.tasks.group_lists import GroupCases, GroupListsConfig, gathered, judged, measures_of
from zhiyin.splitting.base import Cases
from zhiyin.splitting.global_time import GlobalTime

SMALL = {"n_users": 90, "n_items": 60, "n_events": 1_800}

QUICK = {
    "sources": "ease:60, popularity:60",
    "features": {"families": "retrieval, popularity"},
    "ranker": {"ranker": "boosted_trees", "settings": {"objective": "chance", "n_trees": 15, "n_leaves": 7}},
    "cases": 300,
}


def quick(**changes: Any) -> Recipe:
    """A recipe that takes a second."""
    told = {
        "title": "quick",
        "family": "social",
        "purpose": "tests",
        "data": {"world": "books", "settings": SMALL},
        "task": {"task": "group_lists", "settings": {"size": 3, "scale": "chances"}},
        "split": {"settings": {"quantile": 0.8, "targets": "all", "repeats": "drop"}},
        "pipeline": QUICK,
    }
    return Recipe.read({**told, **changes})


def choice(**settings: Any) -> dict[str, Any]:
    return {"task": "group_lists", "settings": {"size": 3, "scale": "chances", **settings}}


@pytest.fixture(scope="module")
def found() -> ScenarioReport:
    return run(Recipe.named("group_lists"), run=Run(threads=1))


# ---------------------------------------------------------------------- the recipe


def test_the_recipe_is_good_and_below_its_oracle(found: ScenarioReport) -> None:
    assert found.passed, str(found)
    assert list(found.results) == ["popularity", "one member", "pipeline", "oracle"]
    for label in ("ndcg@10", "least ndcg@10", "recall@10"):
        values = [found.value(name, label) for name in ("popularity", "pipeline", "oracle")]
        assert values == sorted(values), label


def test_asking_all_is_better_and_fairer_than_asking_one(found: ScenarioReport) -> None:
    for label in ("ndcg@10", "least ndcg@10"):
        assert found.value("one member", label) < found.value("pipeline", label)


def test_the_least_is_below_the_mean(found: ScenarioReport) -> None:
    assert all(found.value(name, "least ndcg@10") < found.value(name, "ndcg@10") for name in found.results)


def test_a_pipeline_that_lists_at_random_is_not_good() -> None:
    recipe = Recipe.named("group_lists")
    broken = {
        "sources": [{"model": "random", "quota": 20}],
        "features": {"families": ["activity"]},
        "ranker": {"ranker": "boosted_trees", "settings": {"n_trees": 1, "objective": "chance"}},
        "cases": 500,
    }
    found = run(recipe.but(pipeline=recipe.pipeline.but(**broken)), run=Run(threads=1))
    failed = [check.what for check in found.checks if not check.passed]
    assert any("oracle" in what for what in failed), str(found)
    assert any("gain" in what for what in failed), str(found)


# ---------------------------------------------------------------------- what is measured


def test_popularity_is_what_plain_loops_say() -> None:
    recipe, world = quick(), worlds.get("books")(**SMALL)
    found = run(recipe, world, Run(threads=1))
    split = GlobalTime(quantile=0.8, targets="all", repeats="drop").split(world.dataset())
    people, counts = split.test.queries, split.development.popularity
    popular = sorted(range(60), key=lambda item: (-counts[item], item))
    means, worst = [], []
    for group in gathered(people, GroupListsConfig(size=3), Run(threads=1)).tolist():
        had = {item for one in group for item in people.histories.of(one).tolist()}
        listed = [item for item in popular if item not in had][:10]
        values = []
        for one in group:
            wanted = set(split.test.targets.of(one).tolist()) - had
            gains = [1 / np.log2(place + 2) for place, item in enumerate(listed) if item in wanted]
            ideal = sum(1 / np.log2(place + 2) for place in range(min(10, len(wanted))))
            values += [sum(gains) / ideal] if wanted else []
        if values:
            means.append(np.mean(values))
            worst.append(min(values))
    assert found.cases == len(means)
    assert found.value("popularity", "ndcg@10") == pytest.approx(np.mean(means))
    measured = run(quick(metrics=["least ndcg@10", "ndcg@10"]), world, Run(threads=1))
    assert measured.value("popularity", "least ndcg@10") == pytest.approx(np.mean(worst))
    assert measured.test.metric == "least ndcg@10"


def test_places_know_less_than_chances_and_do_better_by_the_one_who_likes_it_most() -> None:
    world = worlds.get("books")(**{**SMALL, "n_users": 180, "n_events": 3_600})
    ways = [{}, {"scale": "places"}, {"scale": "places", "rule": "most_pleasure"}]
    found = [run(quick(task=choice(**way), metrics=["ndcg"]), world, Run(threads=1)) for way in ways]
    chances, places, pleasure = (one.value("pipeline", "ndcg@10") for one in found)
    assert places < min(chances, pleasure)


def test_a_list_is_held_against_each_member_by_hand() -> None:
    items = Vocabulary([f"i{one}" for one in range(6)])
    lists = Recommendations(np.array([[0, 1, 2], [3, 4, -1]], np.int32), np.zeros((2, 3), np.float32), items, ("x",))
    targets = Histories.of_lists([[0], [2, 5], [4], []])
    cases = Cases(Queries(Histories.of_lists([[]] * 4), items), targets)
    measures = measures_of(["recall@3", "least recall@3", "ndcg@3", "coverage@3", "recall@3"])
    assert [one.label for one in measures] == ["recall@3", "least recall@3", "ndcg@3", "coverage@3"]
    found = judged(lists, cases, measures, Known(6, np.ones(6, np.int64)))
    # group 0: 1 and 1/2; group 1: 1, and nobody else took anything
    assert found.samples["recall@3"].values().tolist() == [0.75, 1.0]
    assert found.samples["least recall@3"].values().tolist() == [0.5, 1.0]
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    np.testing.assert_allclose(found.samples["ndcg@3"].values(), [(1 + third / (1 + second)) / 2, second])
    assert found.overall["coverage@3"] == pytest.approx(5 / 6)
    assert "coverage@3" not in found.samples


def test_what_another_member_had_is_not_asked_for_unless_it_may_be_listed() -> None:
    told = [one for one in run(quick(), run=Run(threads=1)).warnings if "another member had" in one]
    assert len(told) == 1
    again = quick(pipeline={**QUICK, "repeats": "allow"}, split={"settings": {"quantile": 0.8, "targets": "all"}})
    report = run(again, run=Run(threads=1))
    assert not [one for one in report.warnings if "another member had" in one]


def test_one_member_is_the_one_with_the_longest_history() -> None:
    test = GlobalTime(quantile=0.8).split(worlds.get("books")(**SMALL).dataset()).test
    asked = GroupCases.of(test, GroupListsConfig(size=3), True, Run())
    lengths = test.queries.histories.lengths
    for group, chosen in zip(asked.groups.tolist(), asked.longest().tolist(), strict=True):
        assert len(chosen) == 1
        assert chosen[0] in group
        assert lengths[chosen[0]] == max(lengths[one] for one in group)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": ["coverage@10", "ndcg@10"]}, "the first metric decides, and coverage@10"),
        ({"metrics": ["ndcg@10", "least coverage@10"]}, "'least coverage@10' came, and coverage@10"),
        ({"metrics": ["ndcg@10", "least ndgc@10"]}, "did you mean 'ndcg'"),
        ({"split": {"settings": {"targets": "successive"}}}, 'targets = "all"'),
        ({"split": {"split": "leave_last_out", "settings": {}}}, 'targets = "all"'),
        ({"task": choice(rule="median")}, "rule"),
        ({"task": choice(size=1)}, "size"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(quick(**changes), run=Run(threads=1))


# ---------------------------------------------------------------------- who comes together


def people() -> Queries:
    return GlobalTime(quantile=0.8).split(worlds.get("books")(**SMALL).dataset()).test.queries


def cosine(people: Queries, groups: Any) -> float:
    """The mean cosine of the histories of two members."""
    used = people.histories.matrix(len(people.items)).toarray() > 0
    unit = used / np.linalg.norm(used, axis=1, keepdims=True)
    return float(np.mean([unit[a] @ unit[b] for group in groups for a in group for b in group if a != b]))


@pytest.mark.parametrize("kind", ["random", "alike"])
def test_nobody_is_in_two_groups_and_the_seed_says_who_meets(kind: str) -> None:
    asked = people()
    own = GroupListsConfig.read({"size": 4, "gathered": kind})
    groups = gathered(asked, own, Run(seed=1))
    assert groups.shape == (len(asked) // 4, 4)
    assert len(np.unique(groups)) == groups.size
    np.testing.assert_array_equal(gathered(asked, own, Run(seed=1)), groups)
    assert (gathered(asked, own, Run(seed=2)) != groups).any()
    assert len(gathered(asked, own.but(n_groups=5), Run(seed=1))) == 5
    with pytest.raises(DataError, match="can be asked; lower n_groups"):
        gathered(asked, own.but(n_groups=100), Run())
    with pytest.raises(DataError, match="can be asked; lower n_groups or size"):
        gathered(asked, GroupListsConfig(size=500), Run())


def test_people_who_are_alike_come_together() -> None:
    asked = people()
    random, alike = (gathered(asked, GroupListsConfig.read({"gathered": one}), Run()) for one in ("random", "alike"))
    assert cosine(asked, alike) > 1.2 * cosine(asked, random)
    # whoever is drawn first takes along those who are most alike of all
    used = asked.histories.matrix(len(asked.items)).toarray() > 0
    unit = used / np.linalg.norm(used, axis=1, keepdims=True)
    near = unit @ unit[alike[0, 0]]
    near[alike[0, 0]] = -1
    np.testing.assert_allclose(np.sort(near[alike[0, 1:]]), np.sort(near)[-3:])


def test_the_same_seed_is_the_same_report_and_other_data_have_no_oracle() -> None:
    dataset = worlds.get("books")(**SMALL).dataset()
    one, two = (run(quick(task=choice(gathered="alike")), dataset, Run(seed=3, threads=1)).to_dict() for _ in range(2))
    for found in (one, two):
        found.pop("seconds")
    assert one == two
    assert set(one["results"]) == {"popularity", "one member", "pipeline"}
