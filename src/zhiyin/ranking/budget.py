"""A budget for coupons: who gets which one, so that as much as possible is gained for the money.

What an arm brings to a person is value · effect - expected cost, where the cost is due whenever it is given, or only
when it is used (`redeemed`, the chance to buy with it: those who would have bought anyway cost, too). Each person gets
one arm at most, and all together cost no more than the budget: a multiple-choice knapsack (Sinha & Zoltners, Operations
Research 1979; for promotions: Goldenberg, Albert, Bernardi & Estevez, "Free lunch!", RecSys 2020).

It is solved by its relaxation. Of each person's arms those count that are on the efficient frontier, the rising concave
hull of gain over cost from nothing on. The steps along it, from nothing to a small coupon and from that to a larger
one, are taken in the order of what each brings for its cost, while the money lasts (Zemel 1980). Where a step costs
more than is left, it is skipped, and smaller ones of others still get what is there. An arm whose gain is negative is
on no frontier.

The first step that does not fit is the only one that the relaxation would take in part, so the gain is within that one
step of `bound`, which no allocation can pass; `price` is what one more unit of money would bring (the Lagrange
multiplier of the budget).

*Effects are estimates.* An allocation picks those whose effect looks large and whose cost looks small, and such looks
deceive: it may spend more than it expects to, and what it expects to gain is no proof. What it brings is told by a part
of a trial that nothing was learnt from: an allocation is a policy, see `zhiyin.evaluation.off_policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zhiyin._numbers import as_number, as_numbers
from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector, LongVector
from zhiyin.errors import ConfigError, DataError

ROUNDING = 1e-12
"""A sum of costs may pass the budget by this part of it, as sums are rounded."""

REASONS = ("given", "given less", "no money", "no gain", "harm")
"""Why a person has what it has:

given       the arm that brings the most to this person
given less  a smaller arm than that, as the money brings more elsewhere
no money    nothing, though something would bring a gain: the money brings more elsewhere
no gain     nothing: each arm would cost more than it brings
harm        nothing: each arm would make it buy less
"""


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Who gets what, and what it should bring."""

    arm: IntVector
    """(n,) 0 for nothing, 1, 2, ... for an arm."""
    reason: IntVector
    """(n,) a number in `REASONS`."""
    spent: float
    """The expected cost."""
    gain: float
    """The expected value, less the cost."""
    bound: float
    """What no allocation of this budget can gain more than, if effects are as they are said to be."""
    price: float
    """What one more unit of money would gain; 0 where money is left."""
    budget: float
    """What could be spent; infinite for no limit."""

    def __len__(self) -> int:
        return len(self.arm)

    def counts(self) -> dict[str, int]:
        """How many people there are for each of `REASONS`."""
        found = np.bincount(self.reason, minlength=len(REASONS))
        return dict(zip(REASONS, found.tolist(), strict=True))

    def chances(self, n_arms: int) -> AnyArray:
        """(n, n_arms) 1 for the arm of each person, else 0: as a policy, for `off_policy.value_of`."""
        found: AnyArray = (self.arm[:, None] == np.arange(n_arms)).astype(np.float64)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the people; no limit is None."""
        numbers = {name: float(getattr(self, name)) for name in ("spent", "gain", "bound", "price")}
        budget = float(self.budget) if np.isfinite(self.budget) else None
        return {**numbers, "budget": budget, "people": len(self), "reasons": self.counts()}

    def __str__(self) -> str:
        limit = f" of {self.budget:,.2f}" if np.isfinite(self.budget) else ""
        told = ", ".join(f"{name} {count:,}" for name, count in self.counts().items())
        return (
            f"{int((self.arm > 0).sum()):,} of {len(self):,} people get something, for {self.spent:,.2f}{limit}\n"
            f"expected gain {self.gain:,.2f}, at most {self.bound:,.2f}; "
            f"one more unit of money: {self.price:,.2f}\n{told}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Steps along the frontiers, the best first; those of one person in their order; (m,) each."""

    person: LongVector
    arm: LongVector
    """What the person has after it."""
    cost: DoubleVector
    gain: DoubleVector
    slope: DoubleVector
    """Gain for a unit of money; infinite where it costs nothing."""


