"""Worlds: events are drawn from the chances that the oracle ranks by, and keep to what each world is about."""

import numpy as np
import pytest

from zhiyin.errors import DataError
from zhiyin.scenarios import worlds
from zhiyin.scenarios.worlds.base import MINUTE, Tastes, drawn
from zhiyin.splitting.global_time import GlobalTime

SMALL = {"n_users": 40, "n_items": 60, "n_events": 1_500}
OWN_TESTS = {"ads", "coupons", "friends"}
WORLDS = [name for name in worlds.available() if name not in OWN_TESTS]
ONCE = ("news", "video", "books", "cross_border", "events", "groups")


@pytest.mark.parametrize("name", WORLDS)
def test_what_happened_was_possible_and_likelier_than_chance(name: str) -> None:
    world = worlds.get(name)(**SMALL)
    cases = GlobalTime(quantile=0.5, targets="successive", cold_users="keep").split(world.dataset()).test
    truth = world.truth(cases.queries)
    share = truth / truth.sum(1, keepdims=True)
    happened = share[np.arange(len(cases)), cases.targets.item]
    if name != "video":  # whose truth is of clips that are watched to the half
        assert (happened > 0).all()
    # the expected chance of what happens is the sum of squares; 4 standard errors
    expected = (share**2).sum(1)
    if name not in ("video", "shop"):  # carts and purchases of a shop follow a view, and are not drawn anew
        error = np.sqrt(((share**3).sum(1) - expected**2).sum())
        assert abs((happened - expected).sum()) < 4 * error


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_seed_is_the_same_world(name: str) -> None:
    made = [worlds.get(name)(**SMALL, seed=seed).dataset().content_hash for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("name", WORLDS)
def test_the_truth_of_a_batch_is_that_of_its_parts(name: str) -> None:
    world = worlds.get(name)(**SMALL)
    queries = world.dataset().queries()
    whole = world.truth(queries)
    for start in (0, 17):
        np.testing.assert_allclose(world.truth(queries.slice(start, start + 3)), whole[start : start + 3])
    strangers = queries.take(np.array([0]))
    with pytest.raises(DataError):
        world.truth(type(strangers)(strangers.histories, strangers.items, strangers.now, ("nobody",)))


@pytest.mark.parametrize("name", ONCE)
def test_nothing_is_used_twice(name: str) -> None:
    past = worlds.get(name)(**SMALL).dataset().histories
    pairs = np.stack([past.owner(), past.item])
    assert np.unique(pairs, axis=1).shape == pairs.shape


def test_draws_follow_chances_and_nothing_is_drawn_of_nothing() -> None:
    rng = np.random.default_rng(0)
    found = drawn(np.tile([0.0, 3.0, 0.0, 1.0], (4_000, 1)), rng)
    assert set(found.tolist()) == {1, 3}
    assert abs((found == 1).mean() - 0.75) < 0.03
    assert drawn(np.zeros((2, 3)), rng).tolist() == [-1, -1]


def test_a_session_of_music_ends_with_a_rest_and_nothing_is_heard_twice_in_a_row() -> None:
    past = worlds.get("music")(**SMALL).dataset().histories
    owner, session, time = past.owner(), past.session, past.time
    assert session is not None
    assert time is not None
    inside = owner[1:] == owner[:-1]
    rest = np.diff(time) >= 30 * MINUTE
    np.testing.assert_array_equal(np.diff(session)[inside], rest[inside].astype(int))
    assert (session[past.offsets[:-1][past.lengths > 0]] == 0).all()
    assert (past.item[1:] != past.item[:-1])[inside].all()
    assert (np.diff(time)[inside] >= 0).all()


def test_events_keep_to_town_window_and_tickets() -> None:
    world = worlds.get("events")(**SMALL)
    dataset = world.dataset()
    past, items = dataset.histories, dataset.item_table
    assert past.time is not None
    towns, home = items["town"].to_pylist(), dataset.user_table["town"].to_pylist()
    assert all(towns[item] in home[user] for user, item in zip(past.owner(), past.item, strict=True))
    start, end = (items[name].to_numpy()[past.item] for name in ("available_from", "available_until"))
    assert ((start <= past.time) & (past.time < end)).all()
    late = past.time >= np.quantile(past.time, 0.9)
    assert (items["stock"].to_numpy()[past.item[late]] > 0).all()


def test_across_borders_people_get_what_they_can_read_and_have() -> None:
    dataset = worlds.get("cross_border")(**SMALL).dataset()
    items, users, past = dataset.item_table, dataset.user_table, dataset.histories
    language, sold = items["language"].to_pylist(), items["sold_in"].to_pylist()
    reads, country = users["language"].to_pylist(), users["country"].to_pylist()
    pairs = list(zip(past.owner(), past.item, strict=True))
    assert all(language[item] in reads[user] and country[user] in sold[item] for user, item in pairs)


def test_watch_ratios_have_the_mean_that_taste_and_quality_say() -> None:
    world = worlds.get("video")(**SMALL)
    past = world.dataset().histories
    assert past.value is not None
    told = world.watched(past.owner())[np.arange(past.n_events), past.item]
    spread = np.sqrt((told * (1 - told) / (world.config.evenness + 1)).sum())
    assert abs((past.value - told).sum()) < 4 * spread


def test_a_world_of_tastes_alone_has_the_chances_of_the_formula() -> None:
    world = Tastes(n_users=3, n_items=4, n_groups=2, n_events=10)
    truth = world.truth(world.dataset().queries())
    for user in range(3):
        for item in range(4):
            assert truth[user, item] == pytest.approx(world.taste[user, item % 2] * world.weight[item])
