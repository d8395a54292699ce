import math

import pytest

from zhiyin.errors import DataError
from zhiyin.metrics import AUC, GAUC

HAPPENED = [1, 0, 1, 0, 0, 1, 1]
SCORE = [0.9, 0.1, 0.2, 0.3, 0.1, 0.5, 0.6]
USER = ["ada", "ada", "bob", "bob", "bob", "eve", "eve"]  # ada 1, bob 1/2, eve has only clicks


def test_users_weigh_by_their_cases_clicks_or_alike() -> None:
    assert GAUC()(HAPPENED, SCORE, USER) == pytest.approx((2 * 1 + 3 * 0.5) / 5)
    assert GAUC(weight="clicks")(HAPPENED, SCORE, USER) == pytest.approx(0.75)
    assert GAUC(weight="equal")(HAPPENED, SCORE, USER) == pytest.approx(0.75)


def test_one_group_is_the_plain_auc() -> None:
    assert GAUC()(HAPPENED, SCORE, [0] * 7) == AUC()(HAPPENED, SCORE)


def test_a_level_that_differs_between_users_changes_nothing() -> None:
    level = {"ada": 0.0, "bob": 50.0, "eve": -3.0}
    moved = [score + level[user] for score, user in zip(SCORE, USER, strict=True)]
    assert GAUC()(HAPPENED, moved, USER) == pytest.approx(GAUC()(HAPPENED, SCORE, USER))
    assert AUC()(HAPPENED, moved) != AUC()(HAPPENED, SCORE)


def test_without_a_user_of_both_outcomes_there_is_no_value() -> None:
    assert math.isnan(GAUC()([1, 0], [0.1, 0.2], ["a", "b"]))


def test_the_groups_must_be_given() -> None:
    with pytest.raises(DataError, match="give group"):
        GAUC()([1, 0], [0.1, 0.2])
    with pytest.raises(DataError, match="2 outcomes came with groups of shape"):
        GAUC()([1, 0], [0.1, 0.2], ["a"])
    with pytest.raises(DataError, match="all be of one kind"):
        GAUC()([1, 0], [0.1, 0.2], ["a", None])
