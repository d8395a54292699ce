from math import sqrt

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import load
from zhiyin.models.item_knn import ItemKNN
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import DAY, tastes


class TestItemKNN(RecommenderSuite):
    model = ItemKNN


class TestItemKNNWithLogLikelihoodAndDecay(RecommenderSuite):
    model = ItemKNN
    options = {"similarity": "log_likelihood", "half_life_days": 300.0, "shrinkage": 5.0}


class TestItemKNNWithBM25(RecommenderSuite):
    model = ItemKNN
    options = {"similarity": "dot", "weighting": "bm25", "neighbours": 20}
    exact = False  # in so small a world every user's idf is near zero


def four_by_four() -> Dataset:
    """Ratings:     w   x   y   z
    u0              5   3   -   1
    u1              4   -   2   1
    u2              -   1   4   5
    u3              1   2   5   -
    """
    item = [0, 1, 3, 0, 2, 3, 1, 2, 3, 0, 1, 2]
    value = [5, 3, 1, 4, 2, 1, 1, 4, 5, 1, 2, 5]
    histories = Histories(np.array([0, 3, 6, 9, 12]), np.array(item, np.int32), value=np.array(value, np.float32))
    return Dataset.of(histories, ["w", "x", "y", "z"], clock="none")


# Over the users' ratings: |w| = sqrt(25 + 16 + 1) = sqrt(42), |x| = sqrt(9 + 1 + 4) = sqrt(14),
# |y| = sqrt(4 + 16 + 25) = sqrt(45), |z| = sqrt(1 + 1 + 25) = sqrt(27).
Y_W = (2 * 4 + 5 * 1) / (sqrt(45) * sqrt(42))  # u1 and u3: 13 / 43.474 = 0.29903
Y_X = (4 * 1 + 5 * 2) / (sqrt(45) * sqrt(14))  # u2 and u3: 14 / 25.100 = 0.55777
Y_Z = (2 * 1 + 4 * 5) / (sqrt(45) * sqrt(27))  # u1 and u2: 22 / 34.857 = 0.63115


def predict(item: str, row: int = 0, **options: object) -> float:
    world = four_by_four()
    model = ItemKNN(**{"signal": "value", **options}).fit(world)
    return float(model.predict(world.queries(np.array([row])), [item])[0])


def test_a_predicted_value_is_the_weighted_mean_worked_out_by_hand() -> None:
    # (0.29903 x 5 + 0.55777 x 3 + 0.63115 x 1) / (0.29903 + 0.55777 + 0.63115) = 3.79962 / 1.48795 = 2.5536
    assert predict("y") == pytest.approx((Y_W * 5 + Y_X * 3 + Y_Z * 1) / (Y_W + Y_X + Y_Z), abs=1e-6)
    assert predict("y") == pytest.approx(2.5536, abs=1e-4)


def test_only_the_nearest_of_the_rated_items_count() -> None:
    # z and x: (0.63115 x 1 + 0.55777 x 3) / (0.63115 + 0.55777) = 2.30447 / 1.18892 = 1.9383
    assert predict("y", neighbours=2) == pytest.approx(1.9383, abs=1e-4)
    assert predict("y", neighbours=1) == pytest.approx(1.0, abs=1e-6)


def test_a_centred_prediction_is_a_mean_plus_weighted_deviations() -> None:
    # mean(y) = 11/3, mean(x) = 2, mean(z) = 7/3:
    # 3.66667 + (0.63115 x (1 - 2.33333) + 0.55777 x (3 - 2)) / 1.18892 = 3.66667 - 0.28377 / 1.18892 = 3.4280
    assert predict("y", neighbours=2, centred=True) == pytest.approx(3.4280, abs=1e-4)


