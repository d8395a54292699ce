import numpy as np
import pytest

from zhiyin.metrics import Gini
from zhiyin.testing.metrics import MetricSuite


class TestGini(MetricSuite):
    metric = Gini
    of_targets = False


def test_equal_shares_are_zero_and_one_item_alone_is_nearly_one() -> None:
    assert Gini(k=2)([["a", "b"], ["c", "d"]]) == 0
    assert Gini(k=2)([["a"], ["a"]], catalogue="abcde") == 0.8


def test_shares_of_one_and_three() -> None:
    # |1 - 3| twice over the four ordered pairs, over twice the mean of 2
    assert Gini(k=1)([["a"], ["b"], ["b"], ["b"]]) == pytest.approx(0.25)


def test_empty_lists_have_no_inequality() -> None:
    assert np.isnan(Gini()([[], []], catalogue="ab"))
