import pytest

from zhiyin.metrics import MAP
from zhiyin.testing.metrics import MetricSuite


class TestMAP(MetricSuite):
    metric = MAP


class TestUntruncatedMAP(MetricSuite):
    metric = MAP
    options = {"truncated": False}


def test_hits_at_places_two_and_three() -> None:
    listed, wanted = [["x", "a", "b", "y"]], [["a", "b", "c", "d", "e"]]
    assert MAP(k=4)(listed, wanted) == pytest.approx((1 / 2 + 2 / 3) / 4)
    assert MAP(k=4, truncated=False)(listed, wanted) == pytest.approx((1 / 2 + 2 / 3) / 5)
