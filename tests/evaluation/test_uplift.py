from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest

from zhiyin.arrays import AnyArray
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.uplift import UpliftReport, auuc, qini, qini_of, uplift_curve, uplift_report


def oracle_gains(arm: AnyArray, outcome: AnyArray, propensity: AnyArray) -> list[float]:
    """What each person tells of the own effect, one after the other, from the formula."""
    n, means, total = len(arm), {}, {}
    for a in (0, 1):
        rows = [i for i in range(n) if arm[i] == a]
        total[a] = sum(1 / propensity[i] for i in rows)
        means[a] = sum(outcome[i] / propensity[i] for i in rows) / total[a]
    found = []
    for i in range(n):
        a = int(arm[i])
        beyond = n / propensity[i] / total[a] * (outcome[i] - means[a])
        found.append(means[1] - means[0] + (beyond if a == 1 else -beyond))
    return found


def oracle_curve(score: AnyArray, gains: list[float]) -> AnyArray:
    """(n + 1,) the curve: the mean over all orders that the scores allow, each summed up person by person."""
    n = len(score)
    orders = (one for one in permutations(range(n)) if all(score[a] >= score[b] for a, b in pairwise(one)))
    return np.mean([np.concatenate([[0], np.cumsum([gains[i] for i in one])]) / n for one in orders], 0)


