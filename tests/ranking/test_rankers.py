import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata

from zhiyin.arrays import offsets_of
from zhiyin.data.synthetic import synthetic
from zhiyin.errors import ConfigError, DataError, MissingExtra, NotFittedError
from zhiyin.metrics import AUC, CalibrationError, LogLoss
from zhiyin.ranking import rankers
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rankers import Blend, BoostedTrees, DeepCross, InterestAttention, Logistic, MultiTask
from zhiyin.ranking.rankers._line import _drawn, learn_line, on_line
from zhiyin.ranking.rankers.base import Ranker, Rows
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


def alone(rows: Rows) -> Rows:
    """The same rows, each a query of its own."""
    history = None if rows.features.history is None else rows.features.history[rows.features.owner()]
    return replace(rows, features=replace(rows.features, offsets=np.arange(len(rows) + 1), history=history))


def everything(seed: int = 0, n_queries: int = 200) -> Rows:
    """`planted`, where some of what is clicked is converted, with items and histories that say nothing."""
    rows = planted(seed, n_queries)
    rng = np.random.default_rng(seed + 100)
    bought = rows.label * (rng.random(len(rows)) < 0.4)
    features = replace(
        rows.features,
        item=rng.integers(0, 30, len(rows)).astype(np.int32),
        history=rng.integers(-1, 30, (n_queries, 6)).astype(np.int32),
    )
    return replace(rows, features=features, outcomes={"click": rows.label, "conversion": bought.astype(np.float32)})


QUICK: dict[str, dict[str, Any]] = {
    "blend": {"parts": "boosted_trees, logistic"},
    "boosted_trees": {"n_trees": 30},
    "deep_cross": {"epochs": 6, "learning_rate": 0.01, "batch_size": 256, "hidden": (16,)},
    "interest_attention": {"epochs": 6, "learning_rate": 0.01, "batch_size": 256, "hidden": (16,), "interest_size": 4},
    "logistic": {},
    "multi_task": {"epochs": 6, "learning_rate": 0.01, "batch_size": 256, "hidden": (16,)},
}


@pytest.mark.parametrize("name", rankers.available())
class TestEveryRanker:
    def made(self, name: str, **options: Any) -> Ranker:
        assert set(QUICK) == set(rankers.available()), "a ranker has no place here"
        found: Ranker = rankers.get(name)(**QUICK[name], **options)
        return found

    def test_it_finds_what_was_planted(self, name: str) -> None:
        ranker = self.made(name).fit(everything(0, 400), run=Run(threads=1))
        test = everything(1)
        assert auc(test, ranker.predict(test.features)) > 0.8

    def test_a_saved_one_is_the_same(self, name: str, tmp_path: Path) -> None:
        rows = everything()
        ranker = self.made(name, calibration="platt").fit(rows, everything(1, 50), Run(threads=1))
        again = load(save(ranker, tmp_path / "ranker"), "rankers", "ranker", rankers.get)
        assert again.config == ranker.config
        np.testing.assert_allclose(again.predict(rows.features), ranker.predict(rows.features), rtol=1e-6)
        assert again.importance() == ranker.importance()

    def test_a_row_alone_is_what_it_is_among_others(self, name: str) -> None:
        rows = everything()
        ranker = self.made(name).fit(rows, run=Run(threads=1))
        some = np.zeros(200, bool)
        some[[3, 77]] = True
        kept = some[rows.features.owner()]
        alone = ranker.predict(rows.take(some).features)
        np.testing.assert_allclose(alone, ranker.predict(rows.features)[kept], rtol=1e-5)

    def test_columns_may_stand_in_another_order(self, name: str) -> None:
        rows = everything()
        ranker = self.made(name).fit(rows, run=Run(threads=1))
        turned = rows.features.as_named(("kind", "good", "noise"))
        np.testing.assert_array_equal(ranker.predict(turned), ranker.predict(rows.features))

    def test_the_same_seed_learns_the_same(self, name: str) -> None:
        rows = everything()
        first, second = (self.made(name).fit(rows, run=Run(seed=3, threads=1)) for _ in range(2))
        np.testing.assert_array_equal(first.predict(rows.features), second.predict(rows.features))

    def test_what_was_never_told_or_never_seen_is_no_trouble(self, name: str) -> None:
        rows = everything()
        rows = replace(rows, features=replace(rows.features, sizes={"kind": 900}))
        ranker = self.made(name).fit(rows, run=Run(threads=1))
        strange = np.full((2, 3), np.nan, np.float32)
        strange[1] = 1e30, -1e30, 899
        table = FeatureTable(
            rows.features.names,
            strange,
            {"kind": 900},
            np.array([0, 2]),
            np.array([29, 10_000], np.int32),
            np.full((1, 6), -1, np.int32),
        )
        assert np.isfinite(ranker.predict(table)).all()
        assert not len(ranker.predict(rows.take(np.zeros(200, bool)).features))

    def test_calibrated_chances_are_those_of_what_happened(self, name: str) -> None:
        train, held, test = everything(0, 400), everything(1, 400), everything(2, 2_000)
        options = {"balance": True, "calibration": "isotonic"}
        ranker = self.made(name, **options).fit(train, held, Run(threads=1))
        raw = self.made(name, balance=True).fit(train, held, Run(threads=1))
        label = test.outcomes["conversion"] if name == "multi_task" else test.label
        found, plain = (np.asarray(one.predict(test.features)) for one in (ranker, raw))
        error = CalibrationError(n_bins=10)
        assert error(label, found) < 0.03
        if plain.min() >= 0 and plain.max() <= 1:
            assert error(label, found) < error(label, plain)

    def test_what_is_foretold_has_a_name(self, name: str) -> None:
        rows = everything()
        ranker = self.made(name).fit(rows, run=Run(threads=1))
        found = ranker.outcomes(rows.features)
        assert tuple(found) == ranker.foretold
        np.testing.assert_array_equal(found[ranker.foretold[-1]], ranker.predict(rows.features))


