"""Uplift: how near an oracle the order of people comes, and what a budget of coupons earns by it.

    python benchmarks/uplift.py

Synthetic worlds (`Truth.coupons`) of 40,000 people each: half of the people are learnt from, the other half are judged
by the truth. Ten worlds, on none of which settings of learners were chosen; mean and standard deviation over them.
"one coupon": by lot, half of the people got a coupon of 10 %. The part of the oracle's Qini of t_learner, x_learner,
the likely buyers (boosted trees that learn who buys, whatever they got: a common mistake) and an order at random; and
how often the interval of the Qini, told by the trial of the other half, held the true one.
"two coupons": by lot, a third each got nothing, 10 % or 25 %. A purchase is worth a margin of 12; a coupon costs 3 or
7.5 when it is used. What coupons add to the profit, for each 1,000 people, by the truth: where the budget is 150 for
each 1,000 people, and without a limit. Allocations are by x_learner or by the true effects; the likely buyers, or
anybody, get 10 % until the money is spent, as x_learner expects it to be. "expected" is what the allocation says of
itself; "told": how often the interval by which the trial of the other half tells its value (`off_policy`) held it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from _common import write_results
from zhiyin.arrays import AnyArray
from zhiyin.data.exposures import Exposures
from zhiyin.data.synthetic import COUPON_FEATURES, SyntheticConfig, Truth
from zhiyin.evaluation.off_policy import value_of
from zhiyin.evaluation.uplift import qini, qini_of
from zhiyin.ranking.budget import allocate
from zhiyin.ranking.rankers import BoostedTrees
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import FeatureTable
from zhiyin.ranking.uplift import TLearner, XLearner
from zhiyin.run import Run

PEOPLE, SEEDS = 40_000, 10
WORLD: dict[str, Any] = {"n_items": 500, "n_events": 25 * PEOPLE, "cart_rate": 0.2, "purchase_rate": 0.4}
MARGIN, COSTS, BUDGET = 12.0, np.array([3.0, 7.5]), 0.15


@dataclass(frozen=True)
class Half:
    """Some of the people of a trial, and the truth."""

    features: FeatureTable
    arm: AnyArray
    bought: AnyArray
    propensity: AnyArray
    chances: AnyArray
    """(n, n_arms)."""

    @property
    def effects(self) -> AnyArray:
        """(n, n_arms - 1)."""
        return self.chances[:, 1:] - self.chances[:, :1]

    def added(self, arm: AnyArray) -> tuple[float, float]:
        """What an allocation adds to the profit and what it costs, for each 1,000 people, by the truth."""
        chance = self.chances[np.arange(len(arm)), arm]
        cost = chance * np.append(0, COSTS)[arm]
        return 1_000 * float((MARGIN * (chance - self.chances[:, 0]) - cost).mean()), 1_000 * float(cost.mean())


def halves(truth: Truth, discounts: tuple[float, ...], seed: int) -> tuple[Half, Half]:
    log = truth.coupons(PEOPLE, discounts, seed=seed)
    columns = {name: log[name].to_numpy(zero_copy_only=False) for name in COUPON_FEATURES}
    table, first = FeatureTable.of(columns, buckets=50), np.arange(PEOPLE) < PEOPLE // 2
    names = ("chance_without", *(f"chance_with_{at + 1}" for at in range(len(discounts))))
    chances = np.stack([log[name].to_numpy() for name in names], 1)
    arm, bought, propensity = (log[name].to_numpy() for name in ("arm", "bought", "propensity"))
    parts = [
        Half(table.take(rows), arm[rows], bought[rows].astype(float), propensity[rows], chances[rows])
        for rows in (first, ~first)
    ]
    return parts[0], parts[1]


def likely(train: Half, run: Run) -> BoostedTrees:
    """Who buys, whatever they got."""
    folds = np.arange(len(train.bought)) % 5 == 0
    rows = Rows(train.features, train.bought.astype(np.float32))
    return BoostedTrees(objective="chance", n_leaves=7).fit(rows.take(~folds), rows.take(folds), run)


def one_coupon(truth: Truth, seed: int) -> dict[str, dict[str, float]]:
    """Of each order: the part of the oracle's Qini, and whether its interval held it."""
    train, test = halves(truth, (0.1,), seed)
    run, effect, found = Run(seed=seed, threads=1), test.effects[:, 0], {}
    given = (train.features, train.arm, train.bought, 0.5, run)
    orders = {
        "t_learner": TLearner().fit(*given).predict(test.features)[:, 0],
        "x_learner": XLearner().fit(*given).predict(test.features)[:, 0],
        "likely buyers": likely(train, run).predict(test.features),
        "at random": np.random.default_rng(seed).random(len(effect)),
        "oracle": effect,
    }
    for name, score in orders.items():
        told, true = qini(score, test.arm, test.bought, test.propensity, seed=seed), qini_of(effect, score)
        held = float((told.low or 0) <= true <= (told.high or 0))
        found[name] = {"of oracle": true / qini_of(effect), "held": held}
    return found


