import numpy as np

from zhiyin.data.queries import Query
from zhiyin.models.random import Random
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import tastes


class TestRandom(RecommenderSuite):
    model = Random
    personal = False
    exact = False


def test_the_order_of_the_history_and_the_seed_change_the_list() -> None:
    model = Random().fit(tastes())
    first = model.recommend(Query.of(["i0001", "i0002"]), 20).ids()
    assert model.recommend(Query.of(["i0002", "i0001"]), 20).ids() != first
    assert Random(seed=1).fit(tastes()).recommend(Query.of(["i0001", "i0002"]), 20).ids() != first
    assert model.recommend(Query.of(["i0001", "i0002"]), 20).ids() == first


def test_scores_are_uniform_and_independent_between_queries() -> None:
    world = tastes(n_users=500)
    scores = Random().fit(world).score(world.queries(), world.items.ids.to_pylist())
    counts = np.histogram(scores, bins=10, range=(0, 1))[0]
    expected = scores.size / 10
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 27.9, "30,000 draws are not uniform (9 degrees of freedom, p < 0.001)"
    assert abs(np.corrcoef(scores[:-1].ravel(), scores[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(scores[:, :-1].ravel(), scores[:, 1:].ravel())[0, 1]) < 0.02


def test_the_reason_is_chance() -> None:
    found = Random(seed=3).fit(tastes()).recommend(Query.of(["i0001"]), 1, reasons=1)
    assert found.reasons is not None
    assert [(one.kind, one.text) for one in found.reasons[0][0]] == [("chance", "drawn by chance with seed 3")]
