import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zhiyin.arrays import AnyArray, DoubleVector, offsets_of
from zhiyin.data.synthetic import COUPON_FEATURES, synthetic
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.evaluation.uplift import qini_of
from zhiyin.ranking import rankers, uplift
from zhiyin.ranking.rankers import BoostedTrees
from zhiyin.ranking.rankers.base import Ranker, RankerConfig, Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.ranking.uplift import TLearner, XLearner
from zhiyin.ranking.uplift.base import UpliftModel
from zhiyin.run import Run

QUICK: dict[str, Any] = {"settings": {"n_trees": 60, "learning_rate": 0.15, "n_leaves": 7}}
OPTIONS: dict[str, dict[str, Any]] = {
    "t_learner": {"outcomes": QUICK, "folds": 2},
    "x_learner": {"outcomes": QUICK, "effects": QUICK, "folds": 2},
}
ONE = Run(seed=3, threads=1)


def planted(seed: int, n: int = 6_000, n_arms: int = 3) -> tuple[FeatureTable, AnyArray, AnyArray, AnyArray]:
    """Features, arms by lot, purchases and the true effects (n, n_arms - 1).

    A purchase is likely where "busy" is high. Arm 1 moves those with "thrift" above 0 and harms others a little, arm 2
    those in region 2 alone.
    """
    rng = np.random.default_rng(seed)
    busy, thrift, region = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 4, n)
    thrift[rng.random(n) < 0.05] = np.nan
    effects = np.stack([np.where(thrift > 0, 0.4, -0.1), np.where(region == 2, 0.5, 0.0)], 1)[:, : n_arms - 1]
    arm = rng.integers(0, n_arms, n)
    chances = np.concatenate([np.zeros((n, 1)), effects], 1) + (0.15 + 0.25 * (busy > 0))[:, None]
    bought = (rng.random(n) < chances[np.arange(n), arm]).astype(float)
    table = FeatureTable.of({"busy": busy, "thrift": thrift, "region": region}, texts=["region"], buckets=50)
    return table, arm, bought, effects