def allocate(
    effect: AnyArray,
    cost: AnyArray | float,
    budget: float | None = None,
    *,
    value: AnyArray | float = 1.0,
    redeemed: AnyArray | None = None,
) -> Allocation:
    """Give each person one arm at most, so that as much as possible is gained within a budget.

    >>> found = allocate([[0.3], [0.1], [-0.2]], cost=1.0, budget=1.0, value=10.0)
    >>> found.arm.tolist(), found.gain, found.counts()["harm"]
    ([1, 0, 0], 2.0, 1)

    Args:
        effect: (n, m) by how much each arm changes the outcome of each person, against nothing; as
            `UpliftModel.predict` says.
        cost: of each arm, (m,), or of each person and arm, (n, m), or one for all; 0 or more.
        budget: the most that all may be expected to cost; None for no limit.
        value: what one outcome is worth, such as the margin of a purchase: one number, or one for each person.
        redeemed: (n, m) the chance that the arm is used, where it costs only then; as `UpliftModel.expected` says of
            the arms. By default it costs whenever it is given.

    Raises:
        DataError: shapes that do not fit, or what is no number, or a cost below 0, or chances that are none.
        ConfigError: a budget that is none, or below 0.
    """
    limit = np.inf if budget is None else as_number("budget", budget, ConfigError)
    if not limit >= 0:
        raise ConfigError(f"budget={budget} came; 0 or more is expected, or None for no limit")
    effects = _effects(effect)
    costs = _costs(cost, redeemed, effects.shape)
    gains = effects * _values(value, len(effects)) - costs
    steps = _steps(gains, np.where(costs <= limit, costs, np.inf))
    taken = _taken(steps, limit)
    arm = np.zeros(len(effects), np.int32)
    arm[steps.person[taken]] = steps.arm[taken]  # of several steps of a person the last one counts
    has, rows = arm > 0, np.arange(len(arm))
    return Allocation(
        arm=arm,
        reason=_reasons(arm, gains, effects),
        spent=float(costs[rows, arm - 1][has].sum()),
        gain=float(gains[rows, arm - 1][has].sum()),
        bound=_relaxed(steps, limit)[0],
        price=_relaxed(_steps(gains, costs), limit)[1],
        budget=limit,
    )


def _effects(effect: AnyArray) -> AnyArray:
    found = as_numbers("effects", effect)
    if found.ndim != 2 or not found.shape[1]:
        raise DataError(f"effects of shape {found.shape} came; (people, arms) is expected, with one arm at least")
    _all_right("effect", found, np.isfinite(found), "finite numbers")
    return found


def _costs(cost: AnyArray | float, redeemed: AnyArray | None, shape: tuple[int, ...]) -> AnyArray:
    """(n, m) the expected cost of each arm for each person."""
    given = as_numbers("cost", cost)
    if given.shape not in ((), (shape[1],), shape):
        raise DataError(f"cost of shape {given.shape} came for effects of {shape}; one, ({shape[1]},) or {shape} fits")
    _all_right("cost", given, np.isfinite(given) & (given >= 0), "finite numbers of 0 or more")
    costs = np.broadcast_to(given, shape)
    if redeemed is None:
        return costs
    chance = as_numbers("redeemed", redeemed)
    if chance.shape != shape:
        raise DataError(
            f"redeemed of shape {chance.shape} came for effects of {shape}; one chance for each is expected"
        )
    _all_right("redeemed", chance, (chance >= 0) & (chance <= 1), "chances from 0 to 1")
    return costs * chance


def _values(value: AnyArray | float, n: int) -> AnyArray:
    """(n, 1) or (1, 1) what an outcome is worth."""
    found = as_numbers("value", value)
    if found.shape not in ((), (n,)):
        raise DataError(f"value of shape {found.shape} came for {n} people; one number is expected, or one for each")
    _all_right("value", found, np.isfinite(found) & (found >= 0), "finite numbers of 0 or more")
    return found.reshape(-1, 1)


def _all_right(name: str, numbers: AnyArray, right: AnyArray, expected: str) -> None:
    if not right.all():
        wrong = numbers[~right]
        raise DataError(
            f"{len(wrong):,} numbers of {name} are wrong, the first is {wrong[0]:g}; expected are {expected}"
        )


