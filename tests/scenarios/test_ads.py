"""Ads: the world's law by hand, auctions with caps and budgets, a bound that holds, and what makes a day good."""

from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import linprog

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.reliability import reliability
from zhiyin.ranking.pacing import Pacer
from zhiyin.ranking.pipeline_config import RankerChoice
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run
from zhiyin.scenarios import worlds
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.report import ScenarioReport
from zhiyin.scenarios.run import run
from zhiyin.scenarios.tasks._ad_log import SMOOTHING, AdLog, Chances, known_of_pairs, known_of_rows
from zhiyin.scenarios.tasks._auction import Day, Shown, bound, replay
from zhiyin.scenarios.tasks.ads import METRICS, Truth, _average, evenness, over_cap
from zhiyin.scenarios.worlds.ads import DEVICES, HOUR, KINDS, PLACES, Ads, Asked, counted_before
from zhiyin.scenarios.worlds.base import DAY, START

SMALL = {"n_users": 60, "n_items": 8, "n_shows": 6_000, "n_requests": 500, "n_groups": 3}
ONE = Run(threads=1)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def shown_of(ad: list[int], paid: list[float]) -> Shown:
    return Shown(np.array(ad, np.int32), np.zeros(len(ad), np.int32), np.array(paid))


def day_of(who: list[int], floor: list[float]) -> Day:
    n = len(who)
    return Day(np.array(who, np.int32), np.arange(1, n + 1, dtype=np.int64), np.array(floor))


def log_of(world: Ads) -> AdLog:
    return AdLog.of(world.impressions(), world.items, world.users, {"device": DEVICES, "place": PLACES})


