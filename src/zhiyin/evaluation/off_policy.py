"""What a policy would earn that never ran, told from the log of one that did: off-policy evaluation.

A policy shows item a to a person x with chance π(a | x); the log was made by another one, with known chances b(a | x)
(propensities), and says what each shown item earned, r (a click, a conversion, a margin). With weights w = π / b of
what was shown, and q(x, a) a model of what an item earns, the value of π is estimated as

    ips      mean(w r)                                               Horvitz & Thompson 1952
    snips    Σ w r / Σ w                                             Swaminathan & Joachims, NeurIPS 2015
    direct   mean(Σ_a π(a | x) q(x, a))                              as good as q is, and no better
    doubly   mean(Σ_a π(a | x) q(x, a) + w (r - q(x, shown)))        Dudík, Langford & Li, ICML 2011
    robust

`ips` is right on average and restless; `snips` is calmer where weights differ much; the last one is right on average
whatever q is, and calmer the better q is. Read them beside each other: where they disagree by more than their
intervals, something is wrong with the propensities.

*Lists.* A row is one place of a list, whose value is taken to depend on the person, the item and the place (Li, Abbasi-
Yadkori, Kveton, Muthukrishnan, Vinay & Wen, KDD 2018: the item-position model). The value is that of one exposure.

*Large weights.* Weights above `clip` are cut to it: by default √n for n exposures (Ionides, JCGS 2008), which bites
only where one exposure would speak for hundreds. What is cut, and what the new policy shows that the log never could,
is no longer spoken for: `covered` is the part of the new policy's choices that is, mean(min(w, clip)), which would be
1. The rest counts as earning nothing in `ips`, as much as all others in `snips`, and what q says in the last two.

*Intervals* are those of `significance`: 95 %, percentile bootstrap over exposures, or over their owners where there are
some, as the exposures of one person are no independent witnesses. They say nothing of the error of q in `direct`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector
from zhiyin.data.exposures import Exposures, checked
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.significance import Estimate, Sample, bootstrap, interval, witnesses

log = logging.getLogger(__name__)

Chances: TypeAlias = AnyArray | Callable[[slice], AnyArray]
"""(n, n_items) of each exposure and item, or a function that gives the rows (m, n_items) of a slice of exposures."""

FLOATS_AT_ONCE = 2**22
"""Rows of all items are read in blocks of about so many numbers."""

SUM_TOLERANCE = 1e-3
"""Chances of all items may sum to 1 more or less this."""

COVERED_ENOUGH = 0.95
"""Below this part of spoken-for choices a result carries a note."""

EFFECTIVE_ENOUGH = 100
"""Below this many effective exposures, too."""


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a policy earns an exposure, by each estimator, beside what the log earned."""

    logged: Estimate
    """The old policy: the mean of what was earned."""
    ips: Estimate
    snips: Estimate
    direct: Estimate | None
    """None where only the chances of what was shown are known."""
    doubly_robust: Estimate | None
    """The same."""
    lift: Estimate
    """The best of these minus `logged`, with the interval of the difference."""
    n: int
    """Exposures."""
    effective: float
    """As many exposures of the new policy's own would tell as much: (Σ w)² / Σ w² (Kish 1965)."""
    covered: float
    """The part of the new policy's choices that the log speaks for, about 1 where it is all."""
    clip: float
    """The largest weight that counts."""
    clipped: float
    """The part of the exposures whose weight was cut."""
    notes: tuple[str, ...] = ()
    """What to know before believing it."""

    @property
    def value(self) -> Estimate:
        """The best of the estimates: `doubly_robust` where there is one, else `snips`."""
        return self.snips if self.doubly_robust is None else self.doubly_robust

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        names = ("logged", "ips", "snips", "direct", "doubly_robust", "lift")
        lines = [f"{name.replace('_', ' '):<14}{found}" for name in names if (found := getattr(self, name)) is not None]
        told = f"{self.n:,} exposures, worth {self.effective:,.0f} of the new policy's own; {self.covered:.0%} covered"
        return "\n".join([*lines, told, *self.notes])


