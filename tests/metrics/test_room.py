"""The room itself: what is in it, labels, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from zhiyin import metrics
from zhiyin.config import setting
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics.base import AtK, ExposureMetric, ListMetric, Lists, Metric, World
from zhiyin.testing.metrics import random_lists

from . import oracle

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", metrics.available())
def test_every_metric_has_a_test_and_an_oracle_of_its_own(name: str) -> None:
    kind = metrics.get(name)
    own = HERE / f"test_{name}.py"
    assert own.is_file(), f"metrics/{name}.py has no tests/metrics/test_{name}.py"
    text = own.read_text(encoding="utf-8")
    assert f"import {kind.__name__}" in text or f", {kind.__name__}" in text
    assert "\ndef test_" in text
    if issubclass(kind, ListMetric):
        assert "(MetricSuite)" in text, f"{own.name} does not run the MetricSuite"
    assert callable(getattr(oracle, name, None)), f"oracle.py has no {name}"


@pytest.mark.parametrize("name", metrics.available())
def test_every_metric_says_its_formula_and_shows_an_example(name: str) -> None:
    kind = metrics.get(name)
    assert issubclass(kind, Metric)
    module = sys.modules[kind.__module__].__doc__ or ""
    assert " = " in module
    assert ">>>" in (kind.__doc__ or "")


def test_listing_and_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys; from zhiyin import metrics; metrics.available(); "
        "print([name for name in ('numpy', 'scipy', 'pyarrow', 'pydantic') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_usual_metrics_can_all_be_parsed_and_are_lists() -> None:
    found = [metrics.parse(label) for label in metrics.DEFAULT]
    assert [one.label for one in found] == list(metrics.DEFAULT)
    assert all(isinstance(one, ListMetric) for one in found)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("ndcg@10", "ndcg@10"),
        ("ndcg", "ndcg@10"),
        (" NDCG@5 ", "ndcg@5"),
        ("hit-rate@3", "hit_rate@3"),
        ("rmse", "rmse"),
        ("recall@7[truncated=true]", "recall@7[truncated=true]"),
        ("recall@7[truncated=false]", "recall@7"),
        ("calibration@4[divergence=js][alpha=0.2]", "calibration@4[divergence=js][alpha=0.2]"),
        ("calibration_error[n_bins=20]", "calibration_error[n_bins=20]"),
        ("zhiyin.metrics.ndcg:NDCG@2", "ndcg@2"),
    ],
)
def test_labels(written: str, label: str) -> None:
    assert metrics.parse(written).label == label
    assert metrics.parse(label).config == metrics.parse(written).config


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("ndgc@10", "did you mean 'ndcg'"),
        ("recal@10", "did you mean 'recall'"),
        ("rmse@10", "rmse has no cut-off"),
        ("ndcg@ten", "was not understood"),
        ("ndcg@-1", "was not understood"),
        ("ndcg@0", "greater than or equal to 1"),
        ("", "was not understood"),
        ("recall@5[truncate=1]", "did you mean 'truncated'"),
        ("recall@5[truncated=perhaps]", "'truncated' of recall"),
        ("recall@5[truncated]", "was not understood"),
        ("no.such.module:Thing@5", "package.module:Class"),
        ("zhiyin.metrics.base:World", "is no metric"),
        ("base@10", "unknown metric 'base'"),
    ],
)
def test_labels_that_are_refused(written: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        metrics.parse(written)


class ShareOfFives(ListMetric):
    """Somebody else's metric."""

    config: AtK

    def _per_query(self, lists: Lists) -> np.ndarray:
        return (lists.items[:, : self.config.k] == 5).mean(axis=1)


def test_a_foreign_metric_is_named_by_its_path() -> None:
    assert ShareOfFives(k=3).label == f"{__name__}:ShareOfFives@3"


def test_one_number_for_all_lists_has_no_value_per_query() -> None:
    with pytest.raises(ConfigError, match="coverage@10 is one number for all lists"):
        metrics.get("coverage")().per_query(random_lists())
    assert not metrics.get("gini")().is_mean
    assert metrics.get("ndcg")().is_mean


def test_settings_come_from_one_place() -> None:
    class Other(AtK):
        """Settings of something else."""

        k: int = setting(3)

    recall = metrics.get("recall")
    with pytest.raises(ConfigError, match="not both"):
        recall(recall().config, k=5)
    with pytest.raises(ConfigError, match="RecallConfig, a Other came"):
        recall(Other())


def test_lists_that_do_not_fit_are_refused() -> None:
    one, two = Histories.of_lists([[0]]), Histories.of_lists([[0], [1]])
    world = World(3, np.zeros(3, np.int64))
    items = np.array([[0, 1]], np.int32)
    with pytest.raises(DataError, match="1 lists came with 2 targets"):
        Lists(items, two, one, world)
    with pytest.raises(DataError, match="1 lists came with 2 histories"):
        Lists(items, one, two, world)
    with pytest.raises(DataError, match="targets hold item numbers from -1"):
        Lists(items, Histories.of_lists([[-1]]), one, world)
    with pytest.raises(DataError, match="catalogue has 0 to 2"):
        Lists(items + 2, one, one, world)
    with pytest.raises(DataError, match="4 entries for a catalogue of 3"):
        World(3, np.zeros(4, np.int64))
    with pytest.raises(DataError, match="2 rows for a catalogue of 3"):
        World(3, np.zeros(3, np.int64), 1, sparse.csr_array((2, 5)))


def test_plain_lists_that_do_not_fit_are_refused() -> None:
    recall = metrics.get("recall")()
    with pytest.raises(DataError, match="2 lists came with 1 rows of targets"):
        recall([["a"], ["b"]], [["a"]])
    with pytest.raises(DataError, match="targets must be lists of ids, one text came: 'abc'"):
        recall([["a"]], ["abc"])
    with pytest.raises(DataError, match="lists must be lists of ids"):
        recall(["abc"], [["a"]])


def test_any_catalogue_size_gives_the_same_hits() -> None:
    small = random_lists(50)
    world = World(2**23, np.zeros(2**23, np.int64))  # one row a block of the look-up table
    large = Lists(small.items, small.targets, small.histories, world)
    np.testing.assert_array_equal(large.hits, small.hits)
    np.testing.assert_array_equal(large.seen, small.seen)


def test_exposure_metrics_are_two() -> None:
    found = [name for name in metrics.available() if issubclass(metrics.get(name), ExposureMetric)]
    assert found == ["click_through_rate", "conversion_rate"]
