import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import DataError
from zhiyin.models.popularity import DAY, Popularity
from zhiyin.testing.recommenders import RecommenderSuite


class TestPopularity(RecommenderSuite):
    model = Popularity
    personal = False
    exact = False


def world(clock: str = "time") -> Dataset:
    """Item 0: three old events; item 1: two fresh ones; item 2: one fresh; item 3: none."""
    item = np.array([0, 0, 0, 1, 1, 2], np.int32)
    time = np.array([0, 0, 0, 100, 100, 100]) * DAY
    histories = Histories(np.array([0, 6]), item, time=time)
    return Dataset.of(histories, ["old", "fresh", "rare", "never"], clock=clock)  # type: ignore[arg-type]


def test_all_time_window_and_decay_order_differently() -> None:
    nobody = Query.of([])
    assert Popularity().fit(world()).recommend(nobody, 3).ids() == ["old", "fresh", "rare"]
    assert Popularity(fade="window", days=10).fit(world()).recommend(nobody, 2).ids() == ["fresh", "rare"]
    decay = Popularity(fade="decay", days=100).fit(world())
    assert decay.strength.tolist() == [1.5, 2.0, 1.0, 0.0]


def test_a_window_needs_times() -> None:
    with pytest.raises(DataError, match="only the order"):
        Popularity(fade="window").fit(world("position"))


def test_the_reason_is_popularity() -> None:
    found = Popularity().fit(world()).recommend(Query.of(["old"]), 1, reasons=2)
    assert found.reasons is not None
    assert [one.kind for one in found.reasons[0][0]] == ["popularity"]
