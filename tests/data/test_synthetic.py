from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data import _synthetic_events
from zhiyin.data.dataset import Dataset
from zhiyin.data.synthetic import KINDS, SyntheticConfig, Truth, synthetic, write_events, write_folder
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics.base import Lists, World
from zhiyin.metrics.ndcg import NDCG
from zhiyin.splitting.global_time import GlobalTime

SECOND = 1_000_000
SMALL: dict[str, Any] = {"n_users": 200, "n_items": 120, "n_events": 20_000, "n_groups": 4, "seed": 3}


@pytest.fixture(scope="module")
def world() -> tuple[Dataset, Truth]:
    return synthetic(**SMALL)


# ---------------------------------------------------------------- the form


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "n_users": st.integers(1, 40),
            "n_items": st.integers(5, 60),
            "n_events": st.integers(1, 800),
            "n_groups": st.integers(1, 5),
            "cart_rate": st.sampled_from([0.0, 0.3, 1.0]),
            "purchase_rate": st.sampled_from([0.0, 1.0]),
            "new_items": st.sampled_from([0.0, 0.9]),
            "days": st.integers(1, 50),
            "friends": st.sampled_from([0.0, 3.0]),
            "seed": st.integers(0, 100),
        }
    )
)
def test_any_world_is_whole(options: dict[str, Any]) -> None:
    dataset, truth = synthetic(**options)
    events = dataset.histories
    assert events.time is not None
    assert (dataset.n_users, dataset.n_items, dataset.n_events) == (
        options["n_users"],
        options["n_items"],
        options["n_events"],
    )
    assert (np.diff(events.time)[np.diff(events.owner()) == 0] >= 0).all()
    assert (events.time // SECOND >= truth.launch[events.item]).all(), "an event is older than its item"
    assert events.time.min() >= truth.config.start * SECOND
    assert events.time.max() < (truth.config.start + truth.config.days * 86_400 + 3_600) * SECOND


def test_the_same_settings_make_the_same_world(world: tuple[Dataset, Truth]) -> None:
    assert synthetic(SyntheticConfig(**SMALL))[0].content_hash == world[0].content_hash
    assert synthetic(**{**SMALL, "seed": 4})[0].content_hash != world[0].content_hash


def test_lots_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_synthetic_events, "CHUNK", 700)
    maker = _synthetic_events.EventMaker(Truth(SyntheticConfig(**SMALL)))
    lots = list(maker.lots())
    whole = _synthetic_events.Events.join(lots)
    assert len(lots) > 10
    assert len(whole) == SMALL["n_events"]
    assert (np.diff(whole.time) >= 0).all()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few for 9 groups"):
        synthetic(n_items=8, n_groups=9)
    with pytest.raises(ConfigError, match="did you mean 'n_users'"):
        synthetic(n_user=8)
    with pytest.raises(ConfigError, match="not both"):
        synthetic(SyntheticConfig(), n_users=3)


# ---------------------------------------------------------------- the truth


