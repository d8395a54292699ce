import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.arrays import AnyArray
from zhiyin.data.exposures import Exposures
from zhiyin.data.synthetic import Truth, synthetic
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation import off_policy
from zhiyin.evaluation.off_policy import item_rates, value_of

N_ITEMS = 4


def logged(n: int = 600, seed: int = 0, **more: Any) -> tuple[Exposures, AnyArray, AnyArray]:
    """A log, the chances of another policy, and some guess of rewards."""
    rng = np.random.default_rng(seed)
    old, new = (rng.dirichlet(np.ones(N_ITEMS), n) for _ in range(2))
    old = (old + 0.2) / (old + 0.2).sum(1, keepdims=True)
    item = np.array([rng.choice(N_ITEMS, p=row) for row in old], np.int32)
    reward = rng.random(n) + item
    return Exposures(item, old[np.arange(n), item], reward, N_ITEMS, **more), new, rng.random((n, N_ITEMS))


def every_case() -> tuple[Exposures, AnyArray, AnyArray, float]:
    """A log in which each item came exactly as often as its chance says, in two situations; and a new policy."""
    old = np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
    new = np.array([[0.1, 0.2, 0.7], [0.6, 0.4, 0.0]])
    earns = np.array([[1.0, 5.0, 2.0], [0.0, 3.0, 8.0]])
    where, item = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 2, 0, 1, 2, 2], np.int32)
    found = Exposures(item, old[where, item], earns[where, item], 3)
    return found, new[where], where, float((new * earns).sum(1).mean())


