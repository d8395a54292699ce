import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError
from zhiyin.splitting.leave_last_out import LeaveLastOut
from zhiyin.testing.splitters import SplitterSuite, marks, random_log


class TestLeaveLastOut(SplitterSuite):
    splitter = LeaveLastOut
    clock = "position"


def world() -> Dataset:
    return Dataset.of(
        Histories.of_lists([[0, 1, 2, 3], [0, 1, 0], [2, 3], [1]]), list("abcd"), list("wxyz"), clock="position"
    )


def test_last_is_test_and_the_one_before_validation() -> None:
    split = LeaveLastOut().split(world())
    assert split.test.targets.item.tolist() == [3, 0]
    assert [split.test.queries.histories.of(row).tolist() for row in range(2)] == [[0, 1, 2], [0, 1]]
    assert split.validation is not None
    assert split.validation.targets.item.tolist() == [2, 1]
    assert [split.validation.queries.histories.of(row).tolist() for row in range(2)] == [[0, 1], [0]]
    assert split.train.histories.item.tolist() == [0, 1, 0, 2, 3, 1]
    assert split.test.queries.users == ("w", "x")
    assert split.test.queries.now is None


def test_a_repeat_can_be_left_out() -> None:
    split = LeaveLastOut(repeats="drop").split(world())
    assert split.test.queries.users == ("w",)
    assert (split.facts.repeats, split.facts.left_out_cases) == (1, 1)
    assert any("1 repeats" in line for line in split.facts.warnings)


def test_a_longer_minimum_history_tests_fewer_users_and_trains_on_all_their_events() -> None:
    split = LeaveLastOut(minimum_history=2).split(world())
    assert split.test.queries.users == ("w",)
    assert split.train.n_events == 2 + 3 + 2 + 1


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.integers(0, 4))
def test_every_tested_user_keeps_all_earlier_events(seed: int, n_events: int, minimum: int) -> None:
    data = random_log(seed, n_users=12, n_events=n_events)
    tested = np.flatnonzero(data.histories.lengths >= minimum + 2)
    splitter = LeaveLastOut(minimum_history=minimum, cold_users="keep")
    if not len(tested) or data.n_events == 2 * len(tested):  # nobody to test, or nothing left to learn from
        with pytest.raises(DataError, match="both must be there"):
            splitter.split(data)
        return
    split = splitter.split(data)
    assert len(split.test) == len(tested)
    for row, user in enumerate(tested):
        events = np.arange(data.histories.offsets[user], data.histories.offsets[user + 1])
        assert marks(split.test.targets.slice(row, row + 1)).tolist() == [events[-1]]
        assert marks(split.test.queries.histories.slice(row, row + 1)).tolist() == events[:-1].tolist()


def test_it_says_that_it_leaks() -> None:
    facts = LeaveLastOut().split(random_log()).facts
    assert "leaks time" in facts.warnings[0]
    assert facts.later_train_share is not None
    assert facts.later_train_share > 0.5
    assert facts.later_train_events is not None
    assert 0 < facts.later_train_events < 0.5
