"""Aggregates of a group, worked out by hand and against plain loops."""

from typing import Any

import numpy as np
import pytest

from zhiyin.arrays import AnyArray, FloatMatrix
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import FILLED, Recommender
from zhiyin.models.ease import EASE
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.run import Run
from zhiyin.scenarios.aggregate import aggregate, as_places, recommend_to_groups
from zhiyin.scenarios.worlds.books import Books
from zhiyin.scenarios.worlds.cross_border import CrossBorder

RULES = {"mean": np.mean, "least_misery": np.min, "most_pleasure": np.max}


@pytest.mark.parametrize("rule", RULES)
def test_it_is_what_plain_loops_say(rule: str) -> None:
    rng = np.random.default_rng(0)
    scores, members = rng.random((9, 7)), [[0, 3, 8], [5], [1, 2], [8, 0]]
    found = aggregate(scores, members, rule)  # type: ignore[arg-type]
    for row, group in zip(found, members, strict=True):
        np.testing.assert_allclose(row, RULES[rule](scores[group], axis=0))


@pytest.mark.parametrize("rule", RULES)
def test_what_one_member_may_not_have_the_group_may_not(rule: str) -> None:
    scores = np.array([[0.2, -np.inf, 0.4], [0.6, 0.9, 0.1]])
    found = aggregate(scores, [[1, 0], [1]], rule)  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.isneginf(found), [[False, True, False], [False, False, False]])


def test_wrong_groups_and_rules_are_refused() -> None:
    scores = np.zeros((2, 3))
    assert aggregate(scores, []).shape == (0, 3)
    with pytest.raises(DataError, match="1 of 2 groups have no members"):
        aggregate(scores, [[0], []])
    with pytest.raises(DataError, match="people are 0 to 1"):
        aggregate(scores, [[0, 2]])
    with pytest.raises(ConfigError, match="least_misery"):
        aggregate(scores, [[0]], "median")  # type: ignore[arg-type]


def test_places_do_not_care_for_the_scale_of_a_person() -> None:
    scores = np.random.default_rng(1).random((4, 6))
    np.testing.assert_allclose(as_places(scores * np.array([[1], [10], [0.1], [3]]) + 5), as_places(scores))
    assert as_places(np.array([[1.0, 1.0, 3.0]])).tolist() == [[0.25, 0.25, 1.0]]


# ---------------------------------------------------------------------- lists for groups

N_PEOPLE, N_ITEMS = 12, 9


class Table(Recommender):
    """The scores of a table, a row for each user of it."""

    def __init__(self, scores: AnyArray) -> None:
        super().__init__()
        self.scores = scores

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        pass

    def _score(self, queries: Queries) -> FloatMatrix:
        assert queries.users is not None
        return self.scores[[int(one[1:]) for one in queries.users]].astype(np.float32)


def people(seed: int = 0) -> Dataset:
    """Some people, each with two items; item 8 is the most popular one after item 7, which nobody lacks."""
    rng = np.random.default_rng(seed)
    past = [[7 if at % 2 else 8, *rng.choice(7, 2, replace=False).tolist()] for at in range(N_PEOPLE)]
    return Dataset.of(Histories.of_lists(past), [f"i{one}" for one in range(N_ITEMS)])


def test_a_list_worked_out_by_hand() -> None:
    past = Histories.of_lists([[0], [], []])
    dataset = Dataset.of(past, ["had", "a", "b", "c", "d"])
    scores = np.array([[9, 4, 3, 2, 1], [9, 1, 3, 2, 4], [9, 1, 2, 3, 4.0]])
    model = Table(scores).fit(dataset)
    # places of a to d: 1 2/3 1/3 0;  0 2/3 1/3 1;  0 1/3 2/3 1
    wanted = {"mean": ["d", "b", "c", "a"], "least_misery": ["b", "c", "d", "a"], "most_pleasure": ["d", "a", "b", "c"]}
    for rule, listed in wanted.items():
        found = recommend_to_groups(model, dataset.queries(), [[0, 1, 2]], 4, rule)  # type: ignore[arg-type]
        assert found.ids() == listed, rule
    found = recommend_to_groups(model, dataset.queries(), [[0, 1, 2]], 4)
    np.testing.assert_allclose(found.scores[0], [2 / 3, 5 / 9, 4 / 9, 1 / 3], rtol=1e-6)
    assert recommend_to_groups(model, dataset.queries(), [[0, 1, 2]], 4, heard=[[0]]).ids() == ["a", "b", "c", "d"]
    assert recommend_to_groups(model, dataset.queries(), [[0, 1, 2]], 1, exclude_seen=False).ids() == ["had"]


