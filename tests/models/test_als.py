import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import MissingExtra
from zhiyin.models._factors import Ridge, buckets, by_item
from zhiyin.models.als import ALS
from zhiyin.models.base import load
from zhiyin.models.bpr import BPR
from zhiyin.run import Run
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import checkerboard, tastes


class TestALS(RecommenderSuite):
    model = ALS
    options = {"embedding_size": 8, "epochs": 10, "regularization": 1.0}
    exact = False  # it starts from random vectors, so renamed items start from others


def random_histories(seed: int = 0, n: int = 60, n_items: int = 60) -> Histories:
    """Histories of 0 to 40 events with repetitions, strengths from -1 (a dislike) to 4."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 41, n)
    lengths[:2] = 0, 40
    item = rng.integers(0, n_items, lengths.sum()).astype(np.int32)
    return Histories.of_lengths(lengths, item=item, weight=rng.choice([-1, 0.5, 1, 4], len(item)).astype(np.float32))


def test_the_checkerboard_is_completed() -> None:
    world = checkerboard()
    found = ALS(embedding_size=4, regularization=1.0).fit(world, run=Run(seed=1)).recommend(world.queries(), k=1)
    np.testing.assert_array_equal(found.items[:, 0], np.arange(20))


@pytest.mark.parametrize("embedding_size", [4, 32])
def test_a_folded_in_history_solves_the_equation_of_the_paper(embedding_size: int) -> None:
    model = ALS(embedding_size=embedding_size).fit(tastes())
    histories = random_histories()
    found = model._encode(Queries(histories, model.vocabulary))
    vectors = model.item_vectors.astype(np.float64)
    for row, taken in enumerate(histories.matrix(60).toarray()):
        confidence = np.where(taken != 0, 10.0 * taken, 1.0)
        system = vectors.T @ (np.abs(confidence)[:, None] * vectors) + 0.05 * np.eye(embedding_size)
        right = np.linalg.solve(system, vectors.T @ np.where(taken > 0, confidence, 0))
        if 0 not in taken[np.unique(histories.of(row))]:  # a sum of exactly 0 is said to carry no weight
            np.testing.assert_allclose(found[row], right, atol=2e-4 * max(1, np.abs(right).max()))
    assert not found[0].any()


def test_folding_in_equals_implicit() -> None:
    world = tastes(n_users=300, n_items=200)
    model = ALS(embedding_size=24).fit(world)
    from implicit.cpu.als import AlternatingLeastSquares

    from zhiyin.models._factors import one_blas_thread

    with one_blas_thread():
        theirs = AlternatingLeastSquares(factors=24, regularization=0.05, alpha=10.0)
        theirs.item_factors = model.item_vectors
        taken = sparse.csr_matrix(world.histories.matrix(200))
        vectors = theirs.recalculate_user(np.arange(300), taken)
    scores = vectors @ model.item_vectors.T
    np.testing.assert_allclose(model._score(world.queries()), scores, atol=1e-4)


def test_the_vectors_are_those_of_implicit() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    from zhiyin.models._factors import one_blas_thread

    world = tastes()
    model = ALS(embedding_size=8, alpha=3.0).fit(world, run=Run(seed=5))
    seed = int(Run(seed=5).generator("als").integers(2**31))
    with one_blas_thread():
        theirs = AlternatingLeastSquares(factors=8, regularization=0.05, alpha=1.0, iterations=15, random_state=seed)
        theirs.fit(3.0 * sparse.csr_matrix(world.histories.matrix(60)), show_progress=False)
    np.testing.assert_allclose(model.item_vectors, theirs.item_factors, atol=1e-5)


def test_contributions_add_up_to_the_score() -> None:
    model = ALS(embedding_size=16).fit(tastes())
    histories = random_histories(seed=1)
    for row in (1, 5, 9):
        query = Queries(histories, model.vocabulary).slice(row, row + 1)
        shares = model._contributions(query, np.arange(60, dtype=np.int32))
        np.testing.assert_allclose(shares.sum(axis=0), model._score(query)[0], atol=1e-3)
        disliked = np.isin(query.histories.item, np.flatnonzero(query.histories.matrix(60).toarray()[0] < 0))
        assert not shares[disliked].any()


def test_a_saved_model_needs_no_implicit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes()
    path = ALS(embedding_size=8).fit(world).save(tmp_path / "als")
    for name in [name for name in sys.modules if name.partition(".")[0] == "implicit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "implicit", None)
    assert len(load(path).recommend(world.queries(), k=5)) == world.n_users
    with pytest.raises(MissingExtra, match=r"als.*needs implicit.*zhiyin\[factors\]"):
        ALS().fit(world)


@pytest.mark.parametrize("model", [ALS, BPR])
def test_progress_goes_on_with_each_epoch(model: type[ALS] | type[BPR]) -> None:
    seen: list[int] = []

    class Watcher:
        def track(self, steps, total, description):  # type: ignore[no-untyped-def]
            assert (total, description) == (7, f"{model.__name__.lower()}: fit")
            for step in steps:
                yield step
                seen.append(step)

    model(embedding_size=4, epochs=7).fit(tastes(), run=Run(progress=Watcher()))
    assert seen == [0, 1, 2, 3, 4, 5, 6]


def test_more_threads_change_nothing() -> None:
    world = tastes()
    one, two = (ALS(embedding_size=8).fit(world, run=Run(threads=threads)) for threads in (1, 2))
    np.testing.assert_allclose(one.item_vectors, two.item_vectors, atol=1e-6)


def test_an_item_that_nobody_touched_is_not_listed() -> None:
    data = Dataset.of(Histories.of_lists([[0, 1], [1, 2], [0, 2]]), ["a", "b", "c", "never"], clock="none")
    model = ALS(embedding_size=2).fit(data)
    found = model.recommend(data.queries(), k=3, exclude_seen=False, fill=False)
    assert 3 not in found.items
    assert (model._score(data.queries())[:, 3] == -np.inf).all()


def test_lists_are_the_best_of_the_scores() -> None:
    world = tastes()
    model = ALS(embedding_size=8).fit(world)
    found = model.recommend(world.queries(), k=5, exclude_seen=False)
    best = np.sort(model._score(world.queries()), axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(found.scores, best, rtol=1e-5, atol=1e-6)


def test_ridge_against_one_system_at_a_time() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(50, 6))
    half = rng.normal(size=(6, 6))
    prior = half @ half.T + np.eye(6)
    lengths = np.array([0, 1, 2, 5, 6, 7, 13, 40])
    item = rng.integers(0, 50, lengths.sum()).astype(np.int32)
    weight, target = rng.random(len(item)).astype(np.float32), rng.normal(size=len(item)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = Ridge(vectors, prior).solve(offsets, item, weight, target)
    for row in range(len(lengths)):
        events = slice(offsets[row], offsets[row + 1])
        taken = vectors[item[events]]
        right = np.linalg.solve(prior + (taken.T * weight[events]) @ taken, taken.T @ target[events])
        np.testing.assert_allclose(found[row], right, atol=1e-5)


def test_buckets_hold_every_event_once_and_little_padding() -> None:
    lengths = np.arange(200)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = list(buckets(offsets, 4))
    places = np.concatenate([bucket.places.ravel() for bucket in found])
    np.testing.assert_array_equal(np.sort(places[places >= 0]), np.arange(lengths.sum()))
    np.testing.assert_array_equal(np.sort(np.concatenate([bucket.rows for bucket in found])), np.arange(1, 200))
    assert np.mean(places < 0) < 0.2


def test_the_share_of_repeated_events_goes_by_their_strength() -> None:
    items, total, place, part = by_item(np.array([4, 2, 4], np.int32), np.array([1, 5, 3], np.float32))
    assert items.tolist() == [2, 4]
    assert total.tolist() == [5, 4]
    assert place.tolist() == [1, 0, 1]
    assert part.tolist() == [0.25, 1, 0.75]
