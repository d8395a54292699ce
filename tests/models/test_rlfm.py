from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import linalg

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._beliefs import Beliefs, Known, Prior, believe
from zhiyin.models.base import load
from zhiyin.models.rlfm import RLFM
from zhiyin.models.svd import SVD
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes


class TestRLFM(RecommenderSuite):
    model = RLFM
    options = {"embedding_size": 6, "epochs": 20}
    exact = False  # it starts from random vectors, so renamed items start from others


def rated(users: np.ndarray, items: np.ndarray, value: np.ndarray, table: pa.Table | list[str], n: int) -> Dataset:
    """A dataset without order, from triplets in the order of their users."""
    lengths = np.bincount(users, minlength=n)
    histories = Histories.of_lengths(lengths, item=items.astype(np.int32), value=value.astype(np.float32))
    return Dataset.of(histories, table, clock="none")


def planted(
    n_users: int = 300, n_items: int = 120, rank: int = 3, noise: float = 0.3, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """Ratings μ + b_u + b_i + p·q + noise, 20 of each user to learn from and 5 to be tested on."""
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(0, 0.7, (n, rank)) for n in (n_users, n_items))
    full = 3 + rng.normal(0, 0.4, (n_users, 1)) + rng.normal(0, 0.5, (1, n_items)) + users @ items.T
    full += rng.normal(0, noise, full.shape)
    taken = np.array([rng.choice(n_items, 25, replace=False) for _ in range(n_users)])
    names = [f"i{number}" for number in range(n_items)]
    parts = []
    for columns in (taken[:, :20], taken[:, 20:]):
        owner = np.repeat(np.arange(n_users), columns.shape[1])
        parts.append(rated(owner, columns.ravel(), full[owner, columns.ravel()], names, n_users))
    return parts[0], parts[1]


def rmse(model: RLFM | SVD, train: Dataset, test: Dataset) -> float:
    found = model.predict(train.queries(test.histories.owner()), test.histories.item)
    return float(np.sqrt(np.mean((found - test.histories.value) ** 2)))


# ---------------------------------------------------------------------- beliefs


def some_side(n: int, width: int, seed: int) -> Beliefs:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, width, width)) / 3
    return Beliefs(rng.normal(size=(n, width)), half @ half.transpose(0, 2, 1) + 0.1 * np.eye(width))


def some_values(lengths: list[int], n_others: int, seed: int) -> Known:
    rng = np.random.default_rng(seed)
    other = rng.integers(0, n_others, sum(lengths)).astype(np.int32)
    return Known(np.concatenate([[0], np.cumsum(lengths)]), other, rng.normal(size=sum(lengths)))


def by_hand(known: Known, row: int, side: Beliefs, expected: np.ndarray, precision: np.ndarray, noise: float):
    """The mean and covariance of one row, summed event by event and solved by scipy."""
    system, right = precision.copy(), precision @ expected[row]
    for event in range(known.offsets[row], known.offsets[row + 1]):
        mean, spread = side.mean[known.other[event]], side.spread[known.other[event]]
        seen = np.append(1, mean[1:])
        unsure = np.zeros_like(spread)
        unsure[1:, 1:] = spread[1:, 1:]
        with_bias = seen * mean[0] + np.append(0, spread[0, 1:])
        system += (np.outer(seen, seen) + unsure) / noise
        right += (known.value[event] * seen - with_bias) / noise
    return linalg.solve(system, right, assume_a="pos"), linalg.inv(system)


def test_beliefs_are_those_of_one_system_at_a_time() -> None:
    side, known = some_side(30, 4, 0), some_values([0, 1, 3, 40, 0, 7], 30, 1)
    rng = np.random.default_rng(2)
    expected, half = rng.normal(size=(6, 4)), rng.normal(size=(4, 4))
    precision = half @ half.T + np.eye(4)
    found, _ = believe(known, side.met(), expected, precision, 0.7)
    for row in range(6):
        mean, spread = by_hand(known, row, side, expected, precision, 0.7)
        np.testing.assert_allclose(found.mean[row], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.spread[row], spread, rtol=1e-4, atol=1e-5)


