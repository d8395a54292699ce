r"""Pacing: budgets of campaigns that last for a whole day, by bids that are as much lower as they must be.

A campaign that bids what a show is worth wins until its money is gone: it pays high prices in the morning, and is not
there in the evening. Who bids less from the start wins all day, and wins what is cheap for what it is worth.

A bid is the worth of a show times a weight in (0, 1]. In a second-price auction this form is the best one for a
campaign with a budget, and the weight is found while bidding (the adaptive pacing strategy of Balseiro & Gur,
Management Science 2019: bid v / (1 + μ), and μ ← P(μ - ε (ρ - z)), with the money ρ that is planned for a step and z
that was spent). Two things are other than there. The step is one of λ = ln(1 + μ), in parts of the budget, so that it
means the same for each size of campaign and each depth of discount. And the plan is that of the money that is left for
the traffic that is left (as Agarwal et al., KDD 2014, plan by a forecast of it), so that what went wrong in the morning
is made up for until the evening:

    plan   = left(t0) · (F(t1) - F(t0)) / (1 - F(t0))      F: the part of the horizon's traffic until then
    λ      ← P(λ + step · (spent - plan) / budget)         P: onto 0 ... ln(1 / LEAST)
    weight = exp(-λ)

No bid is above the money that is left, so nothing is ever overspent where nobody pays more than their bid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from zhiyin._numbers import as_number, as_numbers
from zhiyin.arrays import AnyArray, DoubleVector
from zhiyin.errors import ConfigError, DataError, unknown

FORMAT = 1

LEAST = 1e-3
"""No weight is lower: a campaign that is never shown would not learn that it could be."""

ROUNDING = 1e-9
"""An amount may pass what is left by this part of it, as sums are rounded."""


class Pacer:
    """The money of campaigns over a horizon, and what they bid so that it lasts.

    >>> pacer = Pacer({"shoes": 10.0, "tea": 40.0}, start=0, end=24)
    >>> pacer.bids([0.5, 0.4]).tolist()
    [0.5, 0.4]
    >>> pacer.spend("shoes", 5.0)
    >>> pacer.advance(1)  # half of the money in the first hour
    >>> pacer.bids([0.5, 0.4]).round(3).tolist()
    [0.001, 0.4]
    """

    def __init__(
        self,
        budgets: Mapping[str, float],
        start: float = 0.0,
        end: float = 1.0,
        *,
        traffic: Sequence[float] | AnyArray = (1.0,),
        step: float = 20.0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Begin a horizon.

        Args:
            budgets: campaign -> its money for the horizon.
            start: when the horizon begins, in any unit.
            end: when it ends, in the same unit.
            traffic: the forecast: how many requests, up to a factor, come in each of so many equal parts of the
                horizon; such as 24 numbers for a day. By default they come evenly.
            step: how quickly weights follow. Who spends a tenth of the budget more than planned has its bids divided
                by exp(step / 10), which is 7. 0: bids are not paced, but still never above what is left.
            weights: campaign -> its weight to begin with, such as yesterday's; 1 for those that are not named.

        Raises:
            ConfigError: a budget, weight, forecast, step or horizon that is none.
        """
        self.budget = _positive("budget", budgets)
        self.campaigns = tuple(budgets)
        self.start, self.end = _horizon(start, end)
        self.traffic, self.step = _forecast(traffic), _step(step)
        self._place = {one: at for at, one in enumerate(self.campaigns)}
        self._dual = -np.log(self._weights(weights or {}))
        self._spent = np.zeros(len(self.campaigns))
        self._before = self._spent.copy()
        """(n_campaigns,) what was spent until the last step."""
        self.now = self.start

    def __len__(self) -> int:
        return len(self.campaigns)

    def __repr__(self) -> str:
        return f"Pacer: {len(self)} campaigns, {self._spent.sum():,.2f} of {self.budget.sum():,.2f} spent"

    @property
    def weights(self) -> DoubleVector:
        """(n_campaigns,) what worths are multiplied by, above 0 and at most 1."""
        return np.exp(-self._dual)

    @property
    def spent(self) -> DoubleVector:
        """(n_campaigns,) the money that is gone."""
        return self._spent.copy()

    @property
    def left(self) -> DoubleVector:
        """(n_campaigns,) the money that is not; never below 0."""
        return self.budget - self._spent

    def share(self, time: float) -> float:
        """The part of the horizon's traffic that comes until a time, by the forecast."""
        parts = len(self.traffic)
        at = min(max((as_number("the time", time) - self.start) / (self.end - self.start), 0.0), 1.0) * parts
        whole = min(int(at), parts - 1)
        return float(self.traffic[:whole].sum() + (at - whole) * self.traffic[whole])

    def bids(self, worth: AnyArray | Sequence[float]) -> AnyArray:
        """(..., n_campaigns) what is bid: worths times weights, and no more than is left.

        Args:
            worth: (..., n_campaigns) what a show (or a click, if clicks are paid) is worth to each campaign, in the
                order of `campaigns`; 0 for one that may not be shown.

        Raises:
            DataError: there is not one for each campaign, or one is no number of 0 or more.
        """
        worths = as_numbers("worths", worth)
        if worths.ndim == 0 or worths.shape[-1] != len(self):
            raise DataError(f"worths of shape {worths.shape} came; the last side must be the {len(self)} campaigns")
        if not (worths >= 0).all() or np.isinf(worths).any():
            raise DataError("worths must be finite numbers of 0 or more; others came: give 0 to who may not be shown")
        found: AnyArray = np.minimum(worths * self.weights, self.left)
        return found

    def spend(self, campaign: str, amount: float) -> None:
        """A campaign has paid.

        Raises:
            DataError: there is no such campaign, the amount is none, or it is more than is left.
        """
        if campaign not in self._place:
            raise DataError(unknown("campaign", str(campaign), self.campaigns))
        at, amount = self._place[campaign], as_number(f"what {campaign!r} is to pay", amount)
        if not 0 <= amount < math.inf:
            raise DataError(f"{campaign!r} is to pay {amount}; a finite number of 0 or more is expected")
        if amount > (self.budget[at] - self._spent[at]) * (1 + ROUNDING):
            raise DataError(
                f"{campaign!r} is to pay {amount:g} and has {self.budget[at] - self._spent[at]:g} left; charge no more "
                "than what `bids` said last"
            )
        self._spent[at] = min(self._spent[at] + amount, self.budget[at])

    def advance(self, now: float) -> None:
        """Time has gone on: weights fall where more was spent than planned since the last call, and rise where less.

        To be called after each request, or every few minutes. Later than the end, nothing changes any more.

        Raises:
            DataError: `now` is before the last one, or no number.
        """
        now = as_number("the time", now)
        if not now >= self.now or now == math.inf:
            raise DataError(f"the time {now:g} came after {self.now:g}; times must not fall, nor be endless")
        before, after = self.share(self.now), self.share(now)
        self.now = now
        if after <= before:
            return  # no traffic was foreseen until now: what is spent counts in the next step
        plan = (self.budget - self._before) * (after - before) / (1 - before)
        over = (self._spent - self._before - plan) / self.budget
        self._dual = np.clip(self._dual + self.step * over, 0, -math.log(LEAST))
        self._before = self._spent.copy()

    def renewed(self, start: float, end: float, budgets: Mapping[str, float] | None = None) -> Self:
        """A new horizon, such as the next day: purses are full, the forecast and weights are as they are here.

        Args:
            start: when it begins.
            end: when it ends.
            budgets: campaign -> its money; by default as before. One that was not here begins with a weight of 1.

        Raises:
            ConfigError: a budget or the horizon is none.
        """
        full = dict(zip(self.campaigns, self.budget.tolist(), strict=True)) if budgets is None else budgets
        known = dict(zip(self.campaigns, self.weights.tolist(), strict=True))
        kept = {one: weight for one, weight in known.items() if one in full}
        return type(self)(full, start, end, traffic=self.traffic, step=self.step, weights=kept)

    # ------------------------------------------------------------------ saving

    def to_dict(self) -> dict[str, Any]:
        """All that is known, as plain values for JSON."""
        columns = {"budget": self.budget, "spent": self._spent, "before": self._before, "dual": self._dual}
        return {
            "format": FORMAT,
            "start": self.start,
            "end": self.end,
            "now": self.now,
            "step": self.step,
            "traffic": self.traffic.tolist(),
            "campaigns": list(self.campaigns),
            **{name: column.tolist() for name, column in columns.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote; it goes on as if nothing had been.

        Raises:
            DataError: it is of another version, or damaged.
        """
        came = content.get("format")
        if came != FORMAT:
            raise DataError(f"a pacer of format {came!r} came, this version reads {FORMAT}; begin the horizon anew")
        try:
            budgets = dict(zip(content["campaigns"], content["budget"], strict=True))
            made = cls(budgets, content["start"], content["end"], traffic=content["traffic"], step=content["step"])
            made.now = float(content["now"])
            columns = (np.array(content[name], np.float64) for name in ("spent", "before", "dual"))
            made._spent, made._before, made._dual = columns
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise DataError(f"the saved pacer is damaged: {error!r}; begin the horizon anew") from None
        made._check()
        return made

    def _check(self) -> None:
        n = (len(self),)
        right = self._spent.shape == self._before.shape == self._dual.shape == n and self.now >= self.start
        right = right and bool(((self._before >= 0) & (self._before <= self._spent)).all())
        right = right and bool((self._spent <= self.budget).all())
        if not right or not ((self._dual >= 0) & (self._dual <= -math.log(LEAST))).all():
            raise DataError("the saved pacer is damaged: its numbers do not fit together; begin the horizon anew")

    def _weights(self, given: Mapping[str, float]) -> DoubleVector:
        weights = _by_campaign("weight", given)
        for one, weight in weights.items():
            if one not in self._place:
                raise ConfigError(f"weights: {unknown('campaign', str(one), self.campaigns)}")
            if not 0 < weight <= 1:
                raise ConfigError(f"the weight of {one!r} is {weight}; above 0 and at most 1 is expected")
        return np.maximum([weights.get(one, 1.0) for one in self.campaigns], LEAST)


def _by_campaign(what: str, given: Mapping[str, float]) -> dict[str, float]:
    """A number for each campaign."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what}s came as {type(given).__name__}; a mapping from campaign to {what} is expected")
    return {name: as_number(f"the {what} of {name!r}", value, ConfigError) for name, value in given.items()}


def _positive(what: str, given: Mapping[str, float]) -> DoubleVector:
    if not (found := _by_campaign(what, given)):
        raise ConfigError(f"no {what}s came; one for each campaign is expected, and one campaign at least")
    for name, value in found.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"the {what} of {name!r} is {value}; a finite number above 0 is expected")
    return np.array(list(found.values()), np.float64)


def _horizon(start: float, end: float) -> tuple[float, float]:
    start, end = (
        as_number(f"the {name} of the horizon", one, ConfigError) for name, one in (("start", start), ("end", end))
    )
    if not -math.inf < start < end < math.inf:
        raise ConfigError(f"a horizon from {start} to {end} came; its end must be later than its start, both finite")
    return start, end


def _step(step: float) -> float:
    step = as_number("step", step, ConfigError)
    if not 0 <= step < math.inf:
        raise ConfigError(f"step={step} came; a finite number of 0 or more is expected")
    return step


def _forecast(traffic: Sequence[float] | AnyArray) -> DoubleVector:
    """(parts,) the part of the traffic in each."""
    found = as_numbers("the forecast of traffic", traffic, ConfigError)
    if found.ndim != 1 or not len(found) or not (found >= 0).all() or not 0 < found.sum() < math.inf:
        raise ConfigError(f"the forecast of traffic is {np.asarray(traffic)}; numbers of 0 or more, not all 0, fit")
    shares: DoubleVector = found / found.sum()
    return shares
