from zhiyin.metrics import HitRate
from zhiyin.testing.metrics import MetricSuite


class TestHitRate(MetricSuite):
    metric = HitRate


def test_one_hit_is_as_good_as_two_and_queries_without_targets_do_not_count() -> None:
    assert HitRate(k=2)([["a", "b"], ["a", "b"], ["a"], ["a"]], [["a", "b"], ["b"], ["z"], []]) == 2 / 3