def plain(scores: AnyArray, past: list[list[int]], group: list[int], rule: str, scale: str) -> list[int]:
    """The list of one group, one pair of a person and an item at a time."""
    had = {item for one in group for item in past[one]}
    said = {one: {item for item in range(N_ITEMS) if item not in had and scores[one, item] > -np.inf} for one in group}
    items = sorted(set().union(*said.values()))
    opinions = []
    for one in [one for one in group if said[one]]:
        told = [scores[one, item] for item in items]
        if scale == "chances":
            opinions.append([max(score, 0.0) for score in told])
        else:
            below = [sum(other < score for other in told) for score in told]
            ties = [sum(other == score for other in told) for score in told]
            opinions.append([(low + (n - 1) / 2) / max(len(told) - 1, 1) for low, n in zip(below, ties, strict=True)])
    best = {item: (RULES[rule](of), np.mean(of)) for item, of in zip(items, np.transpose(opinions), strict=True)}
    return sorted(items, key=lambda item: (-best[item][0].round(12), -best[item][1].round(12), item))


@pytest.mark.parametrize("scale", ["places", "chances"])
@pytest.mark.parametrize("rule", RULES)
def test_lists_are_what_plain_loops_say(rule: str, scale: str) -> None:
    rng, dataset = np.random.default_rng(2), people()
    scores = rng.random((N_PEOPLE, N_ITEMS)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.4] = -np.inf
    scores[5] = -np.inf  # of whom nothing is known
    model, past = Table(scores).fit(dataset), [dataset.histories.of(at).tolist() for at in range(N_PEOPLE)]
    groups = [[0, 1], [2], [3, 4, 5], [6, 0], [7, 8], [9, 10], [11, 5], [4, 2]]
    found = recommend_to_groups(model, dataset.queries(), groups, 5, rule, scale=scale, fill=False)  # type: ignore[arg-type]
    for row, group in zip(found.items, groups, strict=True):
        assert [one for one in row.tolist() if one >= 0] == plain(scores, past, group, rule, scale)[:5]


def test_a_group_of_one_gets_the_list_of_a_person_and_the_order_of_members_is_nothing() -> None:
    dataset = Books(n_users=60, n_items=40, n_events=1_000).dataset()
    model, queries = EASE().fit(dataset), dataset.queries()
    alone = recommend_to_groups(model, queries, [[at] for at in range(60)], 8)
    np.testing.assert_array_equal(alone.items, model.recommend(queries, 8).items)
    groups = np.random.default_rng(0).permutation(60).reshape(20, 3)
    whole = recommend_to_groups(model, queries, groups.tolist(), 8)
    np.testing.assert_array_equal(recommend_to_groups(model, queries, groups[:, ::-1].tolist(), 8).items, whole.items)
    for at, group in enumerate(groups.tolist()):
        np.testing.assert_array_equal(recommend_to_groups(model, queries, [group], 8).items[0], whole.items[at])


def test_blocks_change_nothing() -> None:
    dataset = Books(n_users=60, n_items=40, n_events=1_000).dataset()
    model, queries = EASE().fit(dataset), dataset.queries()
    groups = np.random.default_rng(1).integers(0, 60, (900, 3)).tolist()
    whole, parts = (recommend_to_groups(model, queries, groups, 5, run=Run(memory_mib=mib)) for mib in (512, 1))
    assert len(groups) > Run(memory_mib=1).block_rows(3 * model._row_bytes()) // 8
    np.testing.assert_array_equal(whole.items, parts.items)
    np.testing.assert_array_equal(whole.scores, parts.scores)


def test_places_do_not_care_how_loud_a_member_is() -> None:
    rng, dataset = np.random.default_rng(3), people()
    scores, loud = rng.random((N_PEOPLE, N_ITEMS)), rng.lognormal(0, 3, (N_PEOPLE, 1))
    groups = rng.permutation(N_PEOPLE).reshape(4, 3).tolist()
    found = [
        recommend_to_groups(Table(one).fit(dataset), dataset.queries(), groups, 4) for one in (scores, scores * loud)
    ]
    np.testing.assert_array_equal(found[0].items, found[1].items)