def _steps(gains: AnyArray, costs: AnyArray) -> _Steps:
    """The frontier of each person, step by step; gains and costs are (n, m), an infinite cost is out of reach."""
    n, m = gains.shape
    cost, gain, slope = np.zeros(n), np.zeros(n), np.full(n, np.inf)
    found = []
    for number in range(m):
        more, dearer = gains - gain[:, None], costs - cost[:, None]
        reached = (more > 0) & (dearer >= 0) & np.isfinite(dearer)
        steep = np.divide(more, dearer, out=np.where(reached, np.inf, -np.inf), where=reached & (dearer > 0))
        best = steep.max(1)
        person = np.flatnonzero(best > 0)
        arm = np.where(steep == best[:, None], more, -np.inf).argmax(1)[person]  # of several on one line the farthest
        slope[person] = np.minimum(slope[person], best[person])  # falls, whatever rounding does
        numbers = np.full(len(person), number)
        found.append((person, arm + 1, dearer[person, arm], more[person, arm], slope[person], numbers))
        cost[person], gain[person] = costs[person, arm], gains[person, arm]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.lexsort((columns[0], columns[2], columns[5], -columns[4]))
    return _Steps(*(column[order] for column in columns[:5]))


def _taken(steps: _Steps, limit: float) -> LongVector:
    """The numbers of the steps that are taken: in their order while the money lasts, then what still fits.

    A pass over all that wait takes those up to the first that does not fit, and drops those that will not fit any more.
    Most often two or three drop nearly all. Where one does not drop half, the rest is walked through one by one, so
    that the time grows as the number of steps does.
    """
    left, taken = limit * (1 + ROUNDING), []
    waiting, before = np.arange(len(steps.cost)), np.inf
    while 0 < len(waiting) <= before / 2:
        before = len(waiting)
        sums = np.cumsum(steps.cost[waiting])
        n_fit = int(np.searchsorted(sums, left, side="right"))
        taken.append(waiting[:n_fit])
        left -= sums[n_fit - 1] if n_fit else 0.0
        rest = waiting[n_fit:]
        waiting = rest[_before_first(steps.cost[rest] > left, steps.person[rest])]
    taken.append(waiting[_walked(steps.cost[waiting], steps.person[waiting], left)])
    return np.sort(np.concatenate(taken))


def _walked(cost: DoubleVector, person: LongVector, left: float) -> BoolVector:
    """(m,) which of the steps are taken one by one; sums are rounded as those of whole passes are."""
    found, spent = np.zeros(len(cost), bool), 0.0
    out: set[int] = set()
    for at, (price, who) in enumerate(zip(cost.tolist(), person.tolist(), strict=True)):
        if who in out:
            continue
        if price <= left < spent + price:
            left, spent = left - spent, 0.0
        if price > left:
            out.add(who)
        else:
            found[at], spent = True, spent + price
    return found


def _before_first(dear: BoolVector, person: LongVector) -> BoolVector:
    """(m,) whether a step comes before all of the same person that are too dear; none can be taken after those."""
    first = np.full(int(person.max(initial=-1)) + 1, len(person))
    np.minimum.at(first, person[dear], np.flatnonzero(dear))
    found: BoolVector = np.arange(len(person)) < first[person]
    return found


def _relaxed(steps: _Steps, limit: float) -> tuple[float, float]:
    """The most that can be gained where a step may be taken in part, and what one more unit of money gains."""
    sums = np.cumsum(steps.cost)
    whole = int(np.searchsorted(sums, limit * (1 + ROUNDING), side="right"))
    gained = float(steps.gain[:whole].sum())
    if whole == len(sums):
        return gained, 0.0
    left = max(0.0, limit - (sums[whole - 1] if whole else 0.0))
    return gained + float(left * steps.slope[whole]), float(steps.slope[whole])


def _reasons(arm: IntVector, gains: AnyArray, effects: AnyArray) -> IntVector:
    """(n,) numbers in `REASONS`."""
    best, rows = gains.max(1), np.arange(len(arm))
    has = arm > 0
    less = has & (gains[rows, arm - 1] < best)
    named = [less, has, best > 0, effects.max(1) >= 0]
    found = np.select(named, [REASONS.index(one) for one in ("given less", "given", "no money", "no gain")], 4)
    return np.asarray(found, np.int32)
