from zhiyin.metrics import RepeatRate
from zhiyin.testing.metrics import MetricSuite


class TestRepeatRate(MetricSuite):
    metric = RepeatRate
    of_targets = False


def test_empty_lists_do_not_count() -> None:
    assert RepeatRate(k=4)([["a", "b", "c", "d"], []], histories=[["a", "d", "z"], ["a"]]) == 0.5
