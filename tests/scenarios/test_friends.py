"""Friends: links are drawn from the law that the truth states, both ways, once, and only where both seek each other."""

from dataclasses import replace

import numpy as np
import pytest

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import DataError
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.links import Links
from zhiyin.ranking.rules import Rules
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.worlds.friends import Friends
from zhiyin.splitting.base import Cases
from zhiyin.splitting.global_time import GlobalTime

SMALL = {"n_users": 60, "n_events": 1_000}


@pytest.fixture(scope="module")
def world() -> Friends:
    return Friends(**SMALL)


@pytest.fixture(scope="module")
def log(world: Friends) -> Dataset:
    return world.dataset()


def cases(log: Dataset, quantile: float = 0.5) -> Cases:
    """Every event after the cut, asked at its moment."""
    return GlobalTime(quantile=quantile, targets="successive", cold_users="keep").split(log).test


def wants(log: Dataset) -> AnyArray:
    """(n, n) whether each person is what each other one seeks, and the other way, by what both tables say."""
    age, seeks = (log.user_table[name].to_pylist() for name in ("age_group", "seeks"))
    n = len(age)
    one = np.array([[not seeks[u] or age[v] in seeks[u] for v in range(n)] for u in range(n)])
    return one & one.T & ~np.eye(n, dtype=bool)


def test_the_truth_is_the_law_worked_out_with_sets(world: Friends, log: Dataset) -> None:
    town, own, wanted, past = log.item_table["town"].to_pylist(), world.config, wants(log), log.histories
    assert past.time is not None
    asked = cases(log).take(np.array([0, 7, -1])).queries
    truth = world.truth(asked)
    assert asked.users is not None
    assert asked.now is not None
    for row, (user, now) in enumerate(zip(asked.users, asked.now, strict=True)):
        u, friends = log.users.number(user), [set[int]() for _ in range(log.n_users)]
        for one, other, time in zip(past.owner().tolist(), past.item.tolist(), past.time.tolist(), strict=True):
            if time < now:
                friends[one].add(other)
        assert friends[u] == set(asked.histories.of(row).tolist())
        for v in range(log.n_users):
            law = world.lively[u] * world.lively[v] * (world.taste[u] * world.taste[v]).sum()
            law *= (1 if town[u] == town[v] else own.away) * (1 + own.closure * len(friends[u] & friends[v]))
            assert truth[row, v] == pytest.approx(law * (wanted[u, v] and v not in friends[u]))
    assert any(len(friends[u] & one) > 1 for one in friends)


def test_what_a_query_says_speaks_for_its_own_friends(world: Friends, log: Dataset) -> None:
    user, now = log.users.decode([3])[0], int(log.histories.time.max()) + 1  # type: ignore[union-attr]
    few = log.histories.of(3)[:2]
    asked = Queries.encode([Query.of(log.items.decode(few), user_id=user, now=now)], log.items)
    links = log.histories.matrix(log.n_items).toarray() > 0
    mutual = links[few].sum(0)
    wanted = world.pull[3] * (1 + world.config.closure * mutual) * ~np.isin(np.arange(log.n_items), few)
    np.testing.assert_allclose(world.truth(asked)[0], wanted)


def test_each_link_is_drawn_by_its_chance(world: Friends, log: Dataset) -> None:
    """What happened is as likely as was to be expected: the sum of squares of chances; 4 standard errors."""
    found = cases(log, 0.1)
    who = log.users.encode(list(found.queries.users or ()))
    for half in (who < found.targets.item, who > found.targets.item):  # the two events of a link are one draw
        some = found.take(half)
        truth = world.truth(some.queries)
        share = truth / truth.sum(1, keepdims=True)
        happened = share[np.arange(len(some)), some.targets.item]
        assert (happened > 0).all()
        expected = (share**2).sum(1)
        error = np.sqrt(((share**3).sum(1) - expected**2).sum())
        assert abs((happened - expected).sum()) < 4 * error
        # which tells the law from one without mutual friends, or without tastes, towns and ages
        alone = world.pull[who[half]] * ~(some.queries.histories.matrix(log.n_items).toarray() > 0)
        alone /= alone.sum(1, keepdims=True)
        gap = np.log(happened) - np.log(alone[np.arange(len(some)), some.targets.item])
        assert gap.mean() > 2 * gap.std() / np.sqrt(len(gap))


