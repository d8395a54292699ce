import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zhiyin.errors import ConfigError, DataError
from zhiyin.semantic_ids import unique
from zhiyin.semantic_ids._digits import checked, prefixes

CODES = arrays(np.int32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 3))


@settings(deadline=None)
@given(CODES)
def test_the_last_digit_counts_equal_codes_in_their_order(codes: np.ndarray) -> None:
    met: dict[tuple[int, ...], int] = {}
    for row in unique(codes).tolist():
        code, last = tuple(row[:-1]), row[-1]
        assert last == met.get(code, 0)
        met[code] = last + 1


@settings(deadline=None)
@given(CODES, st.integers(0, 30))
def test_later_items_change_no_digit(codes: np.ndarray, first: int) -> None:
    np.testing.assert_array_equal(unique(codes)[:first], unique(codes[:first]))


@settings(deadline=None)
@given(CODES)
def test_prefixes_are_the_different_beginnings_in_order(codes: np.ndarray) -> None:
    before = [()]
    for length, step in enumerate(prefixes(codes), 1):
        known = sorted({tuple(row) for row in codes[:, :length].tolist()})
        assert [known[number] for number in step.of_item] == [tuple(row) for row in codes[:, :length].tolist()]
        assert [(*before[parent], digit) for parent, digit in zip(step.parent, step.digit, strict=True)] == known
        before = known


def test_a_bounded_last_digit_begins_anew() -> None:
    codes = np.zeros((5, 2), int)
    assert unique(codes, 2)[:, -1].tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(ConfigError, match="at least 1"):
        unique(codes, 0)


def test_codes_without_any_item_are_no_fault() -> None:
    assert unique(np.full((3, 2), -1)).tolist() == [[-1] * 3] * 3
    assert unique(np.zeros((0, 2), int)).shape == (0, 3)


def test_what_is_no_code_is_refused() -> None:
    for wrong in (np.zeros(3, int), np.zeros((2, 0), int), [[0.5]], [["a"]], None):
        with pytest.raises(DataError, match="whole numbers"):
            checked(wrong)
    with pytest.raises(DataError, match="digit 1 of item 0 is -1"):
        checked([[0, -1]])
    with pytest.raises(DataError, match="0 to 4"):
        checked([[0, 5]], (9, 5))
    with pytest.raises(DataError, match="digit 0"):
        checked(np.array([[2**40]]))