def test_a_row_without_values_is_what_was_expected_of_it() -> None:
    precision = np.diag([2.0, 4.0])
    found, error = believe(some_values([0], 3, 0), some_side(3, 2, 0).met(), np.array([[1.5, -1.0]]), precision, 1.0)
    np.testing.assert_allclose(found.mean, [[1.5, -1.0]])
    np.testing.assert_allclose(found.spread[0], np.diag([0.5, 0.25]))
    assert error == 0


def test_a_bias_alone_is_a_mean_that_is_drawn_to_what_was_expected() -> None:
    """Three values 1, 2, 3 that other biases 0, 1, 0 are taken off of: (Σ left + P m σ²) / (n + P σ²) = (5 + 2) / 5."""
    side = Beliefs(np.array([[0.0], [1.0]]), np.zeros((2, 1, 1)))
    known = Known(np.array([0, 3]), np.array([0, 1, 0], np.int32), np.array([1.0, 2.0, 3.0]))
    found, error = believe(known, side.met(), np.array([[1.0]]), np.array([[4.0]]), 0.5)
    assert found.mean[0, 0] == pytest.approx(7 / 5)
    assert found.spread[0, 0, 0] == pytest.approx(0.5 / 5)
    assert error == pytest.approx((1 - 1.4) ** 2 + (1 - 1.4) ** 2 + (3 - 1.4) ** 2 + 3 * 0.1, rel=1e-5)


def test_the_expected_error_has_the_variance_of_both_sides() -> None:
    """E[(y - b_i - b_u - p·q)²] = (y - its mean)² + aᵤᵀ Cᵢ aᵤ + aᵢᵀ Cᵤ aᵢ + tr(Cᵤ Cᵢ) over the vectors."""
    side, known = some_side(10, 3, 5), some_values([4, 9], 10, 6)
    found, error = believe(known, side.met(), np.zeros((2, 3)), np.eye(3), 0.5)
    wanted = 0.0
    for row in range(2):
        for event in range(known.offsets[row], known.offsets[row + 1]):
            item = known.other[event]
            ours, theirs = (np.append(1, mean[1:]) for mean in (found.mean[row], side.mean[item]))
            middle = side.mean[item, 0] + found.mean[row] @ theirs
            wanted += (known.value[event] - middle) ** 2
            wanted += ours @ side.spread[item] @ ours + theirs @ found.spread[row] @ theirs
            wanted += np.trace(found.spread[row, 1:, 1:] @ side.spread[item, 1:, 1:])
    assert error == pytest.approx(wanted, rel=1e-5)


def test_small_blocks_of_systems_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    side, known = some_side(30, 4, 0), some_values([3, 0, 5, 2, 9], 30, 1)
    given = known, side.met(), np.ones((5, 4)), np.eye(4), 0.7
    whole, error = believe(*given)
    monkeypatch.setattr("zhiyin.models._beliefs.FLOATS_AT_ONCE", 32)
    parts, again = believe(*given)
    np.testing.assert_array_equal(whole.mean, parts.mean)
    np.testing.assert_array_equal(whole.spread, parts.spread)
    assert error == pytest.approx(again)


def test_what_is_expected_is_a_ridge_regression_on_the_rows_that_were_seen() -> None:
    rng = np.random.default_rng(3)
    features = np.column_stack([np.ones(50), rng.normal(size=(50, 2))]).astype(np.float32)
    planted_weights = np.array([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]])
    mean = features @ planted_weights
    seen = np.arange(50) < 40
    mean[~seen] = 100
    found = Prior.of(Beliefs(mean, np.zeros((50, 2, 2))), features, seen, 1e-6)
    np.testing.assert_allclose(found.weights, planted_weights, atol=1e-4)
    # nothing is left around it but the prior: 5 rows of variance 0.05 beside 40 of 0
    np.testing.assert_allclose(found.precision, np.eye(2) * 45 / 0.25, rtol=1e-3, atol=1e-2)
    drawn = Prior.of(Beliefs(mean, np.zeros((50, 2, 2))), features, seen, 1e9)
    np.testing.assert_allclose(drawn.weights[0], mean[seen].mean(0), rtol=1e-5)
    np.testing.assert_allclose(drawn.weights[1:], 0, atol=1e-5)


# ---------------------------------------------------------------------- the model


