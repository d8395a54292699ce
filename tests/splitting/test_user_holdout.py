import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.errors import ConfigError
from zhiyin.splitting.user_holdout import UserHoldout
from zhiyin.testing.splitters import SplitterSuite, marks, random_log, same_split


class TestUserHoldout(SplitterSuite):
    splitter = UserHoldout
    clock = "none"


class TestUserHoldoutOfHalf(SplitterSuite):
    splitter = UserHoldout
    options = {"test_share": 0.5, "query_share": 0.5, "minimum_events": 2}
    clock = "none"


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.4), st.floats(0.1, 0.95), st.integers(2, 8))
def test_held_out_users_are_unknown_and_their_events_are_shared_out(
    seed: int, share: float, query_share: float, minimum: int
) -> None:
    data = random_log(seed, n_users=30, n_events=300)
    split = UserHoldout(test_share=share, query_share=query_share, minimum_events=minimum, seed=seed).split(data)
    lengths = data.histories.lengths
    assert split.validation is not None
    assert split.test.queries.users is not None
    assert split.validation.queries.users is not None
    test, validation = (data.users.encode(cases.queries.users) for cases in (split.test, split.validation))
    assert len(test) == max(1, round(share * (lengths >= minimum).sum()))
    assert not set(test) & set(validation)
    assert split.train.histories.lengths[np.append(test, validation)].sum() == 0
    assert split.development.histories.lengths[test].sum() == 0
    assert (split.development.histories.lengths[validation] == lengths[validation]).all()
    for row, user in enumerate(test):
        query, targets = split.test.queries.histories.of(row), split.test.targets.of(row)
        assert len(query) + len(targets) == lengths[user]
        assert len(query) == np.clip(np.round(query_share * lengths[user]), 1, lengths[user] - 1)


def test_the_query_is_the_earlier_part_where_the_order_is_known() -> None:
    split = UserHoldout().split(random_log(clock="position"))
    for row in range(len(split.test)):
        case = split.test.take([row])
        assert marks(case.queries.histories).max() < marks(case.targets).min()


def test_the_query_is_a_seeded_random_part_where_no_order_is_known() -> None:
    data = random_log(clock="none")
    split = UserHoldout(test_share=0.4).split(data)
    whole = [marks(split.test.take([row]).queries.histories).max() for row in range(len(split.test))]
    first = [marks(split.test.take([row]).targets).min() for row in range(len(split.test))]
    assert np.mean(np.array(whole) > np.array(first)) > 0.5
    assert same_split(split, UserHoldout(test_share=0.4).split(data))
    assert not same_split(split, UserHoldout(test_share=0.4, seed=1).split(data))


def test_no_validation_on_request_and_no_empty_training() -> None:
    split = UserHoldout(validation_share=0).split(random_log())
    assert split.validation is None
    assert split.train.n_events == split.development.n_events
    with pytest.raises(ConfigError, match="no user to learn from"):
        UserHoldout(test_share=0.6, validation_share=0.5).split(random_log())
