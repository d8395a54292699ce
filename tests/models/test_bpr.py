import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories, Queries
from zhiyin.errors import DataError
from zhiyin.models._factors import user_items
from zhiyin.models.bpr import BPR, Pairs, _likes, _mean, maximise
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import checkerboard, tastes


class TestBPR(RecommenderSuite):
    model = BPR
    options = {"embedding_size": 16, "epochs": 200}
    exact = False  # it starts from random vectors, so renamed items start from others


def some_pairs(seed: int = 0) -> Pairs:
    """Three histories of 1, 4 and 5 items (one place is padding), compared with 7 items of which some are theirs."""
    rng = np.random.default_rng(seed)
    like = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], np.float32)
    other = (rng.random((3, 7)) < 0.8).astype(np.float32)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return Pairs(draw(3, 5, 6), draw(3, 5), _mean(like), draw(7, 6), draw(7), _mean(other))


def objective(x: np.ndarray, pairs: Pairs, row: int, regularization: float) -> float:
    like = pairs.likes[row].astype(np.float64) @ x + pairs.like_bias[row]
    other = pairs.others.astype(np.float64) @ x + pairs.other_bias
    weight = np.outer(pairs.like_weight[row], pairs.other_weight[row])
    return float((weight * np.logaddexp(0, other[None, :] - like[:, None])).sum() + regularization / 2 * x @ x)


@pytest.mark.parametrize("regularization", [0.003, 0.1])
def test_newton_finds_the_optimum_that_a_general_optimiser_finds(regularization: float) -> None:
    pairs = some_pairs()
    found = maximise(pairs, np.zeros((3, 6), np.float32), regularization, steps=20, cg_steps=10)
    for row in range(3):
        right = minimize(objective, np.zeros(6), (pairs, row, regularization), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(found[row], right.x, atol=5e-3 * max(1, np.abs(right.x).max()))


def test_the_objective_falls_at_each_step_from_any_start() -> None:
    pairs = some_pairs(seed=1)
    for size in (0.1, 5, 100):
        x = (size * np.random.default_rng(2).normal(size=(3, 6))).astype(np.float32)
        before = [objective(x[row], pairs, row, 0.01) for row in range(3)]
        for _ in range(6):
            x = maximise(pairs, x, 0.01, steps=1, cg_steps=3)
            after = [objective(x[row], pairs, row, 0.01) for row in range(3)]
            assert (np.array(after) <= np.array(before) * (1 + 1e-5) + 1e-6).all()
            before = after


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
    assert ranks[0] < ranks[1] * 1.05


def _mean_rank(scores: np.ndarray, train: Dataset, target: np.ndarray) -> float:
    scores = scores.copy()
    scores[train.histories.owner(), train.histories.item] = -np.inf
    own = scores[np.arange(len(target)), target]
    return float((scores > own[:, None]).sum(axis=1).mean())


def test_the_checkerboard_is_completed() -> None:
    world = checkerboard()
    model = BPR(embedding_size=8, epochs=400, n_negatives=40).fit(world, run=Run(seed=1))
    assert np.mean(model.recommend(world.queries(), k=1).items[:, 0] == np.arange(20)) == 1


def test_contributions_add_up_to_the_score_without_the_bias() -> None:
    world = tastes()
    model = BPR(embedding_size=16, regularization=0.05).fit(world, run=Run(seed=1))
    items = np.arange(60, dtype=np.int32)
    for row in (0, 7, 19):
        query = world.queries(np.array([row]))
        personal = model._score(query)[0] - model.item_vectors[:, -1]
        shares = model._contributions(query, items).sum(axis=0)
        assert np.corrcoef(shares, personal)[0, 1] > 0.999
        np.testing.assert_allclose(shares, personal, atol=0.05 * np.abs(personal).max())


def test_dislikes_and_repetitions_take_no_part() -> None:
    model = BPR(embedding_size=8, epochs=50).fit(tastes())
    plain = Histories.of_lists([[3, 7, 11]])
    item = np.array([3, 7, 20, 11, 3], np.int32)
    noisy = Histories(np.array([0, 5]), item, weight=np.array([1, 2, -1, 1, 1], np.float32))
    ours, theirs = (model._encode(Queries(one, model.vocabulary)) for one in (plain, noisy))
    np.testing.assert_array_equal(ours, theirs)


def test_a_history_of_dislikes_is_ranked_by_the_biases() -> None:
    model = BPR(embedding_size=8, epochs=50).fit(tastes())
    only = Histories(np.array([0, 2]), np.array([1, 2], np.int32), weight=np.array([-1, -1], np.float32))
    np.testing.assert_array_equal(model._score(Queries(only, model.vocabulary))[0], model.item_vectors[:, -1])


def test_a_history_of_the_whole_catalogue_has_nothing_to_compare() -> None:
    world = checkerboard(6)
    model = BPR(embedding_size=4, epochs=20).fit(world)
    full = Queries(Histories.of_lists([[0, 1, 2, 3, 4, 5]]), model.vocabulary)
    np.testing.assert_allclose(model._encode(full)[0, :-1], 0, atol=1e-6)


def test_vectors_of_any_size_cause_no_overflow() -> None:
    world = tastes()
    model = BPR(embedding_size=8, epochs=20).fit(world)
    model.item_vectors = model.item_vectors * np.float32(1e4)
    assert np.isfinite(model._encode(world.queries())).all()


def test_events_without_any_strength_are_refused() -> None:
    lists = Histories.of_lists([[0, 1], [1]])
    none = Histories(lists.offsets, lists.item, weight=np.zeros(3, np.float32))
    with pytest.raises(DataError, match="strength of 0 or less"):
        BPR().fit(Dataset.of(none, ["a", "b"]))