class TestValue:
    def test_it_is_exact_where_the_log_is_as_its_chances_say(self) -> None:
        exposures, new, where, value = every_case()
        anything = np.random.default_rng(0).random((2, 3))[where]
        found = value_of(exposures, new, anything, clip=math.inf)
        assert found.ips.value == pytest.approx(value, rel=1e-12)
        assert found.snips.value == pytest.approx(value, rel=1e-12)
        assert found.doubly_robust is not None
        assert found.doubly_robust.value == pytest.approx(value, rel=1e-12)
        assert found.covered == pytest.approx(1)
        assert found.lift.value == pytest.approx(value - exposures.reward.mean(), rel=1e-12)

    def test_it_equals_the_formulas_written_as_loops(self) -> None:
        exposures, new, expected = logged()
        found = value_of(exposures, new, expected, clip=2.0)
        ips, weights, direct, doubly = [], [], [], []
        for row in range(len(exposures)):
            item = exposures.item[row]
            weight = min(2.0, new[row, item] / exposures.propensity[row])
            model = sum(new[row, one] * expected[row, one] for one in range(N_ITEMS))
            ips.append(weight * exposures.reward[row])
            weights.append(weight)
            direct.append(model)
            doubly.append(model + weight * (exposures.reward[row] - expected[row, item]))
        assert found.direct is not None
        assert found.doubly_robust is not None
        assert found.logged.value == pytest.approx(exposures.reward.mean())
        assert found.ips.value == pytest.approx(np.mean(ips))
        assert found.snips.value == pytest.approx(np.sum(ips) / np.sum(weights))
        assert found.direct.value == pytest.approx(np.mean(direct))
        assert found.doubly_robust.value == pytest.approx(np.mean(doubly))
        assert found.effective == pytest.approx(np.sum(weights) ** 2 / np.sum(np.square(weights)))
        assert found.covered == pytest.approx(np.mean(weights))
        cut = np.mean([new[row, exposures.item[row]] / exposures.propensity[row] > 2 for row in range(len(exposures))])
        assert found.clipped == pytest.approx(cut)

    def test_the_same_policy_earns_what_was_earned(self) -> None:
        exposures, _, _ = logged(60)
        found = value_of(exposures, exposures.propensity)
        assert found.ips.value == found.snips.value == pytest.approx(exposures.reward.mean())
        assert found.lift.value == pytest.approx(0, abs=1e-12)
        assert found.effective == pytest.approx(60)

    def test_a_model_that_knows_all_leaves_no_doubt(self) -> None:
        exposures, new, _ = logged()
        exposures = Exposures(exposures.item, exposures.propensity, exposures.item.astype(float), N_ITEMS)
        found = value_of(exposures, new, np.tile(np.arange(N_ITEMS, dtype=float), (len(exposures), 1)))
        assert found.direct is not None
        assert found.doubly_robust is not None
        assert found.doubly_robust.value == pytest.approx(found.direct.value)
        wide = [(one.high or 0) - (one.low or 0) for one in (found.ips, found.snips, found.doubly_robust)]
        assert wide[2] < wide[1] < wide[0]

    def test_chances_of_what_was_shown_are_enough_without_a_model(self) -> None:
        exposures, new, _ = logged()
        whole, part = value_of(exposures, new), value_of(exposures, new[np.arange(600), exposures.item])
        assert (part.ips.value, part.snips.value) == (whole.ips.value, whole.snips.value)
        assert part.direct is None
        assert part.doubly_robust is None
        assert part.value == part.snips
        assert whole.value == whole.doubly_robust

    def test_functions_and_small_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        exposures, new, expected = logged()
        whole = value_of(exposures, new, expected)
        monkeypatch.setattr(off_policy, "FLOATS_AT_ONCE", 7 * N_ITEMS)
        assert value_of(exposures, lambda rows: new[rows], lambda rows: expected[rows]).to_dict() == whole.to_dict()

    def test_exposures_of_one_person_are_no_independent_witnesses(self) -> None:
        alone, new, _ = logged()
        many = Exposures(
            np.tile(alone.item, 9),
            np.tile(alone.propensity, 9),
            np.tile(alone.reward, 9),
            N_ITEMS,
            owner=np.tile(np.arange(600, dtype=np.int32), 9),
        )
        once = value_of(alone, new[np.arange(600), alone.item], clip=10)
        again = value_of(many, np.tile(new[np.arange(600), alone.item], 9), clip=10)
        assert again.snips.value == pytest.approx(once.snips.value)
        assert again.snips.n == once.snips.n == 600
        assert (again.snips.low, again.snips.high) == pytest.approx((once.snips.low, once.snips.high), rel=0.01)

    def test_what_the_log_cannot_tell_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        item, reward = np.array([0, 0, 1, 1] * 50, np.int32), np.ones(200)
        exposures = Exposures(item, np.full(200, 0.5), reward, 3)
        found = value_of(exposures, np.tile([0.3, 0.3, 0.4], (200, 1)))
        assert found.covered == pytest.approx(0.6)
        assert found.ips.value == pytest.approx(0.6)
        assert found.snips.value == pytest.approx(1)
        assert "60% of the new policy's choices" in found.notes[0]
        assert found.notes[0] in caplog.text
        assert found.notes[0] in str(found)
        low = Exposures(item, np.full(200, 0.25), reward, 3)
        assert "propensities are too low" in value_of(low, np.tile([0.5, 0.5, 0.0], (200, 1))).notes[0]
        few = Exposures(item[:20], np.full(20, 0.5), reward[:20], 3)
        assert "worth 20 exposures" in value_of(few, np.tile([0.5, 0.5, 0.0], (20, 1))).notes[-1]

    def test_weights_are_cut_at_the_root_of_the_number_of_exposures(self) -> None:
        exposures = Exposures(np.zeros(100, np.int32), np.full(100, 0.01), np.ones(100), 2)
        found = value_of(exposures, np.full(100, 0.5))
        assert found.clip == 10
        assert found.clipped == 1
        assert found.ips.value == pytest.approx(10)

    def test_it_is_written_as_text_and_as_json(self) -> None:
        exposures, new, _ = logged()
        found = value_of(exposures, new)
        assert "doubly robust" in str(found)
        assert "600 exposures, worth" in str(found)
        assert found.to_dict()["ips"]["value"] == found.ips.value


