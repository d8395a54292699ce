import numpy as np
import pytest

from zhiyin.evaluation.significance import (
    GROUPS,
    Estimate,
    Sample,
    bootstrap,
    holm,
    interval,
    owners,
    paired,
    sign_flip,
    witnesses,
)
from zhiyin.evaluation.verdict import paired_tests


def test_a_mean_leaves_out_what_is_undefined() -> None:
    sample = Sample.of(np.array([1.0, np.nan, 0.0, 0.5]))
    assert sample.value == 0.5
    assert sample.n == 3
    np.testing.assert_array_equal(sample.values(), [1.0, np.nan, 0.0, 0.5])
    assert np.isnan(Sample.of(np.array([np.nan])).value)


def test_a_function_of_a_mean_over_targets_weighs_targets_not_queries() -> None:
    errors = Sample(np.array([4.0, 0.0]), np.array([1.0, 3.0]), lambda mean: mean**0.5)
    assert errors.value == 1.0
    assert errors.values().tolist() == [2.0, 0.0]


def test_the_bootstrap_equals_drawing_rows_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(200) < 0.1, np.nan, rng.exponential(size=200))
    found = bootstrap([Sample.of(values)], seed=1)[:, 0]
    slow = [np.nanmean(values[np.random.default_rng(number).integers(0, 200, 200)]) for number in range(2000)]
    np.testing.assert_allclose(found.mean(), np.mean(slow), rtol=0.02)
    np.testing.assert_allclose(found.std(), np.std(slow), rtol=0.08)
    np.testing.assert_allclose(interval(found), np.quantile(slow, [0.025, 0.975]), rtol=0.03)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    samples = [Sample.of(column) for column in values.T]
    whole, p = bootstrap(samples, seed=4), sign_flip(values - 0.4, seed=4)
    monkeypatch.setattr("zhiyin.evaluation.significance.BLOCK_BYTES", 64 * 16 * 50)
    np.testing.assert_array_equal(bootstrap(samples, seed=4), whole)
    assert sign_flip(values - 0.4, seed=4) == pytest.approx(p, abs=0.01)


def test_all_metrics_share_the_draws_so_differences_are_paired() -> None:
    base = np.random.default_rng(0).random(100)
    shifted = bootstrap([Sample.of(base), Sample.of(base + 0.1)])
    np.testing.assert_allclose(shifted[:, 1] - shifted[:, 0], 0.1)


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for number in range(300):
        values = rng.exponential(size=80) * (rng.random(80) < 0.5)  # skewed, with many zeros, as rankings are
        low, high = interval(bootstrap([Sample.of(values)], seed=number, resamples=400)[:, 0])
        covered += low <= 0.5 <= high
    assert 0.89 <= covered / 300 <= 0.98


def test_p_values_under_the_null_are_uniform() -> None:
    rng = np.random.default_rng(11)
    p = []
    for number in range(400):
        pair = rng.beta(0.3, 1.5, (2, 120)) * (rng.random((2, 120)) < 0.6)
        p.append(sign_flip((pair[0] - pair[1])[:, None], seed=number, draws=1000)[0])
    for level in (0.05, 0.2, 0.5):
        spread = 3 * np.sqrt(level * (1 - level) / 400)
        assert abs(np.mean(np.array(p) <= level) - level) < spread


def test_holm_bounds_false_alarms_of_a_family_of_seven() -> None:
    rng = np.random.default_rng(13)
    alarms = 0
    for number in range(200):
        values = {f"m{model}": {"x": rng.random(60)} for model in range(8)}
        tests = paired_tests(values, ["m0"], {"x": True}, number)
        family = [one for one in tests if one.reference == "m0"]
        alarms += any(one.beyond_chance for one in family)
    assert alarms / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_small_p_is_exact_by_enumeration() -> None:
    differences = np.array([0.5, 0.25, 0.125, 0.375, -0.0625])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    assert sign_flip(differences[:, None], draws=50_000)[0] == pytest.approx(exact, abs=0.006)


def test_equal_models_are_never_told_apart_and_a_clear_gain_is() -> None:
    base = np.random.default_rng(0).random(300)
    p = sign_flip(np.stack([base - base, np.full(300, 0.01)], axis=1))
    assert p[0] == 1.0
    assert p[1] == pytest.approx(1 / 10_001)


def test_holm_against_numbers_worked_out_by_hand() -> None:
    assert holm([0.01, 0.02, 0.03, 0.5]).tolist() == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_queries_of_one_user_are_drawn_together() -> None:
    """Every user's ten queries are the same: resampling queries as if independent would be far too sure."""
    users = np.repeat(np.arange(40), 10)
    values = np.repeat(np.random.default_rng(1).normal(size=40), 10)
    owner = owners([str(one) for one in users])
    apart = bootstrap([Sample.of(values)], owner=owner)[:, 0].std()
    single = bootstrap([Sample.of(values[::10])])[:, 0].std()
    naive = bootstrap([Sample.of(values)])[:, 0].std()
    assert apart == pytest.approx(single, rel=0.1)
    assert naive < 0.4 * apart
    assert owners(["a", "b"]) is None
    assert owners(None) is None


def test_strangers_are_no_single_user() -> None:
    assert owners(["", "", ""]) is None
    assert owners([]) is None
    found = owners(["ada", "", "bob", "ada", ""])
    assert found is not None
    assert found.tolist() == [0, 2, 1, 0, 3]


def test_witnesses_are_the_users_on_whom_the_metric_is_defined() -> None:
    sample = Sample.of(np.array([1.0, 0.0, np.nan, 0.5]))
    assert witnesses(sample, None) == 3
    assert witnesses(sample, np.array([0, 0, 1, 2], np.int32)) == 2


