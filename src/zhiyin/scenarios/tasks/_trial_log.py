"""The log of a trial as a plain table: its columns by role, the people in it, and whether its arms can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, IntVector
from zhiyin.config import Config, names
from zhiyin.data.trials import Trial
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.ranking.table import FeatureTable

UNEVEN = 5.0
"""By so many standard errors two arms differ in no feature, if lots or known chances gave them."""


class Columns(Config):
    """Which column of a trial plays which role; a row is one person."""

    arm: str = "arm"
    """What each was given."""
    outcome: str = "bought"
    """What came of it: true and false, 1 and 0, or values."""
    propensity: str | None = None
    """The chance of the arm that each was given; left out where lots gave them, with the same chances for all."""
    features: tuple[str, ...] = ()
    """What was known before, also as text, `age, visits`; by default all columns without another role."""
    drop: tuple[str, ...] = ()
    """Columns to ignore, also as text: numbers of customers, and whatever came after the coupon, but for the
    outcome."""

    @field_validator("features", "drop", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Some people of a trial."""

    features: FeatureTable
    trial: Trial
    chances: AnyArray | None
    """(n, n_arms) the true chance of each to buy with each arm; None in a plain log."""

    def take(self, rows: BoolVector) -> People:
        """Some of them (n,)."""
        trial, chances = self.trial, self.chances
        part = Trial(trial.arm[rows], trial.outcome[rows], trial.propensity[rows])
        return People(self.features.take(rows), part, None if chances is None else chances[rows])


def read(table: pa.Table, columns: Columns, arms: Sequence[str], buckets: int, chances: AnyArray | None) -> People:
    """The people of a log.

    Args:
        table: a row for each person.
        columns: which column plays which role.
        arms: what the column of arms says: of nothing, then of each coupon.
        buckets: texts among the features are hashed into so many categories.
        chances: (n, n_arms) the truth, where it is known.

    Raises:
        ConfigError: a column is not there, has two roles, or holds neither numbers nor texts; or other arms came.
        DataError: an arm or an outcome is missing, or is none; a propensity is 0 or 1.
    """
    names = _features(table, columns)
    features = FeatureTable.of({one: _feature(table, one) for one in names}, buckets=buckets)
    chance = None if columns.propensity is None else _numbers(table, columns.propensity)
    trial = Trial.of(_arms(table, columns.arm, arms), _numbers(table, columns.outcome), chance)
    return People(features, trial, chances)


def parts(people: People, share: float, rng: np.random.Generator) -> tuple[People, People]:
    """Who is learnt from and who is judged, a `share`, by lot in each arm.

    Raises:
        DataError: there are too few of an arm.
    """
    arm = people.trial.arm
    order = np.lexsort((rng.random(len(arm)), arm))
    judged = np.empty(len(arm), bool)
    judged[order] = np.diff(np.floor(np.arange(len(arm) + 1) * share)) > 0
    if min(len(np.unique(arm[rows])) for rows in (judged, ~judged)) < people.trial.n_arms:
        raise DataError(
            f"{len(arm):,} people came, of an arm too few to learn from some and judge by others with "
            f"test_share={share:g}; wait for more, or join arms"
        )
    return people.take(~judged), people.take(judged)


def uneven(people: People) -> list[str]:
    """The features in which an arm and nothing differ by more than chance can explain.

    Coupons were given by choice then, or the feature tells what came after. What is compared are weighted means, by
    their standard errors (Kish 1965): of ranks, as numbers may have long tails, of how much is known, and of the part
    of each category.
    """
    table, trial = people.features, people.trial
    found = []
    for name in table.names:
        size = table.sizes.get(name)
        column = _ranks(table.column(name)) if size is None else table.column(name)
        rows = (trial.arm == arm for arm in range(trial.n_arms))
        nothing, *given = (_moments(column[some], size, trial.weight[some]) for some in rows)
        if any(_apart(one, nothing) > UNEVEN for one in given):
            found.append(name)
    return found


