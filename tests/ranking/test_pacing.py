"""Pacing: money lasts the horizon, nothing is overspent, and who has enough bids all that a show is worth."""

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.errors import ConfigError, DataError
from zhiyin.ranking.pacing import LEAST, Pacer

EVENLY = np.ones(24)
EVENING = np.r_[np.ones(18), np.full(6, 5.0)]


def auctions(pacer: Pacer, worths: np.ndarray, floors: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(n, n_campaigns) what each paid in second-price auctions."""
    paid = np.zeros(worths.shape)
    for row, worth in enumerate(worths):
        bids = pacer.bids(worth)
        best = int(bids.argmax())
        if bids[best] >= floors[row]:
            paid[row, best] = max(floors[row], np.delete(bids, best).max(initial=0))
            pacer.spend(pacer.campaigns[best], paid[row, best])
        pacer.advance(times[row])
    return paid


def stream(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Worths and floors that are drawn alike all the time."""
    rng = np.random.default_rng(seed)
    return rng.lognormal(0, 0.6, (n, m)), rng.lognormal(0, 0.4, n)


class TestLaw:
    def test_a_step_is_that_of_the_formula(self) -> None:
        pacer = Pacer({"a": 100.0, "b": 50.0}, start=0, end=10, step=4.0)
        pacer.spend("a", 30.0)
        pacer.advance(2)  # planned 20 and 10, spent 30 and 0
        np.testing.assert_allclose(pacer.weights, [math.exp(-4 * 0.1), 1.0])
        pacer.advance(4)  # of the 70 that are left, a quarter is planned: 17.5
        np.testing.assert_allclose(pacer.weights, [1.0, 1.0])  # 0.4 - 4 * 0.175 is below 0
        pacer.spend("a", 60.0)
        pacer.advance(7)  # half of the 70 was planned
        np.testing.assert_allclose(pacer.weights[0], math.exp(-4 * 0.25))
        np.testing.assert_allclose(pacer.bids([3.0, 3.0]), [3 * math.exp(-1.0), 3.0])
        assert pacer.left.tolist() == [10.0, 50.0]

    def test_a_forecast_bends_the_plan(self) -> None:
        pacer = Pacer({"a": 100.0}, start=0, end=4, traffic=[1, 0, 3, 4], step=1.0)
        found = [pacer.share(one) for one in (-1, 0, 0.5, 1, 1.7, 2, 3, 3.5, 4, 9)]
        np.testing.assert_allclose(found, [0, 0, 1 / 16, 1 / 8, 1 / 8, 1 / 8, 1 / 2, 3 / 4, 1, 1])
        pacer.spend("a", 50.0)
        pacer.advance(3)
        assert pacer.weights.tolist() == [1.0], "half of the traffic, half of the money"

    def test_what_is_spent_where_no_traffic_was_foreseen_counts_later(self) -> None:
        pacer = Pacer({"a": 100.0}, start=0, end=2, traffic=[0, 1], step=1.0)
        pacer.spend("a", 60.0)
        pacer.advance(1)
        assert pacer.weights.tolist() == [1.0]
        pacer.advance(1.5)
        np.testing.assert_allclose(pacer.weights, math.exp(-(0.6 - 0.5)))

    def test_who_loses_all_day_still_bids_all(self) -> None:
        pacer = Pacer({"a": 5.0, "b": 1e6})
        auctions(pacer, *stream(0, 500, 2), np.arange(1, 501) / 500)
        assert pacer.weights[1] == 1.0, "money that is plentiful is not paced"
        assert pacer.weights[0] < 1.0

    def test_no_weight_is_lower_than_the_least(self) -> None:
        pacer = Pacer({"a": 1.0}, step=1e6)
        pacer.spend("a", 0.9)
        pacer.advance(0.1)
        np.testing.assert_allclose(pacer.weights, LEAST)

    def test_a_step_of_zero_never_paces(self) -> None:
        pacer = Pacer({"a": 1.0}, step=0.0)
        pacer.spend("a", 0.75)
        pacer.advance(0.1)
        assert pacer.bids([[0.2], [9.0]]).tolist() == [[0.2], [0.25]]


class TestProperties:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.floats(0.01, 50), st.floats(0, 200), st.integers(1, 5))
    def test_nothing_is_ever_overspent(self, seed: int, money: float, step: float, m: int) -> None:
        rng = np.random.default_rng(seed)
        pacer = Pacer({f"c{at}": money * one for at, one in enumerate(rng.lognormal(0, 1, m))}, step=step)
        paid = auctions(pacer, *stream(seed, 80, m), np.sort(rng.random(80)))
        assert (paid.sum(0) <= pacer.budget * (1 + 1e-9)).all()
        assert (pacer.left >= 0).all()
        assert ((pacer.weights >= LEAST * (1 - 1e-12)) & (pacer.weights <= 1)).all()
        np.testing.assert_allclose(pacer.spent, np.minimum(paid.sum(0), pacer.budget))

    @pytest.mark.parametrize("traffic", [EVENLY, EVENING], ids=["evenly", "evening"])
    def test_spend_follows_the_traffic_and_money_lasts(self, traffic: np.ndarray) -> None:
        n, worths_floors = 4_000, stream(1, 4_000, 4)
        hour = np.interp((np.arange(n) + 0.5) / n, np.r_[0, np.cumsum(traffic) / traffic.sum()], np.arange(25))
        budgets = {"a": 40.0, "b": 80.0, "c": 160.0, "d": 320.0}
        pacer = Pacer(budgets, 0, 24, traffic=traffic)
        course = np.cumsum(auctions(pacer, *worths_floors, hour), 0) / pacer.budget
        distance = np.abs(course - ((np.arange(n) + 1) / n)[:, None]).max(0)
        assert (distance < 0.1).all(), distance
        assert (course[-1] > 0.97).all()
        greedy = Pacer(budgets, 0, 24, traffic=traffic, step=0)
        course = np.cumsum(auctions(greedy, *worths_floors, hour), 0) / pacer.budget
        assert (np.abs(course - ((np.arange(n) + 1) / n)[:, None]).max(0) > 0.3).all()

    def test_paced_money_buys_more_than_greedy_money(self) -> None:
        worths, floors = stream(2, 3_000, 3)
        gains = []
        for step in (0.0, 20.0):
            pacer = Pacer(dict.fromkeys("abc", 150.0), step=step)
            paid = auctions(pacer, worths, floors, np.arange(1, 3_001) / 3_000)
            gains.append(float(worths[paid > 0].sum()))
        assert gains[1] > 1.2 * gains[0]

    def test_the_order_of_campaigns_does_not_matter(self) -> None:
        worths, floors = stream(3, 600, 3)
        times, budgets, order = np.arange(1, 601) / 600, {"a": 10.0, "b": 30.0, "c": 90.0}, [2, 0, 1]
        one = Pacer(budgets)
        two = Pacer({name: budgets[name] for name in "cab"})
        paid = auctions(one, worths, floors, times)
        np.testing.assert_allclose(auctions(two, worths[:, order], floors, times), paid[:, order])
        np.testing.assert_allclose(two.weights, one.weights[order])

    def test_the_unit_of_money_and_of_time_does_not_matter(self) -> None:
        worths, floors = stream(4, 600, 3)
        budgets, times = {"a": 10.0, "b": 30.0, "c": 90.0}, np.arange(1, 601) / 600
        one, two = (
            Pacer(budgets),
            Pacer({name: 100 * of for name, of in budgets.items()}, 10**15, 10**15 + 86_400_000_000),
        )
        paid = auctions(one, worths, floors, times)
        np.testing.assert_allclose(
            auctions(two, 100 * worths, 100 * floors, 10**15 + times * 86_400_000_000), 100 * paid, rtol=1e-6
        )

    def test_saved_in_the_middle_it_goes_on_alike(self) -> None:
        worths, floors = stream(5, 600, 3)
        times, half = np.arange(1, 601) / 600, 300
        one = Pacer({"a": 10.0, "b": 30.0, "c": 90.0}, traffic=[1, 2, 3], step=15.0)
        auctions(one, worths[:half], floors[:half], times[:half])
        one.spend("c", 0.1)  # not yet in a step
        two = Pacer.from_dict(json.loads(json.dumps(one.to_dict())))
        left = [auctions(each, worths[half:], floors[half:], times[half:]) for each in (one, two)]
        np.testing.assert_array_equal(*left)
        assert one.to_dict() == two.to_dict()

    def test_bids_of_a_batch_are_those_of_its_parts(self) -> None:
        pacer = Pacer({"a": 1.0, "b": 2.0}, weights={"b": 0.5})
        worths = np.random.default_rng(0).random((7, 2)) * 3
        np.testing.assert_array_equal(pacer.bids(worths), [pacer.bids(one) for one in worths])


