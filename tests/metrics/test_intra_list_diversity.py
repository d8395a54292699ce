import numpy as np
import pytest

from zhiyin.metrics import IntraListDiversity
from zhiyin.testing.metrics import MetricSuite

KINDS = {"a": ["x"], "b": ["x", "y"], "c": ["z"], "none": []}


class TestIntraListDiversity(MetricSuite):
    metric = IntraListDiversity
    of_targets = False


class TestJaccardDiversity(MetricSuite):
    metric = IntraListDiversity
    options = {"similarity": "jaccard"}
    of_targets = False


def test_three_pairs_by_hand() -> None:
    # only a and b have anything in common
    assert IntraListDiversity(k=3)([["a", "b", "c"]], categories=KINDS) == pytest.approx(1 - 2**-0.5 / 3)
    assert IntraListDiversity(k=3, similarity="jaccard")([["a", "b", "c"]], categories=KINDS) == pytest.approx(5 / 6)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
def test_items_without_categories_are_left_out(similarity: str) -> None:
    metric = IntraListDiversity(k=3, similarity=similarity)
    assert metric([["a", "none", "c"]], categories=KINDS) == 1
    assert np.isnan(metric([["a", "none"]], categories=KINDS))
    assert np.isnan(metric([["a", "c"]]))