def test_tests_too_take_users_whole() -> None:
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(30), 20).astype(np.int32)
    alarms = [sign_flip(np.repeat(rng.normal(size=30), 20)[:, None], seed, 500, owner)[0] < 0.05 for seed in range(200)]
    assert np.mean(alarms) < 0.12


def test_many_queries_are_grouped_without_changing_the_spread() -> None:
    n = 3 * GROUPS + 17
    values = np.random.default_rng(2).exponential(size=n)
    found = bootstrap([Sample.of(values)], resamples=300)[:, 0]
    assert found.mean() == pytest.approx(values.mean(), rel=0.002)
    assert found.std() == pytest.approx(values.std() / np.sqrt(n), rel=0.15)
    noise = np.random.default_rng(3).normal(size=(n, 1))
    assert sign_flip(noise, draws=500)[0] > 0.001
    assert sign_flip(noise + 0.05, draws=500)[0] == pytest.approx(1 / 501)


def test_tests_name_the_best_baseline_and_the_best_model() -> None:
    n = np.arange(100)
    values = {
        "simple": {"x": np.where(n % 4 == 0, 1.0, 0.0)},
        "simpler": {"x": np.zeros(100)},
        "good": {"x": np.where(n % 2 == 0, 1.0, 0.0)},
        "fair": {"x": np.where(n % 3 == 0, 1.0, 0.0)},
    }
    tests = paired_tests(values, ["simple", "simpler"], {"x": True})
    assert [(one.model, one.reference) for one in tests] == [
        ("good", "simple"),
        ("fair", "simple"),
        ("fair", "good"),
        ("simple", "good"),
        ("simpler", "good"),
    ]
    assert tests[0].difference == 0.25
    assert tests[0].low < 0.25 < tests[0].high
    assert tests[0].p < 0.001
    down = paired_tests(values, ["simple", "simpler"], {"x": False})
    assert {one.reference for one in down} == {"simpler"}


def test_each_family_is_corrected_for_itself_and_for_what_comes_back() -> None:
    rng = np.random.default_rng(0)
    base, gap = rng.random(60), rng.normal(0.05, 0.2, 60)
    values = {
        "simple": {"x": base},
        "simpler": {"x": base - 0.3},
        "good": {"x": base + gap},
        "fair": {"x": base - gap / 2},
    }
    tests = paired_tests(values, ["simple", "simpler"], {"x": True})
    families = {name: [one for one in tests if one.reference == name] for name in {one.reference for one in tests}}
    assert {name: len(family) for name, family in families.items()} == {"simple": 2, "good": 3}
    for family in families.values():
        assert [one.p_holm for one in family] == pytest.approx(holm([one.p for one in family]).tolist())


def test_what_cannot_be_compared_counts_in_no_family() -> None:
    first = np.arange(12) < 8
    values = {"simple": first * 0.0, "good": first * 1.0, "elsewhere": np.full(12, 0.5)}
    own = {name: {"x": np.where(first == (name != "elsewhere"), found, np.nan)} for name, found in values.items()}
    tests = paired_tests(own, ["simple"], {"x": True})
    assert [(one.model, one.reference, one.n) for one in tests] == [("good", "simple", 8), ("simple", "good", 8)]
    assert [one.p_holm for one in tests] == [one.p for one in tests]  # and not of two comparisons
    apart = {name: {"x": np.where(np.arange(9) // 3 == at, 1.0, np.nan)} for at, name in enumerate("abc")}
    assert paired_tests(apart, ["a"], {"x": True}) == ()


def test_a_pair_is_compared_only_where_both_are_defined() -> None:
    values = {"a": {"x": np.array([1.0, np.nan, 0.0])}, "b": {"x": np.array([0.5, 0.2, np.nan])}}
    (test,) = paired_tests(values, [], {"x": True})
    assert (test.n, abs(test.difference)) == (1, 0.5)


def test_estimates_have_none_where_something_is_undefined() -> None:
    assert Estimate.of(np.nan).value is None
    assert Estimate.of(0.5).spread is None
    assert Estimate.of(np.nan, spread=np.nan).spread is None
    assert str(Estimate.of(0.5, 0.4, 0.6)) == "0.5000 (0.4000 to 0.6000)"
    assert str(Estimate.of(0.5)) == "0.5000"
    assert np.isnan(bootstrap([Sample.of(np.array([np.nan]))])).all()
    assert bootstrap([]).shape == (2000, 0)


def test_the_cases_of_one_person_are_one_witness() -> None:
    """Each of four people is better served in all of 50 cases: by cases beyond all doubt, by people 2 signs of 16."""
    rng = np.random.default_rng(0)
    theirs = rng.random(200)
    ours = theirs + np.repeat([0.1, 0.2, 0.3, 0.4], 50)
    samples = ("ours", Sample.of(ours)), ("theirs", Sample.of(theirs))
    alone = paired("ndcg@10", *samples)
    together = paired("ndcg@10", *samples, owner=np.repeat(np.arange(4, dtype=np.int32), 50))
    assert alone.difference == together.difference == pytest.approx(0.25)
    assert (alone.metric, alone.model, alone.reference, alone.n) == ("ndcg@10", "ours", "theirs", 200)
    assert alone.beyond_chance
    assert alone.p == alone.p_holm < 0.001
    assert together.p == pytest.approx(2 / 16, abs=0.02)
    assert not together.beyond_chance
    assert together.low < alone.low < 0.25 < alone.high < together.high
