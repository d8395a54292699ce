import math

import pytest

from zhiyin.errors import DataError
from zhiyin.metrics import LogLoss


def test_by_hand() -> None:
    assert LogLoss()([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_a_sure_mistake_costs_what_the_clip_says() -> None:
    assert LogLoss()([1], [0.0]) == pytest.approx(-math.log(1e-15))
    assert LogLoss(clip=0.01)([0], [1.0]) == pytest.approx(-math.log(0.01))


def test_a_number_that_is_no_probability_is_refused() -> None:
    with pytest.raises(DataError, match=r"log_loss needs probabilities between 0 and 1, they go from -0\.5 to 2"):
        LogLoss()([1, 0], [2, -0.5])