def test_preferences_are_chances_and_agree_one_by_one(world: tuple[Dataset, Truth]) -> None:
    _, truth = world
    users = np.arange(0, 200, 7)
    time = (truth.config.start + users * 100_000) * SECOND
    whole = truth.preferences(users, time)
    np.testing.assert_allclose(whole.sum(axis=1), 1)
    assert (whole[truth.launch > time[:, None] // SECOND] == 0).all()
    items = users % truth.config.n_items
    np.testing.assert_allclose(truth.preference(users, items, time), whole[np.arange(len(users)), items])


def test_views_follow_the_true_preferences() -> None:
    dataset, truth = synthetic(n_users=30, n_items=40, n_events=60_000, n_groups=4, seed=5, drift=1.0)
    events = dataset.histories
    assert events.time is not None
    views = np.flatnonzero(events.kind == 0)
    expected = np.zeros((30, 40))
    owner = events.owner()[views]
    for lot in np.array_split(np.arange(len(views)), 20):
        np.add.at(expected, owner[lot], truth.preferences(owner[lot], events.time[views[lot]]))
    counts = np.zeros((30, 40))
    np.add.at(counts, (owner, events.item[views]), 1)
    sigma = np.sqrt(np.maximum(expected, 1))
    assert np.abs((counts - expected) / sigma).max() < 6
    assert np.std((counts - expected)[expected > 5] / sigma[expected > 5]) == pytest.approx(1, abs=0.15)


def test_tastes_drift_from_the_early_to_the_late_ones() -> None:
    truth = Truth(SyntheticConfig(**{**SMALL, "drift": 1.0, "season": 0.0}))
    users, first = np.arange(200), np.full(200, truth.config.start * SECOND)
    last = first + truth.config.days * 86_400 * SECOND
    np.testing.assert_allclose(truth.group_chances(users, first), truth.early, rtol=1e-5)
    np.testing.assert_allclose(truth.group_chances(users, last), truth.late, atol=1e-6)
    steady = Truth(SyntheticConfig(**{**SMALL, "drift": 0.0, "season": 0.0}))
    np.testing.assert_allclose(steady.group_chances(users, last), steady.early, rtol=1e-5)


def test_the_oracle_beats_popularity_and_popularity_beats_chance(world: tuple[Dataset, Truth]) -> None:
    dataset, truth = world
    split = GlobalTime().split(dataset)
    queries, rng = split.test.queries, np.random.default_rng(0)
    assert queries.users is not None
    assert queries.now is not None
    users = dataset.users.encode(queries.users)
    popular = split.development.popularity
    scores = {
        "oracle": truth.preferences(users, queries.now),
        "popularity": np.tile(popular, (len(users), 1)),
        "random": rng.random((len(users), dataset.n_items)),
    }
    found = {}
    for name, matrix in scores.items():
        top = np.argsort(-matrix, axis=1, kind="stable")[:, :10].astype(np.int32)
        lists = Lists(top, split.test.targets, queries.histories, World(dataset.n_items, popular))
        found[name] = NDCG(k=10).overall(lists)
    assert found["oracle"] > 1.3 * found["popularity"]
    assert found["popularity"] > 1.3 * found["random"]


def test_popularity_is_zipf_and_activity_is_uneven() -> None:
    dataset, truth = synthetic(
        n_users=500, n_items=400, n_events=200_000, n_groups=1, popularity=1.0, new_items=0, cart_rate=0, seed=1
    )
    counts = np.sort(dataset.popularity)[::-1][:100]
    slope = np.polyfit(np.log(np.arange(1, 101)), np.log(counts), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert np.array_equal(dataset.popularity.argsort()[-3:], truth.weight.argsort()[-3:])
    lengths = np.sort(dataset.histories.lengths)
    assert lengths[-50:].sum() > 2 * lengths[:250].sum()


def test_people_come_in_the_evening_and_groups_have_their_hours() -> None:
    dataset, truth = synthetic(**{**SMALL, "season": 0.9, "n_events": 60_000})
    assert dataset.histories.time is not None
    hour = dataset.histories.time // (3_600 * SECOND) % 24
    assert (hour == 20).sum() > 3 * (hour == 8).sum()
    per_hour = np.zeros((24, 4))
    np.add.at(per_hour, (hour, truth.primary[dataset.histories.item]), 1)
    share = per_hour / per_hour.sum(axis=1, keepdims=True)
    assert (share.max(axis=0) > 1.3 * share.min(axis=0)).all()


def test_friends_have_like_tastes_and_friendship_is_mutual() -> None:
    truth = Truth(SyntheticConfig(n_users=2_000, friends=6, homophily=0.9))
    pairs = [(int(one[1:]), int(two[1:])) for one, two in zip(*truth.links.to_pydict().values(), strict=True)]
    assert len(pairs) == pytest.approx(2_000 * 6, rel=0.1)
    assert {(two, one) for one, two in pairs} == set(pairs)
    assert len(set(pairs)) == len(pairs)
    assert all(one != two for one, two in pairs)
    main = truth.early.argmax(axis=1)
    alike = np.mean([main[one] == main[two] for one, two in pairs])
    assert alike > 0.85 > 0.3 > np.mean(main[:1_000] == main[1_000:])


def test_carts_and_purchases_follow_views_minutes_later(world: tuple[Dataset, Truth]) -> None:
    dataset, _ = world
    events, kinds = dataset.histories, np.bincount(dataset.histories.kind, minlength=3)
    assert dataset.kinds == KINDS
    assert kinds[1] / kinds[0] == pytest.approx(0.1, abs=0.03)
    assert kinds[2] / kinds[1] == pytest.approx(0.4, abs=0.1)
    owner, value = events.owner(), events.value
    assert events.time is not None
    assert value is not None
    viewed = {(int(u), int(i)): int(t) for u, i, t, k in zip(owner, events.item, events.time, events.kind) if k == 0}  # noqa: B905
    carts = np.flatnonzero(events.kind == 1)
    with_view = [(int(owner[row]), int(events.item[row])) in viewed for row in carts]
    assert np.mean(with_view) > 0.95  # a view may be trimmed away
    assert value[events.kind == 2].mean() > value[events.kind == 1].mean() > value[events.kind == 0].mean()


def test_values_grow_with_affinity(world: tuple[Dataset, Truth]) -> None:
    dataset, truth = world
    events = dataset.histories
    affinity = truth.affinity(events.owner(), events.item, events.time)
    assert set(np.unique(events.value)) == {1, 2, 3, 4, 5}
    views = events.kind == 0
    error = events.value[views] - truth.rating(affinity[views])  # type: ignore[index]
    assert abs(error.mean()) < 0.1
    assert error.std() < 0.8


# ---------------------------------------------------------------- exposures


def test_clicks_follow_their_true_chances_and_the_position_bias(world: tuple[Dataset, Truth]) -> None:
    table = world[1].exposures(20_000, length=5, seed=2).to_pandas()
    assert table.clicked.mean() == pytest.approx(table.click_chance.mean(), rel=0.03)
    fit = table.click_chance / table.examination
    assert table.groupby("position").apply(lambda part: fit[part.index].mean(), include_groups=False).std() < 0.01
    rate = table.groupby("position").clicked.mean()
    assert rate[1] / rate[4] == pytest.approx(4, rel=0.15)
    assert (table.converted <= table.clicked).all()
    clicked = table[table.clicked]
    assert clicked.converted.mean() == pytest.approx(clicked.conversion_chance.mean(), rel=0.1)


def test_propensities_are_exact() -> None:
    _, truth = synthetic(**{**SMALL, "new_items": 0.0, "n_items": 30})
    table = truth.exposures(40_000, length=2, policy="popular").to_pandas()
    shown = table.groupby("item_id").propensity.agg(["mean", "std", "size"])
    assert (shown["std"] < 1e-12).all()
    assert shown["mean"].sum() == pytest.approx(1)
    sigma = np.sqrt(shown["mean"] * len(table))
    assert (np.abs(shown["size"] - shown["mean"] * len(table)) < 5 * sigma).all()


def test_the_value_of_another_policy_can_be_estimated_from_the_log(world: tuple[Dataset, Truth]) -> None:
    _, truth = world
    logged, uniform = (truth.exposures(30_000, length=1, policy=name, seed=9) for name in ("popular", "uniform"))  # type: ignore[arg-type]
    n_known = (truth.launch[None, :] <= logged["time"].to_numpy()[:, None] // SECOND).sum(axis=1)
    weight = 1 / n_known / logged["propensity"].to_numpy()
    assert weight.mean() == pytest.approx(1, abs=0.03)
    estimate = (weight * logged["clicked"].to_numpy()).mean()
    assert estimate == pytest.approx(uniform["click_chance"].to_numpy().mean(), abs=0.01)


def test_an_unknown_policy_is_refused(world: tuple[Dataset, Truth]) -> None:
    with pytest.raises(ConfigError, match="'uniform' or 'popular'"):
        world[1].exposures(policy="best")  # type: ignore[arg-type]


# ---------------------------------------------------------------- tables and files


def test_the_catalogue_speaks_of_its_groups() -> None:
    _, truth = synthetic(**{**SMALL, "n_groups": 20, "mixed_items": 0.0})
    items = truth.items.to_pylist()
    assert [one["categories"][1] for one in items] == [truth.groups[group] for group in truth.primary]
    words: dict[int, set[str]] = {}
    for group, one in zip(truth.primary.tolist(), items, strict=True):
        words.setdefault(group, set()).update(one["title"].lower().split()[:2])
    assert all(len(words[group]) <= 12 for group in words)
    assert not words[0] & words[1]
    assert all(one["price"] > 0 and one["text"] and one["creator"] for one in items)
    assert len(set(truth.groups)) == 20


def test_written_events_are_the_dataset_in_the_order_of_time(world: tuple[Dataset, Truth], tmp_path: Path) -> None:
    dataset, _ = world
    assert write_events(tmp_path / "events.parquet", **SMALL) == dataset.n_events
    table = pq.read_table(tmp_path / "events.parquet")
    assert [str(field.type) for field in table.schema] == ["string", "string", "int64", "string", "float"]
    frame = table.to_pandas()
    assert frame.time.is_monotonic_increasing
    user = dataset.users.encode(frame.user_id.tolist())
    order = np.argsort(user, kind="stable")
    assert np.array_equal(dataset.items.encode(frame.item_id.tolist())[order], dataset.histories.item)
    assert np.array_equal(frame.time.to_numpy()[order] * SECOND, dataset.histories.time)
    assert np.array_equal(frame.kind.map(KINDS.index).to_numpy()[order], dataset.histories.kind)


def test_a_world_can_be_written_as_a_folder(tmp_path: Path) -> None:
    truth = write_folder(tmp_path / "world", **SMALL)
    tables = {file.stem: pq.read_table(file) for file in (tmp_path / "world").iterdir()}
    assert set(tables) == {"events", "items", "users", "links"}
    assert tables["items"].equals(truth.items)
    with pytest.raises(DataError, match="there already"):
        write_folder(tmp_path / "world", **SMALL)


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing was left"):
        write_events(tmp_path / "no such folder" / "events.parquet", **SMALL)
    assert not list(tmp_path.iterdir())
