from zhiyin.metrics import MRR
from zhiyin.testing.metrics import MetricSuite


class TestMRR(MetricSuite):
    metric = MRR


def test_the_first_hit_decides() -> None:
    assert MRR(k=4)([["x", "y", "b", "a"]], [["a", "b"]]) == 1 / 3
    assert MRR(k=2)([["x", "y", "b", "a"]], [["a", "b"]]) == 0