def value_of(
    exposures: Exposures,
    chances: Chances,
    expected: Chances | None = None,
    *,
    clip: float | None = None,
    seed: int = 0,
) -> PolicyValue:
    """What a policy would earn, from a log of another one.

    Args:
        exposures: the log, with propensities.
        chances: (n, n_items) with which the new policy would show each item in the place of each exposure; or a
            function that gives the rows of a slice; or (n,) of what was shown alone, and then a model of rewards has
            no use and `direct` and `doubly_robust` stay out.
        expected: (n, n_items) what each item would earn there, or such a function; learnt from other rows than those
            it tells of, or it flatters itself. By default `item_rates`.
        clip: the largest weight that counts; None for √n, infinity for no bound.
        seed: of the bootstrap, and of the parts of `item_rates`.

    Raises:
        ConfigError: `clip` is not above 0.
        DataError: chances or expected rewards have another shape, or chances are none.

    >>> shown, clicked = np.array([0, 1, 0, 1], np.int32), np.array([1.0, 0.0, 1.0, 0.0])
    >>> half = Exposures(shown, np.full(4, 0.5), clicked, n_items=2)
    >>> value_of(half, np.tile([0.9, 0.1], (4, 1))).ips.value
    0.9
    """
    clip = float(np.sqrt(len(exposures))) if clip is None else clip
    if not clip > 0:
        raise ConfigError(f"clip={clip} came; a weight above 0 is expected, or infinity for no bound")
    shown, direct, told = _read(exposures, chances, expected, seed)
    raw = shown / exposures.propensity
    weight = np.minimum(raw, clip)
    if not weight.any():
        raise DataError("the new policy shows nothing that the log has: no part of its value can be told from it")
    samples = _samples(exposures.reward, weight, direct, told)
    replicates = bootstrap(list(samples.values()), seed, owner=exposures.owner)
    found: dict[str, Estimate] = {
        name: Estimate.of(sample.value, *interval(replicates[:, at]), n=witnesses(sample, exposures.owner))
        for at, (name, sample) in enumerate(samples.items())
    }
    best = "doubly_robust" if "doubly_robust" in found else "snips"
    place = list(samples).index(best)
    gain = samples[best].value - samples["logged"].value
    low, high = interval(replicates[:, place] - replicates[:, 0])
    effective, covered = float(weight.sum() ** 2 / (weight**2).sum()), float(weight.mean())
    value = PolicyValue(
        logged=found["logged"],
        ips=found["ips"],
        snips=found["snips"],
        direct=found.get("direct"),
        doubly_robust=found.get("doubly_robust"),
        lift=Estimate.of(gain, low, high, n=found[best].n),
        n=len(exposures),
        effective=effective,
        covered=covered,
        clip=clip,
        clipped=float((raw > clip).mean()),
        notes=_notes(effective, covered),
    )
    for note in value.notes:
        log.warning("%s", note)
    return value


def _samples(
    reward: DoubleVector, weight: DoubleVector, direct: DoubleVector | None, told: DoubleVector | None
) -> dict[str, Sample]:
    """Each estimator as sums over exposures; `direct` and `told` are what `_read` says."""
    one = np.ones(len(reward))
    found = {"logged": Sample(reward, one), "ips": Sample(weight * reward, one)}
    found["snips"] = Sample(weight * reward, weight)
    if direct is not None and told is not None:
        found["direct"] = Sample(direct, one)
        found["doubly_robust"] = Sample(direct + weight * (reward - told), one)
    return found


def item_rates(exposures: Exposures, folds: int = 5, seed: int = 0) -> Callable[[slice], AnyArray]:
    """A simple model of rewards: what an item earns at a place, told of each exposure by the others.

    An item's rate is what it earned over what its places would have earned of an average item, with a prior of one
    average reward; times what the place earns. Where some rewards are below 0, as margins may be, no such ratio has a
    meaning: then it is what the place earns, plus what the item earns beside it, each drawn to the mean of all by as
    much as its noise (James & Stein 1961; variances by moments), within the range of what was earned. Owners are parted
    into `folds`, and each part is told by the others (cross-fitting; Chernozhukov et al. 2018), so that no exposure
    tells of itself.

    Returns:
        A function from a slice of exposures to expected rewards (m, n_items).

    Raises:
        ConfigError: fewer than two folds.
    """
    if folds < 2:
        raise ConfigError(f"folds={folds} came; at least 2 are expected, as no part may tell of itself")
    n, owner = len(exposures), exposures.owner
    who = np.arange(n) if owner is None else owner
    part = np.random.default_rng([seed, 3]).integers(0, folds, int(who.max()) + 1)[who]
    place = np.zeros(n, np.int64) if exposures.position is None else exposures.position - 1
    models = [_Rates.of(exposures, place, others if (others := part != at).any() else ~others) for at in range(folds)]

    def rows(block: slice) -> AnyArray:
        found = np.empty((len(part[block]), exposures.n_items))
        for at, model in enumerate(models):
            own = part[block] == at
            found[own] = model(place[block][own])
        return found

    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Rates:
    """What items earn, by some rows of a log."""

    item: DoubleVector
    """(n_items,) what each earns beside an average one: times that, or more than that."""
    place: DoubleVector
    """(n_places,) what an average one earns at each."""
    limits: tuple[float, float] | None
    """The least and the most that was earned, where items add to places; None where they multiply."""

    @classmethod
    def of(cls, exposures: Exposures, place: AnyArray, rows: AnyArray) -> _Rates:
        item, reward, at = exposures.item[rows], exposures.reward[rows], place[rows]
        n_places = int(place.max()) + 1
        if reward.min() >= 0:
            return cls(*_multiplied(item, reward, at, exposures.n_items, n_places), None)
        mean = float(reward.mean())
        of_place = mean + _drawn(at, reward - mean, n_places)
        of_item = _drawn(item, reward - of_place[at], exposures.n_items)
        return cls(of_item, of_place, (float(reward.min()), float(reward.max())))

    def __call__(self, place: AnyArray) -> AnyArray:
        """(m, n_items) what each item earns at places (m,)."""
        base = self.place[place][:, None]
        found: AnyArray = base * self.item if self.limits is None else np.clip(base + self.item, *self.limits)
        return found


