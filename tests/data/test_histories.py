import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.data.histories import Histories
from zhiyin.errors import DataError

logs = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8)


def as_lists(histories: Histories) -> list[list[int]]:
    return [histories.of(row).tolist() for row in range(len(histories))]


@given(logs, st.data())
def test_take_slice_and_keep_agree_with_lists(lists: list[list[int]], data: st.DataObject) -> None:
    histories = Histories.of_lists(lists)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1)))
    assert as_lists(histories.take(np.array(rows, np.int64))) == [lists[row] for row in rows]
    start = data.draw(st.integers(0, len(lists)))
    stop = data.draw(st.integers(start, len(lists)))
    assert as_lists(histories.slice(start, stop)) == lists[start:stop]
    assert as_lists(histories.keep(histories.item % 2 == 0)) == [[one for one in row if one % 2 == 0] for row in lists]
    assert as_lists(histories.last(2)) == [row[-2:] for row in lists]
    assert histories.from_end().tolist() == [len(row) - 1 - at for row in lists for at in range(len(row))]


@given(logs)
def test_the_matrix_sums_repeats(lists: list[list[int]]) -> None:
    dense = Histories.of_lists(lists).matrix(10).toarray()
    assert dense.tolist() == [[row.count(item) for item in range(10)] for row in lists]


def test_columns_must_fit_the_offsets() -> None:
    with pytest.raises(DataError, match="column time has 1 events, the offsets say 2"):
        Histories(np.array([0, 2]), np.array([0, 1], np.int32), time=np.array([5]))


def test_a_matrix_sums_repeats_and_leaves_the_histories_alone() -> None:
    histories = Histories.of_lists([[0, 0, 1], [], [1]])
    before = histories.offsets.copy()
    assert histories.matrix(2).toarray().tolist() == [[2, 1], [0, 0], [0, 1]]
    assert histories.offsets.tolist() == before.tolist()
    assert as_lists(histories) == [[0, 0, 1], [], [1]]


def test_they_are_shown_by_their_size() -> None:
    assert repr(Histories(np.array([0, 2, 3]), np.array([1, 2, 0], np.int32))) == "Histories: 2, of 3 events (item)"
