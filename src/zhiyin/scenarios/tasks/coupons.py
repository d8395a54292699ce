"""Coupons: who gets which one, by what it changes, within a budget; learnt and judged from the log of a trial.

A part of the people is learnt from, the others are judged. Four policies, of which the last is of a world alone:

    likely buyers  who is likeliest to buy, whatever was given, until the money is spent; the common practice
    by lot         anybody, until the money is spent
    uplift         by what each coupon changes (`zhiyin.ranking.uplift`) and what it costs (`zhiyin.ranking.budget`)
    oracle         the same by the true chances, with all of the money

The first two have one coupon to give: the one that earned the most in the trial, in the mean over who was given it.

What a person i comes to with arm a, y_i(a), is the true chance in a world. In a log it is the doubly robust score
(Robins, Rotnitzky & Zhao 1994; Dudík, Langford & Li, ICML 2011), right on average whatever the model m of outcomes is,
with m learnt from other people, a_i what was given, and p_i the chance of it:

    y_i(a) = m(x_i, a) + [a_i = a] (y_i - m(x_i, a)) / p_i

A coupon costs c_i(a) = c(a) y_i(a) where it is due when its owner buys, else c(a). A policy that gives π(i) has

    profit   1,000 mean(margin (y_i(π(i)) - y_i(0)) - c_i(π(i)))    what coupons add to none, for each 1,000 people
    spent    1,000 mean(c_i(π(i)))                                  the same of what they cost
    given    the part of the people that gets something
    qini     of the order by the score of the first coupon, or of the one that is named, by the differences
             y_i(a) - y_i(0); see `zhiyin.evaluation.uplift`

Profit has a value for each person, so the test of uplift against likely buyers is paired by person.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from zhiyin.arrays import AnyArray, DoubleVector, IntVector
from zhiyin.config import Config, setting
from zhiyin.errors import ConfigError
from zhiyin.evaluation.significance import Estimate, PairedTest, Sample, bootstrap, interval, paired
from zhiyin.ranking import uplift
from zhiyin.ranking.budget import allocate
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.uplift._crossed import Crossed, Learner, folds_of
from zhiyin.ranking.uplift.base import UpliftModel
from zhiyin.run import Run
from zhiyin.scenarios.opening import Data
from zhiyin.scenarios.report import Check, ScenarioReport
from zhiyin.scenarios.tasks._policies import Policy, doubly_robust, order_of, until_spent
from zhiyin.scenarios.tasks._trial_log import Columns, People, parts, read, uneven
from zhiyin.scenarios.tasks.base import Task, checks
from zhiyin.scenarios.worlds.coupons import Coupons as Shop

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Recipe

PEOPLE = 1_000
"""Money is told for so many people."""


class UpliftChoice(Config):
    """An uplift model and its settings; also as text, its name."""

    learner: str = "x_learner"
    """Its name, or `package.module:Class`; see `zhiyin list uplift`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"learner": value} if isinstance(value, str) else value


class CouponsConfig(Config):
    """Settings of `coupons`."""

    columns: Columns = Columns()
    """Which column of the trial plays which role."""
    nothing: str = "0"
    """What the column of arms says of who got nothing."""
    costs: dict[str, float] = Field(min_length=1)
    """What each coupon costs, by what the column of arms says of it: `{ "10 off" = 3.0 }`."""
    redeemed: bool = True
    """Whether a coupon costs only when it is used, which is when its owner buys; else it costs when it is given."""
    margin: float = Field(gt=0)
    """What an outcome of 1 is worth, in the money of the costs and before them."""
    budget: float | None = setting(None, ge=0)
    """The most that coupons may cost for each 1,000 people; None for no limit."""
    reserve: float = setting(0.0, ge=0, lt=1)
    """The part of the budget that is not planned, as an allocation picks who looks cheaper than they are."""
    learner: UpliftChoice = UpliftChoice()
    """What learns what a coupon changes."""
    buyers: Learner = Learner(settings={"n_leaves": 7})
    """What learns who buys, for the baseline; five rankers that are averaged, as those of the uplift model."""
    buckets: int = setting(1_024, ge=2)
    """Texts among the features are hashed into so many categories."""
    test_share: float = setting(0.5, gt=0, lt=1)
    """The part of the people that is judged, and not learnt from."""

    @model_validator(mode="after")
    def _right(self) -> Self:
        wrong = {name: cost for name, cost in self.costs.items() if cost < 0}
        if wrong:
            raise ValueError(f"costs of {wrong} came; 0 or more is expected")
        if self.nothing in self.costs:
            raise ValueError(f"nothing={self.nothing!r} is among the costs; name coupons alone there")
        return self