def _drawn(group: AnyArray, value: DoubleVector, n_groups: int) -> DoubleVector:
    """(n_groups,) the mean of each group, drawn to 0 by its noise: times t / (t + s / n), of n values.

    t is the variance of groups and s that within them, by moments (Searle, Casella & McCulloch 1992).
    """
    n, total = np.bincount(group, minlength=n_groups).astype(float), np.bincount(group, value, n_groups)
    mean = total / np.maximum(n, 1)
    there, size = int((n > 0).sum()), float(n.sum())
    free, even = size - there, size - float((n**2).sum()) / size
    if not (free > 0 and even > 0):
        return np.zeros(n_groups)
    within = float(((value - mean[group]) ** 2).sum()) / free
    grand = float(total.sum()) / size
    between = max(0.0, (float((n * (mean - grand) ** 2).sum()) - (there - 1) * within) / even)
    noise = within + n * between
    return np.asarray(np.divide(total * between, noise, out=np.zeros(n_groups), where=noise > 0), np.float64)


def _multiplied(
    item: AnyArray, reward: DoubleVector, at: AnyArray, n_items: int, n_places: int
) -> tuple[DoubleVector, DoubleVector]:
    """What each item earns as a multiple of an average one, and what an average one earns at each place."""
    mean = float(reward.mean())
    shown = np.bincount(at, minlength=n_places)
    earned = np.bincount(at, reward, n_places)
    prior = 1 / mean if mean else 1.0  # so many exposures earn one
    of_place = (earned + mean * prior) / (shown + prior)
    wanted = np.bincount(item, of_place[at], n_items)
    found = np.bincount(item, reward, n_items)
    scale = mean * prior if mean else 1.0
    return (found + scale) / (wanted + scale), of_place


def _read(
    exposures: Exposures, chances: Chances, expected: Chances | None, seed: int
) -> tuple[DoubleVector, DoubleVector | None, DoubleVector | None]:
    """(n,) each: the new policy's chance of what was shown, what it earns by the model, and what was shown does."""
    n = len(exposures)
    if not callable(chances) and chances.ndim == 1:
        if expected is not None:
            raise DataError("expected rewards came with the chances of shown items alone; give those of all items")
        shown = _as_doubles("chances", chances, (n,))
        checked("chance", shown, (shown >= 0) & (shown <= 1), "0 to 1")
        return shown, None, None
    model = item_rates(exposures, seed=seed) if expected is None else expected
    shown, direct, told = np.empty(n), np.empty(n), np.empty(n)
    for block in _blocks(n, exposures.n_items):
        shape = (len(range(*block.indices(n))), exposures.n_items)
        all_chances = _as_doubles("chances", _part(chances, block), shape)
        rewards = _as_doubles("expected rewards", _part(model, block), shape)
        _checked_chances(all_chances, block.start)
        rows, items = np.arange(shape[0]), exposures.item[block]
        shown[block], told[block] = all_chances[rows, items], rewards[rows, items]
        direct[block] = np.einsum("ni,ni->n", all_chances, rewards)
    return shown, direct, told


def _part(of: Chances, block: slice) -> AnyArray:
    return of(block) if callable(of) else of[block]


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, FLOATS_AT_ONCE // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def _as_doubles(what: str, values: AnyArray, shape: tuple[int, ...]) -> DoubleVector:
    if np.shape(values) != shape:
        raise DataError(f"{what} of shape {np.shape(values)} came, {shape} is expected: a row for each exposure")
    return np.asarray(values, np.float64)


def _checked_chances(chances: AnyArray, start: int) -> None:
    """Rows of chances are none below 0 and sum to 1."""
    total = chances.sum(1)
    wrong = np.flatnonzero(~((chances >= 0).all(1) & (np.abs(total - 1) <= SUM_TOLERANCE)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"chances of row {start + row} sum to {total[row]:g}, the least is {chances[row].min():g}; those of a "
            "policy are 0 or more and sum to 1 over all items"
        )


def _notes(effective: float, covered: float) -> tuple[str, ...]:
    found = []
    if covered < COVERED_ENOUGH:
        found.append(
            f"the log speaks for {covered:.0%} of the new policy's choices; of the rest nothing is known, so ips is "
            "too low and the others guess; let the old policy explore more, or hold the new one closer to it"
        )
    if covered > 2 - COVERED_ENOUGH:
        found.append(
            f"weights have a mean of {covered:.2f}, where 1 is expected: propensities are too low, or not of this log"
        )
    if effective < EFFECTIVE_ENOUGH:
        found.append(
            f"the log is worth {effective:.0f} exposures of the new policy's own: too few to tell, whatever the "
            "interval"
        )
    return tuple(found)