def test_old_values_count_less() -> None:
    world = tastes()
    model = ItemKNN(signal="value", half_life_days=10.0).fit(world)
    # x was rated 1 half-life ago, z just now: the weight of x is halved.
    items, now = ["i0004", "i0008"], 1000 * DAY
    fresh = model.predict(Query.of(items, [now, now], [1, 5], now=now), ["i0012"])[0]
    faded = model.predict(Query.of(items, [now - 10 * DAY, now], [1, 5], now=now), ["i0012"])[0]
    one, two = (5 - fresh) / 4, (fresh - 1) / 4  # the normalised similarities of the two
    assert faded == pytest.approx((0.5 * one * 1 + two * 5) / (0.5 * one + two), rel=1e-5)


def test_an_empty_neighbourhood_answers_with_means() -> None:
    world = four_by_four()
    model = ItemKNN(signal="value", minimum_overlap=4).fit(world)  # no two items have four common users
    queries = [Query.of(["w", "x"], values=[4, 1]), Query.of([]), Query.of(["w"])]
    # the query's own mean (4 + 1) / 2; the item's mean (1 + 1 + 5) / 3, twice: a history without values has no mean
    assert model.predict(queries, ["z", "z", "z"]) == pytest.approx([2.5, 7 / 3, 7 / 3])
    wider = Dataset.of(world.histories, ["w", "x", "y", "z", "never rated"], clock="none")
    unknown = ItemKNN(signal="value").fit(wider).predict(Query.of([]), ["never rated"])
    assert unknown == pytest.approx([34 / 12])  # the mean of all twelve values


def test_the_rated_item_itself_is_no_neighbour() -> None:
    world = four_by_four()
    model = ItemKNN(signal="value").fit(world)
    changed = [Query.of(["w", "x"], values=[value, 2]) for value in (1, 5)]
    assert model.predict(changed, ["w", "w"]) == pytest.approx([2.0, 2.0])


def test_the_last_of_several_ratings_counts() -> None:
    model = ItemKNN(signal="value").fit(four_by_four())
    once, twice = Query.of(["w", "x"], values=[5, 3]), Query.of(["w", "x", "w"], values=[1, 3, 5])
    assert model.predict(once, ["y"]) == pytest.approx(model.predict(twice, ["y"]))


def test_prediction_needs_values() -> None:
    silent = Dataset.of(four_by_four().histories.without("value"), ["w", "x", "y", "z"], clock="none")
    model = ItemKNN().fit(silent)
    assert len(model.item) == 0, "histories are kept without need"
    with pytest.raises(DataError, match="cannot predict values"):
        model.predict(Query.of(["w"]), ["y"])
    with pytest.raises(DataError, match="have none; use similarity=cosine"):
        ItemKNN(similarity="pearson").fit(silent)
    with pytest.raises(DataError, match="half_life_days=3 needs the times"):
        ItemKNN(half_life_days=3).fit(silent)


def test_weighting_goes_with_strengths_only() -> None:
    with pytest.raises(ConfigError, match="weighting = bm25 is for similarity = cosine or dot"):
        ItemKNN(similarity="jaccard", weighting="bm25")


def test_a_saved_model_predicts_the_same(tmp_path: object) -> None:
    world = four_by_four()
    model = ItemKNN(signal="deviation", centred=True).fit(world)
    again = load(model.save(f"{tmp_path}/model"))
    assert isinstance(again, ItemKNN)
    asked = world.queries(), np.array([2, 1, 0, 3], np.int32)
    np.testing.assert_array_equal(model.predict(*asked), again.predict(*asked))


def test_scores_are_sums_of_similarities_times_strength() -> None:
    world = four_by_four()
    weighted = Histories(
        world.histories.offsets, world.histories.item, weight=np.arange(1, 13, dtype=np.float32), value=None
    )
    model = ItemKNN().fit(Dataset.of(weighted, ["w", "x", "y", "z"], clock="none"))
    sims = model.similarity.toarray()
    scores = model.score(model_queries(weighted, model), ["w", "x", "y", "z"])
    dense = weighted.matrix(4).toarray()
    np.testing.assert_allclose(scores, dense @ sims, rtol=1e-6)


def model_queries(histories: Histories, model: ItemKNN) -> object:
    from zhiyin.data.queries import Queries

    return Queries(histories, model.vocabulary)
