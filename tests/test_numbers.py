from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from zhiyin._numbers import as_number, as_numbers
from zhiyin.errors import ConfigError, DataError


@pytest.mark.parametrize("given", [3, 3.0, np.float32(3), np.array(3), Decimal(3)])
def test_a_number_is_one_whatever_its_type(given: Any) -> None:
    assert as_number("it", given) == 3


@pytest.mark.parametrize(
    "given", ["3", b"3", bytearray(b"3"), np.array("3"), None, [3], 10**400, Decimal("sNaN"), np.timedelta64(3, "s")]
)
def test_what_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"it is .*; a number .*is expected"):
        as_number("it", given, ConfigError)


def test_numbers_are_read_with_gaps() -> None:
    np.testing.assert_array_equal(as_numbers("they", [[1, None], [Decimal(3), True]]), [[1, np.nan], [3, 1]])


@pytest.mark.parametrize(
    "given",
    [
        ["1", "2"],
        [1, "2"],
        np.array(["1"], np.dtypes.StringDType()),
        np.array([1j]),
        [np.timedelta64(3, "s"), None],
        np.array([np.datetime64("2020-01-01")], object),
        [[1], [1, 2]],
        [10**400],
        [Decimal("sNaN")],
        {"a": 1},
    ],
)
def test_what_are_no_numbers_are_refused(given: Any) -> None:
    with pytest.raises(DataError, match=r"they: .* came; numbers are expected"):
        as_numbers("they", given)
