"""A coupon trial in a synthetic world: who got which coupon, who bought, and who would have bought without.

All that moves a person is in the table, but for a share that nobody can know (`hidden`). With z the standard score of
log(1 + views), f = exp(-days since the last purchase / 30), s the part of views that were on sale, o the part of
newsletters that were opened, and σ the logistic function, the log-odds of buying are

    without a coupon   -1.8 + 1.1 z + 1.8 f + hidden
    with discount d    the same + (d / 0.1)^0.6 · eager - wary
    eager              1.2 · σ(12 (s - 0.45)) · min(1, 2 o) · (1.4 under 35 years, else 1) · (0.3 in the west, else 1)
    wary               1.0 · σ(12 (f - 0.5)) · σ(12 (0.45 - s)) + 0.5 · [o < 0.15]

so there are four kinds of people: those who buy because of it, those who buy anyway, those who buy in no case, and
those who had better been left alone: who bought lately and look at no sales, or who read no mail from the shop.

What is known of people is counted in the events of the world (views, purchases, days since, spending); views on sale
and opened newsletters are drawn, of each as many as there were, with chances of their own for each person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from scipy.special import expit

from zhiyin.arrays import AnyArray, DoubleVector, LongVector
from zhiyin.data._synthetic_events import KINDS, EventMaker
from zhiyin.errors import ConfigError
from zhiyin.run import Run

if TYPE_CHECKING:
    from zhiyin.data._synthetic_truth import Truth

COUPON_FEATURES = ("age", "region", "views", "purchases", "days_since", "spending", "on_sale", "opened")
"""The columns of a trial that are known when coupons are given."""

NEWSLETTERS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What each user did in the events of a world, and what of it was on sale; (n_users,) each."""

    views: LongVector
    purchases: LongVector
    days_since: DoubleVector
    """Days from the last purchase to the end of the world; NaN without one."""
    spending: DoubleVector
    """The mean price of what was bought; NaN without a purchase."""
    on_sale: DoubleVector
    """The part of views that were of items on sale; NaN without a view."""
    opened: DoubleVector
    """The part of the last newsletters that were opened."""


def past(truth: Truth) -> Past:
    """Count the events of a world, in one pass; and draw what events do not tell."""
    n, price = truth.config.n_users, truth.items["price"].to_numpy()
    views, purchases, paid = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    last = np.full(n, -1, np.int64)
    for lot in EventMaker(truth).lots():
        seen, bought = (lot.take(lot.kind == KINDS.index(kind)) for kind in ("view", "purchase"))
        views += np.bincount(seen.user, minlength=n)
        purchases += np.bincount(bought.user, minlength=n)
        paid += np.bincount(bought.user, price[bought.item], n)
        np.maximum.at(last, bought.user, bought.time)
    ends = truth.config.start + truth.config.days * 86_400
    some = np.where(purchases > 0, 1.0, np.nan)
    rng = Run(seed=truth.config.seed).generator("synthetic coupons people")
    on_sale = rng.binomial(views, rng.beta(1.5, 2.0, n)) / np.where(views > 0, views, np.nan)
    opened = rng.binomial(NEWSLETTERS, rng.beta(1.2, 1.2, n)) / NEWSLETTERS
    days = np.maximum(0.0, (ends - last) / 86_400) * some
    return Past(views, purchases, days, paid / np.maximum(purchases, 1) * some, on_sale, opened)


def coupons(
    truth: Truth, known: Past, n: int, discounts: Sequence[float], lean: float, hidden: float, seed: int
) -> pa.Table:
    """See `Truth.coupons`."""
    _check(truth.config.n_users, n, discounts, hidden)
    rng = Run(seed=seed).generator("synthetic coupons")
    user = rng.choice(truth.config.n_users, n, replace=False)
    features = _features(truth, known, user)
    score = _standard(known)[user]
    chances = _buying(features, score, discounts, rng.normal(0, hidden, n) if hidden else np.zeros(n))
    propensity = _propensities(score, len(discounts), lean)
    arm = (rng.random(n)[:, None] >= np.cumsum(propensity, 1)[:, :-1]).sum(1).astype(np.int32)
    rows = np.arange(n)
    columns = {
        "user_id": truth.user_ids().take(pa.array(user)),
        **{name: pa.array(column, from_pandas=True) for name, column in features.items()},
        "arm": arm,
        "propensity": propensity[rows, arm],
        "bought": rng.random(n) < chances[rows, arm],
        "chance_without": chances[:, 0],
        **{f"chance_with_{at}": chances[:, at] for at in range(1, len(discounts) + 1)},
    }
    return pa.table(columns)


def _check(n_users: int, n: int, discounts: Sequence[float], hidden: float) -> None:
    if not 1 <= n <= n_users:
        raise ConfigError(f"{n:,} people were asked for; the world has {n_users:,}, and each is in a trial once")
    if not discounts or not all(0 < one < 1 for one in discounts):
        raise ConfigError(f"discounts={tuple(discounts)} came; at least one is expected, each between 0 and 1")
    if hidden < 0:
        raise ConfigError(f"hidden={hidden} came; a standard deviation of 0 or more is expected")


def _features(truth: Truth, known: Past, user: LongVector) -> dict[str, AnyArray]:
    """The columns of `COUPON_FEATURES`."""
    told = {name: truth.users[name].to_numpy(zero_copy_only=False)[user] for name in ("age", "region")}
    return told | {name: getattr(known, name)[user] for name in COUPON_FEATURES[2:]}


def _standard(known: Past) -> DoubleVector:
    """(n_users,) the standard score of log(1 + views), between -2.5 and 2.5."""
    views = np.log1p(known.views)
    return np.asarray(np.clip((views - views.mean()) / (views.std() or 1.0), -2.5, 2.5), np.float64)


def _buying(
    features: dict[str, AnyArray], score: DoubleVector, discounts: Sequence[float], hidden: AnyArray
) -> AnyArray:
    """(n, 1 + n_discounts) the chance to buy without a coupon and with each; see above."""
    fresh = np.exp(-np.nan_to_num(features["days_since"], nan=np.inf) / 30)
    sale, opened = np.nan_to_num(features["on_sale"], nan=0.0), features["opened"]
    eager = 1.2 * expit(12 * (sale - 0.45)) * np.minimum(1, 2 * opened)
    eager *= np.where(features["age"] < 35, 1.4, 1.0) * np.where(features["region"] == "west", 0.3, 1.0)
    wary = 1.0 * expit(12 * (fresh - 0.5)) * expit(12 * (0.45 - sale)) + 0.5 * (opened < 0.15)
    odds = -1.8 + 1.1 * score + 1.8 * fresh + hidden
    moved = [odds + (one / 0.1) ** 0.6 * eager - wary for one in discounts]
    return np.asarray(expit(np.stack([odds, *moved], 1)), np.float64)


def _propensities(score: DoubleVector, n_arms: int, lean: float) -> AnyArray:
    """(n, 1 + n_arms) the chance of each arm."""
    weight = np.stack([np.ones(len(score)), *[np.exp(lean * score)] * n_arms], 1)
    return np.asarray(weight / weight.sum(1, keepdims=True), np.float64)
