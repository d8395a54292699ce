"""Coupons: a trial is drawn from its truth; who gets what has known answers; what a log says agrees with the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from zhiyin.data.exposures import Exposures
from zhiyin.data.synthetic import COUPON_FEATURES
from zhiyin.data.trials import Trial
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.off_policy import value_of
from zhiyin.evaluation.uplift import qini, qini_of
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.report import ScenarioReport
from zhiyin.scenarios.run import run
from zhiyin.scenarios.tasks._policies import Policy, doubly_robust, order_of, until_spent
from zhiyin.scenarios.tasks._trial_log import Columns, People, parts, read, uneven
from zhiyin.scenarios.tasks.coupons import Coupons as Task
from zhiyin.scenarios.worlds.books import Books
from zhiyin.scenarios.worlds.coupons import Coupons

TREES = {"settings": {"n_trees": 60, "learning_rate": 0.15, "n_leaves": 7}}
QUICK = {
    "learner": {"learner": "x_learner", "settings": {"outcomes": TREES, "effects": TREES, "folds": 2}},
    "buyers": TREES,
}
SMALL = {"n_users": 3_000, "n_events": 40_000, "n_items": 60}
ONE = Run(threads=1)


def recipe(
    table: str | None = None, metrics: tuple[str, ...] = ("profit", "spent", "given"), **settings: Any
) -> Recipe:
    """A recipe that takes a second; of a hand-made table unless the settings say more."""
    plain = {"columns": {"arm": "got", "outcome": "came"}, "costs": {"1": 3.0}, "margin": 10.0, "redeemed": False}
    plain |= QUICK | settings
    data = {"world": "coupons", "settings": SMALL} if table is None else {"table": table}
    told = {"title": "quick", "family": "commerce", "purpose": "tests", "metrics": metrics, "data": data}
    return Recipe.read({**told, "task": {"task": "coupons", "settings": plain}, "good": {"gain": 0.1}})


def of_world(**settings: Any) -> Recipe:
    """The same of the world."""
    columns = {"propensity": "propensity", "drop": ["user_id"]}
    money = {"margin": 12.0, "redeemed": True, "budget": 150.0, "reserve": 0.1}
    return recipe(**{"columns": columns, **money, **settings})


def regions(n: int = 3_000, n_arms: int = 2) -> tuple[Any, Any, Any]:
    """People of four regions, what each got by lot, and a number that says nothing."""
    rng = np.random.default_rng(5)
    return rng.choice(["north", "east", "south", "west"], n), rng.integers(0, n_arms, n), rng.random(n)


def west(n: int = 3_000) -> pa.Table:
    """The coupon works on people of the west alone; those of the north buy anyway, others never."""
    region, got, noise = regions(n)
    came = (region == "north") | ((region == "west") & (got == 1))
    return pa.table({"region": region, "noise": noise, "got": got, "came": came})


def judged(found: Recipe, table: pa.Table) -> Any:
    """(n_judged,) the regions of those who are judged."""
    task = Task(**found.task.settings)
    numbered = table.append_column("row", pa.array(np.arange(len(table))))
    people = task._people(found, numbered)
    _, ask = parts(people, task.config.test_share, ONE.generator("coupons parts"))
    return table["region"].to_numpy(zero_copy_only=False)[ask.features.column("row").astype(int)]


def value(found: ScenarioReport, label: str) -> float:
    return found.value("uplift", label)


# ---------------------------------------------------------------------- the world


def test_arms_and_purchases_of_the_trial_are_drawn_from_what_is_true() -> None:
    world = Coupons(**SMALL, discounts=(0.1, 0.25), lean=0.5)
    trial, chances = world.trial(), world.chances()
    arm, bought, propensity = (trial[name].to_numpy(zero_copy_only=False) for name in ("arm", "bought", "propensity"))
    assert chances.shape == (3_000, 3)
    for one in range(3):
        rows = arm == one
        chance = chances[rows, one]
        assert abs((bought[rows] - chance).sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
        # the mean of 1 / propensity over who was given it, as a part of all, is 1: exact chances
        assert abs((1 / propensity[rows]).sum() / 3_000 - 1) < 4 * np.sqrt((1 / propensity[rows] ** 2).sum()) / 3_000
    assert (chances[:, 2] >= chances[:, 1]).all()  # 25 % is not less than 10 %
    assert (chances[:, 1] < chances[:, 0]).any()  # and some had better been left alone


def test_a_trial_tells_of_people_of_the_events_and_nothing_of_the_truth() -> None:
    world = Coupons(**SMALL)
    trial, dataset = world.trial(), world.dataset()
    assert set(trial.column_names) == {"user_id", *COUPON_FEATURES, "arm", "propensity", "bought"}
    past = dataset.histories
    assert past.kind is not None
    of_people = [dataset.users.number(one, "user") for one in trial["user_id"].to_pylist()]
    assert sorted(of_people) == list(range(3_000))
    for name, kind in (("views", "view"), ("purchases", "purchase")):
        counted = np.bincount(past.owner()[past.kind == dataset.kinds.index(kind)], minlength=3_000)
        np.testing.assert_array_equal(trial[name].to_numpy(), counted[of_people])


def test_the_same_seed_is_the_same_trial() -> None:
    one, two, other = (Coupons(**SMALL, seed=seed) for seed in (1, 1, 2))
    assert one.trial().equals(two.trial())
    np.testing.assert_array_equal(one.chances(), two.chances())
    assert not one.trial().equals(other.trial())


def test_the_truth_of_items_is_that_of_the_shop() -> None:
    world = Coupons(n_users=30, n_items=20, n_events=600)
    queries = world.dataset().queries()
    np.testing.assert_allclose(world.truth(queries).sum(1), 1)
    with pytest.raises(DataError, match="lack a user or a time"):
        world.truth(type(queries)(queries.histories, queries.items))


# ---------------------------------------------------------------------- known answers


def test_a_coupon_that_works_in_the_west_goes_to_the_west() -> None:
    found = run(recipe("west.csv"), west(), ONE)
    there = (judged(recipe("west.csv"), west()) == "west").mean()
    assert value(found, "given") == pytest.approx(there)
    assert value(found, "profit") == pytest.approx(1_000 * there * (10 - 3), rel=0.03)
    assert value(found, "spent") == pytest.approx(1_000 * there * 3, rel=0.03)
    assert found.passed, str(found)
    assert set(found.results) == {"likely buyers", "by lot", "uplift"}
    assert not any("oracle" in one.what for one in found.checks)


def test_likely_buyers_would_have_bought_anyway() -> None:
    """The money is enough for the north, who pay 3 less; so the common practice loses all of it."""
    there = (judged(recipe("west.csv"), west()) == "north").mean()
    found = run(recipe("west.csv", budget=1_000 * there * 3 * 0.9), west(), ONE)
    assert found.value("likely buyers", "profit") == pytest.approx(-1_000 * there * 3 * 0.9, rel=0.05)
    assert found.test.reference == "likely buyers"
    assert found.test.difference == pytest.approx(value(found, "profit") - found.value("likely buyers", "profit"))
    assert found.test.low < found.test.difference < found.test.high
    assert found.test.beyond_chance


def test_who_never_buys_costs_nothing_where_coupons_cost_when_they_are_used() -> None:
    found = run(recipe("west.csv", redeemed=True), west(), ONE)
    there = (judged(recipe("west.csv"), west()) == "west").mean()
    assert value(found, "profit") == pytest.approx(1_000 * there * (10 - 3), rel=0.03)
    assert value(found, "spent") == pytest.approx(1_000 * there * 3, rel=0.03)  # nothing in the north


def test_half_of_the_money_is_half_of_the_gain() -> None:
    there = (judged(recipe("west.csv"), west()) == "west").mean()
    half = recipe("west.csv", budget=1_000 * there * 3 / 2)
    found = run(half, west(), ONE)
    assert value(found, "spent") == pytest.approx(1_000 * there * 3 / 2, rel=0.03)
    assert value(found, "profit") == pytest.approx(1_000 * there * (10 - 3) / 2, rel=0.03)
    kept = run(recipe("west.csv", budget=1_000 * there * 3 / 2, reserve=0.5), west(), ONE)
    assert value(kept, "given") == pytest.approx(value(found, "given") / 2, abs=0.002)


def test_a_small_coupon_where_it_is_enough_and_a_large_one_where_it_is_not() -> None:
    region, got, noise = regions(6_000, n_arms=3)
    came = ((region == "west") & (got > 0)) | ((region == "south") & (got == 2)) | (region == "north")
    names = np.array(["none", "small", "large"])[got]
    table = pa.table({"region": region, "noise": noise, "got": names, "came": came})
    two = recipe(
        "two.csv", ("profit", "given", "qini", "qini:large"), nothing="none", costs={"small": 1.0, "large": 4.0}
    )
    found, asked = run(two, table, ONE), judged(two, table)
    in_west, in_south = (asked == "west").mean(), (asked == "south").mean()
    assert value(found, "given") == pytest.approx(in_west + in_south)
    assert value(found, "profit") == pytest.approx(1_000 * (9 * in_west + 6 * in_south), rel=0.04)
    # the first s of the people gain all there is: the area is gain · (1 - s) / 2
    assert value(found, "qini") == pytest.approx(in_west * (1 - in_west) / 2, rel=0.06)
    both = in_west + in_south
    assert value(found, "qini:large") == pytest.approx(both * (1 - both) / 2, rel=0.06)


def test_outcomes_may_be_money_and_coupons_may_cost_when_they_are_given() -> None:
    table = west()
    spent = pa.array(np.where(table["came"].to_numpy(zero_copy_only=False), 20.0, 1.0))
    table = table.set_column(table.column_names.index("came"), "came", spent)
    money = recipe("west.csv", redeemed=False, margin=0.5)
    found, there = run(money, table, ONE), (judged(money, table) == "west").mean()
    assert value(found, "given") == pytest.approx(there)
    assert value(found, "spent") == pytest.approx(1_000 * there * 3)  # known before anybody buys
    assert value(found, "profit") == pytest.approx(1_000 * there * (0.5 * 19 - 3), rel=0.03)
    with pytest.raises(ConfigError, match=r"other outcomes than 0 and 1.*redeemed = false"):
        run(money.but(task={"task": "coupons", "settings": {**money.task.settings, "redeemed": True}}), table, ONE)


@pytest.mark.parametrize(
    ("redeemed", "profit", "spent"), [(True, [0, 4.2 - 1.2, -1 - 2], [0, 1.2, 2]), (False, [0, 2.2, -6], [0, 2, 5])]
)
def test_amounts_of_three_people_by_hand(redeemed: bool, profit: list[float], spent: list[float]) -> None:
    outcomes = np.array([[0.5, 0.9, 0.9], [0.18, 0.6, 0.7], [0.5, 0.5, 0.4]])
    policy = Policy(np.array([0, 1, 2], np.int32), np.zeros((3, 2)))
    found = Task(costs={"a": 2.0, "b": 5.0}, margin=10.0, redeemed=redeemed)._amounts(policy, outcomes)
    np.testing.assert_allclose(found["profit"], 1_000 * np.array(profit), atol=1e-9)
    np.testing.assert_allclose(found["spent"], 1_000 * np.array(spent))
    assert found["given"].tolist() == [0, 1, 1]


def test_the_money_is_spent_in_the_order_of_the_score() -> None:
    score, cost = np.array([0.1, 0.9, 0.5, 0.7]), np.array([1.0, 2.0, 1.0, 3.0])
    assert until_spent(score, cost, 5.0).tolist() == [False, True, False, True]
    assert until_spent(score, cost, 4.9).tolist() == [False, True, False, False]
    assert until_spent(score, cost, None).all()
    assert not until_spent(score, cost, 0.0).any()


# ---------------------------------------------------------------------- what a log says


def leaning(n: int) -> tuple[Trial, Any, Any]:
    """A trial of three arms with chances of its own for each person, the truth, and a model that is wrong."""
    rng = np.random.default_rng(1)
    truth, raw = rng.random((n, 3)), rng.random((n, 3)) + 0.2
    chance = raw / raw.sum(1, keepdims=True)
    arm = (rng.random(n)[:, None] >= np.cumsum(chance, 1)[:, :-1]).sum(1)
    rows = np.arange(n)
    outcome = (rng.random(n) < truth[rows, arm]).astype(float)
    return Trial.of(arm, outcome, chance[rows, arm]), truth, np.clip(0.5 * truth + 0.1 * rng.random((n, 3)), 0, 1)


def test_scores_of_a_log_are_right_on_average_though_the_model_is_wrong() -> None:
    trial, truth, model = leaning(60_000)
    found = doubly_robust(trial, model)
    error = found - truth
    assert (np.abs(error.mean(0)) < 4 * error.std(0) / np.sqrt(len(trial))).all()
    assert (np.abs((model - truth).mean(0)) > 10 * error.std(0) / np.sqrt(len(trial))).all()  # and it is


@pytest.mark.parametrize("redeemed", [True, False])
def test_profits_are_differences_of_off_policy_values(redeemed: bool) -> None:
    trial, _, model = leaning(2_000)
    task, cost = Task(costs={"a": 2.0, "b": 5.0}, margin=10.0, redeemed=redeemed), np.array([0.0, 2.0, 5.0])
    arm = np.random.default_rng(2).integers(0, 3, len(trial)).astype(np.int32)
    due = (lambda came, of: came * (10 - of)) if redeemed else (lambda came, of: 10 * came - of)
    log = Exposures(trial.arm, trial.propensity, due(trial.outcome, cost[trial.arm]), n_items=3)
    values = [
        value_of(log, np.eye(3)[one], due(model, cost), clip=np.inf).doubly_robust
        for one in (arm, np.zeros(len(trial), int))
    ]
    assert values[0] is not None
    assert values[1] is not None
    found = task._amounts(Policy(arm, np.zeros((len(trial), 2))), doubly_robust(trial, model))
    assert found["profit"].mean() == pytest.approx(1_000 * (values[0].value - values[1].value))  # type: ignore[operator]


def test_the_order_is_judged_as_by_the_truth_and_as_by_the_trial() -> None:
    rng = np.random.default_rng(3)
    chances, score = rng.random((400, 2)), rng.random(400).round(1)
    found = order_of(score, chances, seed=0)
    assert found.value == pytest.approx(qini_of(chances[:, 1] - chances[:, 0], score))
    arm = rng.integers(0, 2, 400)
    bought, model = (rng.random(400) < chances[np.arange(400), arm]).astype(float), rng.random((400, 2))
    plain = qini(score, arm, bought, expected=model)
    assert order_of(score, doubly_robust(Trial.of(arm, bought), model), seed=0).value == pytest.approx(plain.value)


def test_a_plain_log_agrees_with_the_truth_within_its_interval_which_is_wide(tmp_path: Path) -> None:
    world = Coupons(**SMALL)
    csv.write_csv(world.trial(), tmp_path / "trial.csv")
    true = run(of_world(), world, ONE)
    told = run(of_world().but(data={"table": str(tmp_path / "trial.csv")}), run=ONE)
    assert told.data.startswith("trial: 3,000 people")
    for name in told.results:
        for label in ("profit", "spent"):
            one, known = told.results[name][label], true.value(name, label)
            assert one.low is not None
            assert one.high is not None
            assert one.low < known < one.high
        assert told.value(name, "given") == true.value(name, "given")  # the policies are the same
    width = [one.results["uplift"]["profit"] for one in (told, true)]
    assert width[0].high - width[0].low > 3 * (width[1].high - width[1].low)  # type: ignore[operator]


# ---------------------------------------------------------------------- the recipe


def test_the_recipe_is_good_and_between_the_common_practice_and_the_oracle() -> None:
    found = run(Recipe.named("coupons"), run=ONE)
    assert found.passed, str(found)
    for label in ("profit", "qini"):
        assert found.value("likely buyers", label) < value(found, label) < found.value("oracle", label)
    assert value(found, "profit") > 0 > found.value("by lot", "profit")
    assert found.value("oracle", "spent") <= 150.0 + 1e-6
    assert not found.warnings


class Blind(Coupons):
    """The same world, in which what is known of people is that of others."""

    def trial(self) -> pa.Table:
        """See `Coupons.trial`."""
        trial = super().trial()
        others = pa.array(np.random.default_rng(0).permutation(len(trial)))
        for name in COUPON_FEATURES:
            trial = trial.set_column(trial.column_names.index(name), name, trial[name].take(others))
        return trial


def test_who_knows_nothing_of_people_is_not_good() -> None:
    good = Recipe.named("coupons").good
    seeing, blind = (run(of_world().but(good=good), world(**SMALL), ONE) for world in (Coupons, Blind))
    assert not blind.passed
    assert any("oracle" in one.what for one in blind.checks if not one.passed)
    assert value(blind, "profit") < 0.3 * value(seeing, "profit")


def test_the_same_seed_is_the_same_report_and_names_of_arms_do_not_matter() -> None:
    table, (one, two) = west(1_000), (run(recipe("a.csv"), west(1_000), Run(seed=3, threads=1)) for _ in range(2))
    assert (one.results, one.test) == (two.results, two.test)
    names = pa.array(np.array(["leer", "10 %"])[table["got"].to_numpy()])
    named = table.set_column(table.column_names.index("got"), "got", names)
    renamed = recipe("a.csv", nothing="leer", costs={"10 %": 3.0})
    assert run(renamed, named, Run(seed=3, threads=1)).results == one.results
    switched = table.set_column(table.column_names.index("got"), "got", table["got"].cast(pa.bool_()))
    as_bools = recipe("a.csv", nothing="false", costs={"true": 3.0})
    assert run(as_bools, switched, Run(seed=3, threads=1)).results == one.results
    assert run(recipe("a.csv"), table, Run(seed=4, threads=1)).results != one.results


def test_policies_have_not_learnt_from_those_who_are_judged() -> None:
    task, how = Task(**of_world().task.settings), ONE
    people = task._people(of_world(), Coupons(**SMALL))
    learn, ask = parts(people, 0.5, how.generator("coupons parts"))
    trial = ask.trial
    other = People(ask.features, Trial(trial.arm[::-1], 1 - trial.outcome, trial.propensity[::-1]), ask.chances)
    one, two = (task._policies(learn, those, how)[0] for those in (ask, other))
    for name in ("likely buyers", "by lot", "uplift"):
        np.testing.assert_array_equal(one[name].arm, two[name].arm)


# ---------------------------------------------------------------------- the log of a trial


def test_parts_share_each_arm_and_everybody_is_in_one() -> None:
    arm = np.repeat([0, 1, 2], [600, 300, 101])
    table = FeatureTable.of({"row": np.arange(1_001)})
    people = People(table, Trial.of(arm, np.zeros(1_001)), None)
    learn, ask = parts(people, 0.3, np.random.default_rng(0))
    assert np.abs(ask.trial.counts - [180, 90, 30]).max() <= 1
    rows = np.concatenate([learn.features.column("row"), ask.features.column("row")])
    assert sorted(rows) == list(range(1_001))
    np.testing.assert_array_equal(ask.trial.arm, arm[ask.features.column("row").astype(int)])
    np.testing.assert_allclose(ask.trial.propensity[ask.trial.arm == 2], 101 / 1_001)  # that of the whole trial
    with pytest.raises(DataError, match="too few"):
        parts(people, 0.999, np.random.default_rng(0))


def test_uneven_arms_are_found_and_even_ones_are_not() -> None:
    rng, n = np.random.default_rng(0), 4_000
    arm, views = rng.integers(0, 2, n), rng.lognormal(0, 2, n)
    fair = {f"f{at}": rng.lognormal(0, 2, n) for at in range(100)} | {"town": rng.choice(["a", "b", "c"], n)}
    unfair = {
        "clicks": views + arm,
        "used": np.where(arm & (rng.random(n) < 0.1), 1.0, np.nan),
        "said": np.where(arm & (rng.random(n) < 0.1), "thanks", "no"),
        "of it": arm.astype(float),
    }
    trial = Trial.of(arm, rng.integers(0, 2, n))
    assert uneven(People(FeatureTable.of({**fair, "same": np.full(n, 0.1)}), trial, None)) == []
    assert uneven(People(FeatureTable.of({**fair, **unfair}), trial, None)) == list(unfair)


def test_a_choice_of_known_chances_is_no_choice_of_unknown_ones() -> None:
    world = Coupons(**SMALL, lean=1.0)
    assert not run(of_world(), world, ONE).warnings
    unknown = of_world(columns={"drop": ["user_id", "propensity"]})
    (note,) = run(unknown, world, ONE).warnings
    assert note.startswith("arms differ in ")
    assert "views" in note


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"columns": {"arm": "gott", "outcome": "came"}}, "unknown column 'gott'; did you mean 'got'"),
    ({"columns": {"arm": "got", "outcome": "came", "propensity": "p"}}, "unknown column 'p'"),
    ({"columns": {"arm": "got", "outcome": "came", "drop": ["nois"]}}, "did you mean 'noise'"),
    ({"columns": {"arm": "got", "outcome": "came", "features": ["came"]}}, "came have another role"),
    ({"columns": {"arm": "got", "outcome": "came", "drop": ["noise", "region"]}}, r"features \(none\) came"),
    ({"costs": {"1": 3.0, "2": 5.0}}, "says '0', '1'; '0', '1', '2' are expected"),
    ({"nothing": "none"}, "says '0', '1'; 'none', '1' are expected"),
    ({"costs": {"1": -1.0}}, "costs of {'1': -1.0} came; 0 or more"),
    ({"costs": {"0": 1.0, "1": 1.0}}, "nothing='0' is among the costs"),
    ({"costs": {}}, "costs"),
    ({"margin": 0.0}, "margin"),
    ({"learner": "y_learner"}, "unknown uplift model 'y_learner'"),
]


@pytest.mark.parametrize(("settings", "said"), WRONG)
def test_what_is_wrong_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(recipe("west.csv", **settings), west(200), ONE)


@pytest.mark.parametrize("metrics", [("ndcg@10",), ("profit", "qini:2"), ("qini", "profit"), ("spent",)])
def test_what_cannot_be_measured_or_cannot_decide_is_refused(metrics: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"measured by profit, spent, given, qini, qini:1 .* begin with profit"):
        run(recipe("west.csv", metrics), west(200), ONE)


def test_events_and_other_worlds_are_no_trial() -> None:
    for data in (Books(n_users=20, n_items=20, n_events=100), Books(n_users=20, n_items=20, n_events=100).dataset()):
        with pytest.raises(ConfigError, match=r"takes the log of a trial, a (Books|Dataset) came"):
            run(recipe("west.csv"), data, ONE)


def test_columns_that_cannot_be_read_are_refused_and_gaps_are_unknown() -> None:
    table, said = west(40), Columns(arm="got", outcome="came")
    for name, column, error, match in (
        ("got", pa.array([None, *[0, 1] * 19, 1]), DataError, "'got' has 1 empty cells"),
        ("came", pa.array([None, *[True] * 39]), DataError, "'came' has 1 empty cells"),
        ("came", pa.array(["yes"] * 40), DataError, r"'came' holds texts \(yes"),
        ("noise", pa.array([0] * 40, pa.timestamp("us")), ConfigError, "'noise' holds timestamp"),
    ):
        broken = table.set_column(table.column_names.index(name), name, column)
        with pytest.raises(error, match=match):
            read(broken, said, ["0", "1"], 50, None)
    gaps = pa.table({**{name: table[name] for name in ("got", "came")}, "a": [None, 2] * 20, "b": [None, "x"] * 20})
    found = read(gaps, said, ["0", "1"], 50, None).features
    assert np.isnan(found.values[::2]).all()
    assert not np.isnan(found.values[1::2]).any()
    assert dict(found.sizes) == {"b": 50}


def test_columns_are_also_text() -> None:
    assert Columns.read({"drop": "customer, day"}) == Columns(drop=("customer", "day"))
    assert Columns.read({"features": "age", "drop": ["day"]}) == Columns(features=("age",), drop=("day",))
    table = west(200)
    found = read(table, Columns.read({"arm": "got", "outcome": "came", "drop": "noise"}), ["0", "1"], 50, None)
    assert found.features.names == ("region",)
