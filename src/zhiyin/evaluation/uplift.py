"""How good the order is in which people should get a coupon: uplift curve, AUUC and Qini, from a trial.

A trial gave a coupon to some, by lot or with known chances; a model says for each person how much the coupon changes.
People are put in the order of what it says, the most first. The *uplift curve* G(s) is what is gained, in outcomes for
each person of all, if the first part s of them gets the coupon; its end G(1) is the mean effect.

    auuc   the area under the curve                          what is gained if s is anything from 0 to 1
    qini   that area less the one under the straight line    what the order gains beside one at random

Variants are many (compared in Devriendt, Van Belle, Guns & Verbeke, "Learning to rank for uplift modeling", IEEE TKDE
2022). Those of Radcliffe (Direct Marketing Analytics Journal 2007) and of Rzepakowski & Jaroszewicz (ICDM 2010) divide
by how many of the first k had a coupon and how many had none. That is restless where k is small, and its mean over the
orders of equal scores is no straight line. Here each person has a score of the own effect that is right on average,
whatever the model of outcomes (doubly robust; Robins, Rotnitzky & Zhao 1994), and the curve is a plain sum, as in
Yadlowsky, Fleming, Shah, Brunskill & Wager (JASA 2025, rank-weighted average treatment effects), whose Qini it is:

    z = m(1) - m(0) + [coupon] w (y - m(1)) - [no coupon] w (y - m(0))       w: 1 / propensity, m: a model of outcomes
    G(s) = mean(z · [among the first s]),   auuc = mean(z · (1 - q)),   qini = mean(z · (1/2 - q))

with q the place in the order, from 0 to 1. By default m is the mean of each arm; a better one makes intervals narrower.
In a trial by lot, G(1) is the plain difference of the two means.

*Equal scores* share the mean of their places: curve and areas are exactly the means over all orders of them, and one
score for all has a Qini of exactly 0.

*Intervals* are those of `significance`. An area depends on each person by the own z, by the places of all others, and
by what its weight takes from the others of its arm, as the weights of an arm are scaled to n (Hájek 1971). All three
are resampled, to the first order (for places: the projection of a U-statistic; Hoeffding 1948). The band of the curve
is of giving the coupon to those very people. No interval speaks of how a model would come out if it were learnt anew.

*The oracle.* Where the truth is known, `qini_of(effect, score)` is the Qini without any noise, and its part of
`qini_of(effect)` says how much of what can be had an order has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, IntVector
from zhiyin.data.exposures import checked
from zhiyin.data.trials import Trial
from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.significance import Estimate, Sample, bootstrap, interval, witnesses
from zhiyin.page import charts
from zhiyin.page.chart import Chart


@dataclass(frozen=True, slots=True, eq=False)
class UpliftCurve:
    """What is gained if the first part of the people gets the coupon."""

    share: DoubleVector
    """(n_points + 1,) the part that gets it, from 0 to 1."""
    gain: DoubleVector
    """(n_points + 1,) outcomes gained, for each person of all."""
    low: DoubleVector
    """(n_points + 1,) the lower end of the 95 % interval."""
    high: DoubleVector
    """(n_points + 1,) the upper end."""

    def chart(self, title: str = "Uplift", name: str = "by the model") -> Chart:
        """The curve in its band, beside the straight line of an order at random."""
        lines = {
            name: (self.share, self.gain),
            "95 % interval, low": (self.share, self.low),
            "95 % interval, high": (self.share, self.high),
            "at random": (self.share[[0, -1]], self.gain[[0, -1]]),
        }
        return charts.line(lines, title, "part that gets it", "gain for each person of all")

    def to_dict(self) -> dict[str, list[float]]:
        """For JSON."""
        return {name: getattr(self, name).tolist() for name in ("share", "gain", "low", "high")}


@dataclass(frozen=True, slots=True, eq=False)
class UpliftReport:
    """How good an order is."""

    effect: Estimate
    """The mean effect: what is gained for each person if all get it."""
    auuc: Estimate
    qini: Estimate
    curve: UpliftCurve
    n: int
    """People."""
    given: int
    """Of them, those who got something."""
    of_oracle: float | None = None
    """The part of the best Qini that the order has by the true effects; None where they are not known, or all alike."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: asdict(getattr(self, name)) for name in ("effect", "auuc", "qini")}
        return {**found, "curve": self.curve.to_dict(), "n": self.n, "given": self.given, "of_oracle": self.of_oracle}

    def __str__(self) -> str:
        lines = [f"{name:<8}{getattr(self, name)}" for name in ("effect", "auuc", "qini")]
        lines.append(f"{self.n:,} people, {self.given:,} of them given something")
        if self.of_oracle is not None:
            lines.append(f"{self.of_oracle:.1%} of the Qini of an oracle")
        return "\n".join(lines)


