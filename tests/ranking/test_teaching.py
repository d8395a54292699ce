"""What a ranker is taught by: cuts of a log, of which some may tell nothing, and logs in other numbers."""

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.synthetic import synthetic
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError
from zhiyin.ranking._teaching import Lesson, renumbered, taught
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run


class Noting:
    """In place of a ranker: keeps what it is taught by."""

    reads_histories = False
    rows: Rows
    held: Rows | None

    def fit(self, rows: Rows, held: Rows | None, run: Run) -> "Noting":
        self.rows, self.held = rows, held
        return self


def rows(label: float) -> Rows:
    return Rows(FeatureTable.of({"it": [1.0]}), np.array([label], np.float32))


def teach(lessons: list[Lesson], ranker: Any = None) -> Noting:
    pipeline = Pipeline(rules=[{"rule": "never", "column": "brand", "values": ["acme"]}])
    found: Any = taught(ranker or Noting(), lessons, pipeline, Run())
    return found


def test_cuts_that_tell_nothing_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lessons = [Lesson(rows(1), None, 3), Lesson(None, rows(2), 4), Lesson(rows(3), rows(4), 5)]
    found = teach(lessons)
    assert found.rows.label.tolist() == [1, 3]
    assert found.held is not None
    assert found.held.label.tolist() == [2, 4]
    assert "in 1 of 3 cuts retrievers find nothing to learn from" in caplog.text
    caplog.clear()
    teach(lessons[2:])
    assert not caplog.text


def test_where_nothing_says_when_to_stop_it_learns_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    assert teach([Lesson(rows(1), None, 3), Lesson(rows(2), None, 3)]).held is None
    assert "so nothing says when to stop" in caplog.text


def test_one_that_reads_histories_is_held_to_the_last_cut_alone() -> None:
    """Its vectors are of the last cut's retriever, which knows what is asked in the others."""
    reader = Noting()
    reader.reads_histories = True
    found = teach([Lesson(rows(1), rows(2), 3), Lesson(rows(3), rows(4), 3)], reader)
    assert found.held is not None
    assert found.held.label.tolist() == [4]
    assert teach([Lesson(rows(1), rows(2), 3), Lesson(rows(3), None, 3)], reader).held is None


def test_where_no_cut_tells_anything_all_cases_are_counted() -> None:
    with pytest.raises(DataError, match=r"in 1,007 cases; raise their quotas, .* or loosen the rules \(never"):
        teach([Lesson(None, rows(1), 7), Lesson(None, None, 1_000)])


def test_a_log_is_told_in_the_numbers_that_are_known() -> None:
    """Item 2 of the log is unknown; of b, which it lacks, nothing is known."""
    past = Histories.of_lists([[0, 2, 1], [2]])
    table = pa.table({"item_id": ["c", "a", "new"], "price": [3.0, 1.0, 9.0]})
    found = renumbered(Dataset.of(past, table), Vocabulary(["a", "b", "c"]))
    assert found.items.ids.to_pylist() == ["a", "b", "c"]
    assert found.item_table["price"].to_pylist() == [1.0, None, 3.0]
    assert [found.histories.of(row).tolist() for row in range(2)] == [[2, 0], []]


@pytest.mark.parametrize(("n_users", "seed"), [(60, 0), (10, 0)])
def test_of_few_people_some_cuts_tell_nothing(n_users: int, seed: int) -> None:
    world = synthetic(n_users=n_users, n_items=100, n_events=8 * n_users, n_groups=4, seed=seed)[0]
    untimed = Dataset.of(world.histories.without("time"), world.item_table, world.user_table, "position")
    made = Pipeline(sources="item_knn:15, popularity:10", ranker={"ranker": "logistic"}, repeats="allow")
    made.fit(untimed, run=Run(seed=seed, threads=1))
    assert len(made.recommend(untimed.queries(np.array([0])), 5).ids(0)) == 5
