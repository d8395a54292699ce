import numpy as np
import pytest

from zhiyin.run import Run
from zhiyin.semantic_ids._kmeans import (
    FIRST,
    LAST,
    Clusters,
    KMeansConfig,
    evened,
    kmeans,
    means,
    nearest,
    revived,
    seeds,
)
from zhiyin.testing.semantic_ids import cloud, clumps


def run(vectors: np.ndarray, n_codes: int, seed: int = 0, **options: object) -> Clusters:
    return kmeans(vectors, KMeansConfig(n_codes=n_codes, **options), np.random.default_rng(seed), Run())


def lost(vectors: np.ndarray, clusters: Clusters) -> float:
    return float(nearest(vectors, clusters)[1].sum())


def test_groups_far_apart_are_found_each_time() -> None:
    vectors, groups = clumps(12, 9)
    for seed in range(5):
        codes, _ = nearest(vectors, run(vectors, 12, seed))
        assert len({(group, code) for group, code in zip(groups.tolist(), codes.tolist(), strict=True)}) == 12


def test_the_nearest_centre_and_its_distance_are_those_of_a_full_search() -> None:
    rng = np.random.default_rng(0)
    vectors, centres = rng.normal(size=(50, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    prices = rng.random(7).astype(np.float32)
    right = np.square(vectors[:, None].astype(np.float64) - centres).sum(2)
    codes, distances = nearest(vectors, Clusters(centres, prices))
    np.testing.assert_array_equal(codes, (right + prices).argmin(1))
    np.testing.assert_allclose(distances, right[np.arange(50), codes], rtol=1e-4, atol=1e-5)


def test_the_result_is_at_rest() -> None:
    vectors = cloud(300)
    found = run(vectors, 8, rounds=200)
    codes, _ = nearest(vectors, found)
    moved, counts = means(vectors, codes, 8)
    assert (counts > 0).all()
    again = lost(vectors, Clusters(moved, found.prices))
    assert lost(vectors, found) * 0.998 <= again <= lost(vectors, found) * 1.0001


def test_it_is_as_good_as_that_of_another_library() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    vectors = cloud(500, 6)
    theirs = cluster.KMeans(20, n_init=3, random_state=0).fit(vectors).inertia_
    assert lost(vectors, run(vectors, 20, restarts=3)) < 1.03 * theirs


def test_means_are_those_of_the_members() -> None:
    vectors = cloud(30)
    codes = np.random.default_rng(0).choice([0, 1, 3], 30).astype(np.int32)
    found, counts = means(vectors, codes, 4)
    assert counts.tolist() == np.bincount(codes, minlength=4).tolist()
    for code in (0, 1, 3):
        np.testing.assert_allclose(found[code], vectors[codes == code].mean(0), rtol=1e-5)
    assert not found[2].any()


def test_dead_centres_go_where_vectors_are_served_worst() -> None:
    vectors = np.array([[0.0], [1], [50], [9]], np.float32)
    centres = np.array([[0.5], [700], [800]], np.float32)
    distances = np.square(vectors[:, 0] - 0.5)
    found = revived(centres, np.array([False, True, True]), vectors, distances)
    assert found[:, 0].tolist() == [0.5, 50, 9]
    exact = revived(centres, np.array([False, True, True]), vectors, np.zeros(4, np.float32))
    np.testing.assert_array_equal(exact, centres)


def test_seeds_are_different_vectors() -> None:
    vectors = np.repeat(cloud(10), 30, axis=0)
    found = seeds(vectors, 10, np.random.default_rng(0))
    assert len(np.unique(found, axis=0)) == 10
    more = seeds(vectors, 14, np.random.default_rng(0))
    assert not more[10:].any()
    assert len(np.unique(more[:10], axis=0)) == 10


def test_prices_even_out_what_two_centres_serve() -> None:
    vectors = np.linspace(0, 1, 1_000, dtype=np.float32)[:, None] ** 3  # crowded near 0
    unfair = Clusters(np.array([[0.2], [0.9]], np.float32), np.zeros(2, np.float32))
    assert np.bincount(nearest(vectors, unfair)[0])[0] > 800
    fair = evened(vectors, unfair, (*FIRST, *LAST), 20)
    assert np.abs(np.bincount(nearest(vectors, fair)[0]) - 500).max() <= 10


def test_restarts_never_lose_more() -> None:
    vectors, _ = clumps(30, 6, 30, seed=3)
    one, more = (lost(vectors, run(vectors, 20, restarts=restarts)) for restarts in (1, 6))
    assert more <= one