def test_pairs_come_as_often_as_the_law_says() -> None:
    """The first link of many worlds of the same people, beside the law of pairs."""
    world = Friends(n_users=5, n_events=2, choosy=0.0)
    rng = np.random.default_rng(0)
    pairs = np.sort([world._drawn(1, rng)[0] for _ in range(4_000)], axis=1)
    seen = np.zeros((5, 5))
    np.add.at(seen, (pairs[:, 0], pairs[:, 1]), 1 / len(pairs))
    law = np.triu(world.pull) / np.triu(world.pull).sum()
    assert np.abs(seen - law).max() < 4 * np.sqrt(0.25 / len(pairs))


def test_what_changes_with_a_link_is_what_the_whole_graph_says(world: Friends) -> None:
    n, rng = world.config.n_users, np.random.default_rng(0)
    friend, mutual, chance = np.zeros((n, n), bool), np.zeros((n, n)), world.pull.copy()
    pairs, apart = np.argwhere(np.triu(np.ones((n, n)), 1)), ~np.eye(n, dtype=bool)
    for pair in rng.permutation(pairs)[:100]:
        world._meet(pair, friend, mutual, chance)
        both = friend.astype(int) @ friend
        np.testing.assert_array_equal(mutual[apart], both[apart])
        np.testing.assert_allclose(chance, world.chances(np.arange(n), friend, both))


def test_links_are_mutual_and_nobody_is_met_twice(log: Dataset) -> None:
    past = log.histories
    assert past.time is not None
    owner = past.owner()
    events = {(int(u), int(v)): int(t) for u, v, t in zip(owner, past.item, past.time, strict=True)}
    assert len(events) == log.n_events == 1_000
    assert all(events[v, u] == time for (u, v), time in events.items())
    wanted = wants(log)
    assert 0.2 < wanted.mean() < 0.9
    assert all(wanted[u, v] for u, v in events)
    inside = owner[1:] == owner[:-1]
    assert (np.diff(past.time)[inside] > 0).all()
    assert log.items == log.users


def test_the_rule_of_the_recipe_is_that_of_the_world(world: Friends, log: Dataset) -> None:
    rules = Rules(Recipe.named("friends").pipeline.rules).fit(log)
    np.testing.assert_array_equal(rules.lets(log.queries(), log.n_items), world.pull > 0)


def test_mutual_friends_tell_who_is_next(world: Friends, log: Dataset) -> None:
    """Those whom people meet have more mutual friends with them than others whom they might have met."""
    asked = cases(log)
    everybody = np.tile(np.arange(log.n_items, dtype=np.int32), (len(asked), 1))
    found = Links().fit(log).columns(Candidates.of_lists(asked.queries, everybody))
    mutual = found["mutual friends"].reshape(everybody.shape)
    free = world.truth(asked.queries) > 0
    others = np.where(free, mutual, 0).sum(1) / free.sum(1)
    assert (mutual[np.arange(len(asked)), asked.targets.item] - others).mean() > 1


def test_a_small_world_ends_when_everybody_knows_everybody() -> None:
    full = Friends(n_users=6, n_events=1_000, choosy=0.0).dataset()
    assert full.n_events == 6 * 5
    assert Friends(n_users=2, n_events=3, choosy=0.0).dataset().n_events == 2


def test_the_same_seed_is_the_same_world() -> None:
    made = [Friends(**SMALL, seed=seed).dataset().content_hash for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_the_truth_of_a_batch_is_that_of_its_parts(world: Friends, log: Dataset) -> None:
    queries = cases(log).queries
    whole = world.truth(queries)
    for start in (0, 17):
        np.testing.assert_allclose(world.truth(queries.slice(start, start + 3)), whole[start : start + 3])
    one = queries.take(np.array([0]))
    with pytest.raises(DataError, match="unknown user 'nobody'"):
        world.truth(replace(one, users=("nobody",)))
    for lacks in ({"users": None}, {"now": None}):
        with pytest.raises(DataError, match="lack a user or a time"):
            world.truth(replace(one, **lacks))
