"""Links between people: by hand, beside loops over sets, and never by what is after the moment."""

import math
import time as clock
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.ranking import features
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.links import Links
from zhiyin.ranking.table import Features

DAY = 86_400_000_000
MUTUAL, WEIGHED, SHARE, DEGREE, ASKED, NEWEST = (
    "mutual friends",
    "Adamic-Adar of mutual friends",
    "Jaccard of friends",
    "links of the candidate",
    "the candidate linked to the person",
    "days since the newest mutual friend",
)
COLUMNS = [MUTUAL, WEIGHED, SHARE, DEGREE, ASKED, NEWEST]


def graph(n_items: int, users: list[str], events: list[tuple[str, str, int]]) -> Dataset:
    """People p0, p1, ... are the items; events are (from, to, day)."""
    items = [f"p{one}" for one in range(n_items)]
    rows = sorted((users.index(start), day, items.index(end)) for start, end, day in events)
    lengths = np.bincount([user for user, _, _ in rows], minlength=len(users))
    day = np.array([day for _, day, _ in rows], np.int64)
    past = Histories.of_lengths(lengths, item=np.array([item for *_, item in rows], np.int32), time=day * DAY)
    return Dataset.of(past, pa.table({"item_id": items}), pa.table({"user_id": users}), name="people")


def drawn(n: int = 30, others: int = 6, events: int = 400, seed: int = 0) -> Dataset:
    """Links at random, some of them twice, in one direction or both, some by users who are no items."""
    rng = np.random.default_rng(seed)
    users = [f"p{one}" for one in rng.permutation(n)[: n - 3]] + [f"q{one}" for one in range(others)]
    start, end, day = (rng.integers(0, high, events) for high in (len(users), n, 200))
    return graph(n, users, [(users[a], f"p{b}", int(c)) for a, b, c in zip(start, end, day, strict=True)])


def everybody(queries: Queries) -> Candidates:
    items = np.tile(np.arange(len(queries.items), dtype=np.int32), (len(queries), 1))
    return Candidates.of_lists(queries, items)


def at(dataset: Dataset, now: AnyArray, rows: AnyArray | None = None) -> Queries:
    """Queries of users at moments, with the history until then."""
    rows = np.arange(dataset.n_users) if rows is None else rows
    asked = dataset.queries(rows, np.broadcast_to(np.asarray(now, np.int64), len(rows)).copy())
    assert asked.histories.time is not None
    assert asked.now is not None
    return replace(asked, histories=asked.histories.keep(asked.histories.time < asked.now[asked.histories.owner()]))


def columns(dataset: Dataset, candidates: Candidates) -> dict[str, AnyArray]:
    return Links().fit(dataset).columns(candidates)


def by_sets(dataset: Dataset, query: Queries, item: str) -> list[float]:
    """All columns of one pair, by the definition: a graph of sets, made anew."""
    person, past = (query.users or ("",))[0], query.histories
    now = np.inf if query.now is None else int(query.now[0])
    users, items, log = dataset.users.ids.to_pylist(), dataset.items.ids.to_pylist(), dataset.histories
    assert log.time is not None
    whole = zip(log.owner(), log.item, log.time, strict=True)
    links = [(users[u], items[i], int(t)) for u, i, t in whole if t < now and users[u] != person]
    known = person in users or person in items
    asked = float(any(a == item and b == person for a, b, _ in links)) if known else math.nan
    own = past.time if past.time is not None else np.full(past.n_events, NO_TIME)
    links += [(person, items[i], int(t)) for i, t in zip(past.item, own, strict=True)]
    friends: dict[str, dict[str, int]] = {}
    for a, b, t in links:
        for one, other in ((a, b), (b, a)):
            if a != b:
                friends.setdefault(one, {})[other] = min(t, friends.get(one, {}).get(other, t))
    mine, theirs = friends.get(person, {}), friends.get(item, {})
    both, either = mine.keys() & theirs.keys(), mine.keys() | theirs.keys()
    newest = [max(mine[one], theirs[one]) for one in both]
    return [
        len(both),
        sum(1 / math.log(len(friends[one])) for one in both),
        len(both) / len(either) if either else math.nan,
        len(theirs),
        asked,
        (now - max(newest)) / DAY if newest and max(newest) != NO_TIME else math.nan,
    ]