def test_a_member_to_whom_the_model_says_nothing_is_not_heard() -> None:
    dataset = Dataset.of(Histories.of_lists([[7]] * 3), list("abcdefgh"))
    scores = np.array([[7, 6, 5, 4, 3, 2, 1, 0], [5, 6, 7, 4, 3, 2, 1, 0], [-np.inf] * 8])
    model = Table(scores).fit(dataset)
    # places of a, b, c: 1 5/6 4/6 and 4/6 5/6 1; with the silent one in the middle, all would be as bad as 1/2
    for members in ([0, 1, 2], [0, 1]):
        assert recommend_to_groups(model, dataset.queries(), [members], 3, "least_misery").ids() == ["b", "a", "c"]
    assert recommend_to_groups(model, dataset.queries(), [[2]], 3, fill=False).ids() == []


def test_short_lists_are_completed_with_what_the_group_may_have_and_it_is_said() -> None:
    dataset, scores = people(), np.full((N_PEOPLE, N_ITEMS), -np.inf)
    scores[0, 6] = 1.0
    past = Histories.of_lists([[0, 1], [1, 2], *[[3, 4, 3]] * 10])
    dataset = Dataset.of(past, dataset.item_table)
    model = Table(scores).fit(dataset)
    found = recommend_to_groups(model, dataset.queries(), [[0, 1]], 4)
    assert found.ids() == ["i6", "i3", "i4", "i5"]
    assert [found.source_of(0, place) == FILLED for place in range(4)] == [False, True, True, True]
    assert recommend_to_groups(model, dataset.queries(), [[0, 1]], 4, fill=False).ids() == ["i6"]


def test_rules_hold_for_each_member_and_what_is_not_used_is_said(caplog: pytest.LogCaptureFixture) -> None:
    world = CrossBorder(n_users=60, n_items=80, n_events=1_500)
    rules = [{"rule": "fits", "column": "language"}, {"rule": "cap", "column": "language", "most": 1}]
    dataset = world.dataset()
    ranker = {"ranker": "boosted_trees", "settings": {"n_trees": 5}}
    pipeline = Pipeline(sources="popularity:80", rules=rules, ranker=ranker, cases=200).fit(dataset, run=Run(threads=1))
    groups = np.random.default_rng(0).permutation(60).reshape(30, 2).tolist()
    found = recommend_to_groups(pipeline, dataset.queries(), groups, 5)
    assert "re-rankers, caps and pins" in caplog.text
    reads, told = dataset.user_table["language"].to_pylist(), dataset.item_table["language"].to_pylist()
    listed = 0
    for row, group in enumerate(groups):
        for item in found.items[row][found.items[row] >= 0].tolist():
            listed += 1
            assert all(told[item] in reads[one] and item not in dataset.histories.of(one) for one in group)
    assert listed > 20


def test_what_cannot_be_is_refused() -> None:
    dataset = people()
    model, queries = Table(np.full((N_PEOPLE, N_ITEMS), 2.0)).fit(dataset), dataset.queries()
    assert len(recommend_to_groups(model, queries, [], 3)) == 0
    with pytest.raises(ConfigError, match="scores from 2 to 2 came"):
        recommend_to_groups(model, queries, [[0, 1]], 3, scale="chances")
    with pytest.raises(ConfigError, match="places or chances"):
        recommend_to_groups(model, queries, [[0]], 3, scale="stars")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="least_misery"):
        recommend_to_groups(model, queries, [[0]], 3, "median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="between 1 and 9"):
        recommend_to_groups(model, queries, [[0]], 10)
    with pytest.raises(DataError, match="people are 0 to 11"):
        recommend_to_groups(model, queries, [[0, 12]], 3)
    with pytest.raises(DataError, match="1 groups came with 2 lists"):
        recommend_to_groups(model, queries, [[0]], 3, heard=[[0], [1]])
    for heard in ([], [2]):
        with pytest.raises(DataError, match="of group 0"):
            recommend_to_groups(model, queries, [[0, 1]], 3, heard=[heard])


@pytest.mark.parametrize("members", [[0, 1], [["ada"]], [[0.7, 1.2]], ["ab"]])
def test_members_that_are_none_are_refused(members: list[Any]) -> None:
    with pytest.raises(DataError, match="rows of the queries"):
        aggregate(np.zeros((3, 2)), members)