def test_folding_in_is_the_closed_form_of_what_was_learnt() -> None:
    model, query = RLFM(embedding_size=3).fit(tastes()), Query.of(["i0001", "i0007", "i0012"], values=[5, 2, 4])
    taken = np.array([1, 7, 12])
    expected = model.user_weights[0] + model.profiles[taken].sum(0) / np.sqrt(3) @ model.user_weights[1:]
    known = Known(np.array([0, 3]), taken, (np.array([5, 2, 4]) - model.scale[0]) / model.scale[1])
    side, precision = Beliefs(model.item_means, model.item_spreads), model.user_precision.astype(np.float64)
    mean, _ = by_hand(known, 0, side, expected[None], precision, float(model.noise[0]))
    items = np.arange(60)
    wanted = model.item_means[items, 0] + mean[0] + model.item_means[items, 1:] @ mean[1:]
    found = model.score(query, [f"i{number:04d}" for number in items])[0]
    np.testing.assert_allclose(found, model.scale[0] + model.scale[1] * wanted, rtol=1e-4)


def test_a_planted_matrix_is_found_better_than_by_svd() -> None:
    train, test = planted()
    ours = rmse(RLFM(embedding_size=6).fit(train), train, test)
    assert ours < 0.97 * min(rmse(SVD(embedding_size=3, regularization=one).fit(train), train, test) for one in (1, 3))
    assert float(np.std(test.histories.value)) > 1  # what a constant would reach


def test_vectors_that_the_data_do_not_bear_out_do_no_harm() -> None:
    train, test = planted(rank=1)
    few, many = (rmse(RLFM(embedding_size=size).fit(train), train, test) for size in (1, 20))
    assert many < 1.05 * few


def test_another_unit_of_values_changes_no_more_than_the_unit() -> None:
    train, test = planted()
    value = np.asarray(train.histories.value) * 10 + 7
    other = train.with_histories(Histories(train.histories.offsets, train.histories.item, value=value))
    asked = np.repeat(np.arange(train.n_users), 5)
    ours = RLFM(embedding_size=3).fit(train).predict(train.queries(asked), test.histories.item)
    theirs = RLFM(embedding_size=3).fit(other).predict(other.queries(asked), test.histories.item)
    np.testing.assert_allclose(theirs, ours * 10 + 7, atol=0.05)


def test_the_order_of_users_and_events_does_not_matter() -> None:
    train, test = planted(noise=0.1)
    order = np.random.default_rng(4).permutation(train.n_users)
    turned = train.histories.take(order)
    events = np.lexsort((-np.arange(turned.n_events), turned.owner()))
    other = Dataset.of(turned.reorder(events), train.items, clock="none")
    ours, theirs = (RLFM(embedding_size=3).fit(data) for data in (train, other))
    assert rmse(theirs, train, test) == pytest.approx(rmse(ours, train, test), rel=0.02)
    asked = train.queries(np.arange(20))
    backwards = Queries(asked.histories.reorder(np.lexsort((-np.arange(400), asked.histories.owner()))), asked.items)
    items = np.arange(20, dtype=np.int32)
    np.testing.assert_allclose(ours.predict(asked, items), ours.predict(backwards, items), atol=1e-5)


def test_one_answer_at_a_time_is_that_of_the_batch_and_of_the_loaded_model(tmp_path: Path) -> None:
    train, test = planted()
    model = RLFM(embedding_size=4, epochs=5).fit(train)
    rows, items = np.array([0, 3, 3, 8]), test.histories.item[:4]
    whole = model.predict(train.queries(rows), items)
    single = [model.predict(train.queries(rows[[at]]), items[[at]])[0] for at in range(4)]
    np.testing.assert_allclose(whole, single, rtol=1e-5)
    again = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(train.queries(rows), items), whole)  # type: ignore[attr-defined]


def test_a_stranger_is_the_mean_of_users_and_not_of_their_ratings() -> None:
    """A fifth of users give 2 to 25 items each, the others 4 to 5 items: the mean user gives 3.6, the mean is 2.9."""
    rng = np.random.default_rng(0)
    lengths = np.where(np.arange(400) % 5 == 0, 25, 5)
    users = np.repeat(np.arange(400), lengths)
    items = np.concatenate([rng.choice(40, length, replace=False) for length in lengths])
    data = rated(users, items, np.where(users % 5 == 0, 2.0, 4.0), [f"i{number}" for number in range(40)], 400)
    assert float(np.mean(data.histories.value)) < 2.95
    model = RLFM(embedding_size=1, directions=0).fit(data)
    assert model.predict(Query.of([]), ["i3"])[0] == pytest.approx(3.6, abs=0.1)


