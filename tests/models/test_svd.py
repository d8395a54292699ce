from dataclasses import replace

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import DataError
from zhiyin.models.svd import SVD, Ratings
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes


class TestSVD(RecommenderSuite):
    model = SVD
    options = {"embedding_size": 8, "regularization": 1.0}
    exact = False  # it starts from random vectors, so renamed items start from others

    def test_unknown_items_are_left_out_and_counted(self) -> None:  # as in the suite, but with values
        world = tastes()
        known = world.items.decode(world.histories.of(0))
        query = Query.of([*known, "never heard of"], values=[4.0] * (len(known) + 1))
        assert self.fitted(world).recommend([query], k=3).unknown.tolist() == [1]  # type: ignore[union-attr]


def planted(
    noise: float, n_users: int = 400, n_items: int = 120, rank: int = 3, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """Ratings μ + b_u + b_i + p·q + noise, 40 of each user to learn from and 5 to be tested on."""
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(0, 0.7, (n, rank)) for n in (n_users, n_items))
    full = 3 + rng.normal(0, 0.4, (n_users, 1)) + rng.normal(0, 0.5, (1, n_items)) + users @ items.T
    full += rng.normal(0, noise, full.shape)
    taken = np.array([rng.choice(n_items, 45, replace=False) for _ in range(n_users)])
    parts = []
    for columns in (taken[:, :40], taken[:, 40:]):
        value = full[np.arange(n_users)[:, None], columns].ravel().astype(np.float32)
        flat = Histories.of_lengths(
            np.full(n_users, columns.shape[1]), item=columns.ravel().astype(np.int32), value=value
        )
        parts.append(Dataset.of(flat, [f"i{number}" for number in range(n_items)], clock="none"))
    return parts[0], parts[1]


def rmse(model: SVD, train: Dataset, test: Dataset) -> float:
    rows = np.repeat(np.arange(train.n_users), 5)
    found = model.predict(train.queries(rows), test.histories.item)
    return float(np.sqrt(np.mean((found - test.histories.value) ** 2)))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_planted_matrix_of_low_rank_is_recovered(noise: float) -> None:
    train, test = planted(noise)
    model = SVD(embedding_size=3, regularization=0.1, bias_regularization=0.1, epochs=40).fit(train)
    assert rmse(model, train, test) < 1.12 * noise + 0.05
    spread = float(np.std(test.histories.value))
    assert spread > 1  # what a constant would reach


def test_biases_by_hand_where_vectors_are_forced_to_nothing() -> None:
    """With vectors ruled out, one epoch gives b_u = Σ(r - μ) / (n + λ) and then b_i = Σ(r - μ - b_u) / (n + λ)."""
    lists = Histories.of_lists([[0, 1], [0]])
    rated = Histories(lists.offsets, lists.item, value=np.array([5, 3, 1], np.float32))
    data = Dataset.of(rated, ["a", "b"], clock="none")
    model = SVD(embedding_size=2, regularization=1e12, bias_regularization=1.0, epochs=1).fit(data)
    assert model.mean[0] == 3
    user = [(2 + 0) / 3, -2 / 2]
    item = [((2 - user[0]) + (-2 - user[1])) / 3, (0 - user[0]) / 2]
    np.testing.assert_allclose(model.item_vectors[:, 0], item, rtol=1e-5)
    stranger = ((4 - 3 - item[0]) + (2 - 3 - item[1])) / 3  # b_u of somebody who gave 4 and 2
    found = model.score(Query.of(["a", "b"], values=[4, 2]), ["a", "b"])
    np.testing.assert_allclose(found[0], 3 + stranger + np.array(item), rtol=1e-5)


def test_folding_in_gives_a_training_user_what_training_gave() -> None:
    train, _ = planted(0.2)
    model = SVD(embedding_size=3, epochs=60).fit(train)
    known = train.histories
    ratings = Ratings(known.offsets, known.item, known.value - model.mean[0])  # type: ignore[operator]
    users = model._solve(ratings, model.item_vectors)
    np.testing.assert_allclose(model._encode(train.queries()), users, atol=1e-6)
    # Training would now solve the items from these users: at its fixed point nothing moves.
    items = model._solve(ratings.turned(train.n_items), users)
    again = users[:, :1] + users[:, 1:] @ items[:, 1:].T + items[:, 0]
    before = users[:, :1] + users[:, 1:] @ model.item_vectors[:, 1:].T + model.item_vectors[:, 0]
    np.testing.assert_allclose(again, before, atol=5e-3)


