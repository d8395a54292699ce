import math

import pytest

from zhiyin.metrics import NDCG
from zhiyin.testing.metrics import MetricSuite


class TestNDCG(MetricSuite):
    metric = NDCG


def test_hits_at_places_two_and_four_of_three_targets() -> None:
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert NDCG(k=4)([["x", "a", "y", "b"]], [["a", "b", "c"]]) == pytest.approx(gain / best, abs=1e-15)


def test_a_perfect_list_of_fewer_places_than_targets_is_one() -> None:
    assert NDCG(k=2)([["a", "b"]], [["c", "b", "a"]]) == pytest.approx(1)