def genres(n_users: int = 80, n_items: int = 60) -> Dataset:
    """Films of genre g have 2 + g, a little noise apart; of each genre's 20 films the last 2 were never rated."""
    rng = np.random.default_rng(1)
    genre = np.arange(n_items) % 3
    rateable = np.flatnonzero(np.arange(n_items) < n_items - 6)
    items = np.concatenate([rng.choice(rateable, 12, replace=False) for _ in range(n_users)])
    value = 2 + genre[items] + rng.normal(0, 0.3, len(items))
    names = pa.array([[f"g{one}"] for one in genre])
    table = pa.table({"item_id": [f"f{number}" for number in range(n_items)], "genres": names})
    return rated(np.repeat(np.arange(n_users), 12), items, value, table, n_users)


def test_an_item_that_nobody_rated_is_what_its_genre_is() -> None:
    data = genres()
    model = RLFM(embedding_size=2, feature_regularization=1).fit(data)
    new = ["f57", "f58", "f59"]  # of genres 0, 1 and 2
    assert (model.rated[57:] == 0).all()
    found = model.predict([Query.of([])] * 3, new)
    np.testing.assert_allclose(found, [2, 3, 4], atol=0.25)
    assert np.isfinite(model.score(Query.of([]), new)).all()
    drawn = RLFM(embedding_size=2, feature_regularization=1e6).fit(data).predict([Query.of([])] * 3, new)
    assert np.ptp(drawn) < 0.05, "weights of features are drawn to nothing"
    blind = RLFM(embedding_size=2, item_features=()).fit(data)
    assert np.ptp(blind.predict([Query.of([])] * 3, new)) < 0.05
    assert (blind.score(Query.of([]), new) == -np.inf).all(), "nothing is known of them, and they are not listed"


def test_an_item_that_nobody_used_is_no_item_of_few_users() -> None:
    """Popular films have 5, films of few users 2; of one that nobody used its users say nothing: it is a mean film."""
    rng = np.random.default_rng(6)
    chance = np.where(np.arange(40) < 20, 10.0, 1.0)
    items = np.concatenate([rng.choice(40, 12, replace=False, p=chance / chance.sum()) for _ in range(300)])
    value = np.where(items < 20, 5.0, 2.0) + rng.normal(0, 0.2, len(items))
    data = rated(np.repeat(np.arange(300), 12), items, value, [f"i{number}" for number in range(41)], 300)
    found = RLFM(embedding_size=1).fit(data).predict([Query.of([])] * 3, ["i3", "i30", "i40"])
    np.testing.assert_allclose(found, [5, 2, 3.5], atol=0.25)


def test_features_of_training_histories_are_even_and_nobody_has_none() -> None:
    data = genres()
    model = RLFM(embedding_size=1, epochs=1, directions=4).fit(data)
    found = model._features(data.histories)[:, 1:]
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(found[:, -4:].std(0), 1, rtol=1e-3)
    assert np.sqrt((found[:, :-4].std(0) ** 2).mean()) == pytest.approx(1, rel=1e-3)  # of the columns together
    assert (model._features(Histories.of_lists([[]]))[0, 1:] == 0).all()


def test_a_number_beyond_all_that_were_rated_is_like_the_last_of_them() -> None:
    rng = np.random.default_rng(2)
    year = np.arange(1940, 2040)
    items = np.concatenate([rng.choice(80, 20, replace=False) for _ in range(100)])  # none after 2019
    value = np.where(year[items] < 1980, 2.0, 4.0) + rng.normal(0, 0.2, len(items))
    table = pa.table({"item_id": [str(one) for one in year], "year": year})
    data = rated(np.repeat(np.arange(100), 20), items, value, table, 100)
    model = RLFM(embedding_size=1, directions=0).fit(data)
    found = model.predict([Query.of([])] * 3, ["1950", "2015", "2039"])
    np.testing.assert_allclose(found, [2, 4, 4], atol=0.2)