class TestDays:
    def test_a_new_day_begins_with_full_purses_and_the_weights_of_the_last(self) -> None:
        pacer = Pacer({"a": 10.0, "b": 30.0}, 0, 24, traffic=[1, 2], step=7.0)
        pacer.spend("a", 5.0)
        pacer.advance(1)
        tomorrow = pacer.renewed(24, 48)
        np.testing.assert_allclose(tomorrow.weights, pacer.weights)
        assert tomorrow.left.tolist() == [10.0, 30.0]
        assert (tomorrow.step, tomorrow.traffic.tolist()) == (7.0, [1 / 3, 2 / 3])
        other = pacer.renewed(24, 48, {"c": 4.0, "a": 20.0})
        np.testing.assert_allclose(other.weights, [1.0, pacer.weights[0]])

    def test_yesterdays_weights_make_the_morning_even(self) -> None:
        worths, floors = stream(6, 2_000, 3)
        times = np.arange(1, 2_001) / 2_000
        first = Pacer(dict.fromkeys("abc", 60.0))
        cold = np.cumsum(auctions(first, worths, floors, times), 0)[99] / first.budget
        warm = np.cumsum(auctions(first.renewed(0, 1), worths, floors, times), 0)[99] / first.budget
        assert np.abs(warm - 0.05).max() < np.abs(cold - 0.05).max()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budgets": {}}, "no budgets came"),
        ({"budgets": {"a": 0.0}}, "the budget of 'a' is 0"),
        ({"budgets": {"a": math.nan}}, "the budget of 'a' is nan"),
        ({"budgets": {"a": math.inf}}, "the budget of 'a' is inf"),
        ({"start": 1.0, "end": 1.0}, "its end must be later"),
        ({"end": math.inf}, "both finite"),
        ({"traffic": []}, "forecast of traffic"),
        ({"traffic": [0.0, 0.0]}, "not all 0"),
        ({"traffic": [1.0, -1.0]}, "forecast of traffic"),
        ({"step": -1.0}, "step=-1"),
        ({"step": math.nan}, "step=nan"),
        ({"weights": {"b": 0.5}}, "unknown campaign 'b'"),
        ({"weights": {"a": 0.0}}, "above 0 and at most 1"),
        ({"weights": {"a": 1.1}}, "above 0 and at most 1"),
    ],
)
def test_horizons_that_are_none_are_refused(change: dict[str, Any], said: str) -> None:
    told: dict[str, Any] = {"budgets": {"a": 1.0}, **change}
    with pytest.raises(ConfigError, match=said):
        Pacer(**told)


