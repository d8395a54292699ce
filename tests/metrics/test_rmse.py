import math

import pytest

from zhiyin.errors import DataError
from zhiyin.metrics import RMSE


def test_one_large_error_weighs_more_than_two_small_ones() -> None:
    assert RMSE()([1, 2, 3, 4], [1, 2, 3, 8]) == 2
    assert RMSE()([1, 2, 3, 4], [1, 2, 5, 6]) == math.sqrt(2)
    assert RMSE()([3.5], [3.5]) == 0


def test_the_errors_of_single_predictions_are_squares() -> None:
    assert RMSE().errors([1, 2], [4, 2]).tolist() == [9, 0]


def test_nothing_has_no_error() -> None:
    assert math.isnan(RMSE()([], []))


def test_bad_values_are_refused() -> None:
    with pytest.raises(DataError, match="2 true values came with 1 predictions"):
        RMSE()([1, 2], [1])
    with pytest.raises(DataError, match=r"predictions must be numbers: .*'good'"):
        RMSE()([1, 2], [1, "good"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="1 of 2 predictions are NaN"):
        RMSE()([1, 2], [1, math.nan])
    with pytest.raises(DataError, match=r"shape \(1, 2\)"):
        RMSE()([[1, 2]], [1, 2])  # type: ignore[list-item]