def two_coupons(truth: Truth, seed: int) -> dict[str, dict[str, float]]:
    """Of each allocation: what it adds to the profit for each 1,000 people, and what it costs."""
    train, test = halves(truth, (0.1, 0.25), seed)
    run, n = Run(seed=seed, threads=1), len(test.arm)
    model = XLearner().fit(train.features, train.arm, train.bought, run=run)
    effects, chances = model.predict(test.features), model.expected(test.features)[:, 1:]
    money = BUDGET * n

    def by(effect: AnyArray, used: AnyArray, budget: float | None) -> Any:
        return allocate(effect, COSTS, budget, value=MARGIN, redeemed=used)

    def until_spent(order: AnyArray) -> AnyArray:
        first = np.argsort(-order, kind="stable")
        arm = np.zeros(n, np.int32)
        arm[first[np.cumsum(COSTS[0] * chances[first, 0]) <= money]] = 1
        return arm

    chosen = by(effects, chances, money)
    arms = {
        "budget": {
            "x_learner": chosen.arm,
            "oracle": by(test.effects, test.chances[:, 1:], money).arm,
            "likely buyers": until_spent(likely(train, run).predict(test.features)),
            "anybody": until_spent(np.random.default_rng(seed).random(n)),
        },
        "no limit": {
            "x_learner": by(effects, chances, None).arm,
            "oracle": by(test.effects, test.chances[:, 1:], None).arm,
            "all 10 %": np.full(n, 1),
            "all 25 %": np.full(n, 2),
        },
    }
    found = {f"{name}, {limit}": test.added(arm) for limit, some in arms.items() for name, arm in some.items()}
    rows = {name: {"added": added, "spent": spent} for name, (added, spent) in found.items()}
    rows["x_learner, budget"] |= {"expected": 1_000 * chosen.gain / n, **told(test, chosen.arm, seed)}
    return rows


def told(test: Half, arm: AnyArray, seed: int) -> dict[str, float]:
    """What the trial of the other half says of an allocation, and whether its interval held the truth."""
    earned = test.bought * (MARGIN - np.append(0, COSTS)[test.arm])
    log = Exposures(test.arm, test.propensity, earned, n_items=3)
    value = value_of(log, (arm[:, None] == np.arange(3)).astype(float), seed=seed).value
    true = float((test.chances[np.arange(len(arm)), arm] * (MARGIN - np.append(0, COSTS)[arm])).mean())
    return {"told": float((value.low or 0) <= true <= (value.high or 0))}


def over_seeds(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of each number."""
    return {
        name: {
            what: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
            for what in rows[0][name]
            for values in [[one[name][what] for one in rows]]
        }
        for name in rows[0]
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found: dict[str, list[dict[str, dict[str, float]]]] = {"one coupon": [], "two coupons": []}
    for seed in range(SEEDS):
        truth = Truth(SyntheticConfig(n_users=PEOPLE, seed=seed, **WORLD))
        for name, of_seed in (("one coupon", one_coupon), ("two coupons", two_coupons)):
            found[name].append(of_seed(truth, seed))
            print(seed, name, json.dumps(found[name][-1]), flush=True)
    protocol = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    write_results("uplift", {"protocol": protocol, **{name: over_seeds(rows) for name, rows in found.items()}})


if __name__ == "__main__":
    main()