@pytest.mark.parametrize("name", uplift.available())
class TestEveryUpliftModel:
    def made(self, name: str, **options: Any) -> UpliftModel:
        assert set(OPTIONS) == set(uplift.available()), "an uplift model has no place here"
        found: UpliftModel = uplift.get(name)(**{**OPTIONS[name], **options})
        return found

    def test_it_finds_what_was_planted(self, name: str) -> None:
        model = self.made(name).fit(*planted(0)[:3], run=ONE)
        table, _, _, effects = planted(1)
        found = model.predict(table)
        assert found.shape == effects.shape
        assert found.dtype == np.float64
        for at in range(2):
            assert qini_of(effects[:, at], found[:, at]) > 0.85 * qini_of(effects[:, at])
        assert found.mean(0) == pytest.approx(effects.mean(0), abs=0.04)
        assert np.abs(found - effects).mean() < 0.1

    def test_it_finds_what_changes_a_value(self, name: str) -> None:
        table, arm, _, effects = planted(0)
        rng = np.random.default_rng(0)
        spent = 20 * np.concatenate([np.zeros((len(arm), 1)), effects], 1)[np.arange(len(arm)), arm]
        model = self.made(name).fit(table, arm, 50 + spent + rng.normal(0, 3, len(arm)), run=ONE)
        test, _, _, truth = planted(1)
        assert np.abs(model.predict(test) - 20 * truth).mean() < 1.5
        assert model.expected(test)[:, 0].mean() == pytest.approx(50, abs=0.5)

    def test_a_saved_one_is_the_same(self, name: str, tmp_path: Path) -> None:
        table, arm, bought, _ = planted(0, 600)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        again = UpliftModel.load(model.save(tmp_path / "model"))
        assert type(again) is type(model)
        assert again.config == model.config
        np.testing.assert_allclose(again.predict(table), model.predict(table), rtol=1e-6)
        np.testing.assert_allclose(again.expected(table), model.expected(table), rtol=1e-6)
        shutil.rmtree(tmp_path / "model" / "outcome-1")
        with pytest.raises(DataError, match="outcome-1"):
            UpliftModel.load(tmp_path / "model")

    def test_the_same_seed_learns_the_same(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 600)
        first, second, other = (
            self.made(name).fit(table, arm, bought, run=Run(seed=seed, threads=1)).predict(table) for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, other)

    def test_a_person_alone_is_what_it_is_among_others(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 600)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        some = np.isin(np.arange(600), [5, 77])
        np.testing.assert_allclose(model.predict(table.take(some)), model.predict(table)[some])
        assert model.predict(table.take(np.zeros(600, bool))).shape == (0, 2)
        assert model.expected(table.take(np.zeros(600, bool))).shape == (0, 3)

    def test_columns_may_stand_in_another_order_and_one_may_not_be_missing(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 600)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        turned = table.as_named(("region", "busy", "thrift"))
        np.testing.assert_array_equal(model.predict(turned), model.predict(table))
        with pytest.raises(DataError, match="thrift"):
            model.predict(table.as_named(("region", "busy")))

    def test_arms_may_be_chosen_and_must_have_been_there(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 600)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        both = model.predict(table)
        np.testing.assert_array_equal(model.predict(table, [2]), both[:, 1:])
        np.testing.assert_array_equal(model.predict(table, [2, 1]), both[:, ::-1])
        np.testing.assert_array_equal(model.expected(table, [2]), model.expected(table)[:, [0, 2]])
        for wrong in (0, 3):
            with pytest.raises(DataError, match=f"arm {wrong} was not in the trial; it had 1 to 2"):
                model.predict(table, [wrong])

    def test_what_is_expected_is_a_chance_and_differs_by_the_effect(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 600)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        found, effects = model.expected(table), model.predict(table)
        assert ((found >= 0) & (found <= 1)).all()
        inside = (found[:, 1:] > 0) & (found[:, 1:] < 1)
        np.testing.assert_allclose((found[:, 1:] - found[:, :1])[inside], effects[inside])
        assert inside.mean() > 0.5

    def test_chances_that_are_told_count(self, name: str) -> None:
        """One number for all changes nothing against a trial by lot; chances that lean do."""
        table, arm, bought, _ = planted(0, 600, 2)
        by_lot = self.made(name).fit(table, arm, bought, run=ONE).predict(table)
        np.testing.assert_array_equal(self.made(name).fit(table, arm, bought, 0.5, ONE).predict(table), by_lot)
        lean = np.random.default_rng(0).uniform(0.2, 0.8, 600)
        assert not np.array_equal(self.made(name).fit(table, arm, bought, lean, ONE).predict(table), by_lot)

    def test_what_cannot_be_learnt_from_is_refused(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 300)
        cases: list[tuple[AnyArray, AnyArray, Any, str]] = [
            (np.where(arm == 1, 0, arm), bought, None, "arm 1 has nobody"),
            (arm, np.where(arm == 2, 0.0, bought), None, r"arm 2 has \d+ people, \d+ of them with the outcome 0"),
            (arm, np.where(bought > 0, np.nan, 0), None, "outcome nan came"),
            (arm, bought, np.where(arm == 1, 1.0, 0.5), "propensity 1 came"),
            (arm, bought, 0.5, "one propensity"),
            (arm[:9], bought[:9], None, "300 rows of 300 queries came for 9 people"),
        ]
        for treatment, outcome, propensity, message in cases:
            with pytest.raises(DataError, match=message):
                self.made(name).fit(table, treatment, outcome, propensity)
        lists = replace(table, offsets=offsets_of([100, 200]))
        with pytest.raises(DataError, match="300 rows of 2 queries"):
            self.made(name).fit(lists, arm, bought)

    def test_texts_are_no_arms_outcomes_or_chances_and_columns_are_no_table(self, name: str) -> None:
        table, arm, bought, _ = planted(0, 300)
        names, words = np.array(["nothing", "small", "large"])[arm], np.where(bought > 0, "1", "0")
        cases: list[tuple[Any, Any, Any, Any, str]] = [
            (table, names, bought, None, "treatment: .* came; numbers are expected"),
            (table, arm, words, None, "outcome: .* came; numbers are expected"),
            (table, arm, [[1], [1, 0]] * 150, None, "outcome: .* came; .* lists of one length"),
            (table, arm, bought, "half", "propensity: the text 'half' came"),
            ({"busy": bought}, arm, bought, None, f"{name} reads a table of features, dict came; FeatureTable.of"),
            (np.zeros((300, 2)), arm, bought, None, "ndarray came"),
        ]
        for features, treatment, outcome, propensity, message in cases:
            with pytest.raises(DataError, match=message):
                self.made(name).fit(features, treatment, outcome, propensity)
        model = self.made(name).fit(table, arm, bought, run=ONE)
        with pytest.raises(DataError, match="dict came"):
            model.predict({"busy": bought})  # type: ignore[arg-type]
        with pytest.raises(DataError, match="arm '1' came; whole numbers from 1 to 2 are expected"):
            model.predict(table, "1")  # type: ignore[arg-type]

    def test_nothing_is_told_before_it_is_learnt(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(NotFittedError, match="call fit"):
            self.made(name).predict(planted(0, 10)[0])
        with pytest.raises(NotFittedError, match="call fit"):
            self.made(name).save(tmp_path / "model")

    def test_one_that_failed_to_learn_anew_tells_nothing(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        table, arm, bought, _ = planted(0, 300)
        model = self.made(name).fit(table, arm, bought, run=ONE)

        def fails(*_: Any) -> None:
            raise DataError("no more trees")

        monkeypatch.setattr(BoostedTrees, "_fit", fails)
        with pytest.raises(DataError, match="no more trees"):
            model.fit(table, arm, bought, run=ONE)
        with pytest.raises(NotFittedError, match="call fit"):
            model.predict(table)


class Cells(Ranker):
    """The weighed mean label of each value of the first feature."""

    config: RankerConfig
    learns = ("means",)

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        cell = rows.features.values[:, 0].astype(int)
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        self.means = np.bincount(cell, weight * rows.label) / np.bincount(cell, weight)

    def _predict(self, features: FeatureTable) -> DoubleVector:
        return np.asarray(self.means[features.values[:, 0].astype(int)], np.float64)


class Mean(Cells):
    """The weighed mean label of all."""

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        self.means = np.repeat((weight * rows.label).sum() / weight.sum(), 9)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"cells": Cells, "mean": Mean}
    own = rankers.get
    monkeypatch.setattr("zhiyin.ranking.uplift._crossed.rankers.get", lambda name: known.get(name) or own(name))


@pytest.mark.usefixtures("by_hand")
class TestKnownAnswers:
    """Two kinds of people, a and b: who buys with which chance, and how many of each were given something.

    a: 0.2 without, 0.6 with; 3,000 with nothing and 9,000 given. b: 0.5 and 0.4; 6,000 and 2,000.
    """

    def people(self) -> tuple[FeatureTable, AnyArray, AnyArray]:
        cells = [(0, 0, 0.2, 3_000), (0, 1, 0.6, 9_000), (1, 0, 0.5, 6_000), (1, 1, 0.4, 2_000)]
        kind, arm = (np.concatenate([np.full(one[3], one[at]) for one in cells]) for at in (0, 1))
        bought = np.concatenate([np.arange(n) < chance * n for _, _, chance, n in cells]).astype(float)
        return FeatureTable.of({"kind": kind.astype(float)}), arm, bought

    def asked(self) -> FeatureTable:
        return FeatureTable.of({"kind": np.array([0.0, 1.0])})

    def test_the_difference_of_two_models(self) -> None:
        model = TLearner(outcomes="cells").fit(*self.people())
        assert model.predict(self.asked())[:, 0] == pytest.approx([0.4, -0.1], abs=0.005)
        assert model.expected(self.asked()).ravel() == pytest.approx([0.2, 0.6, 0.5, 0.4], abs=0.005)

    def test_effects_are_weighed_by_the_part_that_was_given_it(self) -> None:
        """Effects by one number for all: what was gained by those who were given it and by those who were not.

        Given: (9,000 · 0.4 - 2,000 · 0.1) / 11,000 = 0.3091; nothing: (3,000 · 0.4 - 6,000 · 0.1) / 9,000 = 0.0667.
        The part that was given it is 0.55, so 0.55 · 0.0667 + 0.45 · 0.3091 = 0.1758.
        """
        model = XLearner(outcomes="cells", effects="mean").fit(*self.people())
        assert model.predict(self.asked())[:, 0] == pytest.approx([0.1758, 0.1758], abs=0.003)

    def test_models_of_cells_learn_the_effect_of_each(self) -> None:
        model = XLearner(outcomes="cells", effects="cells").fit(*self.people())
        assert model.predict(self.asked())[:, 0] == pytest.approx([0.4, -0.1], abs=0.005)

    def test_each_row_counts_by_its_propensity(self) -> None:
        """Of 12,000 a and 8,000 b: 0.2 and 0.5 without make 0.32, 0.6 and 0.4 with make 0.52."""
        table, arm, bought = self.people()
        given = np.where(table.column("kind") == 0, 0.75, 0.25)
        model = TLearner(outcomes="mean").fit(table, arm, bought, np.where(arm == 1, given, 1 - given))
        assert model.expected(self.asked())[0] == pytest.approx([0.32, 0.52], abs=0.003)
        plain = TLearner(outcomes="mean").fit(table, arm, bought)
        assert plain.expected(self.asked())[0] == pytest.approx([0.4, 0.5636], abs=0.003)


def test_folds_have_like_outcomes_and_each_row_stops_one_that_has_not_learnt_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[AnyArray, AnyArray]] = []

    class Spy(Cells):
        def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
            assert validation is not None
            seen.append((rows.features.values[:, 0], validation.features.values[:, 0]))
            assert rows.label.mean() == pytest.approx(validation.label.mean(), abs=0.05)
            self.means = np.zeros(1_000)

    monkeypatch.setattr("zhiyin.ranking.uplift._crossed.rankers.get", lambda _: Spy)
    rng = np.random.default_rng(0)
    arm = rng.integers(0, 2, 1_000)
    rows = FeatureTable.of({"row": np.arange(1_000.0)})
    TLearner(outcomes="spy", folds=4).fit(rows, arm, rng.random(1_000) < 0.1)
    assert len(seen) == 8
    for at in (0, 1):
        own = np.flatnonzero(arm == at)
        held = np.concatenate([one for _, one in seen[4 * at : 4 * at + 4]])
        np.testing.assert_array_equal(np.sort(held), own)
        for learnt, left in seen[4 * at : 4 * at + 4]:
            np.testing.assert_array_equal(np.sort(np.concatenate([learnt, left])), own)


