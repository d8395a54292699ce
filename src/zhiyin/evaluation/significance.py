r"""Intervals and tests for means over queries: what could be chance, and what could not.

Definitions, for n queries and models a, b with values a_i, b_i on query i:

*Interval.* B = 2,000 times, n queries are drawn with replacement and the metric is computed on them; the interval is
the 2.5 % and the 97.5 % quantile of the B values (percentile bootstrap; Efron & Tibshirani 1993, chapter 13). The same
draws serve all models and metrics, so the interval of a difference a - b is that of the B differences: it is paired.
A metric that is a mean over queries is Σ a_i / Σ 1; one that is a function of a mean over all targets (RMSE) is
f(Σ loss_i / Σ targets_i), and both sums are resampled together.

*Test.* Sign-flip randomisation (Fisher 1935; for retrieval: Smucker, Allan & Carterette, CIKM 2007): if a and b were
equally good, a_i - b_i would be as likely as b_i - a_i. R = 10,000 times all signs are drawn anew; p = (1 + number of
draws with |mean| at least as large as the observed one) / (1 + R), two-sided. Queries on which either value is not
defined are left out.

*Several comparisons.* Holm (1979) on the p-values of one family: the models that are held against one reference on one
metric. It bounds the chance of any false alarm in the family by 5 %, whatever the dependence between models.

*Several queries of one user* are no independent witnesses: wherever users have more than one query, the sum over all
queries of a user is drawn, or flipped, as a whole (cluster bootstrap; Cameron, Gelbach & Miller 2008).

*Many queries.* Above 20,000 of them, both procedures work on 20,000 random groups of queries (of users, where they
have several) of equal size (± 1): the sum over a group is drawn, or flipped, as a whole. The mean has the same variance
under both, and the cost stays bounded.

*Not resampled.* A metric of all lists together (coverage, Gini) has no value per query: a resample of queries repeats
lists and so holds fewer different items by construction. Such a number is given without interval and without test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from zhiyin.arrays import AnyArray, DoubleVector, IntVector

RESAMPLES = 2_000
DRAWS = 10_000
GROUPS = 20_000
LEVEL = 0.95
BLOCK_BYTES = 64 * 2**20


def _same(value: float) -> float:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A metric as a function of two sums over queries: `finish(Σ total / Σ count)`.

    `total` and `count` (n,) float64. A query on which the metric is not defined has 0 in both.
    """

    total: DoubleVector
    count: DoubleVector
    finish: Callable[[float], float] = _same

    @classmethod
    def of(cls, values: DoubleVector) -> Sample:
        """A mean over queries; NaN where it is not defined."""
        known = ~np.isnan(values)
        return cls(np.where(known, values, 0.0).astype(np.float64), known.astype(np.float64))

    @property
    def n(self) -> int:
        """On how many queries the metric is defined."""
        return int(np.count_nonzero(self.count))

    @property
    def value(self) -> float:
        """The metric; NaN when it is defined on no query."""
        return self.finish(float(self.total.sum() / self.count.sum())) if self.n else float("nan")

    def values(self) -> DoubleVector:
        """(n,) the value of each query, NaN where it is not defined."""
        means: DoubleVector = np.full(len(self.total), np.nan)
        np.divide(self.total, self.count, out=means, where=self.count > 0)
        return means if self.finish is _same else np.array([self.finish(float(one)) for one in means])

    def take(self, rows: AnyArray) -> Sample:
        """The same metric on some of the queries."""
        return Sample(self.total[rows], self.count[rows], self.finish)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value (None where undefined), its 95 % interval, the queries behind it, and its spread over seeds."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    spread: float | None = None
    """Standard deviation over the seeds; None for one seed."""

    @classmethod
    def of(cls, value: float, low: float = np.nan, high: float = np.nan, n: int = 0, spread: float = np.nan) -> Self:
        """An estimate whose undefined (NaN) parts are None."""
        found, least, most, over_seeds = (None if np.isnan(one) else float(one) for one in (value, low, high, spread))
        return cls(found, least, most, n, over_seeds)

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Model against reference on one metric; `difference` is model minus reference."""

    metric: str
    model: str
    reference: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    n: int

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference would be this large by chance in less than 5 % of families of comparisons."""
        return self.p_holm < 1 - LEVEL


def owners(users: Sequence[str] | None) -> IntVector | None:
    """(n,) a number for the user of each query; None where nobody has two. A query without a name is a stranger's."""
    if users is None:
        return None
    named = np.array([bool(user) for user in users], bool)
    names, numbers = np.unique(np.array([user for user in users if user], object).astype(str), return_inverse=True)
    if len(names) == len(numbers):
        return None
    found = np.empty(len(users), np.int32)
    found[named] = numbers
    found[~named] = len(names) + np.arange(len(users) - len(numbers))
    return found


def witnesses(sample: Sample, owner: IntVector | None) -> int:
    """How many independent voices a metric rests on: the queries that it is defined on, or their users."""
    return sample.n if owner is None else len(np.unique(owner[sample.count > 0]))