class TestWorld:
    def test_chances_are_those_of_the_formula(self) -> None:
        world = Ads(**SMALL)
        when = START + 3 * DAY + 17 * HOUR + 5
        asked = Asked(np.array([4, 9], np.int32), np.array([when, when]), np.array([0, 1]), np.array([2, 0]))
        for row, (user, device, place) in enumerate(((4, 0.2, -0.6), (9, -0.2, 0.5))):
            for ad in range(8):
                taste = world.taste[user, ad % 3]
                odds = world.click_base[ad] + taste + device + place + world.rhythm[ad % 3, 17]
                click, after = sigmoid(odds - 0.5 * 2), sigmoid(world.conversion_base[ad] + taste / 2 - 1.5 * device)
                assert world.clicks(asked, 2)[row, ad] == pytest.approx(click)
                assert world.conversions(asked)[row, ad] == pytest.approx(after)
                assert world.worths(asked, 2)[row, ad] == pytest.approx(world.value[ad] * click * after)

    def test_what_happened_has_the_chances_that_are_told(self) -> None:
        world = Ads(**{**SMALL, "n_shows": 40_000})
        log, table = log_of(world), world.impressions()
        rows = np.arange(len(log))
        asked = Asked(log.who, log.time, log.told["device"], log.told["place"])
        click = world.clicks(asked, log.seen[:, None])[rows, log.ad]
        after = world.conversions(asked)[rows, log.ad]
        for happened, chance in ((log.click, click), (log.conversion[log.click], after[log.click])):
            assert abs((happened - chance).sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
            assert reliability(happened, chance, 10).honest >= 0.7
        assert not (log.conversion & ~log.click).any()
        shares = np.bincount(log.ad, minlength=8) / len(log)
        np.testing.assert_allclose(shares, world.weight, atol=0.02)
        np.testing.assert_allclose(table["propensity"].to_numpy(), world.weight[log.ad])

    def test_seen_counts_the_same_ad_and_person_on_the_same_day_before(self) -> None:
        log = log_of(Ads(**{**SMALL, "n_shows": 1_500}))
        counts: dict[tuple[int, int, int], int] = {}
        for who, ad, time, seen in zip(log.who, log.ad, log.time, log.seen, strict=True):
            key = (int(who), int(ad), int(time // DAY))
            assert seen == counts.get(key, 0)
            counts[key] = counts.get(key, 0) + 1
        assert max(counts.values()) > 2
        assert counted_before(np.zeros((0, 2))).tolist() == []

    def test_the_truth_of_queries_is_that_of_device_place_and_shows_today(self) -> None:
        world = Ads(**SMALL)
        dataset, now = world.dataset(), START + 13 * DAY + 20 * HOUR
        past = dataset.histories
        assert past.time is not None
        queries = dataset.with_histories(past.keep(past.time < now)).queries()
        n = len(queries)
        context = {"device": np.array(["desktop"] * n), "place": np.array(["foot"] * n)}
        queries = replace(queries, now=np.full(n, now), context=context)
        log = log_of(world)
        seen = np.zeros((n, 8))
        today = (log.time >= START + 13 * DAY) & (log.time < now)
        np.add.at(seen, (log.who[today], log.ad[today]), 1)
        asked = Asked(np.arange(n, dtype=np.int32), np.full(n, now), np.ones(n, np.int32), np.full(n, 2, np.int32))
        assert seen.max() >= 2
        np.testing.assert_allclose(world.truth(queries), world.worths(asked, seen))
        np.testing.assert_allclose(world.truth(queries.slice(3, 5)), world.worths(asked, seen)[3:5])
        bare = replace(queries, histories=queries.histories.without("kind"))
        np.testing.assert_allclose(world.truth(bare), world.worths(asked))
        with pytest.raises(DataError, match="'nobody' is no user"):
            world.truth(replace(queries, users=("nobody",) * n))
        with pytest.raises(DataError, match="'watch' is no device"):
            world.truth(replace(queries, context={"device": np.array(["watch"] * n)}))
        with pytest.raises(DataError, match="lack a user or a time"):
            world.truth(replace(queries, now=None))

    def test_events_are_the_log_as_kinds(self) -> None:
        world = Ads(**SMALL)
        dataset, log = world.dataset(), log_of(world)
        past = dataset.histories
        assert past.kind is not None
        assert dataset.kinds == KINDS
        counts = np.bincount(past.kind, minlength=3).tolist()
        assert counts == [len(log), int(log.click.sum()), int(log.conversion.sum())]
        owner = past.owner()
        for kind, some in ((0, log.click | True), (1, log.click), (2, log.conversion)):
            here = past.kind == kind
            np.testing.assert_array_equal(
                np.bincount(owner[here] * 8 + past.item[here]), np.bincount(log.who[some] * 8 + log.ad[some])
            )

    def test_the_same_seed_is_the_same_world_and_budgets_are_parts_of_the_floors(self) -> None:
        one, two, other = (Ads(**SMALL, seed=seed) for seed in (1, 1, 2))
        assert one.impressions() == two.impressions() != other.impressions()
        assert one.dataset().content_hash == two.dataset().content_hash != other.dataset().content_hash
        np.testing.assert_array_equal(one.requests().time, two.requests().time)
        assert one.budget.sum() == pytest.approx(0.4 * one.floors().sum(), rel=0.01)
        assert one.requests().time.min() >= START + 14 * DAY > one.impressions()["time"].to_numpy().max()
        assert (np.diff(one.requests().time) >= 0).all()


class TestLog:
    def test_what_is_known_of_a_show_was_before_it(self) -> None:
        log = log_of(Ads(**{**SMALL, "n_shows": 400}))
        table = known_of_rows(log)
        for row in range(0, 400, 7):
            mine = log.who[:row] == log.who[row]
            alike = mine & (log.category[log.ad[:row]] == log.category[log.ad[row]])
            for name, some in (("person", mine), ("person in the category", alike)):
                shows, clicks = int(some.sum()), int(log.click[:row][some].sum())
                rate = (clicks + SMOOTHING * log.click.mean()) / (shows + SMOOTHING)
                assert table.column(f"shows, {name}")[row] == shows
                assert table.column(f"click rate, {name}")[row] == pytest.approx(rate, rel=1e-5)
        assert table.column("segment").tolist() == log.segment[log.who].tolist()
        assert table.column("hour").tolist() == (log.time // HOUR % 24).tolist()

    def test_what_is_known_of_pairs_is_all_of_the_log(self) -> None:
        world = Ads(**{**SMALL, "n_shows": 400})
        log, asked = log_of(world), world.requests()
        table = known_of_pairs(log, asked.who, asked.time, {"device": asked.device, "place": asked.place}, 1)
        assert table.names == known_of_rows(log).names
        assert len(table) == 500 * 8
        for at in (0, 11, 2_500):
            request, ad = divmod(at, 8)
            mine = log.who == asked.who[request]
            alike = mine & (log.category[log.ad] == log.category[ad])
            assert table.column("ad")[at] == ad
            assert table.column("seen today")[at] == 1
            assert table.column("shows, person")[at] == mine.sum()
            assert table.column("shows, person in the category")[at] == alike.sum()
            rate = (log.conversion[alike].sum() + SMOOTHING * log.conversion.sum() / log.click.sum()) / (
                log.click[alike].sum() + SMOOTHING
            )
            assert table.column("conversion rate, person in the category")[at] == pytest.approx(rate, rel=1e-5)

    def test_a_ranker_that_says_no_chances_and_a_log_without_conversions_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="objective='chance' or calibration"):
            Chances(RankerChoice(ranker="boosted_trees"))
        log = log_of(Ads(**{**SMALL, "n_shows": 60}))
        with pytest.raises(DataError, match="a longer log is needed"):
            Chances(RankerChoice(ranker="logistic")).fit(log, known_of_rows(log), np.arange(60) < 50, ONE)

    @pytest.mark.parametrize("name", ["logistic", "multi_task"])
    def test_one_ranker_for_both_or_one_for_each_learns_the_chances(self, name: str) -> None:
        further = {"epochs": 3, "hidden": (16,), "learning_rate": 0.01} if name == "multi_task" else {}
        world = Ads(**{**SMALL, "n_shows": 20_000})
        log, asked = log_of(world), world.requests()
        chances = Chances(RankerChoice(ranker=name, settings={"calibration": "platt", **further}))
        assert len(chances.rankers) == (1 if name == "multi_task" else 2)
        chances.fit(log, known_of_rows(log), np.arange(len(log)) < 16_000, ONE)
        told = {"device": asked.device, "place": asked.place}
        click, both = chances.of(known_of_pairs(log, asked.who, asked.time, told, 0))
        true = world.clicks(asked).ravel(), (world.clicks(asked) * world.conversions(asked)).ravel()
        for said, one, held in zip((click, both), true, (log.click[16_000:], log.conversion[16_000:]), strict=True):
            assert np.corrcoef(np.log(said), np.log(one))[0, 1] > 0.7
            # calibration can be no better than what it was learnt from: 3 standard errors of a count
            assert said.mean() == pytest.approx(one.mean(), rel=3 / np.sqrt(held.sum()))
        assert (both < click).all()


class TestAuction:
    def test_a_day_by_hand(self) -> None:
        """The second bid or the floor is paid; a cap of one show; a bid is no more than the money that is left."""
        worths = np.array([[[5.0, 3.0, 1.0], [5.0, 3.0, 1.0], [5.0, 3.0, 1.0], [5.0, 0.0, 1.0], [1.0, 1.0, 0.5]]])
        pacer = Pacer({"a": 4.0, "b": 9.0, "c": 9.0}, 0, 10, step=0)
        found = replay(worths, day_of([0, 0, 1, 2, 2], [2.0, 2.5, 0.5, 0.8, 2.0]), pacer)
        # a pays b's 3; then b, as a may not, the floor; then b, as a has 1 left, c's 1 or a's 1; then a ties with c
        assert found.ad.tolist()[:3] == [0, 1, 1]
        assert found.paid.tolist()[:3] == [3.0, 2.5, 1.0]
        assert found.ad[3] in (0, 2)
        assert found.paid[3] == 1.0
        assert found.ad[4] == -1
        assert found.paid[4] == 0.0
        assert found.of(worths).tolist()[:3] == [5.0, 3.0, 3.0]
        assert found.of(worths)[4] == 0.0

    def test_the_nth_show_is_bid_for_by_the_nth_worth(self) -> None:
        worths = np.array([[[4.0, 3.0]] * 5, [[2.0, 1.0]] * 5])
        found = replay(worths, day_of([0] * 5, [0.5] * 5), Pacer({"a": 99.0, "b": 99.0}, 0, 10, step=0))
        assert found.ad.tolist() == [0, 1, 0, 1, -1]
        assert found.seen.tolist() == [0, 0, 1, 1, 0]
        assert found.paid.tolist() == [3.0, 2.0, 1.0, 0.5, 0.0]
        assert over_cap(found, day_of([0] * 5, [0.5] * 5), 2) == 0
        assert over_cap(found, day_of([0] * 5, [0.5] * 5), 1) == 2

    def test_who_bids_nothing_is_not_shown_where_a_place_costs_nothing(self) -> None:
        worths = np.array([[[1.0, 0.0]] * 3])
        found = replay(worths, day_of([0] * 3, [0.0] * 3), Pacer({"a": 9.0, "b": 9.0}, 0, 10))
        assert found.ad.tolist() == [0, -1, -1]
        assert found.paid.tolist() == [0.0] * 3

    def test_the_cap_is_that_of_the_rule_frequency(self) -> None:
        world = Ads(**SMALL)
        truth = Truth.of(world, 2, ONE)
        worths = truth.chances[1] * truth.value
        pacer = Pacer({str(at): 1e9 for at in range(8)}, START + 14 * DAY, START + 15 * DAY)
        shown, day = replay(worths, truth.day, pacer), truth.day
        rules = Rules([{"rule": "frequency", "most": 2, "days": 1, "kinds": ["exposure"]}])
        some = np.flatnonzero(shown.ad >= 0)
        order = some[np.lexsort((day.time[some], day.who[some]))]
        past = Histories.of_lengths(
            np.bincount(day.who[some], minlength=60),
            item=shown.ad[order],
            time=day.time[order],
            kind=np.zeros(len(some), np.uint8),
        )
        dataset = Dataset.of(past, world.items, world.users, kinds=KINDS)
        rules.fit(dataset)
        queries = dataset.queries()
        for row in np.r_[some[-40:], np.flatnonzero(shown.ad < 0)[-10:]]:
            at = queries.take(np.array([day.who[row]]))
            assert at.histories.time is not None
            now = int(day.time[row])
            at = type(at)(
                at.histories.keep(at.histories.time < now), at.items, np.array([now]), at.users, kinds=dataset.kinds
            )
            free = rules.lets(at, 8)[0]
            if shown.ad[row] >= 0:
                assert free[shown.ad[row]]
            before = (day.who[:row] == day.who[row]) & (shown.ad[:row] >= 0)
            np.testing.assert_array_equal(~free, np.bincount(shown.ad[:row][before], minlength=8) >= 2)

    def many(self) -> tuple[np.ndarray, Day]:
        rng = np.random.default_rng(2)
        first = rng.lognormal(0, 0.7, (400, 5))
        day = Day(rng.integers(0, 30, 400).astype(np.int32), np.arange(1, 401), rng.lognormal(0, 0.3, 400))
        return np.stack([first, first * 0.5]), day

    def test_what_comes_later_changes_nothing_before(self) -> None:
        worths, day = self.many()
        whole = replay(worths, day, Pacer(dict.fromkeys("abcde", 20.0), 0, 400))
        short = Day(day.who[:150], day.time[:150], day.floor[:150])
        part = replay(worths[:, :150], short, Pacer(dict.fromkeys("abcde", 20.0), 0, 400))
        for name in ("ad", "seen", "paid"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:150])

    def test_the_numbers_of_people_and_ads_do_not_matter(self) -> None:
        worths, day = self.many()
        one = replay(worths, day, Pacer(dict.fromkeys("abcde", 20.0), 0, 400))
        people, ads = np.random.default_rng(0).permutation(30).astype(np.int32), np.array([3, 0, 4, 1, 2])
        other = Day(people[day.who], day.time, day.floor)
        two = replay(worths[:, :, ads], other, Pacer(dict.fromkeys("daebc", 20.0), 0, 400))
        np.testing.assert_array_equal(np.where(two.ad < 0, -1, ads[two.ad]), one.ad)
        np.testing.assert_allclose(two.paid, one.paid)

    def test_nobody_pays_more_than_it_is_worth_or_less_than_the_floor(self) -> None:
        worths, day = self.many()
        for step in (0.0, 20.0):
            pacer = Pacer(dict.fromkeys("abcde", 20.0), 0, 400, step=step)
            found = replay(worths, day, pacer)
            shown = found.ad >= 0
            assert 0 < shown.sum() < 400
            assert (found.paid[shown] <= found.of(worths)[shown] + 1e-12).all()
            assert (found.paid[shown] >= day.floor[shown]).all()
            assert (found.paid[~shown] == 0).all()
            np.testing.assert_allclose(pacer.spent, np.bincount(found.ad[shown], found.paid[shown], 5))
            assert (pacer.spent <= 20.0).all()

    def test_evenness_by_hand(self) -> None:
        pacer, day = Pacer({"a": 9.0, "b": 9.0}, 0, 4), day_of([0, 1, 2, 3], [0.0] * 4)  # at 1, 2, 3 and 4
        assert evenness(shown_of([0, 0, 0, 0], [1.0] * 4), day, pacer) == pytest.approx(0.25)
        assert evenness(shown_of([0, -1, -1, -1], [4.0, 0, 0, 0]), day, pacer) == pytest.approx(0.75)
        # a: all at 4, of which nothing was just before; b: all at 1; in the mean over money
        assert evenness(shown_of([1, -1, -1, 0], [1.0, 0, 0, 3.0]), day, pacer) == pytest.approx((3 * 1 + 0.75) / 4)
        assert np.isnan(evenness(shown_of([-1] * 4, [0.0] * 4), day, pacer))


class TestBound:
    def case(self, seed: int) -> tuple[np.ndarray, Day, np.ndarray]:
        rng = np.random.default_rng(seed)
        first = rng.lognormal(0, 1, (5, 2))
        return (
            np.stack([first, first * 0.6]),
            day_of([0, 0, 0, 1, 1], rng.uniform(0.5, 1.5, 5).tolist()),
            rng.uniform(0.8, 2.5, 2),
        )

    @pytest.mark.parametrize("seed", range(6))
    def test_it_is_at_or_above_the_best_of_all_ways_to_show(self, seed: int) -> None:
        worths, day, budget = self.case(seed)
        best = 0.0
        for ads in product((-1, 0, 1), repeat=5):
            cost = [sum(day.floor[row] for row, ad in enumerate(ads) if ad == one) for one in (0, 1)]
            if (np.array(cost) > budget).any():
                continue
            worth, counts = 0.0, dict[tuple[int, int], int]()
            for row, ad in enumerate(ads):
                seen = counts.get((int(day.who[row]), ad), 0)
                worth += 0 if ad < 0 else (worths[seen, row, ad] if seen < 2 else -np.inf)
                counts[int(day.who[row]), ad] = seen + 1
            best = max(best, worth)
        found = bound(worths, day, budget)
        assert best <= found + 1e-9
        assert found <= worths[0].max(1).sum() + 1e-9, "without budgets and caps"

    @pytest.mark.parametrize("seed", range(3))
    def test_it_is_near_that_of_the_linear_programme(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m = 120, 4
        first = rng.lognormal(0, 0.7, (n, m))
        worths, floor = np.stack([first, first * 0.6]), rng.lognormal(0, 1, n)
        who = rng.integers(0, 20, n)
        budget = rng.uniform(8, 16, m)
        keys = list(product(range(2), range(n), range(m)))
        rows = [[row == at for _, row, _ in keys] for at in range(n)]
        rows += [
            [(who[row], ad, nth) == (person, one, k) for nth, row, ad in keys]
            for person in range(20)
            for one in range(m)
            for k in range(2)
        ]
        limit = [1.0] * len(rows)
        rows += [[floor[row] if ad == one else 0 for _, row, ad in keys] for one in range(m)]
        exact = -linprog(
            -worths.ravel(), np.array(rows, float), np.r_[limit, budget], bounds=(0, 1), method="highs"
        ).fun
        found = bound(worths, Day(who.astype(np.int32), np.arange(n), floor), budget)
        assert exact <= found + 1e-6
        assert found <= exact * 1.002

    def test_the_order_of_ads_does_not_matter(self) -> None:
        worths, day, budget = self.case(7)
        found = [bound(worths[:, :, list(order)], day, budget[list(order)]) for order in permutations((0, 1))]
        assert found[0] == pytest.approx(found[1])


LOGISTIC = {"ranker": "logistic", "settings": {"calibration": "platt", "iterations": 60}}


def quick(ranker: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe that takes a second."""
    world = {**SMALL, "n_users": 150, "n_items": 12, "n_shows": 12_000, "n_requests": 1_200}
    told = {
        "title": "quick",
        "family": "ads",
        "purpose": "tests",
        "data": {"world": "ads", "settings": world},
        "task": {"task": "ads", "settings": {"ranker": ranker or LOGISTIC}},
        "metrics": ["value", "clicks", "conversions", "click error", "promised", "spent", "evenness", "capped"],
        "good": {"gain": 0.3, "oracle": 0.3, "bounds": {"capped": {"most": 0}}},
    }
    return Recipe.read({**told, **changes})


@pytest.fixture(scope="module")
def recipe_report() -> ScenarioReport:
    return run(Recipe.named("ads").but(metrics=METRICS), run=ONE)


class TestTask:
    def test_the_recipe_is_good_and_all_rows_are_in_their_order(self, recipe_report: ScenarioReport) -> None:
        found = recipe_report
        assert found.passed, str(found)
        value = {name: found.value(name, "value") for name in found.results}
        assert value["average"] < value["predicted"] < value["true"] < value["oracle"]
        assert found.test.difference == pytest.approx(value["predicted"] - value["average"])
        assert found.test.p < 0.01

    def test_pacing_lasts_the_day_and_buys_more(self, recipe_report: ScenarioReport) -> None:
        found = recipe_report
        assert found.value("predicted", "value") > 1.1 * found.value("unpaced", "value")
        assert found.value("predicted", "evenness") < 0.3 * found.value("unpaced", "evenness")
        assert found.value("predicted", "click error") == found.value("unpaced", "click error")

    def test_caps_and_budgets_are_held_by_all(self, recipe_report: ScenarioReport) -> None:
        for name in ("average", "predicted", "unpaced", "true"):
            assert recipe_report.value(name, "capped") == 0
            assert 0 < recipe_report.value(name, "spent") <= 1

    def test_true_chances_keep_their_promise(self, recipe_report: ScenarioReport) -> None:
        assert recipe_report.value("true", "promised") == pytest.approx(1)
        assert recipe_report.value("true", "click error") < recipe_report.value("predicted", "click error")

    def test_the_same_seed_is_the_same_report(self) -> None:
        one, two = (run(quick(), run=Run(seed=3, threads=1)).to_dict() for _ in range(2))
        for found in (one, two):
            found.pop("seconds")
        assert one == two

    def test_a_ranker_without_information_is_not_good(self) -> None:
        """One tree of two leaves knows next to nothing of people."""
        blind = {"ranker": "boosted_trees", "settings": {"objective": "chance", "n_trees": 1, "n_leaves": 2}}
        found = run(quick(blind), run=ONE)
        assert not found.passed, str(found)
        assert any("gain" in check.what for check in found.checks if not check.passed)
        assert run(quick(), run=ONE).passed

    def test_the_average_of_an_ad_is_that_of_its_shows(self) -> None:
        log = log_of(Ads(**SMALL))
        click, conversion = _average(log)
        for ad in range(8):
            mine = log.ad == ad
            shows = mine.sum() + SMOOTHING
            assert click[ad] == pytest.approx((log.click[mine].sum() + SMOOTHING * log.click.mean()) / shows)
            expected = (log.conversion[mine].sum() + SMOOTHING * log.conversion.mean()) / shows
            assert conversion[ad] == pytest.approx(expected)

    def test_the_bound_is_one_of_value_alone(self) -> None:
        found = run(quick(metrics=["clicks", "value"], good={"gain": 0.1, "oracle": 0.3}), run=ONE)
        assert found.test.metric == "clicks"
        assert found.results["oracle"]["clicks"].value is None
        assert not any("oracle" in check.what for check in found.checks)
        ends = found.results["predicted"]["clicks"]
        assert ends.low is not None
        assert ends.high is not None
        assert ends.low < found.value("predicted", "clicks") < ends.high

    def test_a_broken_bound_is_not_good(self) -> None:
        for most, passed in ((1.0, True), (1e-6, False)):
            found = run(quick(good={"gain": 0.1, "bounds": {"click error": {"most": most}}}), run=ONE)
            assert (found.checks[-1].what, found.checks[-1].passed, found.passed) == ("click error", passed, passed)

    def test_expected_clicks_are_near_those_that_are_drawn(self) -> None:
        world = Ads(**SMALL)
        truth = Truth.of(world, 2, ONE)
        shown = Shown(np.full(500, 3, np.int32), np.ones(500, np.int32), np.zeros(500))
        worth, clicked, converted = truth.came(shown)
        chance = world.clicks(world.requests(), 1)[:, 3]
        np.testing.assert_allclose(worth, world.worths(world.requests(), 1)[:, 3])
        assert abs((clicked - chance).sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
        assert not (converted & ~clicked).any()
        again = truth.came(Shown(shown.ad, np.zeros(500, np.int32), shown.paid))[1]
        assert (again | ~clicked).all(), "who clicked in spite of fatigue would have clicked without"

    def test_other_data_and_metrics_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="unknown metric of ads 'values'; did you mean 'value'"):
            run(quick(metrics=["values"], good={}))
        with pytest.raises(ConfigError, match="begin with value"):
            run(quick(metrics=["spent"], good={}))
        books = worlds.get("books")(n_users=30, n_items=20, n_events=200)
        for data in (books, books.dataset(), pa.table({"a": [1]})):
            with pytest.raises(ConfigError, match="must be known what would have come"):
                run(quick(), data)