def test_the_error_on_training_data_falls_from_epoch_to_epoch() -> None:
    train, _ = planted(0.3)

    def loss(epochs: int) -> float:
        model = SVD(embedding_size=3, regularization=0.5, bias_regularization=0.5, epochs=epochs).fit(train)
        rows = train.histories.owner()
        users, items = model._encode(train.queries()), model.item_vectors
        found = model._score(train.queries())[rows, train.histories.item]
        error = ((found - train.histories.value) ** 2).sum()
        return float(error + 0.5 * ((users**2).sum() + (items**2).sum()))

    losses = [loss(epochs) for epochs in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True)


def test_contributions_add_up_to_the_personal_part() -> None:
    train, _ = planted(0.2)
    model = SVD(embedding_size=3).fit(train)
    query, items = train.queries(np.array([4])), np.arange(120, dtype=np.int32)
    personal = model._score(query)[0] - model.mean[0] - model.item_vectors[:, 0]
    np.testing.assert_allclose(model._contributions(query, items).sum(axis=0), personal, atol=1e-4)


def test_predictions_stay_in_the_range_of_values_and_scores_do_not() -> None:
    world = tastes()
    model = SVD(embedding_size=8, regularization=0.1).fit(world)
    pairs = world.queries(np.repeat(np.arange(world.n_users), world.n_items))
    items = np.tile(np.arange(world.n_items, dtype=np.int32), world.n_users)
    found = model.predict(pairs, items)
    assert (found.min(), found.max()) == (2.0, 5.0)
    scores = model._score(world.queries())
    assert scores.max() > 5.0
    np.testing.assert_allclose(found, np.clip(scores.ravel(), 2, 5), atol=1e-5)


def test_nobody_is_predicted_by_the_mean_and_the_bias() -> None:
    model = SVD(embedding_size=4).fit(tastes())
    found = model.predict([Query.of([])], ["i0003"])
    np.testing.assert_allclose(found, model.mean[0] + model.item_vectors[3, 0], rtol=1e-6)


def test_values_that_are_missing_are_left_out() -> None:
    world = tastes()
    value = np.array(world.histories.value)
    value[::3] = np.nan
    holes = Histories(world.histories.offsets, world.histories.item, time=world.histories.time, value=value)
    less = world.with_histories(holes)
    kept = world.keep(~np.isnan(value))
    ours, theirs = (SVD(embedding_size=4).fit(data, run=Run(seed=2)) for data in (less, kept))
    np.testing.assert_array_equal(ours.item_vectors, theirs.item_vectors)
    np.testing.assert_array_equal(ours._encode(less.queries()), ours._encode(kept.queries()))


def test_no_values_are_refused_with_the_way_out() -> None:
    world = tastes()
    bare = world.with_histories(world.histories.without("value"))
    with pytest.raises(DataError, match="column `value`"):
        SVD().fit(bare)
    model = SVD(embedding_size=4).fit(world)
    with pytest.raises(DataError, match="values="):
        model.recommend(Query.of(["i0001"]), k=3)


def test_a_history_without_values_is_a_strangers_whoever_stands_beside_it() -> None:
    world = tastes()
    model = SVD().fit(world)
    past = Histories.of_lists([[1, 2], [3]])
    queries = Queries(replace(past, value=np.array([np.nan, np.nan, 4], np.float32)), model.vocabulary)
    both, alone = model.recommend(queries, k=5), model.recommend(queries.slice(0, 1), k=5)
    assert both.ids(0) == alone.ids(0)
    nobody = Queries(Histories.of_lists([[]]), model.vocabulary)
    np.testing.assert_array_equal(model._score(queries)[0], model._score(nobody)[0])


def test_an_item_without_a_rating_is_not_listed() -> None:
    lists = Histories.of_lists([[0, 1], [0, 2], [1]])
    rated = Histories(lists.offsets, lists.item, value=np.array([5, 3, 1, np.nan, 2], np.float32))
    model = SVD(embedding_size=2).fit(Dataset.of(rated, ["a", "b", "c"], clock="none"))
    found = model._score(Queries(rated, model.vocabulary))
    assert (found[:, 2] == -np.inf).all()
    assert np.isfinite(found[:, :2]).all()


def test_turned_ratings_are_the_transpose() -> None:
    ratings = Ratings(np.array([0, 2, 2, 3]), np.array([1, 0, 1], np.int32), np.array([5, 4, 3], np.float32))
    turned = ratings.turned(3)
    assert turned.offsets.tolist() == [0, 1, 3, 3]
    assert turned.other.tolist() == [0, 0, 2]
    assert turned.value.tolist() == [4, 5, 3]
