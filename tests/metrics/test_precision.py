import numpy as np

from zhiyin.metrics import Precision
from zhiyin.testing.metrics import MetricSuite


class TestPrecision(MetricSuite):
    metric = Precision


class TestPrecisionByLength(MetricSuite):
    metric = Precision
    options = {"by": "length"}


def test_a_short_list_is_divided_by_k_or_by_its_length() -> None:
    assert Precision(k=10)([["a", "b"]], [["a", "z"]]) == 0.1
    assert Precision(k=10, by="length")([["a", "b"]], [["a", "z"]]) == 0.5


def test_an_empty_list_is_all_misses_or_has_no_share() -> None:
    assert Precision(k=3)([[]], [["a"]]) == 0
    assert np.isnan(Precision(k=3, by="length")([[]], [["a"]]))


def test_a_repeated_item_hits_once() -> None:
    assert Precision(k=4)([["a", "a", "a", "a"]], [["a"]]) == 0.25
