"""The world of groups that people join: places, towns and company, against plain loops over its log."""

from itertools import pairwise

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.ranking.rules import Rules
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.worlds.base import DAY, START
from zhiyin.scenarios.worlds.groups import NEVER, Groups
from zhiyin.splitting.global_time import GlobalTime

SMALL = {"n_users": 60, "n_items": 60, "n_events": 1_200, "circle": 6, "places": 12}

CALM = START + int(0.8 * 100 * DAY)


@pytest.fixture(scope="module")
def world() -> Groups:
    return Groups(**SMALL)


def joins(dataset: Dataset) -> list[tuple[int, int, int]]:
    """Time, person and group of each join, in the order of time."""
    past = dataset.histories
    assert past.time is not None
    return sorted(zip(past.time.tolist(), past.owner().tolist(), past.item.tolist(), strict=True))


def asked(world: Groups) -> Queries:
    return GlobalTime(quantile=0.5, targets="successive").split(world.dataset()).test.queries


def test_nobody_joins_twice_or_far_away(world: Groups) -> None:
    dataset = world.dataset()
    pairs = [(who, item) for _, who, item in joins(dataset)]
    assert len(set(pairs)) == len(pairs) > 500
    town, goes = dataset.item_table["town"].to_pylist(), dataset.user_table["town"].to_pylist()
    assert all(town[item] in goes[who] for who, item in pairs)
    assert {len(one) for one in goes} == {1, 2}
    circle = dataset.user_table["circle"].to_pylist()
    assert max(circle.count(one) for one in circle) == 6
    homes = {one: set.intersection(*[set(goes[at]) for at in range(60) if circle[at] == one]) for one in set(circle)}
    assert all(homes.values())


def test_a_full_group_takes_nobody_and_stock_says_so(world: Groups) -> None:
    dataset, taken = world.dataset(), [0] * 60
    places, full = dataset.item_table["places"].to_pylist(), [NEVER] * 60
    for time, _, item in joins(dataset):
        assert full[item] == NEVER
        taken[item] += 1
        if taken[item] >= places[item] and time < CALM:
            full[item] = time
    assert world.full.tolist() == full
    closed = [one < NEVER for one in full]
    assert 3 < sum(closed) < 57
    stock = dataset.item_table["stock"].to_pylist()
    assert [one == 0 for one in stock] == closed
    assert all(left == max(places[at] - taken[at], 1) for at, left in enumerate(stock) if not closed[at])
    assert any(n > places[at] for at, n in enumerate(taken))  # larger rooms are found in the last fifth


def test_chances_are_those_of_the_formula(world: Groups) -> None:
    queries, log = asked(world), joins(world.dataset())
    truth, users = world.truth(queries), world.whose(queries)
    town, goes = world.items["town"].to_pylist(), world.users["town"].to_pylist()
    met = 0
    assert queries.now is not None
    for row in range(0, len(queries), 40):
        who, now = int(users[row]), int(queries.now[row])
        had = set(queries.histories.of(row).tolist())
        for item in range(60):
            company = sum(at == item and time < now and world.circle[one] == world.circle[who] for time, one, at in log)
            free = item not in had and town[item] in goes[who] and not world.full[item] < now
            wanted = world.taste[who, item % 8] * world.weight[item] * (1 + company) * free
            met += company > 0 and free
            assert truth[row, item] == pytest.approx(wanted)
    assert met > 20


def test_what_others_do_later_changes_nothing(world: Groups) -> None:
    queries = asked(world)
    assert queries.now is not None
    early = queries.take(np.array([int(np.argmin(queries.now))]))
    assert early.now is not None
    log, cut = world._log, Groups(**SMALL)
    known = log[0] < early.now[0]
    assert 0 < known.sum() < len(known)
    cut.__dict__["_log"] = tuple(column[known] for column in log)  # a world that ends there
    np.testing.assert_array_equal(cut.truth(early), world.truth(early))


def test_questions_of_the_recipe_are_of_the_time_for_which_stock_holds() -> None:
    recipe = Recipe.named("groups")
    test = GlobalTime(**recipe.split.settings).split(Groups(**recipe.data.settings).dataset()).test
    assert test.queries.now is not None
    assert test.queries.now.min() >= CALM


def test_company_brings_people_of_a_circle_together() -> None:
    def together(company: float) -> float:
        """In how many groups two people of one circle are both, in the mean."""
        past = Groups(**SMALL, company=company).dataset().histories
        member = past.matrix(60).toarray() > 0
        circle = Groups(**SMALL).circle
        shared = member @ member.T.astype(int)
        same = (circle[:, None] == circle) & ~np.eye(60, dtype=bool)
        return float(shared[same].mean())

    assert all(more > less for less, more in pairwise([together(0.0), together(1.0), together(10.0)]))


def test_the_rules_of_the_recipe_leave_what_the_truth_leaves(world: Groups) -> None:
    """`stock` is how things are when the log ends, and holds for each question of the last fifth."""
    rules = Rules(Recipe.named("groups").pipeline.rules).fit(world.dataset())
    queries = GlobalTime(quantile=0.95, targets="successive").split(world.dataset()).test.queries
    assert queries.now is not None
    assert queries.now.min() > CALM
    joined = queries.histories.matrix(60).toarray() > 0
    assert (joined & (world.full < NEVER)).any()
    np.testing.assert_array_equal(rules.lets(queries, 60) & ~joined, world.truth(queries) > 0)
