import math

import pytest

from zhiyin.errors import DataError
from zhiyin.metrics import ConversionRate

SHOWN, CLICKED, BOUGHT = [100, 100], [10, 0], [4, 1]


def test_per_click_and_per_exposure() -> None:
    assert ConversionRate()([100, 100], [10, 5], [4, 2]) == 0.4
    assert ConversionRate(per="exposure")(SHOWN, CLICKED, BOUGHT) == 0.025
    assert math.isnan(ConversionRate()([10], [0], [0]))


def test_the_interval_is_over_clicks() -> None:
    few, many = ConversionRate().interval([1000], [10], [5]), ConversionRate().interval([1000], [1000], [500])
    assert few.high - few.low > 5 * (many.high - many.low)


def test_conversions_without_clicks_are_refused_per_click() -> None:
    with pytest.raises(DataError, match="row 1 has 1 conversions for 0 clicks"):
        ConversionRate()(SHOWN, CLICKED, BOUGHT)
    with pytest.raises(DataError, match="give converted"):
        ConversionRate()(SHOWN, CLICKED)
