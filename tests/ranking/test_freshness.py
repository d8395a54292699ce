"""Freshness: days by the catalogue, worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.freshness import DAY, Freshness

SINCE, UNTIL = "days since the item is there", "days until the item is over"


def world(**columns: list[int | None]) -> Dataset:
    past = Histories.of_lengths(np.array([2]), item=np.array([0, 1], np.int32), time=np.array([1, 2]) * DAY)
    told = {name: pa.array(column, pa.int64()) for name, column in columns.items()}
    return Dataset.of(past, pa.table({"item_id": ["a", "b", "c"], **told}), ["u"])


def columns_of(dataset: Dataset, now: int | None) -> dict[str, list[float]]:
    queries = dataset.queries(np.array([0]), None if now is None else np.array([now]))
    asked = Candidates(queries, np.array([0, 3]), np.arange(3, dtype=np.int32))
    return {name: column.tolist() for name, column in Freshness().fit(dataset).columns(asked).items()}


def test_days_are_counted_from_the_moment_of_the_query() -> None:
    dataset = world(available_from=[DAY, None, 11 * DAY], available_until=[12 * DAY, 4 * DAY, None])
    found = columns_of(dataset, 10 * DAY + DAY // 2)
    np.testing.assert_array_equal(found[SINCE], [9.5, np.nan, np.nan])  # not told, and not there yet
    np.testing.assert_array_equal(found[UNTIL], [1.5, np.nan, np.nan])  # over already, and not told


def test_an_item_without_events_has_an_age() -> None:
    found = columns_of(world(available_from=[0, 0, 2 * DAY]), 3 * DAY)
    assert found[SINCE][2] == 1.0


@pytest.mark.parametrize(("column", "suits"), [("available_from", True), ("available_until", True), ("price", False)])
def test_it_suits_data_that_tell_of_windows(column: str, suits: bool) -> None:
    assert Freshness().suits(world(**{column: [1, 2, 3]})) is suits