def bootstrap(
    samples: Sequence[Sample], seed: int = 0, resamples: int = RESAMPLES, owner: IntVector | None = None
) -> AnyArray:
    """(resamples, len(samples)) the value of each metric on each resample of the queries; the draws are shared.

    `owner` (n,): the user of each query, where some have several; users are drawn then.
    """
    if not samples:
        return np.zeros((resamples, 0))
    rng = np.random.default_rng([seed, 1])
    columns = np.stack([one for sample in samples for one in (sample.total, sample.count)], axis=1)
    columns = _grouped(_summed(columns, owner), rng)
    sums = np.concatenate([counts @ columns for counts in _draws(n=len(columns), rounds=resamples, rng=rng)])
    totals, known = sums[:, ::2], sums[:, 1::2]
    means: AnyArray = np.divide(totals, known, out=np.full_like(totals, np.nan), where=known > 0)
    for place, sample in enumerate(samples):
        if sample.finish is not _same:
            means[:, place] = [sample.finish(float(one)) for one in means[:, place]]
    return means


def interval(replicates: AnyArray) -> tuple[float, float]:
    """The middle 95 % of bootstrap values; NaN when none is defined."""
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip(differences: AnyArray, seed: int = 0, draws: int = DRAWS, owner: IntVector | None = None) -> DoubleVector:
    """(m,) two-sided p-values for the m columns of paired differences (n, m); NaN rows are left out per column."""
    rng = np.random.default_rng([seed, 2])
    columns = _grouped(_summed(np.nan_to_num(np.asarray(differences, np.float64)), owner), rng)
    if not len(columns):
        return np.ones(columns.shape[1])
    observed = np.abs(columns.sum(axis=0))
    # a draw that equals the observation but for rounding counts as equal
    border = observed - 1e-9 * np.maximum(np.abs(columns).sum(axis=0), 1e-300)
    extreme = np.zeros(columns.shape[1])
    for signs in _signs(len(columns), draws, rng):
        extreme += (np.abs(signs @ columns) >= border).sum(axis=0)
    return (1 + extreme) / (1 + draws)


def paired(
    metric: str,
    ours: tuple[str, Sample],
    theirs: tuple[str, Sample],
    seed: int = 0,
    owner: IntVector | None = None,
) -> PairedTest:
    """One comparison, of two models on the same queries; a family of its own, so that nothing is corrected.

    Args:
        metric: what it is called.
        ours: the name and the sample of the model.
        theirs: those of what it is held against.
        seed: of the draws.
        owner: (n,) the user of each query, where some have several.
    """
    (model, mine), (reference, other) = ours, theirs
    draws = bootstrap([mine, other], seed, owner=owner)
    low, high = interval(draws[:, 0] - draws[:, 1])
    p = float(sign_flip((mine.values() - other.values())[:, None], seed, owner=owner)[0])
    return PairedTest(metric, model, reference, mine.value - other.value, low, high, p, p, mine.n)


def holm(p: Sequence[float] | DoubleVector) -> DoubleVector:
    """Holm's step-down adjustment of the p-values of one family.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, np.float64)
    order = np.argsort(raw, kind="stable")
    factors = len(raw) - np.arange(len(raw))
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * factors))
    return adjusted


def _summed(columns: AnyArray, owner: IntVector | None) -> AnyArray:
    """The rows summed by owner."""
    if owner is None or not len(columns):
        return columns
    order = np.argsort(owner, kind="stable")
    first = np.flatnonzero(np.diff(owner[order], prepend=-1))
    summed: AnyArray = np.add.reduceat(columns[order], first, axis=0)
    return summed


def _grouped(columns: AnyArray, rng: np.random.Generator) -> AnyArray:
    """Sum the rows in random groups of equal size (± 1) when there are more than `GROUPS`."""
    n = len(columns)
    if n <= GROUPS:
        return columns
    shuffled = columns[rng.permutation(n)]
    summed: AnyArray = np.add.reduceat(shuffled, np.arange(GROUPS) * n // GROUPS, axis=0)
    return summed


def _draws(n: int, rounds: int, rng: np.random.Generator) -> Iterator[AnyArray]:
    """Blocks (rounds, n) of how often each of n rows is drawn in each resample of n."""
    step = max(1, BLOCK_BYTES // (16 * max(1, n)))
    for start in range(0, rounds, step):
        rows = min(step, rounds - start)
        drawn = rng.integers(0, n, (rows, n), dtype=np.int32) if n else np.zeros((rows, 0), np.int32)
        drawn += (np.arange(rows, dtype=np.int32) * n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _signs(n: int, rounds: int, rng: np.random.Generator) -> Iterator[AnyArray]:
    """Blocks (rounds, n) of -1 and 1."""
    step = max(1, BLOCK_BYTES // (12 * n))
    for start in range(0, rounds, step):
        rows = min(step, rounds - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes((rows * n + 7) // 8), np.uint8), count=rows * n)
        yield bits.reshape(rows, n) * 2.0 - 1.0