def assert_as_by_sets(dataset: Dataset, candidates: Candidates, found: dict[str, AnyArray]) -> None:
    for row in range(len(candidates.queries)):
        query = candidates.queries.slice(row, row + 1)
        for place in range(candidates.offsets[row], candidates.offsets[row + 1]):
            item = dataset.items.decode([candidates.item[place]])[0]
            if query.users is None or item != query.users[0]:  # of oneself nothing is meant
                told = [found[name][place] if name in found else math.nan for name in COLUMNS]
                np.testing.assert_allclose(told, by_sets(dataset, query, item), rtol=1e-5, err_msg=f"{row} {item}")


def test_a_graph_that_can_be_worked_out_by_hand() -> None:
    dataset = graph(
        5, [f"p{one}" for one in range(5)], [("p0", "p1", 1), ("p0", "p2", 2), ("p1", "p3", 3), ("p3", "p2", 4)]
    )
    pairs = everybody(at(dataset, 6 * DAY, np.array([0])))
    found = columns(dataset, pairs)
    assert found[MUTUAL].tolist() == [0, 0, 0, 2, 0]  # p0 and p3 both know p1 and p2, who know two people each
    np.testing.assert_allclose(found[WEIGHED], [0, 0, 0, 2 / math.log(2), 0], rtol=1e-6)
    assert found[SHARE][3:].tolist() == [1, 0]
    assert found[DEGREE].tolist() == [2, 2, 2, 2, 0]
    assert found[ASKED].tolist() == [0] * 5
    np.testing.assert_array_equal(found[NEWEST], [np.nan, np.nan, np.nan, 2, np.nan])
    earlier = columns(dataset, everybody(at(dataset, 4 * DAY, np.array([0]))))  # the link of that very moment is later
    assert earlier[MUTUAL].tolist() == [0, 0, 0, 1, 0]
    assert earlier[NEWEST][3] == 1


def test_who_asked_first_is_known() -> None:
    dataset = graph(3, ["p0", "p1", "p2"], [("p1", "p0", 1), ("p0", "p2", 2)])
    found = columns(dataset, everybody(at(dataset, 3 * DAY)))[ASKED].reshape(3, 3)
    assert found.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_loops_over_sets_say(seed: int) -> None:
    dataset = drawn(seed=seed)
    now = np.random.default_rng(seed).integers(0, 220, dataset.n_users) * DAY
    pairs = everybody(at(dataset, now))
    found = columns(dataset, pairs)
    assert found[MUTUAL].max() > 2
    assert 0 < np.nanmean(found[ASKED]) < 1
    assert_as_by_sets(dataset, pairs, found)


def test_the_history_speaks_for_the_person_and_the_log_for_all_others() -> None:
    dataset = drawn()
    person, new = dataset.users.decode([4])[0], ["p1", "p5", "p9", "p9"]
    for user in (person, "p29", "nobody", None):
        query = Query.of(new, times=[DAY, 2 * DAY, 3 * DAY, 90 * DAY], now=100 * DAY, user_id=user)
        pairs = everybody(Queries.encode([query], dataset.items))
        assert_as_by_sets(dataset, pairs, columns(dataset, pairs))


def test_without_a_moment_all_counts_and_of_strangers_nobody_is_known_to_have_asked() -> None:
    dataset = drawn()
    pairs = everybody(Queries.encode([Query.of(["p1", "p5"]), Query.of([])], dataset.items))
    found = columns(dataset, pairs)
    assert np.isnan(found[ASKED]).all()
    assert np.isnan(found[NEWEST]).all()
    assert found[MUTUAL][:30].max() > 0 == found[MUTUAL][30:].max()
    for name in COLUMNS[:4]:
        told = [by_sets(dataset, pairs.queries.slice(0, 1), f"p{one}")[COLUMNS.index(name)] for one in range(30)]
        np.testing.assert_allclose(found[name][:30], told, rtol=1e-5)


def test_nothing_that_comes_after_the_moment_changes_a_feature() -> None:
    dataset, now = drawn(), 120 * DAY
    asked, time = everybody(at(dataset, now)), dataset.histories.time
    assert time is not None
    before = dataset.keep(time < now)
    # beside the log as it is: one that goes on otherwise
    turned = np.where(time < now, dataset.histories.item, (dataset.histories.item + 7) % 30).astype(np.int32)
    other = dataset.with_histories(replace(dataset.histories, item=turned))
    whole = columns(dataset, asked)
    for log in (before, other):
        for name, column in columns(log, asked).items():
            np.testing.assert_array_equal(column, whole[name], name)
    late = columns(dataset, everybody(at(dataset, 300 * DAY)))
    assert (late[MUTUAL] > whole[MUTUAL]).any()


