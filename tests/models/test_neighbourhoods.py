"""item_knn and user_knn against brute force, against LensKit and against implicit."""

import tracemalloc
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models import _similarities
from zhiyin.models._neighbourhoods import NeighbourhoodConfig, distinct
from zhiyin.models._signals import Signal, Told
from zhiyin.models._similarities import Similarity, SimilarityConfig
from zhiyin.models.item_knn import ItemKNN
from zhiyin.models.user_knn import UserKNN
from zhiyin.run import Run
from zhiyin.testing.worlds import DAY, tastes

SIMILARITIES: list[dict[str, Any]] = [
    *({"similarity": name, "signal": signal} for name, signal in product(("cosine", "dot"), ("value", "deviation"))),
    *(
        {"similarity": name, "weighting": weighting}
        for name, weighting in product(("cosine", "dot"), ("none", "bm25", "tfidf"))
    ),
    *({"similarity": name} for name in ("pearson", "adjusted_cosine", "jaccard", "log_likelihood")),
    {"similarity": "cosine", "shrinkage": 7.0, "minimum_overlap": 2},
    {"similarity": "pearson", "shrinkage": 3.0, "minimum_overlap": 3},
]


def named(options: dict[str, Any]) -> str:
    return "-".join(str(value) for value in options.values())


def events(n: int, n_items: int, density: float, seed: int = 0) -> Histories:
    """Random histories with strengths and values of their own; some users have nothing."""
    rng = np.random.default_rng(seed)
    appeal = np.linspace(0.3, 1.7, n_items)
    present = rng.random((n, n_items)) < density * appeal
    present[0] = False
    lengths, item = present.sum(axis=1), np.nonzero(present)[1].astype(np.int32)
    weight = rng.integers(1, 6, len(item)).astype(np.float32)
    return Histories.of_lengths(lengths, item=item, weight=weight, value=rng.integers(1, 11, len(item)) / np.float32(2))


# ---------------------------------------------------------------- an oracle that does everything pair by pair


def oracle(config: NeighbourhoodConfig, histories: Histories, n_items: int, by_item: bool) -> np.ndarray:
    """(n, n) float64: the similarity of all users, or of all items, straight from the definitions."""
    strength = np.full((len(histories), n_items), np.nan)
    value = strength.copy()
    owner = histories.owner()
    strength[owner, histories.item], value[owner, histories.item] = histories.weight, histories.value
    if by_item:
        strength, value = strength.T, value.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of an empty row
        own, other = np.nanmean(value, axis=1, keepdims=True), np.nanmean(value, axis=0, keepdims=True)
    rows = {
        "adjusted_cosine": value - other,
        "pearson": value - own,
        "jaccard": strength,
        "log_likelihood": strength,
    }.get(config.similarity)
    if rows is None:
        rows = {"value": value, "deviation": value - own}.get(config.signal, weighted(config, strength))
    return np.array([[pair(config, a, b) for b in rows] for a in rows])


def weighted(config: NeighbourhoodConfig, strength: np.ndarray) -> np.ndarray:
    n = len(strength)
    idf = np.log(n) - np.log1p((~np.isnan(strength)).sum(axis=0))
    if config.weighting == "tfidf":
        return np.sqrt(strength) * idf
    if config.weighting == "bm25":
        length = np.nansum(strength, axis=1, keepdims=True)
        norm = 1 - config.b + config.b * length / length.mean()
        return strength * (config.k1 + 1) / (config.k1 * norm + strength) * idf
    return strength


def pair(config: NeighbourhoodConfig, a: np.ndarray, b: np.ndarray) -> float:
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    if n < config.minimum_overlap:
        return -np.inf if config.minimum_overlap > 1 else 0.0
    found = raw(config.similarity, a, b, both)
    return found * n / (n + config.shrinkage)