def uplift_report(
    score: AnyArray,
    treatment: AnyArray,
    outcome: AnyArray,
    propensity: AnyArray | float | None = None,
    *,
    expected: AnyArray | None = None,
    effect: AnyArray | None = None,
    owner: IntVector | None = None,
    points: int = 20,
    seed: int = 0,
) -> UpliftReport:
    """All that can be told of an order: mean effect, AUUC, Qini and the curve.

    >>> print(uplift_report([4, 3, 2, 1], [1, 0, 1, 0], [1, 0, 0, 0], 0.5).qini.value)
    0.125

    Args:
        score: (n,) the higher, the sooner a person should get it; from a model that did not learn from these people.
        treatment: (n,) 1 for who got it, 0 for who got nothing.
        outcome: (n,) what came of it.
        propensity: (n,) the chance of what each was given, or one number, the chance to get it; None for a trial by
            lot.
        expected: (n, 2) the outcome that a model expects of each person without and with it; by default the means.
        effect: (n,) the true effects, where they are known.
        owner: (n,) a number for the person of each row, where some have several.
        points: so many steps has the curve.
        seed: of the bootstrap.

    Raises:
        DataError: columns of different lengths, scores that are no numbers, other arms than 0 and 1, a propensity of 0
            or 1.
        ConfigError: no step.
    """
    if points < 1:
        raise ConfigError(f"points={points} came; a curve has one step at least")
    trial, scores = _read(score, treatment, outcome, propensity)
    gains, steps = _gains(trial, expected), np.linspace(0, 1, points + 1)
    samples = _samples(gains, scores)
    band = [Sample.of(gains.of(part)) for part in _among_first(scores, steps)]
    replicates = bootstrap([*samples.values(), *band], seed, owner=owner)
    ends = np.array([interval(column) for column in replicates.T])
    found = {
        name: Estimate.of(sample.value, low=ends[at, 0], high=ends[at, 1], n=witnesses(sample, owner))
        for at, (name, sample) in enumerate(samples.items())
    }
    low, high = ends[len(samples) :].T
    curve = UpliftCurve(steps, np.array([one.value for one in band]), low, high)
    best = 0.0 if effect is None else qini_of(effect)
    part = None if effect is None or not best else qini_of(effect, scores) / best
    return UpliftReport(**found, curve=curve, n=len(trial), given=int(trial.counts[1]), of_oracle=part)


def uplift_curve(
    score: AnyArray, treatment: AnyArray, outcome: AnyArray, propensity: AnyArray | float | None = None, **options: Any
) -> UpliftCurve:
    """The curve alone; arguments and errors are those of `uplift_report`."""
    return uplift_report(score, treatment, outcome, propensity, **options).curve


def auuc(
    score: AnyArray, treatment: AnyArray, outcome: AnyArray, propensity: AnyArray | float | None = None, **options: Any
) -> Estimate:
    """The area under the uplift curve; arguments and errors are those of `uplift_report`."""
    return uplift_report(score, treatment, outcome, propensity, points=1, **options).auuc


def qini(
    score: AnyArray, treatment: AnyArray, outcome: AnyArray, propensity: AnyArray | float | None = None, **options: Any
) -> Estimate:
    """The area between the curve and the straight line; arguments and errors are those of `uplift_report`."""
    return uplift_report(score, treatment, outcome, propensity, points=1, **options).qini


