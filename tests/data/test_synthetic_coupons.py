import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from zhiyin.data._synthetic_coupons import NEWSLETTERS
from zhiyin.data.dataset import Dataset
from zhiyin.data.synthetic import COUPON_FEATURES, Truth, synthetic
from zhiyin.errors import ConfigError
from zhiyin.metrics._intervals import wilson

SECOND = 1_000_000


@pytest.fixture(scope="module")
def world() -> tuple[Dataset, Truth]:
    return synthetic(n_users=8_000, n_items=60, n_events=160_000, n_groups=4, cart_rate=0.2, seed=4)


@pytest.fixture(scope="module")
def table(world: tuple[Dataset, Truth]) -> pd.DataFrame:
    found: pd.DataFrame = world[1].coupons(8_000, (0.1, 0.25), seed=1).to_pandas()
    return found


def test_what_is_known_is_counted_in_the_events_before(world: tuple[Dataset, Truth], table: pd.DataFrame) -> None:
    dataset, truth = world
    events = dataset.histories
    assert events.time is not None
    assert events.kind is not None
    price, ends = truth.items["price"].to_numpy(), (truth.config.start + truth.config.days * 86_400) * SECOND
    for row in table.sample(60, random_state=0).itertuples():
        user = int(row.user_id[1:])
        own = slice(events.offsets[user], events.offsets[user + 1])
        kind, item, time = events.kind[own], events.item[own], events.time[own]
        assert row.views == (kind == 0).sum()
        assert row.purchases == (kind == 2).sum()
        assert np.isnan(row.spending) == np.isnan(row.days_since) == (row.purchases == 0)
        if row.purchases:
            assert row.spending == pytest.approx(price[item[kind == 2]].mean())
            assert row.days_since == pytest.approx(max(0, ends - time[kind == 2].max()) / (86_400 * SECOND))
    whole = table.on_sale * table.views
    assert np.allclose(whole.dropna(), whole.dropna().round())
    assert np.isnan(table.on_sale[table.views == 0]).all()
    assert np.allclose(table.opened * NEWSLETTERS, (table.opened * NEWSLETTERS).round())


def test_each_person_is_there_once_and_the_columns_are_those_that_are_named(table: pd.DataFrame) -> None:
    assert table.user_id.is_unique
    truth = ["arm", "propensity", "bought", "chance_without", "chance_with_1", "chance_with_2"]
    assert table.columns.tolist() == ["user_id", *COUPON_FEATURES, *truth]


def test_arms_are_by_lot_and_purchases_follow_their_chances(table: pd.DataFrame) -> None:
    assert table.propensity.to_numpy() == pytest.approx(1 / 3)
    assert np.abs(table.arm.value_counts() / len(table) - 1 / 3).max() < 0.02
    for arm, name in enumerate(["chance_without", "chance_with_1", "chance_with_2"]):
        part = table[table.arm == arm]
        interval = wilson(part.bought.sum(), len(part))
        assert interval.low - 0.005 < part[name].mean() < interval.high + 0.005
        assert table[name].mean() == pytest.approx(part[name].mean(), abs=0.02), "an arm has other people"


def test_chances_are_those_of_the_formula(world: tuple[Dataset, Truth]) -> None:
    """Of one person, put together by hand from the text of the module."""
    table = world[1].coupons(8_000, (0.1, 0.25), hidden=0, seed=1).to_pandas()
    views = np.log1p(np.bincount(world[0].histories.owner()[world[0].histories.kind == 0], minlength=8_000))
    for row in table[table.purchases > 0].head(20).itertuples():
        z = np.clip((views[int(row.user_id[1:])] - views.mean()) / views.std(), -2.5, 2.5)
        fresh = np.exp(-row.days_since / 30)
        eager = 1.2 * expit(12 * (row.on_sale - 0.45)) * min(1, 2 * row.opened)
        eager *= (1.4 if row.age < 35 else 1) * (0.3 if row.region == "west" else 1)
        wary = expit(12 * (fresh - 0.5)) * expit(12 * (0.45 - row.on_sale)) + (0.5 if row.opened < 0.15 else 0)
        assert logit(row.chance_without) == pytest.approx(-1.8 + 1.1 * z + 1.8 * fresh)
        assert logit(row.chance_with_1) - logit(row.chance_without) == pytest.approx(eager - wary)
        assert logit(row.chance_with_2) - logit(row.chance_without) == pytest.approx(2.5**0.6 * eager - wary)


def test_there_are_all_four_kinds_of_people(table: pd.DataFrame) -> None:
    effect, before = table.chance_with_1 - table.chance_without, table.chance_without
    still = effect.abs() < 0.02
    assert (effect > 0.05).mean() > 0.1, "who buy because of it"
    assert (effect < -0.02).mean() > 0.05, "who had better been left alone"
    assert (still & (before > 0.4)).mean() > 0.01, "who buy anyway"
    assert (still & (before < 0.1)).mean() > 0.1, "who buy in no case"
    assert 0.01 < effect.mean() < 0.1
    assert abs(effect.corr(before, method="spearman")) < 0.4, "the likely buyers are not those whom a coupon moves"


def test_the_same_seed_is_the_same_trial_and_people_do_not_change(world: tuple[Dataset, Truth]) -> None:
    first, second = (world[1].coupons(300, seed=seed).to_pandas() for seed in (3, 4))
    pd.testing.assert_frame_equal(first, world[1].coupons(300, seed=3).to_pandas())
    both = first.merge(second, on="user_id", suffixes=("", "_2"))
    assert 0 < len(both) < 300
    for name in COUPON_FEATURES:
        pd.testing.assert_series_equal(both[name], both[f"{name}_2"], check_names=False)


def test_a_campaign_that_leans_to_busy_people_says_so(world: tuple[Dataset, Truth]) -> None:
    table = world[1].coupons(8_000, lean=1.0, seed=5).to_pandas()
    chance = np.where(table.arm == 1, table.propensity, 1 - table.propensity)
    busy = table.views > table.views.median()
    assert chance[busy].mean() > 0.6 > 0.4 > chance[~busy].mean()
    for some in (busy, ~busy):
        assert table.arm[some].mean() == pytest.approx(chance[some].mean(), abs=0.03)
    naive = table.bought[table.arm == 1].mean() - table.bought[table.arm == 0].mean()
    gain = (table.bought * np.where(table.arm == 1, 1, -1) / table.propensity).mean()
    true = (table.chance_with_1 - table.chance_without).mean()
    assert gain == pytest.approx(true, abs=0.03)
    assert naive > true + 0.05


def test_mistakes(world: tuple[Dataset, Truth]) -> None:
    for options, message in (
        ({"n": 9_000}, "9,000 people were asked for; the world has 8,000"),
        ({"n": 0}, "0 people were asked for"),
        ({"discounts": ()}, "at least one is expected"),
        ({"discounts": (1.5,)}, "between 0 and 1"),
        ({"hidden": -1.0}, "hidden=-1.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            world[1].coupons(**options)  # type: ignore[arg-type]