def test_balance_counts_wanted_and_unwanted_alike() -> None:
    rows = replace(planted(), weight=np.arange(1, 2_001, dtype=np.float32))
    even = rows.balanced()
    assert even.weight is not None
    assert even.weight[rows.label > 0].sum() == pytest.approx(even.weight[rows.label == 0].sum(), rel=1e-4)
    assert even.weight.sum() == pytest.approx(rows.weight.sum(), rel=1e-4)
    ratio = even.weight[rows.label > 0] / rows.weight[rows.label > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


class TestLogistic:
    def test_it_is_the_minimum_of_its_own_loss(self) -> None:
        """One number with one piece and one category: plain regression, by Newton on the same penalised loss."""
        rows = planted(0, 60)
        values = np.nan_to_num(rows.features.values)
        rows = replace(rows, features=replace(rows.features, values=values))
        found = Logistic(bins=1, regularization=2.0, iterations=2_000).fit(rows, run=Run(threads=1))
        low, high = values[:, :2].min(0), values[:, :2].max(0)
        part = (values[:, :2] - low) / (high - low)
        basis = np.concatenate([part, 1 - part, np.eye(5)[values[:, 2].astype(int)]], 1)
        basis = np.concatenate([basis, np.ones((len(basis), 1))], 1)
        penalty = np.diag([2.0] * 9 + [0.0])
        weight = np.zeros(10)
        for _ in range(50):
            chance = expit(basis @ weight)
            slope = basis.T @ (chance - rows.label) + penalty @ weight
            curve = (basis.T * (chance * (1 - chance))) @ basis + penalty
            weight -= np.linalg.solve(curve, slope)
        np.testing.assert_allclose(found.predict(rows.features), expit(basis @ weight), atol=1e-3)

    def test_a_curve_is_read_as_it_was_planted(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.uniform(-2, 2, 40_000)
        odds = np.where(x < 0, -x, 2 * x) - 1  # a valley at 0
        x[:500] = np.nan
        odds[:500] = 1.5
        label = (rng.random(len(x)) < expit(odds)).astype(np.float32)
        table = FeatureTable(("x",), x.astype(np.float32)[:, None], {}, np.arange(len(x) + 1))
        found = Logistic(bins=8).fit(Rows(table, label), run=Run(threads=1))
        *points, (place, missing) = found.curve("x")
        at = {round(knot, 1): height for knot, height in points}
        assert at[-2] - at[0] == pytest.approx(2, abs=0.3)
        assert at[2] - at[0] == pytest.approx(4, abs=0.4)
        assert np.isnan(place)
        assert missing - at[0] == pytest.approx(2.5, abs=0.5)
        with pytest.raises(DataError, match="no number that was learnt from; there are: x"):
            found.curve("y")

    def test_importance_is_of_what_differs(self) -> None:
        found = Logistic().fit(planted(0, 500)).importance()
        assert list(found) == ["good", "kind", "noise"]
        assert sum(found.values()) == pytest.approx(1)

    def test_rare_values_share_a_place_and_many_are_hashed(self) -> None:
        rng = np.random.default_rng(0)
        kind = rng.integers(0, 5_000, 30_000).astype(np.float32)
        kind[0] = 7_000  # once
        label = (rng.random(len(kind)) < np.where(kind % 2 == 0, 0.9, 0.1)).astype(np.float32)
        table = FeatureTable(("kind",), kind[:, None], {"kind": 8_000}, np.array([0, len(kind)]))
        rows = Rows(table, label)
        full, hashed = (Logistic(buckets=size, rare=2).fit(rows, run=Run(threads=1)) for size in (20_000, 500))
        assert full.places[0, 7_000] == 0
        assert len(np.unique(full.places[0, :5_000])) > 4_900
        assert hashed.widths[0] <= 501
        assert auc(rows, full.predict(table)) > auc(rows, hashed.predict(table)) > 0.5


class TestDeepCross:
    def test_it_finds_a_product_that_a_sum_cannot(self) -> None:
        def rows(seed: int) -> Rows:
            rng = np.random.default_rng(seed)
            x = rng.normal(size=(6_000, 2)).astype(np.float32)
            label = (rng.random(len(x)) < expit(3 * x[:, 0] * x[:, 1])).astype(np.float32)
            return Rows(FeatureTable(("a", "b"), x, {}, np.arange(len(x) + 1)), label)

        test = rows(1)
        best = auc(test, test.features.values.prod(1))
        net = DeepCross(epochs=15, batch_size=256, hidden=(32,)).fit(rows(0), run=Run(threads=1))
        assert auc(test, Logistic().fit(rows(0)).predict(test.features)) < 0.55
        assert auc(test, net.predict(test.features)) > best - 0.03

    def test_order_is_learnt_inside_queries(self) -> None:
        """A number that says how good a query is as a whole is of no use to order its candidates."""

        def rows(seed: int) -> Rows:
            rng = np.random.default_rng(seed)
            n, k = 400, 8
            mood = np.repeat(rng.normal(size=n) * 3, k)
            good = rng.normal(size=n * k)
            label = np.zeros(n * k, np.float32)
            label[np.arange(n) * k + (good + rng.gumbel(size=n * k)).reshape(n, k).argmax(1)] = 1
            values = np.stack([good, mood], 1).astype(np.float32)
            return Rows(FeatureTable(("good", "mood"), values, {}, offsets_of(np.full(n, k))), label)

        net = DeepCross(objective="order", epochs=15, batch_size=256, hidden=(16,)).fit(rows(0), rows(1))
        assert not net.says_chances
        said = net.predict(rows(2).features).reshape(-1, 8)
        good = rows(2).features.column("good").reshape(-1, 8)
        right = np.mean([np.corrcoef(one, two)[0, 1] for one, two in zip(said, good, strict=True)])
        assert right > 0.9

    def test_it_stops_where_validation_is_best(self) -> None:
        few = planted(0, 20)
        net = DeepCross(epochs=200, learning_rate=0.02, patience=2, dropout=0, regularization=0).fit(few, planted(1))
        assert net.trained.stopped
        assert net.trained.best_epoch < 200


class TestBlend:
    def test_it_is_better_than_its_parts_where_they_err_differently(self) -> None:
        rows = [planted(seed, 150) for seed in range(2)]
        test = planted(9, 2_000)
        blend = Blend(parts="boosted_trees, logistic").fit(*rows, Run(threads=1))
        losses = [LogLoss()(test.label, one.predict(test.features)) for one in (blend, *blend.parts)]
        assert losses[0] < min(losses[1:]) + 1e-3
        assert (blend.shares[:-1] >= 0).all()

    def test_a_part_that_says_nothing_gets_no_weight(self) -> None:
        rows = [planted(seed, 300) for seed in range(2)]
        silly = {"ranker": "logistic", "settings": {"regularization": 1e9}}
        blend = Blend(parts=[{"ranker": "logistic"}, silly], steadiness=0).fit(*rows, Run(threads=1))
        assert blend.shares[0] == pytest.approx(1, abs=0.2)
        alone = Logistic().fit(rows[0]).predict(rows[1].features)
        assert np.corrcoef(logit(alone), logit(blend.predict(rows[1].features)))[0, 1] > 0.999

    def test_without_validation_all_count_alike(self) -> None:
        blend = Blend(parts="boosted_trees, logistic").fit(planted(), run=Run(threads=1))
        assert blend.shares.tolist() == [0.5, 0.5, 0]

    def test_mistakes(self) -> None:
        with pytest.raises(ConfigError, match="boosted_trees gives no chances"):  # before anything learns
            Blend(parts=[{"ranker": "boosted_trees", "settings": {"n_trees": 5}}])
        with pytest.raises(ConfigError, match="no ranker came"):
            Blend(parts=[])

    def test_histories_and_vectors_reach_the_parts_that_read_them(self) -> None:
        world, _ = synthetic(n_users=40, n_items=30, n_events=2_000, n_groups=4, seed=4)
        net = {"ranker": "interest_attention", "settings": QUICK["interest_attention"]}
        choice = {"ranker": "blend", "settings": {"parts": [net, {"ranker": "logistic"}]}}
        source = {"model": "bpr", "quota": 20, "settings": {"epochs": 2}}
        made = Pipeline(sources=[source], cases=200, repeats="allow", ranker=choice).fit(world, run=Run(threads=1))
        assert isinstance(made.ranker, Blend)
        part = made.ranker.parts[0]
        assert isinstance(part, InterestAttention)
        assert part.vectors.shape[0] == 30
        assert part.vectors.shape[1] > 1
        assert made.ranker.reads_histories
        assert not Blend(parts="logistic").reads_histories

    def test_what_a_part_cannot_learn_from_is_said_before_another_learns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Logistic, "_fit", lambda *_: pytest.fail("a part learns"))
        with pytest.raises(DataError, match="interest_attention reads histories, and these rows have none"):
            Blend(parts="logistic, interest_attention").fit(planted())
        with pytest.raises(DataError, match="multi_task learns 'click', of which the validation rows say nothing"):
            Blend(parts="logistic, multi_task").fit(everything(), planted())


class TestInterestAttention:
    def rows(self, seed: int, n: int = 1_000) -> tuple[Rows, np.ndarray]:
        """An item is wanted for each item of the history that is of its own group of five; features say nothing."""
        rng = np.random.default_rng(seed)
        history = rng.integers(0, 50, (n, 8)).astype(np.int32)
        history[:, :2] = -1
        item = rng.integers(0, 50, 5 * n).astype(np.int32)
        same = (history % 5 == item.reshape(n, 5, 1).transpose(1, 0, 2) % 5) & (history >= 0)
        odds = 1.5 * same.sum(2).T.ravel() - 2
        label = (rng.random(len(odds)) < expit(odds)).astype(np.float32)
        noise = rng.normal(size=(len(item), 1)).astype(np.float32)
        return Rows(FeatureTable(("noise",), noise, {}, offsets_of(np.full(n, 5)), item, history), label), odds

    def test_it_weighs_the_history_by_the_candidate(self) -> None:
        (train, _), (held, _), (test, odds) = (self.rows(seed) for seed in range(3))
        vectors = np.eye(5, dtype=np.float32)[np.arange(50) % 5]
        net = InterestAttention(epochs=15, batch_size=512).with_vectors(vectors).fit(train, held, Run(threads=1))
        assert auc(test, DeepCross(epochs=3).fit(train).predict(test.features)) < 0.55
        assert auc(test, net.predict(test.features)) > auc(test, odds) - 0.03

    def test_the_order_of_the_history_does_not_matter(self) -> None:
        rows, _ = self.rows(0, 100)
        net = InterestAttention(epochs=2).fit(rows)
        turned = replace(rows.features, history=rows.features.history[:, ::-1].copy())  # type: ignore[index]
        np.testing.assert_allclose(net.predict(turned), net.predict(rows.features), rtol=1e-4)

    def test_mistakes(self) -> None:
        rows, _ = self.rows(0, 20)
        with pytest.raises(DataError, match="reads histories, and these rows have none; make features with history=50"):
            InterestAttention().fit(planted())
        with pytest.raises(DataError, match="items up to number 49 came, and vectors of 7 alone"):
            InterestAttention().with_vectors(np.ones((7, 2), np.float32)).fit(rows)

    def test_it_learns_anew_from_more_items(self) -> None:
        rows, _ = self.rows(0, 50)
        few = rows.features
        assert few.item is not None
        few = replace(few, item=few.item % 20, history=np.minimum(few.history, 19))
        net = InterestAttention(epochs=1).fit(replace(rows, features=few))
        assert len(net.vectors) == 20
        again, fresh = (one.fit(rows, run=Run(threads=1)) for one in (net, InterestAttention(epochs=1)))
        np.testing.assert_array_equal(again.predict(rows.features), fresh.predict(rows.features))


class TestMultiTask:
    @pytest.mark.parametrize("n_experts", [1, 3])
    def test_chances_of_a_chain_are_products(self, n_experts: int) -> None:
        ranker = MultiTask(epochs=8, batch_size=256, n_experts=n_experts).fit(everything(0, 600))
        test = everything(1, 1_000)
        found = ranker.outcomes(test.features)
        assert (found["conversion"] < found["click"]).all()
        for name, column in found.items():
            assert column.mean() == pytest.approx(test.outcomes[name].mean(), abs=0.03)
            assert auc(replace(test, label=test.outcomes[name]), column) > 0.78

    def test_without_a_chain_outcomes_may_come_alone(self) -> None:
        rows = everything()
        apart = replace(rows, outcomes={"click": rows.label, "save": 1 - rows.label})
        found = MultiTask(tasks="click, save", chain=False, epochs=8, batch_size=256).fit(apart).outcomes(rows.features)
        assert np.corrcoef(logit(found["click"]), logit(found["save"]))[0, 1] < -0.9

    def test_mistakes(self) -> None:
        rows = everything()
        with pytest.raises(DataError, match="learns 'click', of which the rows say nothing; their outcomes: none"):
            MultiTask().fit(planted())
        wrong = replace(rows, outcomes={"click": rows.label * 0, "conversion": rows.label})
        with pytest.raises(DataError, match="rows have a conversion without a click"):
            MultiTask().fit(wrong)
        with pytest.raises(ConfigError, match="each once"):
            MultiTask(tasks="click, click")

    def test_mistakes_in_validation_rows(self) -> None:
        rows, held = everything(), everything(1)
        with pytest.raises(DataError, match="'click', of which the validation rows say nothing; their outcomes: none"):
            MultiTask(calibration="platt").fit(rows, planted())
        wrong = replace(held, outcomes={"click": held.label, "conversion": held.label / 2})
        with pytest.raises(DataError, match="outcomes 'conversion' of the validation rows are not all 0 or 1"):
            MultiTask().fit(rows, wrong)
        never = replace(held, outcomes={"click": held.label, "conversion": np.zeros(len(held), np.float32)})
        for some in (never, replace(never, label=never.outcomes["conversion"])):
            with pytest.raises(DataError, match="'conversion' never happens in the 2,000 validation rows"):
                MultiTask(calibration="platt").fit(rows, some)

    def test_validation_is_by_outcomes_and_not_by_the_label(self) -> None:
        """The label of validation rows is of no use, so it may be all the same."""
        rows, held = everything(), everything(1, 100)
        made = [
            MultiTask(epochs=2).fit(rows, one, Run(threads=1)).predict(rows.features)
            for one in (held, replace(held, label=np.zeros(len(held), np.float32)))
        ]
        np.testing.assert_array_equal(*made)

    def test_log_loss_is_that_of_the_definition(self) -> None:
        """What was learnt from is better told than by the shares of outcomes alone."""
        rows = everything(0, 600)
        found = MultiTask(epochs=8, batch_size=256).fit(rows).outcomes(rows.features)
        for name, column in found.items():
            happened = rows.outcomes[name]
            assert LogLoss()(happened, column) < LogLoss()(happened, np.full(len(happened), happened.mean())) - 0.05


@pytest.mark.parametrize("objective", ["order", "chance", "value"])
def test_it_finds_what_was_planted(objective: str) -> None:
    train, test = planted(0), planted(1)
    ranker = BoostedTrees(objective=objective, n_trees=60, least_rows=20).fit(train, run=Run(threads=1))
    assert auc(test, ranker.predict(test.features)) > 0.85
    importance = ranker.importance()
    assert next(iter(importance)) == "good"
    assert importance["kind"] > importance["noise"]
    assert sum(importance.values()) == pytest.approx(1)


class TestGrades:
    """LambdaRank wants whole grades, of which grade g counts 2^g - 1; ours may be halves, or begin below 0."""

    def graded(self) -> Rows:
        rows = planted(0, 100)
        good = np.nan_to_num(rows.features.column("good"))
        return replace(rows, label=np.clip(np.round(good) + 2, 0, 4).astype(np.float32))

    def test_whole_grades_are_those_of_lightgbm(self) -> None:
        import lightgbm

        rows, ranker = self.graded(), BoostedTrees(n_trees=10)
        for label, gain in (
            (rows.label, None),
            (rows.label / 2, [2 ** (one / 2) - 1 for one in range(5)]),
            (rows.label - 2, None),
        ):
            told = {} if gain is None else {"label_gain": gain}
            lengths = np.diff(rows.features.offsets)
            data = lightgbm.Dataset(rows.features.values, rows.label, group=lengths, categorical_feature=[2])
            theirs = lightgbm.train({**ranker._parameters(Run(threads=1)), **told}, data, 10)
            ours = ranker.fit(replace(rows, label=label), run=Run(threads=1))
            np.testing.assert_allclose(ours.predict(rows.features), theirs.predict(rows.features.values), rtol=1e-12)

    def test_validation_may_hold_grades_that_were_not_learnt_from(self) -> None:
        rows = self.graded()
        held = replace(planted(1, 50), label=np.tile(np.array([0, 1, 2.5, 7, 4], np.float32), 100))
        known = replace(rows, label=np.minimum(rows.label, 3))
        ranker = BoostedTrees(n_trees=10).fit(known, held, Run(threads=1))
        assert auc(replace(rows, label=(rows.label > 2).astype(np.float32)), ranker.predict(rows.features)) > 0.9

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            (np.arange(2_000) % 41, "grades up to 30, .* 41 from 0 to 40 are in the rows: divide or round them"),
            (np.linspace(0, 5, 2_000), "at most 1,000 different ones; 2,000 from 0 to 5"),
        ],
    )
    def test_labels_that_are_no_grades(
        self, label: np.ndarray, message: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        rows = replace(planted(), label=label.astype(np.float32))
        with pytest.raises(DataError, match=message):
            BoostedTrees().fit(rows)
        BoostedTrees(objective="value", n_trees=2).fit(rows, run=Run(threads=1))
        assert capfd.readouterr() == ("", "")

    def test_a_query_of_too_many_rows(self) -> None:
        rows = planted(0, 1_001)
        whole = replace(rows, features=replace(rows.features, offsets=np.array([0, len(rows)])))
        for train, held in ((whole, None), (rows, whole)):
            with pytest.raises(DataError, match=r"at most 10,000 rows, and one in the .*rows has 10,010; leave some"):
                BoostedTrees().fit(train, held)

    def test_nets_want_none_below_0(self) -> None:
        rows = planted()
        with pytest.raises(DataError, match=r"deep_cross learns an order from grades of 0 or more, .* rows hold -1"):
            DeepCross(objective="order").fit(replace(rows, label=rows.label - 1))

    def test_what_lightgbm_says_is_an_error_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import lightgbm

        def fails(*_: object, **__: object) -> None:
            raise lightgbm.basic.LightGBMError("out of luck")

        monkeypatch.setattr(lightgbm, "train", fails)
        with pytest.raises(DataError, match=r"LightGBM cannot learn from these 2,000 rows .*out of luck"):
            BoostedTrees().fit(planted())


def chosen(n_queries: int, k: int, weights: tuple[float, ...], seed: int = 0) -> Rows:
    """One candidate of each query is wanted, drawn by the softmax of a weighted sum; beside its numbers, a category."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_queries, k, len(weights))) * 5 + 100
    sums = (values - 100) @ np.array(weights)
    wanted = (sums + rng.gumbel(size=sums.shape)).argmax(1)
    table = np.concatenate([values, rng.integers(0, 3, (n_queries, k, 1))], 2).reshape(n_queries * k, -1)
    names = (*(f"number {at}" for at in range(len(weights))), "kind")
    label = (np.arange(k) == wanted[:, None]).astype(np.float32).ravel()
    offsets = offsets_of(np.full(n_queries, k))
    return Rows(FeatureTable(names, table.astype(np.float32), {"kind": 3}, offsets), label)


class TestLine:
    def test_of_two_candidates_it_is_the_log_odds(self) -> None:
        """The one with the number 1 is wanted in three of four queries: it is 2 deviations above, exp(2 weight) = 3."""
        n = 40_000
        values = np.tile([[1.0], [0.0]], (n, 1)).astype(np.float32)
        right = np.arange(n) % 4 > 0
        label = np.stack([right, ~right], 1).ravel().astype(np.float64)
        table = FeatureTable(("it",), values, {}, offsets_of(np.full(n, 2)))
        line = learn_line(table, label, np.random.default_rng(0))
        assert line[0, 0] == pytest.approx(np.log(3) / 2, abs=1e-3)
        assert line[1:, 0].tolist() == pytest.approx([-1, 1])

    def test_it_finds_the_weights_by_which_was_chosen(self) -> None:
        """Also from some of the unwanted candidates: there are more of them than teach."""
        rows = chosen(3_000, 150, (0.3, -0.1, 0.0))
        line = learn_line(rows.features, rows.label.astype(np.float64), np.random.default_rng(1))
        np.testing.assert_allclose(line[0], [5 * 0.3, 5 * -0.1, 0, 0], atol=0.06)

    def test_what_is_not_known_is_the_mean_and_what_is_beyond_is_the_end(self) -> None:
        line = np.array([[2.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
        values = np.array(
            [[10, 7], [20, 7], [np.nan, 7], [15, 7], [0, 7], [0, 7], [0, 7], [0, 7], [100, 7]], np.float32
        )
        table = FeatureTable(("it", "nothing"), values, {}, np.array([0, 4, 9]))
        far = np.sqrt(1.5)  # 10 and 20 are that far from 15; 100 is two deviations above the mean of its query
        assert on_line(line, table).tolist() == pytest.approx([-2, 2, 0, 0, -1, -1, -1, -1, 2])
        line[1:, 0] = -9, 9
        assert on_line(line, table).tolist() == pytest.approx([-2 * far, 2 * far, 0, 0, -1, -1, -1, -1, 4])

    def test_what_grows_from_month_to_month_changes_nothing(self) -> None:
        rows = chosen(300, 20, (0.5, 0.2))
        line = learn_line(rows.features, rows.label.astype(np.float64), np.random.default_rng(0))
        later = replace(rows.features, values=rows.features.values + np.float32([1024, 0, 0]))
        np.testing.assert_allclose(on_line(line, later), on_line(line, rows.features), atol=1e-2)

    def test_one_that_says_nothing_new_or_is_never_known_weighs_nothing(self) -> None:
        rows = chosen(50, 5, (0.3, 0.0))
        rows.features.values[:, 1] = 4
        line = learn_line(rows.features, rows.label.astype(np.float64), np.random.default_rng(0))
        assert line[0, 1] == 0
        rows.features.values[:, 1] = np.nan
        again = learn_line(rows.features, rows.label.astype(np.float64), np.random.default_rng(0))
        assert np.isfinite(again).all()
        assert again[0].tolist() == line[0].tolist()

    def test_trees_keep_what_a_score_says_in_all_its_detail(self, tmp_path: Path) -> None:
        rows, held = chosen(300, 30, (1.0,)), chosen(300, 30, (1.0,), seed=1)

        def found(ranker: BoostedTrees) -> float:
            score = ranker.predict(held.features).reshape(300, 30)
            return float((score.argmax(1) == held.label.reshape(300, 30).argmax(1)).mean())

        plain, straight = (BoostedTrees(line=line, n_trees=3).fit(rows, held, Run(threads=1)) for line in (False, True))
        sums = held.features.values[:, 0].reshape(300, 30)
        best = float((sums.argmax(1) == held.label.reshape(300, 30).argmax(1)).mean())
        assert found(straight) > found(plain)
        assert found(straight) == pytest.approx(best, abs=0.02)
        save(straight, tmp_path / "it")
        np.testing.assert_array_equal(
            load(tmp_path / "it", "rankers", "ranker", rankers.get).predict(held.features),
            straight.predict(held.features),
        )

    def test_trees_stop_where_they_add_nothing_to_the_line(self) -> None:
        """Validation rows are judged with the line, too; without it trees would go on to learn it by steps."""
        rows, held = chosen(300, 30, (1.0,)), chosen(300, 30, (1.0,), seed=1)
        ranker = BoostedTrees(line=True).fit(rows, held, Run(threads=1))
        assert len(ranker.trees[0].split("Tree=")) - 1 < 60

    def test_it_reads_grades_and_weights(self) -> None:
        """Of two wanted candidates the one of a higher grade counts more; queries count by their weight."""
        values = np.tile([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], (400, 1)).astype(np.float32)
        table = FeatureTable(("better", "good"), values, {}, offsets_of(np.full(400, 3)))
        rows = Rows(table, np.tile([2.0, 1.0, 0.0], 400).astype(np.float32))
        line = BoostedTrees(line=True, n_trees=1, least_rows=1).fit(rows, run=Run(threads=1)).line
        assert line[0, 0] > line[0, 1] > 0
        even = replace(rows, weight=np.tile([1.0, 3.0, 1.0], 400).astype(np.float32))
        equal = BoostedTrees(line=True, n_trees=1, least_rows=1).fit(even, run=Run(threads=1)).line
        assert equal[0, 0] == pytest.approx(equal[0, 1], abs=1e-3)  # 3 * 1 = 1 * 3
        some = replace(rows, weight=np.tile([1.0, 0.0, 1.0], 400).astype(np.float32))
        alone = BoostedTrees(line=True, n_trees=1, least_rows=1).fit(some, run=Run(threads=1)).line
        assert alone[0, 0] > 1
        assert alone[0, 1] == pytest.approx(0, abs=1e-6)  # the rows that it tells apart do not count

    def test_many_wanted_ones_do_not_make_it_flat(self) -> None:
        """Twenty of 300 are chosen, one after the other: of the others few are drawn, and each stands for several."""
        rng = np.random.default_rng(0)
        values = rng.normal(size=(400, 300))
        values = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
        chance = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        label = np.stack([np.bincount(rng.choice(300, 20, p=one), minlength=300) for one in chance]).ravel()
        table = FeatureTable(("it",), values.reshape(-1, 1).astype(np.float32), {}, offsets_of(np.full(400, 300)))
        line = learn_line(table, label.astype(np.float64), rng)
        assert line[0, 0] == pytest.approx(1, abs=0.06)  # 0.74 where each stands for itself

    def test_lists_of_one_label_teach_nothing(self) -> None:
        rows, alike = chosen(300, 20, (0.5, 0.2)), chosen(400, 20, (-0.9, 0.9), seed=1)
        alike = replace(alike, label=np.ones_like(alike.label))
        alone = learn_line(rows.features, rows.label.astype(np.float64), np.random.default_rng(0))
        both = Rows.join([rows, alike])
        again = learn_line(both.features, both.label.astype(np.float64), np.random.default_rng(0))
        np.testing.assert_allclose(again, alone, atol=1e-6)
        heavy = np.linspace(1, 5, len(both)).astype(np.float32)  # they are alike whatever each weighs
        heavy[: len(rows)] = 1
        weighed = learn_line(both.features, both.label.astype(np.float64), np.random.default_rng(0), heavy)
        np.testing.assert_allclose(weighed, alone, atol=1e-6)

    def test_rows_of_no_weight_take_nobodys_place(self) -> None:
        """Of 31 that count all teach, however many others there are; one that is told apart by them alone, does not."""
        rng = np.random.default_rng(0)
        values = rng.normal(size=(200, 331, 1)).astype(np.float32)
        label, weight = np.zeros((200, 331)), np.ones((200, 331), np.float32)
        label[:, 0], weight[:, 31:] = 1, 0
        table = FeatureTable(("it",), values.reshape(-1, 1), {}, offsets_of(np.full(200, 331)))
        line = learn_line(table, label.ravel(), np.random.default_rng(0), weight.ravel())
        label[:, 31:] = 1  # whether they were wanted does not matter
        again = learn_line(table, label.ravel(), np.random.default_rng(9), weight.ravel())
        np.testing.assert_array_equal(again, line)

    def test_beside_very_many_wanted_ones_others_are_drawn_too(self) -> None:
        """Most of 150 rows are wanted, and the number tells which are not."""
        values = np.tile(np.r_[np.ones(140), np.zeros(10)], 50).astype(np.float32)[:, None]
        table = FeatureTable(("it",), values, {}, offsets_of(np.full(50, 150)))
        assert learn_line(table, values[:, 0].astype(np.float64), np.random.default_rng(0))[0, 0] > 0.5

    def test_of_very_many_queries_some_teach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = chosen(3_000, 20, (0.3, -0.1))
        label = rows.label.astype(np.float64)
        monkeypatch.setattr("zhiyin.ranking.rankers._line.MOST", 20_000)
        drawn, _ = _drawn(rows.features, label, np.random.default_rng(0))
        assert drawn.reshape(3_000, 20).sum(1).tolist() == (20 * drawn.reshape(3_000, 20)[:, 0]).tolist()
        assert drawn.sum() == 20_000
        line = learn_line(rows.features, label, np.random.default_rng(0))
        np.testing.assert_allclose(line[0], [5 * 0.3, 5 * -0.1, 0], atol=0.15)

    def test_queries_of_more_gain_count_more(self) -> None:
        """Two parts of the queries say the opposite; that with three times the weight has the last word."""
        values = np.tile([[1.0], [0.0]], (400, 1)).astype(np.float32)
        label = np.r_[np.tile([1.0, 0.0], 200), np.tile([0.0, 1.0], 200)]
        table = FeatureTable(("it",), values, {}, offsets_of(np.full(400, 2)))
        weight = np.r_[np.full(400, 3.0), np.full(400, 1.0)].astype(np.float32)
        line = learn_line(table, label, np.random.default_rng(0), weight)
        assert line[0, 0] == pytest.approx(np.log(3) / 2, abs=0.01)

    def test_it_is_learnt_where_lists_are_long_and_nothing_else_is_said(self) -> None:
        def begins(rows: int, **options: Any) -> bool:
            made = BoostedTrees(n_trees=1, least_rows=1, **options)
            return bool(made.fit(chosen(60, rows, (0.5,)), run=Run(threads=1)).line.any())

        assert begins(20)
        assert not begins(19)
        assert begins(4, line=True)
        assert not begins(20, line=False)
        assert not begins(20, objective="chance")

    def test_what_moves_the_sum_is_important_though_trees_add_nothing(self) -> None:
        rows = chosen(300, 30, (1.0, 0.2))
        importance = BoostedTrees(n_trees=1, learning_rate=0.01).fit(rows, run=Run(threads=1)).importance()
        names = rows.features.names
        assert importance[names[0]] > 0.7 > 0.25 > importance[names[1]] > max(importance[one] for one in names[2:])

    def test_it_is_of_an_order(self) -> None:
        with pytest.raises(ConfigError, match="a line is for the objective 'order', 'chance' came"):
            BoostedTrees(line=True, objective="chance")


@pytest.mark.parametrize("name", ["boosted_trees", "deep_cross", "interest_attention"])
class TestOrderOfLists:
    def made(self, name: str, **options: Any) -> Ranker:
        found: Ranker = rankers.get(name)(**{**QUICK[name], "objective": "order", **options})
        return found

    def test_lists_of_one_row_teach_no_order(self, name: str) -> None:
        with pytest.raises(
            DataError, match=r"none of these 2,000 has rows .* \(the longest has 1 rows\); set objective"
        ):
            self.made(name).fit(alone(everything()))
        rows = alone(everything(0, 400))
        found = self.made(name, objective="chance").fit(rows, run=Run(threads=1))
        assert auc(rows, found.predict(rows.features)) > 0.8

    def test_lists_of_one_label_teach_no_order(self, name: str) -> None:
        rows = everything()
        alike = replace(rows, label=(rows.features.owner() % 2).astype(np.float32))
        with pytest.raises(DataError, match=r"none of these 200 has rows of two different labels"):
            self.made(name).fit(alike)

    def test_few_lists_that_teach_are_warned_of(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        few = Rows.join([everything(0, 20), alone(everything(1, 50))])
        telling = int(few.telling().sum())
        assert 10 < telling <= 20
        self.made(name).fit(few, run=Run(threads=1))
        assert f"an order is learnt from {telling} of 520 queries" in caplog.text
        caplog.clear()
        self.made(name).fit(everything(0, 20), run=Run(threads=1))
        assert "an order is learnt" not in caplog.text

    def test_validation_of_single_rows_does_not_stop_but_calibrates(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows, held = everything(0, 50), everything(1, 50)
        blind = self.made(name, calibration="platt").fit(rows, alone(held), Run(threads=1))
        assert "no query of the validation rows has rows of two different labels" in caplog.text
        never = self.made(name).fit(rows, run=Run(threads=1))
        order = np.argsort(never.predict(rows.features), kind="stable")
        said = blind.predict(rows.features)[order]
        assert (np.diff(said) >= 0).all()
        assert 0 < said[0] < said[-1] < 1


def test_which_queries_tell_of_an_order() -> None:
    lengths = np.array([0, 2, 1, 0, 3, 2, 0])
    table = FeatureTable(("x",), np.zeros((8, 1), np.float32), {}, offsets_of(lengths))
    found = Rows(table, np.array([1, 0, 1, 2, 2, 3, 0, 0], np.float32)).telling()
    assert found.tolist() == [False, True, False, False, True, False, False]
    nothing = FeatureTable(("x",), np.zeros((0, 1), np.float32), {}, np.zeros(3, np.int64))
    assert Rows(nothing, np.zeros(0, np.float32)).telling().tolist() == [False, False]


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


def test_hashed_categories_are_as_good_as_small_ones(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows, hashes = planted(), np.array([7, 52_345, 90_001, 130_000, 261_000], np.float32)
    spread = rows.features.values.copy()
    spread[:, 2] = hashes[rows.features.values[:, 2].astype(int)]
    hashed = replace(rows, features=replace(rows.features, values=spread, sizes={"kind": 2**18}))
    plain, ranker = (BoostedTrees(n_trees=20).fit(one, run=Run(threads=1)) for one in (rows, hashed))
    said = ranker.predict(hashed.features)
    np.testing.assert_allclose(said, plain.predict(rows.features))
    assert len(ranker.levels) == 5
    assert len(plain.levels) == 0
    again = load(save(ranker, tmp_path / "kept"), "rankers", "ranker", rankers.get)
    np.testing.assert_array_equal(again.predict(hashed.features), said)
    never, missing = (spread.copy() for _ in range(2))
    never[:, 2], missing[:, 2] = 8, np.nan
    one, two = (ranker.predict(replace(hashed.features, values=values)) for values in (never, missing))
    np.testing.assert_array_equal(one, two)
    assert capfd.readouterr() == ("", "")


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


def test_a_ranker_is_no_family_of_features(tmp_path: Path) -> None:
    save(BoostedTrees(n_trees=20).fit(planted(), run=Run(threads=1)), tmp_path / "ranker")
    with pytest.raises(DataError, match="no family of features for this version"):
        load(tmp_path / "ranker", "features", "family of features", rankers.get)


class TestMistakes:
    def test_a_table_of_other_buckets_is_refused(self, tmp_path: Path) -> None:
        columns = {"x": np.arange(200.0), "place": np.array(["top", "side"] * 100, object)}
        label = (np.arange(200) % 2).astype(np.float32)
        ranker = Logistic().fit(Rows(FeatureTable.of(columns, buckets=50), label))
        again = load(save(ranker, tmp_path / "ranker"), "rankers", "ranker", rankers.get)
        for one in (ranker, again):
            assert one.predict(FeatureTable.of(columns, buckets=50)).shape == (200,)
            with pytest.raises(DataError, match="'place' has 262144 categories and the ranker has learnt from 50"):
                one.predict(FeatureTable.of(columns))
        with pytest.raises(DataError, match="'place' has no categories"):
            ranker.predict(FeatureTable.of({"x": np.arange(2.0), "place": np.arange(2.0)}))

    def test_labels_that_teach_nothing(self) -> None:
        rows = planted()
        with pytest.raises(DataError, match="all 2,000 rows have the label 0"):
            BoostedTrees().fit(Rows(rows.features, np.zeros(2_000, np.float32)))
        empty = FeatureTable(("good",), np.zeros((0, 1), np.float32), {}, np.zeros(1, np.int64))
        with pytest.raises(DataError, match="no rows"):
            BoostedTrees().fit(Rows(empty, np.zeros(0, np.float32)))
        bare = FeatureTable((), np.zeros((2_000, 0), np.float32), {}, rows.features.offsets)
        with pytest.raises(DataError, match="boosted_trees cannot learn from no features"):
            BoostedTrees().fit(Rows(bare, rows.label))

    def test_a_validation_of_one_label_is_not_used_and_said_so(self, caplog: pytest.LogCaptureFixture) -> None:
        rows = planted()
        held = Rows(rows.features, np.zeros(2_000, np.float32))
        ranker = BoostedTrees(n_trees=15).fit(rows, held, Run(threads=1))
        assert "cannot say when to stop" in caplog.text
        assert ranker.trees[0].count("Tree=") == 15

    def test_chances_without_rows_to_calibrate_on(self) -> None:
        with pytest.raises(DataError, match="got no validation rows of both labels"):
            BoostedTrees(calibration="isotonic", n_trees=5).fit(planted())

    @pytest.mark.parametrize("name", ["logistic", "deep_cross", "boosted_trees"])
    def test_grades_are_no_chances(self, name: str) -> None:
        rows, options = planted(), {"objective": "chance"} if name == "boosted_trees" else {}
        for train, held in ((replace(rows, label=rows.label * 5), None), (rows, replace(rows, label=rows.label * 5))):
            with pytest.raises(DataError, match=r"chances from labels 0 and 1; others came: .*rows hold 5, say"):
                rankers.get(name)(**options).fit(train, held)

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
