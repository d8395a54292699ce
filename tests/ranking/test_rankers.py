import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from zhiyin.arrays import offsets_of
from zhiyin.errors import DataError, MissingExtra, NotFittedError
from zhiyin.metrics import AUC
from zhiyin.ranking import rankers
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.rankers import BoostedTrees
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run


def planted(seed: int = 0, n_queries: int = 200, k: int = 10) -> Rows:
    """The chance of label 1 grows with "good" and is high in category 3; "noise" says nothing; a tenth is missing."""
    rng = np.random.default_rng(seed)
    n = n_queries * k
    good, noise, kind = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 5, n)
    chance = 1 / (1 + np.exp(-(2 * good + 3 * (kind == 3) - 2)))
    label = (rng.random(n) < chance).astype(np.float32)
    values = np.stack([good, noise, kind], 1).astype(np.float32)
    values[rng.random(n) < 0.1, 0] = np.nan
    return Rows(FeatureTable(("good", "noise", "kind"), values, {"kind": 5}, offsets_of(np.full(n_queries, k))), label)


def auc(rows: Rows, score: np.ndarray) -> float:
    return float(AUC()(rows.label, rankdata(score) / len(score)))


@pytest.mark.parametrize("objective", ["order", "chance", "value"])
def test_it_finds_what_was_planted(objective: str) -> None:
    train, test = planted(0), planted(1)
    ranker = BoostedTrees(objective=objective, n_trees=60, least_rows=20).fit(train, run=Run(threads=1))
    assert auc(test, ranker.predict(test.features)) > 0.85
    importance = ranker.importance()
    assert next(iter(importance)) == "good"
    assert importance["kind"] > importance["noise"]
    assert sum(importance.values()) == pytest.approx(1)


def test_chances_are_chances() -> None:
    train, test = planted(0, 600), planted(1, 600)
    found = BoostedTrees(objective="chance", n_trees=60).fit(train, run=Run(threads=1)).predict(test.features)
    assert (found > 0).all()
    assert (found < 1).all()
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        some = (found >= low) & (found < high)
        assert found[some].mean() == pytest.approx(test.label[some].mean(), abs=0.05)


def test_a_category_is_no_number() -> None:
    """Of the same column as a number, a tree of two leaves cannot tell the middle one apart."""
    rows = planted()
    only = FeatureTable(("kind",), rows.features.values[:, 2:], {"kind": 5}, rows.features.offsets)
    number = FeatureTable(("kind",), only.values, {}, only.offsets)
    label = (only.values[:, 0] == 3).astype(np.float32)
    options = {"objective": "chance", "n_trees": 1, "n_leaves": 2, "learning_rate": 1.0}
    as_category, as_number = (
        auc(Rows(one, label), BoostedTrees(**options).fit(Rows(one, label), run=Run(threads=1)).predict(one))
        for one in (only, number)
    )
    assert as_category == 1
    assert as_number < 0.9


def test_learning_stops_where_validation_is_best() -> None:
    train, validation = planted(0, 60), planted(1, 60)
    stopped, on = (
        BoostedTrees(objective="chance", n_trees=400, learning_rate=0.3, least_rows=5, patience=10).fit(
            train, held, Run(threads=1)
        )
        for held in (validation, None)
    )
    assert stopped.trees[0].count("Tree=") < 100 < on.trees[0].count("Tree=")


def test_weights_count() -> None:
    """Twice the same features with opposite labels: who weighs more is believed."""
    one = planted()
    table = FeatureTable.join([one.features, one.features])
    label = np.concatenate([one.label, 1 - one.label])
    half = np.ones(len(one.label), np.float32)
    for weight, right in ((np.concatenate([9 * half, half]), True), (np.concatenate([half, 9 * half]), False)):
        ranker = BoostedTrees(objective="chance", n_trees=30).fit(Rows(table, label, weight), run=Run(threads=1))
        assert (auc(one, ranker.predict(one.features)) > 0.5) == right


def test_a_saved_ranker_is_the_same(tmp_path: Path) -> None:
    rows = planted()
    ranker = BoostedTrees(n_trees=20).fit(rows, run=Run(threads=1))
    again = load(save(ranker, tmp_path / "ranker"), "rankers", "ranker", rankers.get)
    assert again.config == ranker.config
    np.testing.assert_array_equal(again.predict(rows.features), ranker.predict(rows.features))
    with pytest.raises(DataError, match="no family of features for this version"):
        load(tmp_path / "ranker", "features", "family of features", rankers.get)


def test_columns_may_stand_in_another_order() -> None:
    rows = planted()
    ranker = BoostedTrees(n_trees=20).fit(rows, run=Run(threads=1))
    turned = rows.features.as_named(("kind", "good", "noise"))
    np.testing.assert_array_equal(ranker.predict(turned), ranker.predict(rows.features))


def test_the_same_seed_learns_the_same() -> None:
    rows = planted()
    first, second = (BoostedTrees(n_trees=20).fit(rows, run=Run(seed=3, threads=1)) for _ in range(2))
    assert first.trees == second.trees


class TestMistakes:
    def test_labels_that_teach_nothing(self) -> None:
        rows = planted()
        with pytest.raises(DataError, match="all 2,000 rows have the label 0"):
            BoostedTrees().fit(Rows(rows.features, np.zeros(2_000, np.float32)))
        empty = FeatureTable(("good",), np.zeros((0, 1), np.float32), {}, np.zeros(1, np.int64))
        with pytest.raises(DataError, match="no rows"):
            BoostedTrees().fit(Rows(empty, np.zeros(0, np.float32)))

    def test_a_validation_of_one_label_is_not_used_and_said_so(self, caplog: pytest.LogCaptureFixture) -> None:
        rows = planted()
        held = Rows(rows.features, np.zeros(2_000, np.float32))
        ranker = BoostedTrees(n_trees=15).fit(rows, held, Run(threads=1))
        assert "cannot say when to stop" in caplog.text
        assert ranker.trees[0].count("Tree=") == 15

    def test_labels_and_weights_that_do_not_fit(self) -> None:
        features = planted().features
        with pytest.raises(DataError, match="3 labels came for 2000 candidates"):
            Rows(features, np.zeros(3, np.float32))
        with pytest.raises(DataError, match="1 labels are no numbers"):
            Rows(features, np.append(np.zeros(1_999, np.float32), np.nan))
        with pytest.raises(DataError, match="1 weights came"):
            Rows(features, np.zeros(2_000, np.float32), np.ones(1, np.float32))

    def test_features_that_are_not_there_now(self) -> None:
        rows = planted()
        ranker = BoostedTrees(n_trees=5).fit(rows, run=Run(threads=1))
        less = FeatureTable(("good",), rows.features.values[:, :1], {}, rows.features.offsets)
        with pytest.raises(DataError, match="2 features that are not there now: noise, kind"):
            ranker.predict(less)

    def test_asking_before_learning(self) -> None:
        with pytest.raises(NotFittedError, match="boosted_trees is not fitted"):
            BoostedTrees().predict(planted().features)

    def test_without_lightgbm_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "lightgbm", None)
        with pytest.raises(MissingExtra, match=r"zhiyin\[rank\]"):
            BoostedTrees().fit(planted())