def test_what_a_history_holds_speaks_even_where_no_value_is_told() -> None:
    """Who rates films of one half gives 5, who rates those of the other gives 2, whatever the film."""
    rng = np.random.default_rng(5)
    half = np.arange(200) % 2
    items = np.concatenate([rng.choice(30, 10, replace=False) + 30 * one for one in half])
    users = np.repeat(np.arange(200), 10)
    other = rng.integers(0, 60, 200)  # one film from anywhere, so that halves meet
    everything = np.concatenate([items, other]), np.concatenate([users, np.arange(200)])
    order = np.argsort(everything[1], kind="stable")
    items, users = (one[order] for one in everything)
    data = rated(users, items, np.where(half[users] == 0, 5.0, 2.0), [f"i{number}" for number in range(60)], 200)
    model = RLFM(embedding_size=1).fit(data)
    generous, strict = (Query.of([f"i{number}" for number in range(start, start + 8)]) for start in (0, 30))
    assert model.predict(generous, ["i20"])[0] > model.predict(strict, ["i20"])[0] + 1.5


def test_values_that_are_missing_are_left_out_of_ratings_alone() -> None:
    train, _ = planted()
    value = np.array(train.histories.value)
    value[::3] = np.nan
    holes = train.with_histories(Histories(train.histories.offsets, train.histories.item, value=value))
    ours, theirs = (RLFM(embedding_size=2, directions=0).fit(data) for data in (holes, holes.keep(~np.isnan(value))))
    np.testing.assert_array_equal(ours.item_means, theirs.item_means)
    assert ours.rated.sum() == np.count_nonzero(~np.isnan(value))


def test_equal_ratings_are_foretold_as_they_are() -> None:
    train, test = planted()
    flat = Histories(train.histories.offsets, train.histories.item, value=np.full(train.n_events, 4, np.float32))
    same = train.with_histories(flat)
    model = RLFM(embedding_size=2).fit(same)
    np.testing.assert_allclose(model.predict(same.queries(), test.histories.item[::5]), 4, atol=1e-3)


def test_predictions_stay_in_the_range_of_values() -> None:
    world = tastes()
    model = RLFM(embedding_size=4).fit(world)
    pairs = world.queries(np.repeat(np.arange(world.n_users), world.n_items))
    found = model.predict(pairs, np.tile(np.arange(world.n_items, dtype=np.int32), world.n_users))
    scores = model._score(world.queries())
    assert scores.max() > 5
    np.testing.assert_allclose(found, np.clip(scores.ravel(), 2, 5), atol=1e-4)


def test_contributions_add_up_to_what_the_history_says() -> None:
    world = tastes()
    model = RLFM(embedding_size=4).fit(world)
    query, items = world.queries(np.array([4])), np.arange(60, dtype=np.int32)
    spread, precision = model._encode(query).spread[0], model.user_precision
    seen = np.column_stack([np.ones(60), model.item_means[:, 1:]])
    general = model.item_means[:, 0] + seen @ spread @ precision @ model.user_weights[0]
    personal = model._score(query)[0] - model.scale[0] - model.scale[1] * general
    np.testing.assert_allclose(model._contributions(query, items).sum(axis=0), personal, atol=1e-3)
    bare = Queries(query.histories.without("value"), world.items)
    only = (
        model.user_weights[0]
        + model.profiles[bare.histories.item].sum(0) / np.sqrt(len(bare.histories.item)) @ (model.user_weights[1:])
    )
    wanted = model.scale[1] * (seen @ (only - model.user_weights[0]))
    np.testing.assert_allclose(model._contributions(bare, items).sum(axis=0), wanted, atol=1e-3)


def test_no_values_are_refused_with_the_way_out() -> None:
    world = tastes()
    bare = world.with_histories(world.histories.without("value"))
    with pytest.raises(DataError, match="column `value`"):
        RLFM().fit(bare)
    with pytest.raises(ConfigError, match="item feature"):
        RLFM(item_features="categorie").fit(world)
    with pytest.raises(DataError, match="nobody knows"):
        RLFM(epochs=2).fit(world).predict(Query.of([]), ["nobody knows"])
