import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import DataError
from zhiyin.models import ease as module
from zhiyin.models.ease import EASE, _mirror, condition_bound, gram_matrix
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes


class TestEASE(RecommenderSuite):
    model = EASE
    options = {"regularization": 10.0}


class TestSparseEASE(RecommenderSuite):
    model = EASE
    options = {"regularization": 10.0, "neighbours": 15}


def test_three_items_by_hand() -> None:
    """G = XᵀX + I = [[2, 1, 0], [1, 3, 1], [0, 1, 2]], P = [[5, -2, 1], [-2, 4, -2], [1, -2, 5]] / 8."""
    data = Dataset.of(Histories.of_lists([[0, 1], [1, 2]]), ["a", "b", "c"])
    model = EASE(regularization=1.0).fit(data)
    right = [[0, 0.5, -0.2], [0.4, 0, 0.4], [-0.2, 0.5, 0]]
    np.testing.assert_allclose(model.weights, right, atol=1e-6)
    np.testing.assert_allclose(model.score(Query.of(["a", "b"]), ["c"]), [[0.2]], atol=1e-6)


@pytest.mark.parametrize("regularization", [0.001, 1.0, 100.0])
def test_each_column_is_the_ridge_regression_on_the_other_items(regularization: float) -> None:
    world = tastes(n_users=80, n_items=24)
    weights = EASE(regularization=regularization).fit(world).weights
    taken = world.histories.matrix(world.n_items).toarray().astype(np.float64)
    for item in range(world.n_items):
        others = np.delete(np.arange(world.n_items), item)
        inputs = taken[:, others]
        system = inputs.T @ inputs + regularization * np.eye(len(others))
        right = np.linalg.solve(system, inputs.T @ taken[:, item])
        np.testing.assert_allclose(weights[others, item], right, atol=2e-5)
        assert weights[item, item] == 0


def test_single_and_double_precision_give_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes(n_users=600, n_items=150)
    taken = world.histories.matrix(world.n_items)
    regularization = 1.01 * condition_bound(taken, 1.0) / module.SINGLE_LIMIT  # the hardest that single takes
    assert condition_bound(taken, regularization) <= module.SINGLE_LIMIT
    single = EASE(regularization=regularization).fit(world)
    monkeypatch.setattr(module, "SINGLE_LIMIT", 0.0)
    double = EASE(regularization=regularization).fit(world)
    assert not np.array_equal(single.weights, double.weights)  # two ways indeed
    np.testing.assert_allclose(single.weights, double.weights, atol=1e-3)
    ours, theirs = (model.recommend(world.queries(), k=10).items for model in (single, double))
    assert np.mean(ours == theirs) > 0.995


def test_the_bound_holds() -> None:
    taken = tastes().histories.matrix(60)
    values = np.linalg.eigvalsh((taken.T @ taken).toarray().astype(np.float64) + 3.0 * np.eye(60))
    assert values[-1] / values[0] <= condition_bound(taken, 3.0) <= 10 * values[-1] / values[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways_to_the_gram_matrix_agree(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    taken = sparse.csr_array(sparse.random(90, 40, 0.2, random_state=rng).astype(dtype))
    right = taken.toarray().T @ taken.toarray()
    for cost in (0.0, 1e12):  # all sparse, all dense
        monkeypatch.setattr(module, "SPARSE_COST", cost)
        found = gram_matrix(taken, Run())
        assert found.dtype == dtype
        np.testing.assert_allclose(np.tril(found), np.tril(right), rtol=1e-5)
    blocks = gram_matrix(sparse.csr_array(np.ones((5000, 300), dtype)), Run(memory_mib=1))
    assert (np.tril(blocks) == np.tril(np.full((300, 300), 5000))).all()


def test_the_sparse_way_to_the_gram_matrix_takes_little_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARSE_COST", 0.0)
    rng = np.random.default_rng(0)
    taken = sparse.csr_array(sparse.random(3000, 1500, 0.03, random_state=rng).astype(np.float32))
    assert (taken.T @ taken).nnz > 0.9 * 1500**2  # whole, it would take three times the memory of the matrix
    tracemalloc.start()
    gram = gram_matrix(taken, Run(memory_mib=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < gram.nbytes + 6 * 2**20
    np.testing.assert_allclose(gram, taken.toarray().T @ taken.toarray(), rtol=1e-4, atol=1e-4)


def test_the_lower_half_is_mirrored_over_block_borders() -> None:
    square = np.tril(np.random.default_rng(0).random((17, 17)))
    found = square.copy(order="F")
    _mirror(found, step=5)
    np.testing.assert_array_equal(found, square + np.tril(square, -1).T)


def test_dense_and_sparse_scoring_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes()
    model = EASE(regularization=5.0).fit(world)
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(module, "DENSE_SHARE", share)
        found.append(model._score(world.queries()))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_contributions_add_up_to_the_score() -> None:
    world = tastes()
    for model in (EASE().fit(world), EASE(neighbours=10).fit(world)):
        query, items = world.queries(np.array([3])), np.arange(60, dtype=np.int32)
        shares = model._contributions(query, items)
        np.testing.assert_allclose(shares.sum(axis=0), model._score(query)[0], atol=1e-6)


def test_neighbours_keep_the_largest_weights_of_each_item() -> None:
    world = tastes()
    dense, few, all_of_them = (EASE(neighbours=k).fit(world) for k in (None, 7, 60))
    np.testing.assert_allclose(all_of_them.weights.toarray(), dense.weights, atol=1e-7)
    kept = few.weights.toarray()
    assert ((kept != 0).sum(axis=0) == 7).all()
    for item in range(60):
        sizes = np.sort(np.abs(dense.weights[:, item]))[::-1]
        np.testing.assert_allclose(np.sort(np.abs(kept[:, item]))[::-1][:7], sizes[:7], rtol=1e-6)


def test_strength_counts() -> None:
    lists = Histories.of_lists([[0, 1], [1, 2], [0, 2]])
    strong = Histories(lists.offsets, lists.item, weight=np.array([1, 3, 1, 1, 1, 1], np.float32))
    model = EASE(regularization=2.0).fit(Dataset.of(strong, ["a", "b", "c"]))
    taken = np.array([[1, 3, 0], [0, 1, 1], [1, 0, 1.0]])
    inverse = np.linalg.inv(taken.T @ taken + 2 * np.eye(3))
    right = -inverse / np.diag(inverse)
    np.fill_diagonal(right, 0)
    np.testing.assert_allclose(model.weights, right, atol=1e-6)


def test_an_item_that_nobody_touched_is_not_scored() -> None:
    model = EASE().fit(Dataset.of(Histories.of_lists([[0, 1], [1, 0]]), ["a", "b", "never"]))
    assert model.score(Query.of(["a"]), ["b", "never"])[0, 1] == -np.inf


def test_too_many_items_are_refused_with_the_amount_and_a_way_out() -> None:
    data = Dataset.of(Histories.of_lists([[0, 1]]), [f"i{number}" for number in range(2000)])
    with pytest.raises(DataError, match=r"2,000 x 2,000 items, 15 MiB, and memory_mib = 10.*item_knn"):
        EASE(memory_mib=10).fit(data)
    with pytest.raises(DataError, match="46 MiB"):  # a weak regularization asks for double precision
        EASE(memory_mib=20, regularization=1e-6).fit(data)