def qini_of(effect: AnyArray, score: AnyArray | None = None) -> float:
    """The Qini of an order by the true effects, without noise; of the best order where no score is given.

    >>> qini_of([0.2, 0.0, -0.2, 0.4]), qini_of([0.2, 0.0, -0.2, 0.4], [1, 1, 1, 1])
    (0.0625, 0.0)

    Raises:
        DataError: not as many scores as effects, none, or some that are no numbers.
    """
    effects = np.asarray(effect, np.float64)
    scores = effects if score is None else np.asarray(score, np.float64)
    if effects.shape != scores.shape or effects.ndim != 1 or not len(effects):
        raise DataError(f"effects of shape {effects.shape} came with scores of shape {scores.shape}; (n,) is expected")
    checked("effect", effects, np.isfinite(effects), "a finite number")
    checked("score", scores, np.isfinite(scores), "a finite number")
    return float(np.mean(effects * _ahead(scores)))


def _read(
    score: AnyArray, treatment: AnyArray, outcome: AnyArray, propensity: AnyArray | float | None
) -> tuple[Trial, DoubleVector]:
    trial, scores = Trial.of(treatment, outcome, propensity), np.asarray(score, np.float64)
    if trial.n_arms != 2:
        raise DataError(
            f"{trial.n_arms} arms came; a curve is of one thing against nothing: keep the rows of arm 0 and of one "
            "other, which is called 1 then"
        )
    if scores.shape != (len(trial),):
        raise DataError(f"scores of shape {scores.shape} came for {len(trial)} people; one for each is expected")
    checked("score", scores, np.isfinite(scores), "a finite number")
    return trial, scores


@dataclass(frozen=True, slots=True, eq=False)
class _Gains:
    """What each person tells of the own effect."""

    arm: IntVector
    weight: DoubleVector
    beyond: DoubleVector
    """(n,) the weighed part of z, which its model of outcomes did not expect; turned round without a coupon."""
    z: DoubleVector

    def of(self, part: DoubleVector) -> DoubleVector:
        """(n,) what each person does to mean(z · part), its own and by the scale of the weights of its arm.

        The latter is 0 in the mean.
        """
        scale = np.bincount(self.arm, part * self.beyond, 2) / len(self.arm)
        return np.asarray(self.z * part - (scale[self.arm] * self.weight - scale.sum()), np.float64)


def _gains(trial: Trial, expected: AnyArray | None) -> _Gains:
    rows, weight = trial.arm, trial.weight
    if expected is None:
        means = np.bincount(rows, weight * trial.outcome) / np.bincount(rows, weight)
        model = np.tile(means, (len(trial), 1))
    else:
        model = np.asarray(expected, np.float64)
        if model.shape != (len(trial), 2) or not np.isfinite(model).all():
            raise DataError(
                f"expected outcomes of shape {model.shape} came for {len(trial)} people; finite numbers ({len(trial)}, "
                "2) are expected, of each without and with it"
            )
    beyond = np.where(rows == 1, weight, -weight) * (trial.outcome - model[np.arange(len(trial)), rows])
    return _Gains(rows, weight, beyond, np.asarray(model[:, 1] - model[:, 0] + beyond, np.float64))


def _ahead(score: DoubleVector) -> DoubleVector:
    """(n,) 1/2 - q: half the part of people behind each one, less half that of those before it."""
    behind, equal = _behind(score)
    return np.asarray((2 * behind + equal - len(score)) / (2 * len(score)), np.float64)


def _behind(score: DoubleVector) -> tuple[AnyArray, AnyArray]:
    """(n,) how many have a lower score than each one, and how many the same, itself among them."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - count)[place], count[place]


def _samples(gains: _Gains, score: DoubleVector) -> dict[str, Sample]:
    """Mean effect, AUUC and Qini as means over people."""
    ahead, order = _ahead(score), np.argsort(score, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(gains.z[order])])
    behind, equal = _behind(score)
    of_places = (sums[-1] - sums[behind + equal] - sums[behind]) / (2 * len(score))  # its mean is the area, too
    effect = gains.of(np.ones(len(score)))
    area = gains.of(ahead) + of_places - float(np.mean(gains.z * ahead))
    return {"effect": Sample.of(effect), "auuc": Sample.of(area + effect / 2), "qini": Sample.of(area)}


def _among_first(score: DoubleVector, steps: DoubleVector) -> AnyArray:
    """(n_steps, n) the part of all orders of equal scores in which each person is among the first part of people."""
    behind, equal = _behind(score)
    before = len(score) - behind - equal
    found: AnyArray = np.clip((steps[:, None] * len(score) - before) / equal, 0, 1)
    return found
