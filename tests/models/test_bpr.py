import numpy as np
import pytest
from scipy.stats import spearmanr

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import DataError
from zhiyin.models._factors import user_items
from zhiyin.models.bpr import BPR, _likes, _reading
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import checkerboard, tastes


class TestBPR(RecommenderSuite):
    model = BPR
    options = {"embedding_size": 16, "epochs": 200}
    exact = False  # it starts from random vectors, so renamed items start from others


def test_the_reading_is_a_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    summed = rng.normal(size=(300, 5)).astype(np.float32)
    planted = rng.normal(size=(5, 5))
    np.testing.assert_allclose(_reading(summed, summed @ planted, 1e-9), planted, atol=1e-4)
    found = _reading(summed[:4], summed[:4] @ planted, 0.5)
    rows = summed[:4].astype(np.float64)
    slope = rows.T @ (rows @ found - rows @ planted) + 0.5 * 4 * found  # of the objective; 0 at its least
    np.testing.assert_allclose(slope, 0, atol=1e-4)


def test_a_history_is_read_by_hand() -> None:
    model = BPR(embedding_size=8, epochs=20).fit(tastes())
    vectors, biases = model.item_vectors[:, :-1], model.item_vectors[:, -1]
    x = (vectors[3] + vectors[7] + vectors[11]) / np.sqrt(3) @ model.reading
    found = model._score(Queries(Histories.of_lists([[3, 7, 11]]), model.vocabulary))[0]
    np.testing.assert_allclose(found, vectors @ x + biases, rtol=1e-5, atol=1e-6)


def test_trained_users_are_recovered_from_their_bare_histories() -> None:
    world = tastes(n_users=500, n_items=200, n_groups=5)
    held_out = world.histories.keep(world.histories.from_end() == 0).item
    train = world.keep(world.histories.from_end() > 0)
    model = BPR(embedding_size=16).fit(train, run=Run(seed=1))
    trained = model._learn(_likes(user_items(train)), Run(seed=1))  # the same seed gives the same vectors again
    np.testing.assert_array_equal(trained.item_factors, model.item_vectors)
    theirs, ours = trained.user_factors @ trained.item_factors.T, model._score(train.queries())
    alike = [spearmanr(ours[row], theirs[row]).statistic for row in range(0, 500, 10)]
    assert np.mean(alike) > 0.9
    ranks = [_mean_rank(scores, train, held_out) for scores in (ours, theirs)]
    assert ranks[0] < ranks[1]


def _mean_rank(scores: np.ndarray, train: Dataset, target: np.ndarray) -> float:
    scores = scores.copy()
    scores[train.histories.owner(), train.histories.item] = -np.inf
    own = scores[np.arange(len(target)), target]
    return float((scores > own[:, None]).sum(axis=1).mean())


def test_the_checkerboard_is_completed() -> None:
    world = checkerboard()
    model = BPR(embedding_size=8, epochs=400).fit(world, run=Run(seed=1))
    assert np.mean(model.recommend(world.queries(), k=1).items[:, 0] == np.arange(20)) == 1


def test_contributions_and_the_bias_add_up_to_the_score() -> None:
    world = tastes()
    model = BPR(embedding_size=16).fit(world, run=Run(seed=1))
    items = np.arange(60, dtype=np.int32)
    histories = Histories.of_lists([[3, 7, 11, 3, 20], [5]])
    weight = np.array([1, 2, 1, 3, -1, 1], np.float32)
    queries = Queries(Histories(histories.offsets, histories.item, weight=weight), model.vocabulary)
    for row in range(2):
        query = queries.slice(row, row + 1)
        personal = model._score(query)[0] - model.item_vectors[:, -1]
        shares = model._contributions(query, items)
        np.testing.assert_allclose(shares.sum(axis=0), personal, atol=1e-5)
    shares = model._contributions(queries.slice(0, 1), items)
    np.testing.assert_allclose(shares[3], 3 * shares[0], rtol=1e-5)
    assert not shares[4].any()


def test_dislikes_and_repetitions_take_no_part() -> None:
    model = BPR(embedding_size=8, epochs=50).fit(tastes())
    plain = Histories.of_lists([[3, 7, 11]])
    item = np.array([3, 7, 20, 11, 3], np.int32)
    noisy = Histories(np.array([0, 5]), item, weight=np.array([1, 2, -1, 1, 1], np.float32))
    ours, theirs = (model._encode(Queries(one, model.vocabulary)) for one in (plain, noisy))
    np.testing.assert_array_equal(ours, theirs)


def test_a_history_of_dislikes_gets_no_list_of_its_own() -> None:
    model = BPR(embedding_size=8, epochs=50).fit(tastes())
    only = Histories(np.array([0, 2]), np.array([1, 2], np.int32), weight=np.array([-1, -1], np.float32))
    assert (model._score(Queries(only, model.vocabulary)) == -np.inf).all()


def test_items_that_nobody_liked_in_training_say_nothing_and_are_not_listed() -> None:
    world = tastes()
    weight = np.where(world.histories.item < 40, 1, -1).astype(np.float32)
    columns = {**world.histories.columns(), "weight": weight}
    model = BPR(embedding_size=8, epochs=20).fit(world.with_histories(Histories(world.histories.offsets, **columns)))
    known, more = (Query.of([f"i{number:04d}" for number in one]) for one in ([1, 5, 9], [1, 5, 9, 45, 58]))
    found = model.recommend([known, more], k=40, exclude_seen=False, fill=False)
    assert found.ids(0) == found.ids(1)
    assert set(found.items[0].tolist()) == set(range(40))


def test_events_without_any_strength_are_refused() -> None:
    lists = Histories.of_lists([[0, 1], [1]])
    none = Histories(lists.offsets, lists.item, weight=np.zeros(3, np.float32))
    with pytest.raises(DataError, match="strength of 0 or less"):
        BPR().fit(Dataset.of(none, ["a", "b"]))