def raw(similarity: str, a: np.ndarray, b: np.ndarray, both: np.ndarray) -> float:
    n_a, n_b, n = (~np.isnan(a)).sum(), (~np.isnan(b)).sum(), both.sum()
    if similarity == "jaccard":
        return float(n / (n_a + n_b - n))
    if similarity == "log_likelihood":
        return surprise(np.array([[n, n_a - n], [n_b - n, len(a) - n_a - n_b + n]], float))
    top = float((a[both] * b[both]).sum())
    if similarity == "dot":
        return top
    if similarity == "cosine":
        return top / float(np.sqrt(np.nansum(a**2) * np.nansum(b**2)) or np.inf)
    spread = float(np.sqrt((a[both] ** 2).sum() * (b[both] ** 2).sum()))
    return top / spread if spread > 1e-9 else 0.0


def surprise(table: np.ndarray) -> float:
    """G2 = 2 sum O log(O / E) of a two by two table, scaled; 0 for pairs that meet less often than by chance."""
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    if table[0, 0] <= expected[0, 0]:
        return 0.0
    there = table > 0
    g2 = 2 * float((table[there] * np.log(table[there] / expected[there])).sum())
    return 1 - 1 / (1 + g2)


@pytest.mark.parametrize("by_item", [False, True], ids=["users", "items"])
@pytest.mark.parametrize("density", [0.08, 0.4], ids=["sparse", "dense"])
@pytest.mark.parametrize("options", SIMILARITIES, ids=named)
def test_similarities_are_those_of_the_definitions(options: dict[str, Any], density: float, by_item: bool) -> None:
    histories, config = events(45, 30, density), NeighbourhoodConfig(**options)
    rows = Told(histories, 30).compared(config)[0]
    rows = rows.T.tocsr() if by_item else rows
    profiles = Signal(config, rows).of(rows)
    found = Similarity(config, profiles)(profiles)
    np.testing.assert_allclose(found, oracle(config, histories, 30, by_item), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["cosine", "jaccard", "log_likelihood", "pearson", "adjusted_cosine"])
def test_freshness_weighs_the_entries_of_the_query(name: str) -> None:
    histories, config = events(30, 20, 0.4, seed=3), NeighbourhoodConfig(similarity=name, signal="value")
    fresh = np.random.default_rng(0).choice([0.25, 0.5, 1.0], histories.n_events).astype(np.float32)
    rows = Told(histories, 20).compared(config)[0]
    signal = Signal(config, rows)
    right = signal.of(rows)
    found = Similarity(config, right, whole=False)(signal.of(*Told(histories, 20, fresh).compared(config)))
    weights = Histories(histories.offsets, histories.item, weight=fresh).matrix(20).toarray().astype(float)
    mask, dense = (rows.toarray() != 0).astype(float), right.vectors.toarray().astype(float)
    for left, other in ((3, 7), (12, 12), (29, 1)):
        w, both = weights[left], mask[left] * mask[other]
        a, b = dense[left], dense[other]
        if name == "jaccard":
            expected = np.minimum(w, mask[other]).sum() / np.maximum(w, mask[other]).sum()
        elif name == "log_likelihood":
            k, m = (w * both).sum(), mask[other].sum()
            expected = surprise(np.array([[k, w.sum() - k], [m - k, 20 - w.sum() - m + k]]))
        elif name == "cosine":
            expected = (w * a * b).sum() / np.sqrt(((w * a) ** 2).sum() * (b**2).sum())
        else:
            expected = (w * a * b).sum() / np.sqrt((w * a**2 * both).sum() * (w * b**2 * both).sum())
        assert found[left, other] == pytest.approx(expected, rel=1e-4), (left, other)


@pytest.mark.parametrize("weighting", ["none", "bm25", "tfidf"])
def test_dislikes_weigh_as_likes_of_their_size_the_other_way(weighting: str) -> None:
    config = SimilarityConfig(weighting=weighting)  # type: ignore[arg-type]
    likes = sparse.csr_array(np.array([[1, 4, 0, 0.5], [0, 2, 3, 0]], np.float32))
    some = np.array([1, -1, 1, -1, 1], np.float32)
    mixed = sparse.csr_array((likes.data * some, likes.indices, likes.indptr), shape=likes.shape)
    right, found = (Signal(config, rows).of(rows).vectors.data for rows in (likes, mixed))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, right * some, rtol=1e-6)


