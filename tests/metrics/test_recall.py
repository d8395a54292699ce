from zhiyin.metrics import Recall
from zhiyin.testing.metrics import MetricSuite


class TestRecall(MetricSuite):
    metric = Recall


class TestTruncatedRecall(MetricSuite):
    metric = Recall
    options = {"truncated": True}


def test_more_targets_than_places() -> None:
    listed, wanted = [["a", "b"]], [["a", "b", "c", "d", "e"]]
    assert Recall(k=2)(listed, wanted) == 0.4
    assert Recall(k=2, truncated=True)(listed, wanted) == 1.0


def test_a_target_that_occurs_twice_counts_once() -> None:
    assert Recall(k=2)([["a", "x"]], [["a", "a", "b"]]) == 0.5