def test_the_candidates_of_a_query_are_what_they_are_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = drawn()
    made, asked = Links().fit(dataset), everybody(at(dataset, 120 * DAY))
    whole = made.columns(asked)
    monkeypatch.setattr("zhiyin.ranking.features.links.LINKS_AT_ONCE", 20)
    for row in (0, 11, 32):
        for name, column in made.columns(asked.slice(row, row + 1)).items():
            np.testing.assert_allclose(column, whole[name][30 * row : 30 * row + 30], rtol=1e-6, err_msg=name)


def test_a_query_that_a_person_writes_has_the_features_of_the_same_case() -> None:
    dataset = drawn()
    made, asked = Links().fit(dataset), everybody(at(dataset, 120 * DAY))
    past, offline = asked.queries.histories, made.columns(asked)
    assert past.time is not None
    assert asked.queries.users is not None
    for row in (0, 11, 32):
        start, stop = past.offsets[row : row + 2]
        query = Query.of(
            dataset.items.decode(past.of(row)),
            times=past.time[start:stop].tolist(),
            now=120 * DAY,
            user_id=asked.queries.users[row],
        )
        for name, column in made.columns(everybody(Queries.encode([query], dataset.items))).items():
            np.testing.assert_array_equal(column, offline[name][30 * row : 30 * row + 30], name)


def test_other_names_in_another_order_are_the_same_people() -> None:
    dataset = drawn()
    order = np.random.default_rng(1).permutation(30)
    renamed = [f"x{one[1:]}" if one.startswith("p") else one for one in dataset.users.ids.to_pylist()]
    place = np.argsort(order).astype(np.int32)
    past = replace(dataset.histories, item=place[dataset.histories.item])
    other = Dataset.of(
        past, pa.table({"item_id": [f"x{one}" for one in order]}), pa.table({"user_id": renamed}), name="people"
    )
    one, two = (columns(each, everybody(at(each, 150 * DAY))) for each in (dataset, other))
    for name in COLUMNS:
        np.testing.assert_allclose(two[name].reshape(-1, 30), one[name].reshape(-1, 30)[:, order], rtol=1e-5)


def test_what_is_saved_says_the_same(tmp_path: Path) -> None:
    dataset = drawn()
    made, asked = Links().fit(dataset), everybody(at(dataset, 120 * DAY))
    again = load(save(made, tmp_path / "links"), "features", "family of features", features.get)
    for name, column in made.columns(asked).items():
        np.testing.assert_array_equal(again.columns(asked)[name], column, name)


def test_logs_without_times_have_links_without_times() -> None:
    dataset = drawn()
    bare = Dataset.of(dataset.histories.without("time"), dataset.item_table, dataset.user_table, clock="none")
    pairs = everybody(bare.queries())
    found, timed = columns(bare, pairs), columns(dataset, everybody(at(dataset, 300 * DAY)))
    assert list(found) == COLUMNS[:5]
    for name in COLUMNS[:5]:
        np.testing.assert_array_equal(found[name], timed[name])


def test_where_nobody_is_linked_yet_nothing_is_known() -> None:
    dataset = graph(3, ["p0", "p1"], [])
    found = columns(dataset, everybody(dataset.queries()))
    assert found[MUTUAL].tolist() == found[DEGREE].tolist() == [0] * 6
    assert np.isnan(found[SHARE]).all()


def test_it_suits_people_and_nothing_else() -> None:
    assert Links().suits(drawn())
    shop = Dataset.of(Histories.of_lists([[0, 1], [2]]), ["p0", "b", "c"], ["p0", "p1"])
    assert not Links().suits(shop)
    assert Links().suits(Dataset.of(Histories.of_lists([[0]]), ["p0", "b"], ["p0"]))
    made = Features(families="popularity, links").fit(shop)
    assert [one.name for one in made.families] == ["popularity"]


def test_a_live_query_is_quick() -> None:
    rng = np.random.default_rng(0)
    n, events = 5_000, 100_000
    user = np.sort(rng.integers(0, n, events))
    item, time = rng.integers(0, n, events).astype(np.int32), rng.integers(0, 100 * DAY, events)
    past = Histories.of_lengths(np.bincount(user, minlength=n), item=item, time=time[np.lexsort((time, user))])
    ids = [f"p{one}" for one in range(n)]
    dataset = Dataset.of(past, ids, ids)
    made, seconds = Links().fit(dataset), []
    for row in range(20):
        pairs = Candidates(dataset.queries(np.array([row])), np.array([0, 500]), np.arange(500, dtype=np.int32))
        begun = clock.perf_counter()
        made.columns(pairs)
        seconds.append(clock.perf_counter() - begun)
    assert min(seconds) < 0.005, seconds