def test_dense_and_sparse_features_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Dataset.of(events(80, 40, 0.3), [f"i{number}" for number in range(40)], clock="none")
    found = []
    for share in (0.0, 0.25, 1.0):  # everything dense, some of it, nothing
        monkeypatch.setattr(_similarities, "DENSE_SHARE", share)
        model = ItemKNN(weighting="bm25", neighbours=7).fit(world)
        users = UserKNN(weighting="tfidf", neighbours=7).fit(world)
        found.append((model.similarity, users.recommend(world.queries(), 5)))
    for similarity, lists in found[1:]:
        np.testing.assert_array_equal(similarity.indices, found[0][0].indices)
        np.testing.assert_allclose(similarity.data, found[0][0].data, rtol=1e-6)
        np.testing.assert_array_equal(lists.items, found[0][1].items)


@pytest.mark.parametrize("options", [one for one in SIMILARITIES if one["similarity"] != "dot"], ids=named)
@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
def test_thin_products_give_the_same(model: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    world = Dataset.of(events(120, 90, 0.05, seed=2), [f"i{number}" for number in range(90)], clock="none")
    allow = [f"i{number}" for number in range(0, 90, 2)]
    monkeypatch.setattr(_similarities, "DENSE_SHARE", 1.0)
    found = []
    for share in (0.0, 2.0):  # nothing is thin, everything is
        monkeypatch.setattr(_similarities, "THIN_SHARE", share)
        fitted = model(neighbours=6, **options).fit(world)
        lists = fitted.recommend(world.queries(), 5)
        some = fitted.recommend(world.queries(), 5, allow=allow, exclude_seen=False)
        found.append((lists.items, lists.scores, lists.source, some.items, some.scores))
    for dense, thin in zip(*found, strict=True):
        np.testing.assert_array_equal(dense, thin)


@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
def test_threads_and_memory_change_nothing(model: Any) -> None:
    world = tastes(n_users=500, n_items=300, seed=4)
    found = []
    for run in (Run(threads=1, memory_mib=1), Run(threads=4, memory_mib=2), Run(threads=3)):
        lists = model(neighbours=20).fit(world, run=run).recommend(world.queries(), 10, run=run)
        found.append((lists.items, lists.scores, lists.source))
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
@pytest.mark.parametrize("options", SIMILARITIES, ids=named)
@pytest.mark.parametrize("half_life", [None, 200.0], ids=["ageless", "fading"])
def test_contributions_add_up_to_the_score(model: Any, options: dict[str, Any], half_life: float | None) -> None:
    world = tastes()
    weight = np.random.default_rng(1).integers(1, 4, world.n_events).astype(np.float32)
    value = np.random.default_rng(2).integers(1, 6, world.n_events).astype(np.float32)
    columns = {**world.histories.columns(), "weight": weight, "value": value}
    world = world.with_histories(Histories(world.histories.offsets, **columns))
    fitted = model(neighbours=15, half_life_days=half_life, **options).fit(world)
    histories = world.histories.slice(5, 6)
    doubled = histories.take(np.array([0, 0]))  # the same events twice in one history
    again = Histories(np.array([0, doubled.n_events]), **doubled.columns())
    for one in (histories, again):
        query = Queries(one, world.items, np.array([1000 * DAY]))
        items = np.arange(world.n_items, dtype=np.int32)
        score = fitted._score(query)[0]
        shares = fitted._contributions(query, items)
        assert shares.shape == (one.n_events, world.n_items)
        known = np.isfinite(score)
        assert known.any()
        np.testing.assert_allclose(shares.sum(axis=0)[known], score[known], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
@pytest.mark.parametrize("density", [0.005, 0.05], ids=["thin", "thick"])
def test_scoring_keeps_to_its_memory(model: Any, density: float) -> None:
    world = Dataset.of(events(2500, 2000, density), [f"i{number}" for number in range(2000)], clock="none")
    fitted, queries = model(neighbours=50).fit(world), world.queries()
    fitted.recommend(queries.slice(0, 10), 10)
    tracemalloc.start()
    fitted.recommend(queries, 10, run=Run(threads=2, memory_mib=12))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 16, f"{peak:.0f} MiB, with 12 for scores and the rest for lists; all scores at once would take 38"


# ---------------------------------------------------------------- distinct


def test_distinct_finds_runs_of_equal_queries() -> None:
    histories = Histories.of_lists([[1, 2], [1, 2], [2, 1], [2, 1], [2], [], [], [2]])
    value = np.array([3, np.nan, 3, np.nan, 1, 1, 1, 2, 5, 5], np.float32)
    queries = Queries(Histories(histories.offsets, histories.item, value=value), tastes().items)
    first, like = distinct(queries)
    assert first.tolist() == [0, 2, 3, 4, 5, 7]  # 0 and 1 agree (NaN equals NaN), 2 and 3 differ in a value
    assert like.tolist() == [0, 0, 1, 2, 3, 4, 4, 5]
    moments = Queries(queries.histories, queries.items, np.array([1, 2, 3, 3, 3, 3, 3, 3]))
    assert distinct(moments)[0].tolist() == [0, 1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("model", [ItemKNN, UserKNN])
@pytest.mark.parametrize("centred", [False, True])
def test_predictions_do_not_depend_on_the_batch(model: Any, centred: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes()
    fitted = model(signal="value", centred=centred, neighbours=8).fit(world)
    users = np.repeat(np.arange(30), 4)
    items = np.random.default_rng(0).integers(0, world.n_items, len(users)).astype(np.int32)
    whole = fitted.predict(world.queries(users), items)
    assert np.isfinite(whole).all()
    for place in (0, 41, 119):
        one = fitted.predict(world.queries(users[place : place + 1]), items[place : place + 1])
        assert one[0] == pytest.approx(whole[place], rel=1e-6)
    monkeypatch.setattr("zhiyin.models._neighbourhoods.PAIRS_AT_ONCE", 7)
    np.testing.assert_array_equal(fitted.predict(world.queries(users), items), whole)


# ---------------------------------------------------------------- other libraries

# By benchmarks/lenskit_reference.py with LensKit 2025.2.0: {user: {item: prediction}}.
ITEM_KNN = {
    0: {
        1: 1.8594,
        2: 2.188,
        4: 4.1244,
        8: 1.8761,
        10: 1.7503,
        14: 2.2563,
        15: 2.6418,
        16: 3.5607,
        19: 1.236,
        21: 3.6249,
        22: 2.0192,
        23: 3.4385,
        24: 4.0366,
    },
    7: {
        1: 2.5076,
        3: 3.5294,
        4: 4.3754,
        5: 4.6054,
        6: 4.7319,
        7: 2.5751,
        8: 2.3976,
        12: 2.3421,
        14: 2.5284,
        15: 2.1442,
        16: 4.2338,
        18: 2.6893,
        19: 2.542,
        23: 3.8474,
    },
    21: {
        1: 4.0119,
        2: 3.8389,
        5: 2.442,
        6: 2.2947,
        7: 3.6983,
        9: 1.4151,
        10: 4.5376,
        12: 1.4743,
        13: 2.2235,
        14: 4.881,
        16: 2.7954,
        18: 0.9801,
        19: 4.6004,
        20: 4.0403,
        22: 4.9888,
    },
    39: {
        0: 2.4704,
        1: 3.6748,
        3: 2.3873,
        5: 3.1413,
        6: 3.1002,
        8: 3.0621,
        9: 2.3134,
        11: 3.5158,
        13: 2.7931,
        14: 3.5855,
        15: 2.6043,
        16: 3.5431,
        19: 3.2029,
        20: 2.2482,
        22: 3.2784,
    },
}
USER_KNN = {
    0: {
        1: 2.5998,
        2: 2.522,
        4: 4.9709,
        8: 2.2693,
        10: 2.8633,
        14: 2.0239,
        15: 3.967,
        16: 2.9009,
        19: 2.0824,
        21: 4.6181,
        22: 2.6171,
        23: 3.634,
        24: 4.6162,
    },
    7: {
        1: 3.0366,
        3: 4.5534,
        4: 4.6142,
        5: 4.6814,
        6: 4.5469,
        7: 3.055,
        8: 2.4071,
        12: 2.3837,
        14: 2.3387,
        15: 2.7615,
        16: 4.4117,
        18: 2.4313,
        19: 2.2823,
        23: 3.4984,
    },
    21: {
        1: 3.2024,
        2: 2.9612,
        5: 2.0681,
        6: 2.6191,
        7: 3.5184,
        9: 1.2882,
        10: 3.3552,
        12: 1.7751,
        13: 2.6523,
        14: 4.38,
        16: 3.513,
        18: 1.6684,
        19: 3.757,
        20: 3.0342,
        22: 3.0576,
    },
    39: {
        0: 2.6914,
        1: 2.9679,
        3: 2.3108,
        5: 3.21,
        6: 3.4056,
        8: 2.4783,
        9: 1.9018,
        11: 4.0164,
        13: 2.3429,
        14: 3.776,
        15: 2.9768,
        16: 3.5709,
        19: 3.7662,
        20: 1.921,
        22: 2.638,
    },
}


def lenskit_ratings() -> np.ndarray:
    """The ratings of benchmarks/lenskit_reference.py: (40, 25), NaN where there is none."""
    rng = np.random.default_rng(20)
    taste = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 25))
    values = np.round(np.clip(3 + taste + rng.normal(0, 0.5, taste.shape), 1, 5), 2)
    return np.where(rng.random(values.shape) < 0.4, values, np.nan)


@pytest.mark.parametrize(("model", "reference"), [(ItemKNN, ITEM_KNN), (UserKNN, USER_KNN)])
def test_predictions_are_those_of_lenskit(model: Any, reference: dict[int, dict[int, float]]) -> None:
    matrix = lenskit_ratings()
    known = ~np.isnan(matrix)
    item, value = np.nonzero(known)[1].astype(np.int32), matrix[known].astype(np.float32)
    histories = Histories.of_lengths(known.sum(axis=1), item=item, value=value)
    world = Dataset.of(histories, [str(number) for number in range(25)], clock="none")
    fitted = model(signal="deviation", centred=True, neighbours=5).fit(world)
    users = np.array([user for user, found in reference.items() for _ in found])
    items = np.array([number for found in reference.values() for number in found], np.int32)
    expected = [score for found in reference.values() for score in found.values()]
    np.testing.assert_allclose(fitted.predict(world.queries(users), items), expected, atol=1.5e-4)


@pytest.mark.parametrize(
    ("theirs", "options"),
    [
        ("CosineRecommender", {}),
        ("TFIDFRecommender", {"weighting": "tfidf"}),
        ("BM25Recommender", {"similarity": "dot", "weighting": "bm25", "k1": 1.2, "b": 0.75}),
    ],
)
def test_neighbours_are_those_of_implicit(theirs: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip("implicit.nearest_neighbours")
    histories = events(150, 60, 0.2, seed=9)
    histories = Histories(
        histories.offsets,
        histories.item,
        weight=np.random.default_rng(0).uniform(0.5, 4, histories.n_events).astype(np.float32),  # no ties
    )
    world = Dataset.of(histories, [str(number) for number in range(60)], clock="none")
    ours = ItemKNN(neighbours=12, **options).fit(world).similarity
    model = getattr(library, theirs)(K=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # implicit warns of its own conversion from COO to CSR
        model.fit(histories.matrix(60), show_progress=False)
    for row in range(60):
        other = model.similarity[[row]].toarray().ravel()
        other[row] = -np.inf
        best = np.sort(np.argsort(-other, kind="stable")[:12])
        np.testing.assert_array_equal(ours[[row]].indices, best)
        np.testing.assert_allclose(ours[[row]].data, other[best], rtol=1e-5)
