import math

import pytest

from zhiyin.metrics import Novelty
from zhiyin.testing.metrics import MetricSuite


class TestNovelty(MetricSuite):
    metric = Novelty
    of_targets = False
    bounds = (0.0, math.inf)


def test_shares_are_smoothed_by_one() -> None:
    past = [["a", "a", "b"], ["a"]]  # a: 3 + 1, b: 1 + 1, c: 0 + 1 of 4 + 3
    assert Novelty(k=3)([["a", "b", "c"], []], histories=past) == pytest.approx(
        (math.log2(7 / 4) + math.log2(7 / 2) + math.log2(7)) / 3
    )