def test_what_makes_no_sense_while_it_runs_is_refused() -> None:
    pacer = Pacer({"shoes": 1.0, "tea": 2.0})
    with pytest.raises(DataError, match="did you mean 'shoes'"):
        pacer.spend("shoe", 0.1)
    for amount in (-0.1, math.nan, math.inf):
        with pytest.raises(DataError, match="a finite number of 0 or more"):
            pacer.spend("tea", amount)
    with pytest.raises(DataError, match=r"'tea' is to pay 2.5 and has 2 left"):
        pacer.spend("tea", 2.5)
    for worths in ([1.0], 1.0, [1.0, 2.0, 3.0]):
        with pytest.raises(DataError, match="the last side must be the 2 campaigns"):
            pacer.bids(worths)
    for worths in ([1.0, -1.0], [1.0, math.nan], [1.0, math.inf]):
        with pytest.raises(DataError, match="finite numbers of 0 or more"):
            pacer.bids(worths)
    pacer.advance(0.5)
    for now in (0.4, math.nan, math.inf):
        with pytest.raises(DataError, match="times must not fall"):
            pacer.advance(now)
    assert pacer.spent.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"spent": [3.0]},
        {"spent": [-1.0]},
        {"dual": [-0.5]},
        {"dual": [0.1, 0.1]},
        {"before": [0.5]},
        {"budget": ["much"]},
        {"campaigns": ["a", "b"]},
        {"now": -1.0},
        {"step": None},
    ],
)
def test_what_is_saved_and_damaged_is_refused(change: dict[str, Any]) -> None:
    right = Pacer({"a": 2.0}).to_dict()
    assert Pacer.from_dict(right).to_dict() == right
    with pytest.raises(DataError, match="begin the horizon anew"):
        Pacer.from_dict({**right, **change})
    with pytest.raises(DataError, match="begin the horizon anew"):
        Pacer.from_dict({name: value for name, value in right.items() if name != "traffic"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": {"a": "10"}}, "the budget of 'a' is the text '10'; a number is expected"),
        ({"budgets": {"a": None}}, "the budget of 'a' is None"),
        ({"budgets": [10.0]}, "budgets came as list; a mapping from campaign to budget"),
        ({"start": "0"}, "the start of the horizon is the text '0'"),
        ({"end": None}, "the end of the horizon is None"),
        ({"step": "20"}, "step is the text '20'"),
        ({"traffic": "evenly"}, "the forecast of traffic: the text 'evenly' came; numbers are expected"),
        ({"traffic": ["1", "2"]}, r"the forecast of traffic: \['1', '2'\] came"),
        ({"traffic": [[1], [1, 2]]}, "lists of one length"),
        ({"weights": {"a": "half"}}, "the weight of 'a' is the text 'half'"),
        ({"weights": [0.5]}, "weights came as list"),
    ],
)
def test_settings_that_are_text_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pacer(**{"budgets": {"a": 2.0}, **change})


def test_amounts_and_times_that_are_text_are_refused() -> None:
    pacer = Pacer({"a": 2.0})
    for worths in (["1.0"], ["much"], [[1.0], [1.0, 2.0]]):
        with pytest.raises(DataError, match=r"worths: .* came; numbers are expected"):
            pacer.bids(worths)
    for amount in ("1", None):
        with pytest.raises(DataError, match=r"what 'a' is to pay is .*; a number is expected"):
            pacer.spend("a", amount)  # type: ignore[arg-type]
    for now in ("0.5", None):
        for asked in (pacer.advance, pacer.share):
            with pytest.raises(DataError, match=r"the time is .*; a number is expected"):
                asked(now)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unknown campaign '3'"):
        pacer.spend(3, 1.0)  # type: ignore[arg-type]
    pacer.spend("a", Decimal("0.5"))  # type: ignore[arg-type]
    assert pacer.spent.tolist() == [0.5]
