"""Exploration: show now and then what is not known to be best, by a known chance, so that a log can teach and judge.

What was never shown is never learnt of, and off-policy evaluation needs the chance of what was shown. At each place one
of the candidates of the pool that are still free is drawn, given all earlier places, with

epsilon         epsilon / m for each of the m, and 1 - epsilon more for the first
plackett_luce   a chance proportional to exp(-place / temperature)             Plackett 1975; Luce 1959
thompson        the chance to have the highest click rate of all, by the Beta posterior of each        Thompson 1933

The chance of what was drawn is its propensity. It is exact, as the draw is by that very number: also Thompson's, which
is integrated first (by the trapezoid rule on the quantiles of all posteriors) and then drawn from, rather than drawn
and estimated. It is the chance given the earlier places: that of a whole list is the product over its places, and a
place is to be weighed by the new policy's chance given the same earlier places. At the first place it is the plain one.

Thompson learns click rates from a log (`observe`): Beta(prior * r + clicks, prior * (1 - r) + shown - clicks), r the
rate of all. An exposure at a place that is clicked half as often as the mean counts as half of one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import betainc, betaincinv, ndtr

from zhiyin.arrays import AnyArray, DoubleVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.exposures import Exposures, checked
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.ranking._draws import uniforms
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.ranked import Ranked
from zhiyin.ranking.rerankers.base import ReRanker
from zhiyin.run import Run

QUANTILES = ndtr(np.linspace(-5, 5, 41))
"""Of each posterior, at which chances are integrated."""

QUERIES_AT_ONCE = 32
"""So many queries are integrated at once."""


class ExplorationConfig(Config):
    """Settings of `exploration`."""

    method: Literal["epsilon", "plackett_luce", "thompson"] = "epsilon"
    """How is drawn."""
    pool: int = setting(20, ge=2)
    """Among so many of the best is drawn."""
    epsilon: float = setting(0.1, ge=0, le=1)
    """Of `epsilon`: the chance of a place to be drawn from all alike."""
    temperature: float = setting(3.0, gt=0)
    """Of `plackett_luce`: so many places further down, an item is drawn e times less often."""
    prior: float = setting(20.0, gt=0)
    """Of `thompson`: so many exposures of the usual rate are added to those of each item."""


class Exploration(ReRanker):
    """Draws a list, place by place, and says with which chance."""

    config: ExplorationConfig
    learns = ("shown", "clicked")
    draws = True
    shown: DoubleVector
    """(n_items,) exposures that were observed, each as much as its place is clicked."""
    clicked: DoubleVector
    """(n_items,) what they earned."""

    @property
    def query_bytes(self) -> int:
        """Of `thompson`: the curves of all posteriors of the pool."""
        return 8 * len(QUANTILES) * self.config.pool**2 if self.config.method == "thompson" else 0

    def _fit(self, train: Dataset, run: Run) -> None:
        self.shown, self.clicked = np.zeros(train.n_items), np.zeros(train.n_items)

    def _observe(self, exposures: Exposures) -> None:
        if self.config.method != "thompson":
            raise ConfigError(f"{self.name} by {self.config.method} learns nothing from exposures; thompson does")
        if exposures.n_items != len(self.shown):
            raise DataError(f"exposures of {exposures.n_items:,} items came, {len(self.shown):,} are known here")
        reward = exposures.reward
        checked("reward", reward, (reward >= 0) & (reward <= 1), "0 to 1: whether it was clicked")
        self.shown = self.shown + np.bincount(exposures.item, _weight(exposures), len(self.shown))
        self.clicked = self.clicked + np.bincount(exposures.item, reward, len(self.shown))

    def _rerank(self, ranked: Ranked, draft: Draft, run: Run) -> None:
        drawn = uniforms(ranked.candidates.queries, draft.k, run, self.name)
        pool = draft.pool & (draft.column < self.config.pool)
        best = _Best(*self._posterior(ranked, draft), pool) if self.config.method == "thompson" else None
        while draft.unfinished:
            free = draft.open & pool
            chances = self._chances(free) if best is None else best.chances(free)
            draft.draw(chances, drawn[:, draft.place])

    def _chances(self, free: AnyArray) -> AnyArray:
        """(n, width) 1 together where any is free."""
        own, n = self.config, np.maximum(free.sum(1, keepdims=True), 1)
        if own.method == "epsilon":
            first = free & (np.cumsum(free, 1) == 1)
            return np.asarray(free * own.epsilon / n + first * (1 - own.epsilon))
        behind = np.maximum(np.arange(free.shape[1]) - np.argmax(free, 1)[:, None], 0)  # the first that is free
        weight = free * np.exp(-behind / own.temperature)
        return np.asarray(weight / np.maximum(weight.sum(1, keepdims=True), 1e-300))

    def _posterior(self, ranked: Ranked, draft: Draft) -> tuple[AnyArray, AnyArray]:
        """(n, width) the two numbers of the Beta posterior of each candidate."""
        if not self.shown.any():
            raise NotFittedError(f"{self.name} knows no click rates yet; call observe(exposures) first")
        usual = np.clip(self.clicked.sum() / self.shown.sum(), 1e-6, 1 - 1e-6)
        missed = np.maximum(self.shown - self.clicked, 0)
        item, prior = ranked.candidates.item, self.config.prior
        above, below = prior * usual + self.clicked[item], prior * (1 - usual) + missed[item]
        return draft.padded(above, 1.0), draft.padded(below, 1.0)


class _Best:
    """The chance of each candidate to have the highest rate of those that are free."""

    def __init__(self, above: AnyArray, below: AnyArray, pool: AnyArray) -> None:
        width = int(pool.sum(1).max(initial=0))
        self._width, steps = width, range(0, len(pool), QUERIES_AT_ONCE)
        parts = [slice(start, start + QUERIES_AT_ONCE) for start in steps]
        self._parts = [(part, _curves(above[part, :width], below[part, :width], pool[part, :width])) for part in parts]

    def chances(self, free: AnyArray) -> AnyArray:
        """(n, width) of free cells, 1 together where any is free."""
        found = np.zeros(free.shape)
        for part, curves in self._parts:
            found[part, : self._width] = _highest(curves, free[part, : self._width])
        return found


def _curves(above: AnyArray, below: AnyArray, pool: AnyArray) -> AnyArray:
    """(n, m, points) the distribution functions of m posteriors at the quantiles of all of them, rising."""
    at = betaincinv(above[..., None], below[..., None], QUANTILES)
    at = np.sort(np.where(pool[..., None], at, 0).reshape(len(at), 1, -1), 2)
    found: AnyArray = betainc(above[..., None], below[..., None], at)
    found[..., -1] = 1  # nothing is beyond the last one
    return found


def _highest(curves: AnyArray, free: AnyArray) -> AnyArray:
    """(n, m) the integral of the product of all other distribution functions over each one's own."""
    logs = np.log(np.maximum(curves, 1e-300))
    others = np.exp(np.sum(logs, 1, keepdims=True, where=free[..., None]) - logs)
    mass = np.sum(np.diff(curves, axis=2) * (others[..., 1:] + others[..., :-1]) / 2, 2)
    mass = np.where(free, mass + 1e-12, 0)
    total = mass.sum(1, keepdims=True)
    found: AnyArray = mass / np.where(total > 0, total, 1)
    return found


def _weight(exposures: Exposures) -> DoubleVector:
    """(n,) how often the place of each exposure is clicked, beside the mean of all."""
    n, usual = len(exposures), exposures.reward.mean()
    if exposures.position is None or usual == 0:
        return np.ones(n)
    shown, earned = np.bincount(exposures.position), np.bincount(exposures.position, exposures.reward)
    rate: DoubleVector = (earned + usual) / (shown + 1.0) / usual
    return rate[exposures.position]
