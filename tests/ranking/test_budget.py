from itertools import product
from time import process_time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking import budget as budgets
from zhiyin.ranking.budget import REASONS, allocate


def best_of_all(gains: AnyArray, costs: AnyArray, budget: float) -> float:
    """The most that can be gained, by trying every allocation."""
    n, m = gains.shape
    best = 0.0
    for arms in product(range(m + 1), repeat=n):
        has = [(row, arm - 1) for row, arm in enumerate(arms) if arm]
        if sum(costs[place] for place in has) <= budget + 1e-9:
            best = max(best, sum(gains[place] for place in has))
    return best


def relaxed(gains: AnyArray, costs: AnyArray, budget: float) -> tuple[float, float]:
    """The optimum where arms may be given in part, and what one more unit of money brings: by linear programming."""
    n, m = gains.shape
    once = np.kron(np.eye(n), np.ones(m))
    within = np.concatenate([once, costs.reshape(1, -1)])
    found = linprog(-gains.ravel(), A_ub=within, b_ub=[*[1.0] * n, budget])
    return float(-found.fun), float(-found.ineqlin.marginals[-1])


def case(seed: int, n: int = 5, m: int = 2) -> tuple[AnyArray, AnyArray, float]:
    """Effects, some of them harmful; costs; a budget."""
    rng = np.random.default_rng(seed)
    effect = rng.uniform(-0.3, 0.6, (n, m))
    cost = rng.uniform(0, 1.5, (n, m)) if seed % 2 else rng.integers(0, 4, (n, m)) / 2
    return effect, cost, float(rng.uniform(0, 0.6) * cost.sum())


def taken_by_passes(steps: Any, limit: float) -> LongVector:
    """What `_taken` was: passes over all that wait, as many as there are steps that do not fit, if it comes to that."""
    left, taken = limit * (1 + budgets.ROUNDING), []
    waiting = np.arange(len(steps.cost))
    while len(waiting):
        sums = np.cumsum(steps.cost[waiting])
        n_fit = int(np.searchsorted(sums, left, side="right"))
        taken.append(waiting[:n_fit])
        left -= sums[n_fit - 1] if n_fit else 0.0
        rest = waiting[n_fit:]
        waiting = rest[budgets._before_first(steps.cost[rest] > left, steps.person[rest])]
    return np.sort(np.concatenate(taken)) if taken else waiting