class Coupons(Task):
    """Coupons by what they change, beside coupons for likely buyers and, in a world, beside an oracle."""

    config: CouponsConfig

    def judge(self, recipe: Recipe, data: Data, run: Run) -> ScenarioReport:
        """See `Task.judge`; `data` is the world `coupons`, or the log of a trial as a plain table."""
        self._measurable(recipe.metrics)
        people = self._people(recipe, data)
        learn, ask = parts(people, self.config.test_share, run.generator("coupons parts"))
        policies, outcomes, seconds = self._policies(learn, ask, run)
        results, test = self._measured(recipe.metrics, policies, outcomes, run.seed)
        found = _checked(recipe, test, results)
        said, notes = self._said(recipe, data, people), self._notes(people)
        return ScenarioReport(recipe.title, said, len(ask.trial), results, test, found, seconds, notes)

    # ------------------------------------------------------------------ what comes in

    def _measurable(self, metrics: Sequence[str]) -> None:
        """Refuse what cannot be measured here, or cannot decide."""
        known = ("profit", "spent", "given", "qini", *(f"qini:{name}" for name in self.config.costs))
        if metrics[0] != "profit" or not set(metrics) <= set(known):
            raise ConfigError(
                f"metrics {', '.join(metrics)} came; coupons are measured by {', '.join(known)} (qini is that of the "
                "first coupon), and the first metric decides: begin with profit"
            )

    def _people(self, recipe: Recipe, data: Data) -> People:
        if not isinstance(data, (Shop, pa.Table)):
            raise ConfigError(
                f"the task {recipe.task.task!r} takes the log of a trial, a {type(data).__name__} came; name a table "
                "under [data], or the world 'coupons'"
            )
        own, known = self.config, data.chances() if isinstance(data, Shop) else None
        table = data.trial() if isinstance(data, Shop) else data
        people = read(table, own.columns, [own.nothing, *own.costs], own.buckets, known)
        if own.redeemed and not people.trial.is_binary:
            raise ConfigError(
                f"column {own.columns.outcome!r} has other outcomes than 0 and 1, and then nobody knows which coupon "
                "was used; set redeemed = false, or name a column of who bought"
            )
        return people

    def _said(self, recipe: Recipe, data: Data, people: People) -> str:
        """What the data are called, and how many people had what."""
        name = data.name if isinstance(data, Shop) else Path(recipe.data.table or "a table").stem
        arms = (self.config.nothing, *self.config.costs)
        had = ", ".join(f"{count:,} had {arm!r}" for arm, count in zip(arms, people.trial.counts, strict=True))
        return f"{name}: {len(people.trial):,} people, of whom {had}"

    def _notes(self, people: People) -> tuple[str, ...]:
        names = uneven(people)
        if not names:
            return ()
        said = (
            f"arms differ in {', '.join(names)} by more than the chances of the trial can explain: coupons went by "
            "choice, and then nothing tells cause from choice; or it tells what came after: name it in columns.drop"
        )
        return (said,)

    # ------------------------------------------------------------------ policies

    def _policies(self, learn: People, ask: People, run: Run) -> tuple[dict[str, Policy], AnyArray, dict[str, float]]:
        """All policies for those who are asked, what each of them comes to (n, n_arms), and how long uplift took."""
        started = time.perf_counter()
        model = self._learnt(learn, run)
        learnt = time.perf_counter()
        expected = model.expected(ask.features)
        chosen = self._by_effect(model.predict(ask.features), expected, self.config.reserve)
        seconds = {"learn": learnt - started, "answer": time.perf_counter() - learnt}
        policies = {**self._practice(learn, ask, run), "uplift": chosen}
        if ask.chances is None:
            return policies, doubly_robust(ask.trial, expected), seconds
        policies["oracle"] = self._by_effect(ask.chances[:, 1:] - ask.chances[:, :1], ask.chances, 0.0)
        return policies, ask.chances, seconds

    def _learnt(self, learn: People, run: Run) -> UpliftModel:
        own, trial = self.config.learner, learn.trial
        model: UpliftModel = uplift.get(own.learner)(**own.settings)
        return model.fit(learn.features, trial.arm, trial.outcome, trial.propensity, run)

    def _by_effect(self, effects: AnyArray, expected: AnyArray, reserve: float) -> Policy:
        """By effects (n, n_coupons), and what is expected of each person with each arm (n, n_arms)."""
        own, used = self.config, expected[:, 1:] if self.config.redeemed else None
        found = allocate(effects, self._costs[1:], self._money(len(effects), reserve), value=own.margin, redeemed=used)
        return Policy(found.arm, effects)

    def _practice(self, learn: People, ask: People, run: Run) -> dict[str, Policy]:
        """One coupon for the likely buyers, and for anybody, until the money is spent."""
        own, trial, n = self.config, learn.trial, len(ask.trial)
        fold = folds_of(trial.outcome, 5, run.generator("coupons buyers"))
        rows = Rows(learn.features, trial.outcome.astype(np.float32))
        buys = Crossed.fit(own.buyers, "chance" if trial.is_binary else "value", rows, fold, run).predict(ask.features)
        worth = np.bincount(trial.arm, trial.weight * self._profit(trial.outcome, trial.arm))  # weights sum to n
        coupon = 1 + int(worth[1:].argmax())
        cost = self._cost(buys, np.full(n, coupon, np.int32))
        found = {}
        for name, order in {"likely buyers": buys, "by lot": run.generator("coupons by lot").random(n)}.items():
            given = until_spent(order, cost, self._money(n, own.reserve))
            found[name] = Policy(given * np.int32(coupon), np.tile(order[:, None], len(own.costs)))
        return found

    def _money(self, n: int, reserve: float) -> float | None:
        """What may be planned for n people; None for no limit."""
        return None if self.config.budget is None else self.config.budget * (1 - reserve) * n / PEOPLE

    # ------------------------------------------------------------------ what came

    @property
    def _costs(self) -> DoubleVector:
        """(n_arms,) of nothing, then of each coupon."""
        return np.array([0.0, *self.config.costs.values()])

    def _cost(self, outcome: DoubleVector, arm: IntVector) -> DoubleVector:
        """(n,) what the arm of each person costs, given what comes of it."""
        return np.asarray(self._costs[arm] * (outcome if self.config.redeemed else 1.0), np.float64)

    def _profit(self, outcome: DoubleVector, arm: IntVector) -> DoubleVector:
        """(n,) what each person brings with its arm."""
        return self.config.margin * outcome - self._cost(outcome, arm)

    def _amounts(self, policy: Policy, outcomes: AnyArray) -> dict[str, DoubleVector]:
        """(n,) each: what is measured of each person, from what each comes to with each arm (n, n_arms)."""
        has, arm = outcomes[np.arange(len(outcomes)), policy.arm], policy.arm
        added = self._profit(has, arm) - self.config.margin * outcomes[:, 0]
        return {
            "profit": PEOPLE * added,
            "spent": PEOPLE * self._cost(has, arm),
            "given": (arm > 0).astype(np.float64),
        }

    def _measured(
        self, metrics: Sequence[str], policies: Mapping[str, Policy], outcomes: AnyArray, seed: int
    ) -> tuple[dict[str, dict[str, Estimate]], PairedTest]:
        """All metrics of all policies in their order, and the test of the first one; the draws are the same for all."""
        amounts = {
            (name, label): Sample.of(column)
            for name, one in policies.items()
            for label, column in self._amounts(one, outcomes).items()
        }
        draws = dict(zip(amounts, bootstrap(list(amounts.values()), seed).T, strict=True))
        found = {key: Estimate.of(one.value, *interval(draws[key]), one.n) for key, one in amounts.items()}
        for label in (one for one in metrics if one.startswith("qini")):
            found |= {(name, label): self._order(label, one, outcomes, seed) for name, one in policies.items()}
        results = {name: {label: found[name, label] for label in metrics} for name in policies}
        ours, theirs = ((name, amounts[name, "profit"]) for name in ("uplift", "likely buyers"))
        return results, paired("profit", ours, theirs, seed)

    def _order(self, label: str, policy: Policy, outcomes: AnyArray, seed: int) -> Estimate:
        """The Qini of the coupon that the label names, of the first one if it names none."""
        _, _, named = label.partition(":")
        coupon = 1 + (list(self.config.costs).index(named) if named else 0)
        return order_of(policy.score[:, coupon - 1], outcomes[:, [0, coupon]], seed)


def _checked(recipe: Recipe, test: PairedTest, results: Mapping[str, Mapping[str, Estimate]]) -> tuple[Check, ...]:
    """Whether uplift is as good as the recipe asks."""
    worse, best = (results[name]["profit"].value if name in results else None for name in ("likely buyers", "oracle"))
    values = {label: np.nan if one.value is None else one.value for label, one in results["uplift"].items()}
    known = None if best is None or best <= 0 else best  # of nothing there is no part
    return tuple(checks(recipe.good, test, values, worse or 0.0, known))