def trial(n: int, seed: int) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Effects, arms, outcomes and chances; effects from -0.2 to 0.6 of a chance to buy of 0.3."""
    rng = np.random.default_rng(seed)
    effect, propensity = rng.uniform(-0.2, 0.6, n), rng.uniform(0.3, 0.7, n)
    arm = (rng.random(n) < propensity).astype(int)
    outcome = (rng.random(n) < 0.3 + effect * arm).astype(float)
    return effect, arm, outcome, np.where(arm == 1, propensity, 1 - propensity)


class TestKnownAnswers:
    def test_six_people_by_hand(self) -> None:
        """Means 2/3 with and 1/3 without; z: 1/3 + 2 (1/3), 1/3 - 2 (-1/3), ... = 1, 1, -1, 1, 1, -1."""
        arm, outcome = [1, 0, 1, 1, 0, 0], [1, 0, 0, 1, 0, 1]
        found = uplift_report([6, 5, 4, 3, 2, 1], arm, outcome, points=6)
        assert found.effect.value == pytest.approx(1 / 3)
        assert found.curve.gain == pytest.approx(np.array([0, 1, 2, 1, 2, 3, 2]) / 6)
        assert found.auuc.value == pytest.approx((1 + 2 + 1 + 2 + 3 + 1) / 36)
        assert found.qini.value == pytest.approx(10 / 36 - 1 / 6)
        assert (found.n, found.given) == (6, 3)

    def test_equal_scores_share_their_places(self) -> None:
        """The middle four of the six are alike: the curve goes straight from 1 to 3 sixths."""
        found = uplift_report([3, 2, 2, 2, 2, 1], [1, 0, 1, 1, 0, 0], [1, 0, 0, 1, 0, 1], points=6)
        assert found.curve.gain == pytest.approx(np.array([0, 1, 1.5, 2, 2.5, 3, 2]) / 6)

    @pytest.mark.parametrize("seed", range(20))
    def test_it_is_the_mean_over_all_orders(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        _, arm, outcome, propensity = trial(7, seed)
        arm[:2] = 0, 1
        outcome = rng.normal(size=7) if seed % 2 else outcome
        score = rng.integers(0, 4, 7)
        gains = oracle_gains(arm, outcome, propensity)
        curve = oracle_curve(score, gains)
        found = uplift_report(score, arm, outcome, propensity, points=7)
        assert found.curve.gain == pytest.approx(curve)
        area = float(np.sum((curve[1:] + curve[:-1]) / 2) / 7)
        assert found.auuc.value == pytest.approx(area)
        assert found.qini.value == pytest.approx(area - curve[-1] / 2)

    def test_it_goes_the_way_of_radcliffe_s_curve_in_a_trial_by_lot(self) -> None:
        """Purchases with a coupon, less those without times how many have one over how many have none, of the first."""
        rng = np.random.default_rng(1)
        effect, n = rng.uniform(-0.2, 0.6, 40_000), 40_000
        arm = rng.permutation(np.arange(n) % 2)
        outcome = (rng.random(n) < 0.3 + effect * arm).astype(float)
        order = np.argsort(-effect)
        with_it, without = np.cumsum(arm[order]), np.cumsum(1 - arm[order])
        gained = np.cumsum((outcome * arm)[order]) - np.cumsum((outcome * (1 - arm))[order]) * with_it / np.maximum(
            without, 1
        )
        places = np.arange(1, 11) * n // 10 - 1
        found = uplift_curve(effect, arm, outcome, points=10).gain[1:]
        assert found == pytest.approx(gained[places] / (n / 2), abs=0.005)
        assert found[-1] == pytest.approx(gained[-1] / (n / 2), rel=1e-9)


class TestProperties:
    def test_one_score_for_all_has_a_qini_of_exactly_0(self) -> None:
        _, arm, outcome, propensity = trial(501, 0)
        found = uplift_report(np.full(501, 0.3), arm, outcome, propensity)
        assert found.qini.value == 0.0
        assert found.curve.gain == pytest.approx(np.linspace(0, 1, 21) * found.effect.value)
        assert qini_of(np.arange(9.0), np.zeros(9)) == 0.0

    def test_the_rows_may_stand_in_any_order(self) -> None:
        effect, arm, outcome, propensity = trial(300, 1)
        score, turned = np.round(effect, 1), np.random.default_rng(0).permutation(300)
        first = uplift_report(score, arm, outcome, propensity)
        second = uplift_report(score[turned], arm[turned], outcome[turned], propensity[turned])
        assert second.qini.value == pytest.approx(first.qini.value)
        assert second.curve.gain == pytest.approx(first.curve.gain)

    def test_only_the_order_of_scores_counts_and_turned_round_it_is_the_opposite(self) -> None:
        effect, arm, outcome, propensity = trial(300, 2)
        one = qini(effect, arm, outcome, propensity)
        assert qini(np.exp(5 * effect), arm, outcome, propensity) == one
        assert qini(-effect, arm, outcome, propensity).value == pytest.approx(-(one.value or 0))

    def test_the_area_is_that_under_the_curve_and_the_line(self) -> None:
        effect, arm, outcome, propensity = trial(60, 3)
        found = uplift_report(effect, arm, outcome, propensity, points=60)
        assert found.auuc.value == pytest.approx(np.trapezoid(found.curve.gain, found.curve.share))
        assert found.auuc.value == pytest.approx((found.qini.value or 0) + (found.effect.value or 0) / 2)
        assert auuc(effect, arm, outcome, propensity).value == found.auuc.value

    def test_no_order_beats_that_of_the_true_effects(self) -> None:
        rng = np.random.default_rng(4)
        effect = rng.normal(size=200)
        best = qini_of(effect)
        tried = [qini_of(effect, rng.normal(size=200) + share * effect) for share in (0, 0, 0.5, 1, 3)]
        assert max(tried) < best
        assert qini_of(effect, -effect) == pytest.approx(-best)
        assert np.mean([qini_of(effect, rng.normal(size=200)) for _ in range(500)]) == pytest.approx(0, abs=0.05 * best)

    def test_a_score_that_says_nothing_is_worth_nothing(self) -> None:
        effect, arm, outcome, propensity = trial(20_000, 5)
        found = qini(np.random.default_rng(0).random(20_000), arm, outcome, propensity)
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0 < found.high
        assert abs(found.value or 0) < 0.1 * qini_of(effect)

    def test_the_qini_of_a_trial_is_that_of_the_truth(self) -> None:
        effect, arm, outcome, propensity = trial(40_000, 6)
        found = uplift_report(effect, arm, outcome, propensity, effect=effect)
        assert found.qini.value == pytest.approx(qini_of(effect), rel=0.05)
        assert found.effect.value == pytest.approx(effect.mean(), abs=0.01)
        assert found.of_oracle == 1.0

    def test_the_part_of_the_oracle_is_by_the_truth_alone(self) -> None:
        effect, arm, outcome, propensity = trial(500, 6)
        noisy = effect + np.random.default_rng(0).normal(size=500)
        part = uplift_report(noisy, arm, outcome, propensity, effect=effect).of_oracle
        assert part == pytest.approx(qini_of(effect, noisy) / qini_of(effect))
        assert uplift_report(noisy, arm, outcome, propensity, effect=np.full(500, 0.1)).of_oracle is None

    def test_chances_that_lean_are_weighed_out(self) -> None:
        """Who would buy anyway is given more often; without the chances, those seem to be moved the most."""
        rng = np.random.default_rng(7)
        n = 60_000
        before, effect = rng.uniform(0, 0.6, n), rng.uniform(0, 0.3, n)
        chance = 0.15 + before
        arm = (rng.random(n) < chance).astype(int)
        outcome = (rng.random(n) < before + effect * arm).astype(float)
        propensity = np.where(arm == 1, chance, 1 - chance)
        assert uplift_report(effect, arm, outcome, propensity).effect.value == pytest.approx(0.15, abs=0.015)
        assert (uplift_report(effect, arm, outcome).effect.value or 0) > 0.25
        assert qini(before, arm, outcome, propensity).value == pytest.approx(0, abs=0.005)


class TestIntervals:
    def test_they_hold_the_truth_as_often_as_they_say(self) -> None:
        # Of all people that there could be: effects spread evenly from -0.2 to 0.6.
        rng, held = np.random.default_rng(1_000), []
        many = rng.uniform(-0.2, 0.6, 200_000)
        true = qini_of(many, many + rng.normal(0, 0.2, 200_000))
        for seed in range(100):
            effect, arm, outcome, propensity = trial(400, seed)
            score = effect + np.random.default_rng(seed).normal(0, 0.2, 400)
            found = uplift_report(score, arm, outcome, propensity, points=2, seed=seed)
            held.append([found.qini.low <= true <= found.qini.high, found.effect.low <= 0.2 <= found.effect.high])
        assert (np.mean(held, 0) >= 0.885).all(), np.mean(held, 0)  # 0.95 less than three standard errors

    def test_the_spread_of_replicates_is_that_of_trials(self) -> None:
        """Half the width of an interval is 1.96 standard deviations of the Qini over new trials."""
        values, widths = [], []
        for seed in range(250):
            effect, arm, outcome, propensity = trial(200, seed)
            found = qini(np.round(effect, 1), arm, outcome, propensity, seed=seed)
            values.append(found.value)
            widths.append((found.high - found.low) / 2)
        assert np.mean(widths) == pytest.approx(1.96 * np.std(values), rel=0.13)

    def test_a_model_of_outcomes_makes_them_narrower_and_a_wrong_one_changes_little(self) -> None:
        rng = np.random.default_rng(8)
        n = 20_000
        before, effect = rng.uniform(0, 1, n) ** 3 * 10, rng.uniform(0, 1, n)
        arm = rng.permutation(np.arange(n) % 2)
        outcome = before + effect * arm
        plain = qini(effect, arm, outcome)
        good = qini(effect, arm, outcome, expected=np.stack([before, before + effect], 1))
        wrong = qini(effect, arm, outcome, expected=np.tile([5.0, 3.0], (n, 1)))
        assert good.value == pytest.approx(qini_of(effect), rel=1e-9)
        assert (good.high - good.low) < 0.1 * (plain.high - plain.low)
        assert wrong.low < qini_of(effect) < wrong.high

    def test_rows_of_one_person_are_no_independent_witnesses(self) -> None:
        effect, arm, outcome, propensity = trial(300, 9)
        once = qini(effect, arm, outcome, propensity)
        many = [np.tile(one, 9) for one in (effect, arm, outcome, propensity)]
        again = qini(*many, owner=np.tile(np.arange(300, dtype=np.int32), 9))
        assert again.value == pytest.approx(once.value)
        assert again.n == once.n == 300
        assert (again.low, again.high) == pytest.approx((once.low, once.high), rel=0.05, abs=0.003)


def test_it_is_written_as_text_as_json_and_as_a_chart() -> None:
    effect, arm, outcome, propensity = trial(100, 10)
    found = uplift_report(effect, arm, outcome, propensity, effect=effect, points=4)
    assert isinstance(found, UpliftReport)
    assert "100 people, " in str(found)
    assert "100.0% of the Qini of an oracle" in str(found)
    assert "oracle" not in str(uplift_report(effect, arm, outcome, propensity))
    told = found.to_dict()
    assert told["qini"]["value"] == found.qini.value
    assert told["curve"]["share"] == [0, 0.25, 0.5, 0.75, 1]
    assert "at random" in found.curve.chart().svg(600)
    assert (found.curve.low[1:] < found.curve.gain[1:]).all()
    assert (found.curve.gain[1:] < found.curve.high[1:]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": [0.1, np.nan, 0.2, 0.3]}, "score nan came in row 1"),
        ({"score": [0.1, 0.2]}, "scores of shape"),
        ({"treatment": [0, 1, 2, 0]}, "3 arms came; a curve is of one thing"),
        ({"treatment": [0, 0, 0, 0]}, "arm 1 has nobody"),
        ({"propensity": 0.0}, "propensity 1 came in row 0"),
        ({"outcome": [0, 1, np.inf, 0]}, "outcome inf came in row 2"),
        ({"expected": np.zeros((4, 3))}, "expected outcomes of shape"),
        ({"expected": np.full((4, 2), np.nan)}, "expected outcomes of shape"),
        ({"effect": [0.1, 0.2]}, "effects of shape"),
        ({"effect": [0.1, 0.2, np.nan, 0.1]}, "effect nan came in row 2"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    right = {"score": [1, 2, 3, 4], "treatment": [0, 1, 0, 1], "outcome": [0, 1, 1, 0]}
    with pytest.raises(DataError, match=message):
        uplift_report(**{**right, **change})
    with pytest.raises(ConfigError, match="points=0"):
        uplift_report(**right, points=0)