def alternating(n: int) -> tuple[AnyArray, AnyArray]:
    """Effects and costs of people each second of whom costs a little more than is left, as the others eat it up."""
    tiny = 1e-7
    cost = np.empty(n)
    cost[0::2], cost[1::2] = tiny, 1 - tiny * (np.arange(n // 2) + 0.5)
    return (cost * np.linspace(4, 3, n))[:, None], cost[:, None]


class TestWhatFits:
    @pytest.mark.parametrize("seed", range(60))
    def test_it_is_what_passes_over_all_take(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(1, 60)), int(rng.integers(1, 5))
        cost = rng.exponential(1.0, (n, m)) if seed % 3 else rng.integers(0, 6, (n, m)) / 10  # sums that are rounded
        limit = float(rng.choice([0.0, 0.3, 1.1, 0.2 * cost.sum()]))
        steps = budgets._steps(rng.uniform(-0.2, 2, (n, m)), np.where(cost <= limit, cost, np.inf))
        np.testing.assert_array_equal(budgets._taken(steps, limit), taken_by_passes(steps, limit))
        whole = np.zeros(len(steps.cost), bool)
        whole[budgets._taken(steps, limit)] = True
        walked = budgets._walked(steps.cost, steps.person, limit * (1 + budgets.ROUNDING))
        np.testing.assert_array_equal(walked, whole)

    def test_many_that_do_not_fit_one_after_the_other(self) -> None:
        """Ten times as many people take about ten times as long, and not a hundred times."""
        effect, cost = alternating(1_000)
        steps = budgets._steps(effect - cost, cost)
        np.testing.assert_array_equal(budgets._taken(steps, 1.0), taken_by_passes(steps, 1.0))
        took = []
        for n in (10_000, 100_000):
            effect, cost = alternating(n)
            began = process_time()
            found = allocate(effect, cost, 1.0)
            took.append(process_time() - began)
            np.testing.assert_array_equal(found.arm[0::2], 1)
        assert took[1] < 40 * took[0] + 1


class TestSmallCases:
    @pytest.mark.parametrize("seed", range(60))
    def test_it_is_near_the_best_and_its_bound_holds(self, seed: int) -> None:
        effect, cost, budget = case(seed)
        gains = 5 * effect - cost
        found = allocate(effect, cost, budget, value=5.0)
        best = best_of_all(gains, cost, budget)
        assert found.gain <= best + 1e-9
        assert best <= found.bound + 1e-9
        assert found.spent <= budget + 1e-9
        assert found.gain >= best - max(gains.max(), 0) - 1e-9, "more than one step is lost"

    @pytest.mark.parametrize("seed", range(40))
    def test_bound_and_price_are_those_of_the_linear_programme(self, seed: int) -> None:
        effect, cost, budget = case(2 * seed + 1, n=12, m=3)
        value, price = relaxed(5 * effect - cost, cost, budget)
        found = allocate(effect, cost, budget, value=5.0)
        assert found.price == pytest.approx(price, abs=1e-9)
        if (cost <= budget).all():
            assert found.bound == pytest.approx(value)
        assert found.bound <= value + 1e-9
        step = np.diff(np.concatenate([np.zeros((12, 1)), np.sort(5 * effect - cost, 1)], 1)).max()
        assert value - found.gain <= max(step, (5 * effect - cost).max()) + 1e-9

    def test_by_hand(self) -> None:
        """Gains 4, 3 and 1 for 2, 1 and 1 of money: with 3, the second and the first; with 2, the second and third."""
        effect = [[6.0], [4.0], [2.0]]
        found = allocate(effect, [[2.0], [1.0], [1.0]], 3.0)
        assert (found.arm.tolist(), found.gain, found.spent, found.price) == ([1, 1, 0], 7.0, 3.0, 1.0)
        found = allocate(effect, [[2.0], [1.0], [1.0]], 2.0)
        assert (found.arm.tolist(), found.gain, found.bound, found.price) == ([0, 1, 1], 4.0, 5.0, 2.0)
        assert found.counts() == {"given": 2, "given less": 0, "no money": 1, "no gain": 0, "harm": 0}

    def test_a_larger_arm_is_a_step_from_the_smaller_one(self) -> None:
        """From 5 % to 20 % brings 1 for 2 of money, less than the other person's 5 %, which brings 2 for 1."""
        effect, cost = [[4.0, 7.0], [3.0, 3.5]], [1.0, 3.0]
        assert allocate(effect, cost, 2.0).arm.tolist() == [1, 1]
        assert [REASONS[at] for at in allocate(effect, cost, 2.0).reason] == ["given less", "given"]
        assert allocate(effect, cost, 4.0).arm.tolist() == [2, 1]
        assert allocate(effect, cost, 1.0).arm.tolist() == [1, 0]

    def test_an_arm_below_the_frontier_is_never_given(self) -> None:
        """The middle arm gains 1 for 2 of money: less than a third of the large one, which gains 6 for 6."""
        for budget in (2.0, 5.0, 6.0, None):
            found = allocate([[3.0, 12.0]], [2.0, 6.0], budget)
            assert found.arm.tolist() == ([2] if budget in (6.0, None) else [1])
        # Where the large one is out of reach, the frontier is that of what is in reach, so the middle one is given.

    def test_what_does_not_fit_leaves_the_money_to_others(self) -> None:
        found = allocate([[12.0], [3.0], [2.5]], [[5.0], [2.0], [1.5]], 4.0)
        assert found.arm.tolist() == [0, 1, 1]
        assert REASONS[found.reason[0]] == "no money"
        assert found.price == pytest.approx(7 / 5)


class TestEdges:
    def test_without_money_only_what_is_free_is_given(self) -> None:
        found = allocate([[0.2, 0.4], [0.3, 0.5]], [[0.0, 1.0], [0.5, 1.0]], 0.0, value=10.0)
        assert found.arm.tolist() == [1, 0]
        assert found.spent == 0
        assert found.price == pytest.approx(5.0), "3 - 0.5 for 0.5 of money"
        assert [REASONS[at] for at in found.reason] == ["given less", "no money"]

    def test_without_a_limit_each_gets_what_is_best(self) -> None:
        effect, cost, _ = case(3, n=200, m=4)
        gains = 5 * effect - cost
        found = allocate(effect, cost, value=5.0)
        np.testing.assert_array_equal(found.arm, np.where(gains.max(1) > 0, gains.argmax(1) + 1, 0))
        assert found.gain == pytest.approx(found.bound) == pytest.approx(np.maximum(gains.max(1), 0).sum())
        assert found.price == 0
        assert found.to_dict()["budget"] is None
        assert allocate(effect, cost, 1e9, value=5.0).arm.tolist() == found.arm.tolist()

    def test_nothing_that_loses_is_ever_given(self) -> None:
        effect, cost, _ = case(4, n=500, m=3)
        gains = 2 * effect - cost
        for budget in (1.0, 10.0, 100.0, None):
            found = allocate(effect, cost, budget, value=2.0)
            has = np.flatnonzero(found.arm)
            assert (gains[has, found.arm[has] - 1] > 0).all()

    def test_who_is_left_out_is_told_why(self) -> None:
        found = allocate([[0.5], [0.4], [0.05], [-0.1]], 1.0, 1.0, value=10.0)
        assert [REASONS[at] for at in found.reason] == ["given", "no money", "no gain", "harm"]
        assert sum(found.counts().values()) == len(found) == 4

    def test_of_equals_the_first_rows_are_taken_and_sums_do_not_round_one_away(self) -> None:
        found = allocate(np.full((10, 1), 0.5), 0.1, 0.3)
        assert found.arm.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
        assert found.gain == pytest.approx(3 * 0.4) == pytest.approx(found.bound)

    def test_equal_gains_take_the_cheaper_arm(self) -> None:
        assert allocate([[0.5, 0.7]], [0.1, 0.3]).arm.tolist() == [1]

    def test_what_costs_only_when_used_costs_those_who_would_have_bought_anyway(self) -> None:
        """Two people are moved alike; one buys with a chance of 0.9 then, and so costs three times as much."""
        effect, chance = np.full((2, 1), 0.2), np.array([[0.9], [0.3]])
        found = allocate(effect, 2.0, value=5.0, redeemed=chance)
        assert found.arm.tolist() == [0, 1]
        assert found.spent == pytest.approx(0.6)
        assert found.gain == pytest.approx(0.4)

    def test_each_person_may_have_a_worth(self) -> None:
        found = allocate([[0.1], [0.1]], 1.0, 1.0, value=np.array([20.0, 30.0]))
        assert found.arm.tolist() == [0, 1]

    def test_many_people_are_at_the_bound(self) -> None:
        effect, cost, _ = case(5, n=20_000, m=3)
        found = allocate(effect, cost, 500.0, value=5.0)
        assert found.gain == pytest.approx(found.bound, rel=1e-4)
        assert 499 < found.spent <= 500 * (1 + 1e-9)

    def test_the_rows_may_stand_in_any_order(self) -> None:
        effect, cost, budget = case(7, n=300, m=3)
        turned = np.random.default_rng(0).permutation(300)
        one, two = allocate(effect, cost, budget / 9), allocate(effect[turned], cost[turned], budget / 9)
        np.testing.assert_array_equal(two.arm, one.arm[turned])
        assert two.gain == pytest.approx(one.gain)

    def test_more_money_never_gains_less_at_the_bound_and_its_price_falls(self) -> None:
        effect, cost, _ = case(9, n=400, m=3)
        found = [allocate(effect, cost, budget, value=5.0) for budget in np.linspace(1.6, 120, 30)]
        assert (np.diff([one.bound for one in found]) >= -1e-9).all()
        assert (np.diff([one.price for one in found]) <= 1e-9).all()

    def test_nobody_is_no_trouble(self) -> None:
        found = allocate(np.zeros((0, 2)), 1.0, 5.0)
        assert (len(found), found.gain, found.spent, found.price) == (0, 0.0, 0.0, 0.0)


def test_it_is_written_as_text_as_json_and_as_a_policy() -> None:
    found = allocate([[0.5, 0.6], [0.2, 0.6]], [1.0, 3.0], 4.0, value=10.0)
    assert found.arm.tolist() == [1, 2]
    assert "2 of 2 people get something, for 4.00 of 4.00" in str(found)
    assert "expected gain 7.00" in str(found)
    assert found.to_dict()["reasons"]["given"] == 2
    assert found.chances(3).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert "of inf" not in str(allocate([[0.5]], 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effect": [0.1, 0.2]}, "effects of shape"),
        ({"effect": np.zeros((2, 0))}, "effects of shape"),
        ({"effect": [[0.1], [np.nan]]}, "1 numbers of effect are wrong, the first is nan"),
        ({"cost": [1.0, 2.0]}, "cost of shape"),
        ({"cost": -1.0}, "cost are wrong, the first is -1"),
        ({"cost": np.inf}, "cost are wrong, the first is inf"),
        ({"value": [1.0, 2.0, 3.0]}, "value of shape"),
        ({"value": -2.0}, "value are wrong, the first is -2"),
        ({"redeemed": [[0.5]]}, "redeemed of shape"),
        ({"redeemed": [[0.5], [1.5]]}, "redeemed are wrong, the first is 1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"effect": [[0.1], [0.2]], "cost": 1.0}
    with pytest.raises(DataError, match=message):
        allocate(**{**right, **change})


@pytest.mark.parametrize("budget", [-1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match="0 or more is expected"):
        allocate([[0.1]], 1.0, budget)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effect": [["much"]]}, r"effects: \[\['much'\]\] came; numbers are expected"),
        ({"effect": [["0.3"]]}, "effects: .* came; numbers are expected"),
        (
            {"effect": [[0.3], [0.3, 0.1]]},
            "effects: .* came; numbers are expected, as an array or as lists of one length",
        ),
        ({"cost": "dear"}, "cost: the text 'dear' came"),
        ({"value": "much"}, "value: the text 'much' came"),
        ({"redeemed": [["often"]]}, "redeemed: .* came"),
    ],
)
def test_text_is_no_number(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        allocate(**{"effect": [[0.3]], "cost": 1.0, **change})


@pytest.mark.parametrize("budget", ["10", "much", [1.0]])
def test_a_budget_that_is_text_or_several_is_refused(budget: Any) -> None:
    with pytest.raises(ConfigError, match=r"budget is .*; a number is expected"):
        allocate([[0.3]], 1.0, budget)
