"""Every metric once more, in plain Python straight from its formula: slow, and with nothing in common with the source.

A list metric takes one case (a `Case`) and gives its value or NaN; `coverage` and `gini` take all cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from zhiyin.metrics.base import Lists

NAN = float("nan")


@dataclass
class Case:
    """One list (None for an empty place) beside its targets, its history of (item, weight) and the world."""

    listed: list[int | None]
    targets: set[int]
    history: list[tuple[int, float]]
    popularity: list[int]
    categories: list[set[int]]

    @property
    def n_items(self) -> int:
        return len(self.popularity)

    @property
    def seen(self) -> set[int]:
        return {item for item, _ in self.history}

    def first(self, k: int) -> list[int | None]:
        return (self.listed + [None] * k)[:k]

    def items(self, k: int) -> list[int]:
        return [item for item in self.first(k) if item is not None]

    def hits(self, k: int) -> list[bool]:
        found, before = [], set()
        for item in self.first(k):
            found.append(item in self.targets and item not in before)
            before.add(item)
        return found


def cases_of(lists: Lists) -> list[Case]:
    world = lists.world
    categories = [set(np.flatnonzero(row).tolist()) for row in world.categories.toarray()]
    popularity = world.popularity.tolist()
    found = []
    for row in range(len(lists)):
        weights = lists.histories.slice(row, row + 1).strength().tolist()
        history = list(zip(lists.histories.of(row).tolist(), weights, strict=True))
        listed = [None if item < 0 else item for item in lists.items[row].tolist()]
        found.append(Case(listed, set(lists.targets.of(row).tolist()), history, popularity, categories))
    return found


def precision(case: Case, k: int, by: str = "k") -> float:
    places = k if by == "k" else len(case.items(k))
    return sum(case.hits(k)) / places if case.targets and places else NAN


def recall(case: Case, k: int, truncated: bool = False) -> float:
    if not case.targets:
        return NAN
    return sum(case.hits(k)) / (min(k, len(case.targets)) if truncated else len(case.targets))


def hit_rate(case: Case, k: int) -> float:
    return float(any(case.hits(k))) if case.targets else NAN


def mrr(case: Case, k: int) -> float:
    if not case.targets:
        return NAN
    for place, hit in enumerate(case.hits(k), start=1):
        if hit:
            return 1 / place
    return 0.0


def map(case: Case, k: int, truncated: bool = True) -> float:  # noqa: A001 - the metric's name
    if not case.targets:
        return NAN
    hits = case.hits(k)
    total = sum(sum(hits[:place]) / place for place in range(1, k + 1) if hits[place - 1])
    return total / (min(k, len(case.targets)) if truncated else len(case.targets))


def ndcg(case: Case, k: int) -> float:
    if not case.targets:
        return NAN
    dcg = sum(1 / math.log2(place + 1) for place, hit in enumerate(case.hits(k), start=1) if hit)
    return dcg / sum(1 / math.log2(place + 1) for place in range(1, min(k, len(case.targets)) + 1))


def novelty(case: Case, k: int) -> float:
    total = sum(case.popularity) + case.n_items
    bits = [-math.log2((case.popularity[item] + 1) / total) for item in case.items(k)]
    return sum(bits) / len(bits) if bits else NAN


def popularity_share(case: Case, k: int, head: float = 0.2) -> float:
    size = math.ceil(round(head * case.n_items, 9))
    chances = [_chance_on_list(case, item, range(case.n_items), size) for item in case.items(k)]
    return sum(chances) / len(chances) if chances else NAN


def _chance_on_list(case: Case, item: int, others: Iterable[int], size: int) -> float:
    """The chance of `item` to be among the `size` most popular of `others` when ties are broken at random."""
    above = sum(case.popularity[other] > case.popularity[item] for other in others)
    tied = sum(case.popularity[other] == case.popularity[item] for other in others)
    return min(1.0, max(0.0, (size - above) / tied))


def repeat_rate(case: Case, k: int) -> float:
    listed = case.items(k)
    return sum(item in case.seen for item in listed) / len(listed) if listed else NAN


def serendipity(case: Case, k: int, against: str = "list") -> float:
    if not case.targets:
        return NAN
    fresh = [item for item in range(case.n_items) if item not in case.seen]
    total = 0.0
    for place, (item, hit) in enumerate(zip(case.first(k), case.hits(k), strict=True), start=1):
        if hit and item not in case.seen:
            if against == "list":
                total += 1 - _chance_on_list(case, item, fresh, k)
            else:
                ranks = [
                    rank
                    for rank, other in enumerate(sorted(case.popularity, reverse=True), start=1)
                    if other == case.popularity[item]
                ]
                total += max(0, sum(ranks) / len(ranks) - place) / case.n_items
    return total / k


def intra_list_diversity(case: Case, k: int, similarity: str = "cosine") -> float:
    sets = [case.categories[item] for item in case.items(k) if case.categories[item]]
    distances = []
    for one, other in combinations(sets, 2):
        base = math.sqrt(len(one) * len(other)) if similarity == "cosine" else len(one | other)
        distances.append(1 - len(one & other) / base)
    return sum(distances) / len(distances) if distances else NAN


def calibration(case: Case, k: int, divergence: str = "kl", alpha: float = 0.01) -> float:
    p = _mix(case, case.history)
    q = _mix(case, [(item, 1.0) for item in case.items(k)])
    if p is None or q is None:
        return NAN
    if divergence == "kl":
        return _kl(p, {name: (1 - alpha) * q.get(name, 0) + alpha * share for name, share in p.items()})
    middle = {name: (p.get(name, 0) + q.get(name, 0)) / 2 for name in {*p, *q}}
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _mix(case: Case, weighted: list[tuple[int, float]]) -> dict[int, float] | None:
    described = [(case.categories[item], weight) for item, weight in weighted if case.categories[item] and weight > 0]
    total = sum(weight for _, weight in described)
    if not total:
        return None
    found: dict[int, float] = {}
    for names, weight in described:
        for name in names:
            found[name] = found.get(name, 0) + weight / len(names) / total
    return found


def _kl(p: dict[int, float], q: dict[int, float]) -> float:
    return sum(share * math.log2(share / q[name]) for name, share in p.items())


def coverage(cases: list[Case], k: int) -> float:
    return len({item for case in cases for item in case.items(k)}) / cases[0].n_items


def gini(cases: list[Case], k: int) -> float:
    """From the other definition: the mean absolute difference of all pairs over twice the mean."""
    counts = [0] * cases[0].n_items
    for case in cases:
        for item in case.items(k):
            counts[item] += 1
    n = len(counts)
    return sum(abs(one - other) for one in counts for other in counts) / (2 * n * sum(counts))


def auc(happened: list[int], score: list[float]) -> float:
    wins = pairs = 0.0
    for y, s in zip(happened, score, strict=True):
        for other, t in zip(happened, score, strict=True):
            if y and not other:
                pairs += 1
                wins += 1.0 if s > t else 0.5 if s == t else 0.0
    return wins / pairs if pairs else NAN


def gauc(happened: list[int], score: list[float], group: list[int], weight: str = "impressions") -> float:
    total = weights = 0.0
    for one in sorted(set(group)):
        mine = [place for place, other in enumerate(group) if other == one]
        ys = [happened[place] for place in mine]
        value = auc(ys, [score[place] for place in mine])
        if not math.isnan(value):
            w = {"impressions": len(mine), "clicks": sum(ys), "equal": 1}[weight]
            total, weights = total + w * value, weights + w
    return total / weights if weights else NAN


def log_loss(happened: list[int], probability: list[float], clip: float = 1e-15) -> float:
    total = 0.0
    for y, p in zip(happened, probability, strict=True):
        p = min(max(p, clip), 1 - clip)
        total -= y * math.log(p) + (1 - y) * math.log(1 - p)
    return total / len(happened)


def normalised_entropy(happened: list[int], probability: list[float], clip: float = 1e-15) -> float:
    rate = sum(happened) / len(happened)
    if rate in (0, 1):
        return NAN
    return log_loss(happened, probability, clip) / -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))


def calibration_error(happened: list[int], probability: list[float], n_bins: int = 15, bins: str = "mass") -> float:
    n = len(happened)
    members: dict[int, list[int]] = {}
    for place, p in enumerate(probability):
        below = sum(other < p for other in probability)
        members.setdefault(n_bins * below // n if bins == "mass" else min(int(p * n_bins), n_bins - 1), []).append(
            place
        )
    total = 0.0
    for mine in members.values():
        observed = sum(happened[place] for place in mine) / len(mine)
        said = sum(probability[place] for place in mine) / len(mine)
        total += len(mine) / n * abs(observed - said)
    return total


def rmse(truth: list[float], predicted: list[float]) -> float:
    return math.sqrt(sum((one - other) ** 2 for one, other in zip(truth, predicted, strict=True)) / len(truth))


def mae(truth: list[float], predicted: list[float]) -> float:
    return sum(abs(one - other) for one, other in zip(truth, predicted, strict=True)) / len(truth)


def click_through_rate(rows: list[tuple[int, int, int]]) -> float:
    shown = sum(row[0] for row in rows)
    return sum(row[1] for row in rows) / shown if shown else NAN


def conversion_rate(rows: list[tuple[int, int, int]], per: str = "click") -> float:
    base = sum(row[1 if per == "click" else 0] for row in rows)
    return sum(row[2] for row in rows) / base if base else NAN
