import math

import numpy as np
import pytest

from zhiyin.errors import DataError
from zhiyin.metrics import AUC


def test_order_is_all_that_counts() -> None:
    happened = [0, 1, 0, 1, 1]
    assert AUC()(happened, [-7, 3, 0, 12, 99]) == 1
    assert AUC()(happened, [7, -3, 0, -12, -99]) == 0
    assert AUC()(happened, [5] * 5) == 0.5


def test_one_outcome_alone_has_no_order() -> None:
    assert math.isnan(AUC()([1, 1], [0.1, 0.2]))
    assert math.isnan(AUC()([0], [0.1]))
    assert math.isnan(AUC()([], []))


def test_a_million_cases_with_ties() -> None:
    rng = np.random.default_rng(0)
    score = np.round(rng.random(1_000_000), 3)
    happened = rng.random(1_000_000) < score  # AUC of y ~ p, p uniform, is 5/6
    assert AUC()(happened, score) == pytest.approx(5 / 6, abs=2e-3)


def test_bad_outcomes_are_refused() -> None:
    with pytest.raises(DataError, match="outcomes must be 0 or 1, 2 came"):
        AUC()([0, 2], [0.1, 0.2])
    with pytest.raises(DataError, match="2 outcomes came with 1 prob"):
        AUC()([0, 1], [0.1])
    with pytest.raises(DataError, match="NaN"):
        AUC()([0, 1], [0.1, math.nan])