def test_it_beats_the_order_of_the_likely_buyers_in_a_world_of_coupons() -> None:
    _, truth = synthetic(n_users=12_000, n_items=60, n_events=250_000, n_groups=4, cart_rate=0.2, seed=6)
    log = truth.coupons(12_000, seed=1)
    table = FeatureTable.of({name: log[name].to_numpy(zero_copy_only=False) for name in COUPON_FEATURES}, buckets=50)
    arm, bought = log["arm"].to_numpy(), log["bought"].to_numpy().astype(float)
    effect = log["chance_with_1"].to_numpy() - log["chance_without"].to_numpy()
    train = np.arange(12_000) < 6_000
    model = XLearner(**OPTIONS["x_learner"]).fit(table.take(train), arm[train], bought[train], 0.5, ONE)
    asked, true = table.take(~train), effect[~train]
    part = qini_of(true, model.predict(asked)[:, 0]) / qini_of(true)
    likely = qini_of(true, model.expected(asked)[:, 1]) / qini_of(true)
    assert part > 0.7
    assert likely < part - 0.2
    assert qini_of(true, log["chance_without"].to_numpy()[~train]) / qini_of(true) < 0.4


def test_a_ranker_that_cannot_learn_what_is_asked_says_so() -> None:
    table, arm, bought, _ = planted(0, 300)
    with pytest.raises(DataError, match="logistic learns chances from labels 0 and 1"):
        XLearner(outcomes="logistic", effects="logistic", folds=2).fit(table, arm, bought)
    with pytest.raises(ConfigError, match="unknown ranker 'no_such'"):
        TLearner(outcomes="no_such").fit(table, arm, bought)
    with pytest.raises(ConfigError, match="folds"):
        TLearner(folds=1)
