import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.splitting.cold_items import ColdItems
from zhiyin.testing.splitters import SplitterSuite, marks, random_log, same_split
from zhiyin.testing.worlds import DAY


class TestColdItems(SplitterSuite):
    splitter = ColdItems
    clock = "none"


class TestRandomColdItems(SplitterSuite):
    splitter = ColdItems
    options = {"choose": "random", "test_share": 0.3}
    clock = "none"


def world() -> Dataset:
    """Item 3 appears on day 5, item 2 on day 3; item 4 is never touched."""
    time = np.array([0, 3, 5, 6, 5, 1, 5, 5]) * DAY
    item = np.array([0, 2, 3, 1, 3, 1, 1, 3], np.int32)
    histories = Histories.of_lengths([4, 1, 3], item=item, time=time, session=np.arange(8, dtype=np.int32))
    return Dataset.of(histories, list("vwxyz"), list("abc"))


def test_the_newest_items_are_cold_and_histories_end_before_the_first_of_them() -> None:
    split = ColdItems(test_share=0.25, validation_share=0.25, cold_users="keep").split(world())
    test = split.test
    assert test.queries.users == ("a", "b", "c")
    assert [marks(test.targets.slice(row, row + 1)).tolist() for row in range(3)] == [[2], [4], [7]]
    assert [marks(test.queries.histories.slice(row, row + 1)).tolist() for row in range(3)] == [[0, 1], [], [5]]
    assert test.queries.now is not None
    assert (test.queries.now == 5 * DAY).all()
    assert split.train.histories.item.tolist() == [0, 1, 1, 1]
    assert split.development.histories.item.tolist() == [0, 2, 1, 1, 1]
    assert split.facts.cold_users == 1


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["time", "position", "none"]), st.floats(0.05, 0.4))
def test_targets_are_cold_and_histories_are_warm(seed: int, clock: str, share: float) -> None:
    data = random_log(seed, n_users=12, n_items=25, n_events=200, clock=clock)  # type: ignore[arg-type]
    split = ColdItems(test_share=share, cold_users="keep").split(data)
    cold = set(split.test.targets.item.tolist())
    assert len(cold) == max(1, round(share * (data.popularity > 0).sum()))
    assert not cold & set(split.development.histories.item.tolist())
    assert not cold & set(split.test.queries.histories.item.tolist())
    assert split.facts.cold_items == split.facts.test_targets
    told = set(marks(split.development.histories)) | set(marks(split.test.targets))
    assert told == set(range(data.n_events))
    if clock == "time":
        assert split.test.queries.histories.time is not None
        assert split.test.queries.now is not None
        owner = split.test.queries.histories.owner()
        assert (split.test.queries.histories.time < split.test.queries.now[owner]).all()


def test_newest_means_newest() -> None:
    data = random_log(n_items=40, days=10_000)
    cold = set(ColdItems(test_share=0.2).split(data).test.targets.item.tolist())
    assert data.histories.time is not None
    first = [data.histories.time[data.histories.item == item].min() for item in range(data.n_items)]
    others = [moment for item, moment in enumerate(first) if item not in cold]
    assert max(others) <= min(first[item] for item in cold)


def test_random_items_depend_on_the_seed() -> None:
    one, two = (ColdItems(choose="random", seed=seed).split(random_log()) for seed in (0, 1))
    assert not same_split(one, two)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="cold_items"):
        ColdItems(cold_items="drop")
    with pytest.raises(ConfigError, match="no warm item"):
        ColdItems(test_share=0.5, validation_share=0.5).split(random_log())
    with pytest.raises(DataError, match="more than 2 items"):
        ColdItems().split(random_log(n_items=2))
