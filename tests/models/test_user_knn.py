from math import sqrt

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import DataError
from zhiyin.models.base import load
from zhiyin.models.user_knn import UserKNN
from zhiyin.testing.recommenders import RecommenderSuite
from zhiyin.testing.worlds import DAY, tastes


class TestUserKNN(RecommenderSuite):
    model = UserKNN


class TestUserKNNWithJaccardAndDecay(RecommenderSuite):
    model = UserKNN
    options = {"similarity": "jaccard", "half_life_days": 300.0, "neighbours": 40, "minimum_overlap": 2}


class TestUserKNNWithPearson(RecommenderSuite):
    model = UserKNN
    options = {"similarity": "pearson", "shrinkage": 3.0}
    exact = False  # the checkerboard has one value for a whole colour, and so nothing to correlate


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


# |u0| = sqrt(25 + 9 + 1) = sqrt(35), |u1| = sqrt(16 + 4 + 1) = sqrt(21), |u2| = sqrt(1 + 16 + 25) = sqrt(42),
# |u3| = sqrt(1 + 4 + 25) = sqrt(30).
S_1 = (5 * 4 + 1 * 1) / (sqrt(35) * sqrt(21))  # on w and z: 21 / 27.111 = 0.77460
S_2 = (3 * 1 + 1 * 5) / (sqrt(35) * sqrt(42))  # on x and z: 8 / 38.341 = 0.20866
S_3 = (5 * 1 + 3 * 2) / (sqrt(35) * sqrt(30))  # on w and x: 11 / 32.404 = 0.33947


def predict(item: str, **options: object) -> float:
    model = UserKNN(**{"signal": "value", **options}).fit(four_by_four())
    return float(model.predict(Query.of(["w", "x", "z"], values=[5, 3, 1]), [item])[0])


def test_a_predicted_value_is_the_weighted_mean_worked_out_by_hand() -> None:
    # (0.77460 x 2 + 0.20866 x 4 + 0.33947 x 5) / (0.77460 + 0.20866 + 0.33947) = 4.08119 / 1.32273 = 3.0854
    assert predict("y") == pytest.approx((S_1 * 2 + S_2 * 4 + S_3 * 5) / (S_1 + S_2 + S_3), abs=1e-6)
    assert predict("y") == pytest.approx(3.0854, abs=1e-4)


def test_only_the_nearest_of_those_who_rated_the_item_count() -> None:
    # u1 and u3: (0.77460 x 2 + 0.33947 x 5) / (0.77460 + 0.33947) = 3.24655 / 1.11407 = 2.9141. The query's own row in
    # training is nearest of all, but has no value for y.
    assert predict("y", neighbours=2) == pytest.approx(2.9141, abs=1e-4)
    assert predict("y", neighbours=1) == pytest.approx(2.0, abs=1e-6)


def test_a_centred_prediction_is_a_mean_plus_weighted_deviations() -> None:
    # mean(u0) = 3, mean(u1) = 7/3, mean(u3) = 8/3:
    # 3 + (0.77460 x (2 - 2.33333) + 0.33947 x (5 - 2.66667)) / 1.11407 = 3 + 0.53390 / 1.11407 = 3.4792
    assert predict("y", neighbours=2, centred=True) == pytest.approx(3.4792, abs=1e-4)


def test_pearson_worked_out_by_hand_has_negative_neighbours_when_they_are_wanted() -> None:
    # Deviations from the own means 3, 7/3, 10/3, 8/3; over common items only:
    # u1 on w, z: (2 x 5/3 + (-2) x (-4/3)) / sqrt((4 + 4) x (25/9 + 16/9)) = 6 / sqrt(8 x 41/9) = 0.99388
    # u2 on x, z: (0 x -7/3 + (-2) x 5/3) / sqrt((0 + 4) x (49/9 + 25/9)) = -3.33333 / 5.73488 = -0.58124
    # u3 on w, x: (2 x -5/3 + 0 x -2/3) / sqrt((4 + 0) x (25/9 + 4/9)) = -3.33333 / 3.59011 = -0.92848
    assert predict("y", similarity="pearson") == pytest.approx(2.0, abs=1e-6), "u1 alone is alike"
    # centred, with all three: 3 + (0.99388 x (2 - 7/3) - 0.58124 x (4 - 10/3) - 0.92848 x (5 - 8/3)) / 2.50360
    # = 3 - 2.88524 / 2.50360 = 1.8476
    everybody = predict("y", similarity="pearson", minimum_similarity=-1, centred=True)
    assert everybody == pytest.approx(1.8476, abs=1e-4)