def _ranks(column: AnyArray) -> DoubleVector:
    """(n,) the rank of each number, from 0 to 1; equal ones share the middle of theirs, NaN stays."""
    known, found = ~np.isnan(column), np.full(len(column), np.nan)
    order = np.sort(column[known])
    below, upto = (np.searchsorted(order, column[known], side) for side in ("left", "right"))
    found[known] = (below + upto) / 2 / max(1, len(order))
    return found


def _moments(column: AnyArray, size: int | None, weight: DoubleVector) -> tuple[AnyArray, AnyArray]:
    """(k,) weighted means of what can be compared of a feature, and the squares of their standard errors."""
    known, share = ~np.isnan(column), weight / weight.sum()
    if size is None:
        marks = np.stack([known, np.where(known, column, 0)], 1).astype(np.float64)
        mean = share @ marks
        return mean, (share @ (marks - mean) ** 2) * (share @ share)
    mean = np.minimum(1, np.bincount(np.where(known, column, size).astype(np.int64), share, size + 1))
    return mean, mean * (1 - mean) * (share @ share)


def _apart(one: tuple[AnyArray, AnyArray], other: tuple[AnyArray, AnyArray]) -> float:
    """By how many standard errors the most different of the means differ; infinite where none of them varies."""
    differ, error = np.abs(one[0] - other[0]), np.sqrt(one[1] + other[1])
    differ[differ < 1e-6 * (np.abs(one[0]) + np.abs(other[0]))] = 0  # no more than rounding
    found = np.divide(differ, error, out=np.where(differ > 0, np.inf, 0.0), where=error > 0)
    return float(found.max())


def _features(table: pa.Table, columns: Columns) -> tuple[str, ...]:
    """The names of the features.

    Raises:
        ConfigError: a column is not there, or has two roles.
    """
    taken = [columns.arm, columns.outcome, *filter(None, [columns.propensity]), *columns.drop]
    for one in (*taken, *columns.features):
        if one not in table.column_names:
            raise ConfigError(f"columns of the trial: {unknown('column', one, table.column_names)}")
    names = columns.features or tuple(one for one in table.column_names if one not in taken)
    twice = [one for one in names if one in taken]
    if twice or not names:
        raise ConfigError(
            f"features {', '.join(names) or '(none)'} came"
            + (f", of which {', '.join(twice)} have another role" if twice else "")
            + "; name some columns of what was known before the coupons, and nothing else"
        )
    return names


def _arms(table: pa.Table, name: str, arms: Sequence[str]) -> IntVector:
    """(n,) the places in `arms` of what the column says."""
    column = table[name].cast(pa.string())
    if column.null_count:
        raise DataError(f"column {name!r} has {column.null_count:,} empty cells; say of each person what it was given")
    there = pc.unique(column).to_pylist()
    if set(there) != set(arms):
        raise ConfigError(
            f"column {name!r} says {', '.join(map(repr, sorted(there)[:10]))}; {', '.join(map(repr, arms))} are "
            "expected by `nothing` and `costs`: name there each arm of the trial, and no other"
        )
    return np.asarray(pc.index_in(column, pa.array(arms)), np.int32)


def _numbers(table: pa.Table, name: str) -> DoubleVector:
    """(n,) a column of numbers, or of true and false."""
    column = table[name]
    if column.null_count:
        raise DataError(f"column {name!r} has {column.null_count:,} empty cells; each person needs a number there")
    if _is_text(column.type):
        raise DataError(f"column {name!r} holds texts ({column[0]}, ...); numbers, or true and false, are expected")
    return _feature(table, name)


def _feature(table: pa.Table, name: str) -> AnyArray:
    """(n,) numbers with NaN, or texts with None, where nothing is known."""
    column = table[name]
    if _is_text(column.type):
        return np.array(column.cast(pa.string()).to_pylist(), object)
    try:
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ConfigError(
            f"column {name!r} holds {column.type}; numbers, texts, or true and false are expected: make numbers of it, "
            "such as days until the coupon, or name it under columns.drop"
        ) from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))
