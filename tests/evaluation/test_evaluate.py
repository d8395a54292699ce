from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError
from zhiyin.evaluation.evaluate import (
    categories_of,
    evaluate,
    judges_targets,
    parse_metrics,
    predictions,
    world_of,
)
from zhiyin.metrics import parse
from zhiyin.models.base import RatingPredictor
from zhiyin.models.popularity import Popularity
from zhiyin.run import Run
from zhiyin.splitting.base import Cases


class FiveMinusPlace(RatingPredictor):
    """Predicts 5 minus the number of the item; knows how many queries it saw."""

    config: Config
    seen = 0

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        self.scores = np.arange(train.n_items, 0, -1).astype(np.float32)

    def _score(self, queries: Queries) -> np.ndarray:
        return np.tile(self.scores, (len(queries), 1))

    def _predict(self, queries: Queries, items: np.ndarray) -> np.ndarray:
        self.seen = max(self.seen, len(queries))
        return (5 - items + 0.0 * queries.histories.lengths).astype(np.float32)


def small() -> tuple[Dataset, Cases]:
    """Four items; item 0 used three times, 1 twice, 2 once, 3 never. Two queries, with two targets and one."""
    events = Histories(np.array([0, 3, 6]), np.array([0, 1, 2, 0, 0, 1], np.int32))
    items = pa.table({"item_id": ["a", "b", "c", "d"], "genres": [["x"], ["x", "y"], [], None]})
    data = Dataset.of(events, items, ["u", "v"], clock="none")
    queries = Queries(Histories.of_lists([[0], [1]]), data.items, users=("u", "v"))
    targets = Histories(np.array([0, 2, 3]), np.array([2, 3, 0], np.int32), value=np.array([1.0, 4.0, 5.0], np.float32))
    return data, Cases(queries, targets)


def test_numbers_worked_out_by_hand() -> None:
    """Popularity lists b, c for the first (targets c, d) and a, c for the second (target a)."""
    data, cases = small()
    model = Popularity().fit(data)
    found = evaluate(model, cases, ["ndcg@2", "recall@2", "coverage@2"], world_of(data), k=2)
    assert [found.recommendations.ids(row) for row in (0, 1)] == [["b", "c"], ["a", "c"]]
    discount = 1 / np.log2(3)
    np.testing.assert_allclose(found.samples["ndcg@2"].values(), [discount / (1 + discount), 1.0])
    assert found.overall["recall@2"] == pytest.approx(0.75)
    assert found.overall["coverage@2"] == 0.75
    assert "coverage@2" not in found.samples


def test_seen_items_are_listed_when_they_may_be() -> None:
    data, cases = small()
    found = evaluate(Popularity().fit(data), cases, ["recall@1"], world_of(data), k=1, exclude_seen=False)
    assert [found.recommendations.ids(row) for row in (0, 1)] == [["a"], ["a"]]


def test_lists_are_as_long_as_the_deepest_metric_needs() -> None:
    data, cases = small()
    found = evaluate(Popularity().fit(data), cases, ["recall@3", "ndcg@1"], world_of(data), k=1)
    assert found.recommendations.k == 3


def test_what_the_model_left_to_popularity_is_counted() -> None:
    data, cases = small()
    found = evaluate(Popularity().fit(data), cases, ["recall@3"], world_of(data), k=3)
    assert found.filled == pytest.approx(2 / 6)  # item d, never used, fills both lists


def test_values_are_judged_for_rating_predictors_only() -> None:
    data, cases = small()
    model = FiveMinusPlace().fit(data)
    found = evaluate(model, cases, ["ndcg@2", "rmse", "mae"], world_of(data), k=2)
    errors = np.array([5 - 2 - 1.0, 5 - 3 - 4.0, 5 - 0 - 5.0])
    assert found.overall["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found.overall["mae"] == pytest.approx(np.mean(np.abs(errors)))
    np.testing.assert_allclose(found.samples["mae"].values(), [2.0, 0.0])
    other = evaluate(Popularity().fit(data), cases, ["ndcg@2", "rmse"], world_of(data), k=2)
    assert "rmse" not in other.overall


def test_predictions_come_in_blocks_of_bounded_memory() -> None:
    data, cases = small()
    cases = Cases(cases.queries.take(np.zeros(30_000, np.int64)), cases.targets.take(np.zeros(30_000, np.int64)))
    model = FiveMinusPlace().fit(data)
    whole = predictions(model, cases, Run())
    assert model.seen == 60_000
    model.seen = 0
    np.testing.assert_array_equal(predictions(model, cases, Run(memory_mib=1)), whole)
    assert 0 < model.seen < 10_000


def test_a_model_with_another_vocabulary_is_judged_by_item_ids() -> None:
    data, cases = small()
    order = np.array([3, 1, 0, 2])
    place = np.argsort(order).astype(np.int32)
    renamed = Dataset(
        Histories(data.histories.offsets, place[data.histories.item]),
        data.item_table.take(pa.array(order)),
        data.user_table,
        data.manifest,
    )
    ours, theirs = (Popularity().fit(one) for one in (data, renamed))
    metrics = ["ndcg@2", "recall@2", "coverage@2"]
    assert (
        evaluate(ours, cases, metrics, world_of(data), 2).overall
        == evaluate(theirs, cases, metrics, world_of(data), 2).overall
    )


def test_the_world_is_read_from_training() -> None:
    data, _ = small()
    world = world_of(data)
    assert world.popularity.tolist() == [3, 2, 1, 0]
    assert world.n_users == 2
    assert world.categories is not None
    assert world.categories.toarray().tolist() == [[1, 0], [1, 1], [0, 0], [0, 0]]


def test_categories_of_texts_repeats_and_nothing() -> None:
    texts = categories_of(pa.table({"item_id": ["a", "b", "c"], "categories": ["x", None, "y"]}))
    assert texts is not None
    assert texts.toarray().tolist() == [[1, 0], [0, 0], [0, 1]]
    twice = categories_of(pa.table({"item_id": ["a"], "genres": pa.array([["x", "x"]], pa.large_list(pa.string()))}))
    assert twice is not None
    assert twice.toarray().tolist() == [[1]]
    assert categories_of(pa.table({"item_id": ["a"]})) is None


def test_only_metrics_that_look_at_targets_are_found_to_judge_them() -> None:
    labels = ("ndcg@10", "recall@10", "mrr@5", "novelty@10", "coverage@10")
    judging = {label for label in labels if judges_targets(parse(label))}
    assert judging == {"ndcg@10", "recall@10", "mrr@5"}
    assert not judges_targets(parse("rmse"))
    assert not judges_targets(parse("intra_list_diversity@10"))


def test_wrong_metrics_are_refused_with_a_reason() -> None:
    with pytest.raises(ConfigError, match="ndcg"):
        parse_metrics(["ndgc@10"])
    with pytest.raises(ConfigError, match="click_through_rate judges logged exposures"):
        parse_metrics(["ndcg@10", "click_through_rate"])
    with pytest.raises(ConfigError, match="probabilities"):
        parse_metrics(["auc", "ndcg@10"])
    with pytest.raises(ConfigError, match="at least one"):
        parse_metrics(["rmse"])
    with pytest.raises(ConfigError, match="a list of metrics"):
        parse_metrics("ndcg@10")
    assert [one.label for one in parse_metrics(["ndcg@10", "recall@5", "ndcg@10"])] == ["ndcg@10", "recall@5"]