def test_an_empty_neighbourhood_answers_with_means() -> None:
    world = four_by_four()
    strict = UserKNN(signal="value", minimum_overlap=4).fit(world)  # no two users have four common items
    asked = [Query.of(["z"], values=[4.5]), Query.of([]), Query.of(["z"])]
    assert strict.predict(asked, ["x", "x", "x"]) == pytest.approx([4.5, 2.0, 2.0])  # own mean; (3 + 1 + 2) / 3
    wider = Dataset.of(world.histories, ["w", "x", "y", "z", "never rated"], clock="none")
    unknown = UserKNN(signal="value").fit(wider).predict(Query.of([]), ["never rated"])
    assert unknown == pytest.approx([34 / 12])


def test_prediction_needs_values() -> None:
    silent = Dataset.of(four_by_four().histories.without("value"), ["w", "x", "y", "z"], clock="none")
    with pytest.raises(DataError, match="cannot predict values"):
        UserKNN().fit(silent).predict(Query.of(["w"]), ["y"])
    with pytest.raises(DataError, match="have none; use similarity=cosine"):
        UserKNN(signal="value").fit(silent)


def test_a_saved_model_predicts_the_same(tmp_path: object) -> None:
    world = tastes()
    model = UserKNN(signal="deviation", centred=True).fit(world)
    again = load(model.save(f"{tmp_path}/model"))
    assert isinstance(again, UserKNN)
    asked = world.queries(), (np.arange(world.n_users) % world.n_items).astype(np.int32)
    np.testing.assert_array_equal(model.predict(*asked), again.predict(*asked))


def test_scores_are_sums_over_the_nearest_users() -> None:
    model = UserKNN(signal="value", neighbours=2).fit(four_by_four())
    # The query is u0 plus nothing: its two nearest are u0 itself (similarity 1) and u1, who has w, y and z.
    scores = model.score(Query.of(["w", "x", "z"], values=[5, 3, 1]), ["w", "x", "y", "z"])
    np.testing.assert_allclose(scores, [[1 + S_1, 1, S_1, 1 + S_1]], rtol=1e-6)


def test_without_evidence_there_is_no_opinion() -> None:
    histories = Histories.of_lists([[0, 1], [2, 3]])
    model = UserKNN().fit(Dataset.of(histories, ["a", "b", "c", "d"], clock="none"))
    found = model.recommend(Query.of(["a"]), 3)
    assert found.ids() == ["b", "c", "d"]
    assert [found.source_of(0, place) for place in range(3)] == ["user_knn", "popularity (fill)", "popularity (fill)"]
    assert np.isnan(found.scores[0, 1:]).all()


def test_recent_events_choose_the_neighbours() -> None:
    histories = Histories(
        np.array([0, 2, 4]), np.array([0, 2, 1, 3], np.int32), time=np.array([0, 1, 0, 1], np.int64) * DAY
    )
    world = Dataset.of(histories, ["old taste", "new taste", "of the old", "of the new"])
    changed = Query.of(["old taste", "new taste"], times=[0, 100 * DAY], now=100 * DAY)
    found = UserKNN(half_life_days=10).fit(world).recommend(changed, 2)
    assert found.ids() == ["of the new", "of the old"]
    # cosine of the faded history: 1 / sqrt(2) for the new taste, 2^-10 / sqrt(2) for the old, over the length
    assert found.scores[0, 1] / found.scores[0, 0] == pytest.approx(2.0**-10, rel=1e-5)
