"""An auction for each request of a day, with caps and budgets; and what no way of showing ads can be worth more than.

The ad with the highest bid is shown, if that is no less than the floor. It pays for the show, and not for the click,
what it had to beat: the second bid or the floor, whichever is higher (second price; Vickrey 1961). So what is paid is
known at once, does not hang on luck, and is never more than the bid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from zhiyin.arrays import AnyArray, DoubleVector, IntVector, LongVector
from zhiyin.ranking.pacing import Pacer

LEAST_BID = 1e-12
"""Who bids nothing is not shown, even where nobody asks for more."""

ROUNDS, FIRST_STEP = 80, 0.5
"""Of the search for the prices of budgets; each step is a little smaller than the one before."""


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """Requests by time; n of them."""

    who: IntVector
    """(n,) the numbers of the people."""
    time: LongVector
    """(n,) microseconds since 1970."""
    floor: DoubleVector
    """(n,) no ad is shown for less."""

    def __len__(self) -> int:
        return len(self.who)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What came of a day."""

    ad: IntVector
    """(n,) the number of the ad that was shown; -1 for none."""
    seen: IntVector
    """(n,) how often the person had seen it on that day before."""
    paid: DoubleVector
    """(n,) what it paid."""

    def of(self, worths: AnyArray) -> DoubleVector:
        """(n,) what stands in (most, n, n_ads) for what was shown; 0 where nothing was."""
        rows = np.arange(len(self.ad))
        found: DoubleVector = np.where(self.ad >= 0, worths[self.seen, rows, self.ad], 0.0)
        return found


def replay(worths: AnyArray, day: Day, pacer: Pacer) -> Shown:
    """Hold the auctions of a day.

    Args:
        worths: (most, n, n_ads) what a show is said to be worth to a person who has seen the ad so often on that day;
            it is shown `most` times to nobody more.
        day: its requests.
        pacer: the money of the ads, in the order of their numbers; it is spent here.
    """
    most, n, n_ads = worths.shape
    count, ads = np.zeros((int(day.who.max(initial=0)) + 1, n_ads), np.int32), np.arange(n_ads)
    ad, seen, paid = np.full(n, -1, np.int32), np.zeros(n, np.int32), np.zeros(n)
    for row, (person, time, floor) in enumerate(zip(day.who, day.time.tolist(), day.floor.tolist(), strict=True)):
        before = count[person]
        worth = worths[np.minimum(before, most - 1), row, ads]
        bids = pacer.bids(np.where(before < most, worth, 0.0))
        second, best = np.argsort(bids)[-2:]
        if bids[best] >= max(floor, LEAST_BID):
            ad[row], seen[row], paid[row] = best, before[best], max(floor, float(bids[second]))
            pacer.spend(pacer.campaigns[best], paid[row])
            count[person, best] += 1
        pacer.advance(time)
    return Shown(ad, seen, paid)


def bound(worths: AnyArray, day: Day, budget: DoubleVector) -> float:
    """What all shows of the day can be worth together at most, whoever chooses them and whatever they know.

    Nobody pays less than the floor. So no policy can pass the assignment of requests to (ad, nth show) of each person
    that is worth the most while the floors of each ad's requests cost no more than its budget; and that is no more
    than its Lagrangian at any prices μ ≥ 0 of budgets (duals of the allocation as those of Chen et al., KDD 2011):

        Σ_ads μ · budget + Σ_people max over assignments of Σ max(0, worth - μ · floor)

    The lowest of those met by a subgradient search is returned; it is a bound wherever the search stopped.

    Args:
        worths: (most, n, n_ads) what a show truly is worth to a person who has seen the ad so often on that day.
        day: its requests.
        budget: (n_ads,) the money of each ad.
    """
    flat = np.concatenate(list(worths), 1)  # (n, most * n_ads)
    of_person = [np.flatnonzero(day.who == person) for person in np.unique(day.who)]
    scale = worths[0].mean() / max(float(day.floor.mean()), 1e-12)
    price, lowest = np.zeros(len(budget)), np.inf
    for turn in range(ROUNDS):
        value, cost = _assigned(flat, day.floor, np.tile(price, len(worths)), of_person)
        lowest = min(lowest, value + float(price @ budget))
        over = cost.reshape(len(worths), -1).sum(0) / budget - 1
        price = np.maximum(price + scale * FIRST_STEP / np.sqrt(1 + turn) * np.clip(over, -1, 1), 0)
    return lowest


def _assigned(
    worths: AnyArray, floor: DoubleVector, price: DoubleVector, of_person: list[LongVector]
) -> tuple[float, DoubleVector]:
    """What the best assignment is worth at prices, and (n_columns,) the floors that each column would have to pay."""
    gain = np.maximum(worths - price * floor[:, None], 0)
    total, cost = 0.0, np.zeros(gain.shape[1])
    for rows in of_person:
        row, column = linear_sum_assignment(gain[rows], maximize=True)
        won = gain[rows[row], column]
        total += float(won.sum())
        cost[column] += np.where(won > 0, floor[rows[row]], 0)  # a person gets each column once
    return total, cost