class TestItemRates:
    def test_no_exposure_tells_of_itself_nor_of_its_owner(self) -> None:
        owner = (np.arange(600) // 3).astype(np.int32)
        exposures, _, _ = logged(owner=owner, position=(np.arange(600) % 3 + 1).astype(np.int32))
        before = item_rates(exposures)(slice(0, 600))
        other = exposures.reward.copy()
        other[owner == 7] += 100
        changed = Exposures(exposures.item, exposures.propensity, other, N_ITEMS, exposures.position, owner)
        after = item_rates(changed)(slice(0, 600))
        np.testing.assert_array_equal(after[owner == 7], before[owner == 7])
        assert not np.array_equal(after, before)

    def test_they_find_what_items_and_places_earn(self) -> None:
        rng = np.random.default_rng(0)
        n, rate, place = 60_000, np.array([0.1, 0.2, 0.4]), rng.integers(1, 4, 60_000)
        item = rng.integers(0, 3, n).astype(np.int32)
        chance = rate[item] / place
        clicked = (rng.random(n) < chance).astype(float)
        exposures = Exposures(item, np.full(n, 1 / 3), clicked, 3, place.astype(np.int32))
        found = item_rates(exposures)(slice(0, n))
        np.testing.assert_allclose(found, rate / place[:, None], rtol=0.1)

    def test_rewards_below_zero_add_to_what_places_earn(self) -> None:
        rng = np.random.default_rng(0)
        n, worth, places = 60_000, np.array([-0.3, 0.0, 0.3]), np.array([0.5, 0.0, -0.5])
        item, place = rng.integers(0, 3, n).astype(np.int32), rng.integers(1, 4, n).astype(np.int32)
        reward = worth[item] + places[place - 1] + rng.normal(0, 1, n)  # of all, a mean of 0
        found = item_rates(Exposures(item, np.full(n, 1 / 3), reward, 3, place))(slice(0, n))
        np.testing.assert_allclose(found, worth + places[place - 1][:, None], atol=0.05)

    @pytest.mark.parametrize("seed", range(6))
    def test_what_is_foretold_is_within_what_was_earned(self, seed: int) -> None:
        """Margins with a mean near 0, of which a ratio has no meaning."""
        rng = np.random.default_rng(seed)
        n, place = 5_000, rng.integers(1, 4, 5_000).astype(np.int32)
        reward = rng.normal(0.01, 1, n) + np.array([0.5, 0, -0.5])[place - 1]
        exposures = Exposures(rng.integers(0, 20, n).astype(np.int32), np.full(n, 0.05), reward, 20, place)
        found = item_rates(exposures)(slice(0, n))
        assert reward.min() <= found.min() <= found.max() <= reward.max()
        assert np.abs(found - np.array([0.5, 0, -0.5])[place - 1][:, None]).max() < 0.25

    def test_an_item_that_was_shown_once_or_never_is_as_an_average_one(self) -> None:
        rng = np.random.default_rng(0)
        item = np.append(rng.integers(0, 3, 3_000), 3).astype(np.int32)
        reward = np.append(np.array([-0.5, 0.0, 0.5])[item[:-1]] + rng.normal(0, 1, 3_000), 9.0)
        found = item_rates(Exposures(item, np.full(3_001, 0.2), reward, 5))(slice(0, 3_000))
        assert np.abs(found[:, 4]).max() < 0.1
        assert np.abs(found[:, 3]).max() < 4

    @pytest.mark.parametrize("reward", [[-1.0, -1.0], [-1.0], [-2.0, 3.0]])
    def test_the_least_logs_of_losses_are_no_trouble(self, reward: list[float]) -> None:
        exposures = Exposures(np.zeros(len(reward), np.int32), np.ones(len(reward)), np.array(reward), 2)
        found = item_rates(exposures)(slice(0, len(reward)))
        assert (found >= min(reward)).all()
        assert (found <= max(reward)).all()

    def test_a_log_without_any_reward_is_no_trouble(self) -> None:
        exposures = Exposures(np.zeros(20, np.int32), np.ones(20), np.zeros(20), 1)
        assert value_of(exposures, np.ones((20, 1))).ips.value == 0
        assert np.isfinite(item_rates(exposures)(slice(0, 20))).all()


def policy_and_truth(truth: Truth, table: pa.Table, sharp: float) -> tuple[AnyArray, float]:
    """(n, n_items) the chances of a policy that follows tastes, and what it earns."""
    users, time = np.array([int(one[1:]) for one in table["user_id"].to_pylist()]), table["time"].to_numpy()
    fits = truth.affinities(users, time)
    weight = fits**sharp * truth.there(time)
    policy = weight / weight.sum(1, keepdims=True)
    earned = table["examination"].to_numpy()[:, None] * truth.attraction(fits, 0.2)
    return policy, float((policy * earned).sum(1).mean())


class TestKnownWorld:
    @pytest.mark.parametrize("logging", ["uniform", "popular"])
    def test_the_value_of_a_policy_that_never_ran_is_found(self, logging: Any) -> None:
        _, truth = synthetic(n_users=300, n_items=40, n_events=3_000, n_groups=4, seed=3)
        table = truth.exposures(4_000, 10, policy=logging)
        policy, value = policy_and_truth(truth, table, 1.0)
        exposures = Exposures.of(table, Vocabulary(truth.item_ids()), owner="query")
        found = value_of(exposures, policy)
        assert found.lift.value is not None
        assert found.lift.value > 0
        for one in (found.ips, found.snips, found.doubly_robust):
            assert one is not None
            assert one.value == pytest.approx(value, rel=0.05)
        assert found.covered == pytest.approx(1, abs=0.02)

    def test_intervals_hold_the_truth_as_often_as_they_say(self) -> None:
        _, truth = synthetic(n_users=100, n_items=20, n_events=1_000, n_groups=4, seed=3)
        items, held = Vocabulary(truth.item_ids()), []
        for seed in range(100):
            table = truth.exposures(300, 5, seed=seed)
            policy, value = policy_and_truth(truth, table, 1.0)
            found = value_of(Exposures.of(table, items, owner="query"), policy, seed=seed)
            held.append([one.low <= value <= one.high for one in (found.ips, found.snips, found.value)])
        assert (np.mean(held, 0) >= 0.89).all(), np.mean(held, 0)  # 0.95 less than three standard errors

    def test_of_margins_the_model_does_not_make_it_worse(self) -> None:
        """Over 60 logs, the error of `doubly_robust` is no larger than that of `snips`, which trusts no model."""
        wrong = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            n, old = 1_000, 0.7 * rng.dirichlet(np.ones(20)) + 0.015
            item, place = rng.choice(20, n, p=old).astype(np.int32), rng.integers(1, 4, n).astype(np.int32)
            worth, places = rng.normal(0.05, 0.3, 20), np.array([0.5, 0.0, -0.5])
            reward = worth[item] + places[place - 1] + rng.normal(0, 1, n)
            new = np.exp(2 * worth) / np.exp(2 * worth).sum()
            found = value_of(Exposures(item, old[item], reward, 20, place), np.tile(new, (n, 1)), seed=seed)
            assert found.doubly_robust is not None
            truth = float(new @ worth + places[place - 1].mean())
            wrong.append([found.snips.value - truth, found.doubly_robust.value - truth])
        snips, doubly = np.sqrt(np.mean(np.square(wrong), 0))
        assert doubly < snips


class TestBadInput:
    @pytest.mark.parametrize(
        ("chances", "expected", "message"),
        [
            (np.full((3, 3), 0.5), None, "chances of row 0 sum to 1.5"),
            (np.tile([1.5, -0.5, 0.0], (3, 1)), None, "the least is -0.5"),
            (np.full((2, 3), 1 / 3), None, "shape"),
            (np.full((3, 3), 1 / 3), np.zeros((3, 2)), "expected rewards of shape"),
            (np.array([0.5, 2.0, 0.1]), None, "chance 2 came in row 1"),
            (np.array([0.5, 1.0, 0.1]), np.zeros((3, 3)), "chances of shown items alone"),
            (np.zeros(3), None, "shows nothing that the log has"),
        ],
    )
    def test_chances_that_are_none_are_refused(self, chances: AnyArray, expected: Any, message: str) -> None:
        exposures = Exposures(np.array([0, 1, 2], np.int32), np.full(3, 0.5), np.ones(3), n_items=3)
        with pytest.raises(DataError, match=message):
            value_of(exposures, chances, expected)

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        exposures, new, _ = logged(30)
        with pytest.raises(ConfigError, match="clip=0"):
            value_of(exposures, new, clip=0)
        with pytest.raises(ConfigError, match="folds=1"):
            item_rates(exposures, folds=1)
