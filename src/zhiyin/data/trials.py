"""Trials: who was given what, with what chance, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin._numbers import as_numbers
from zhiyin.arrays import AnyArray, DoubleVector, IntVector
from zhiyin.data.exposures import checked
from zhiyin.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A log of what people were given and what they did then; a row is one person.

    Raises:
        DataError: columns of different lengths, no rows, arms that are not numbered without a gap, an outcome that is
            no number, a propensity of 0 or 1.
    """

    arm: IntVector
    """(n,) 0 for nothing, 1, 2, ... for each thing that can be given."""
    outcome: DoubleVector
    """(n,) what came of it: 1 for a purchase and 0 for none, or a value."""
    propensity: DoubleVector
    """(n,) the chance with which this person was given this arm; above 0 and below 1."""

    def __post_init__(self) -> None:
        n = len(self.arm)
        if not n:
            raise DataError("no people came; a trial needs some who were given something and some who were not")
        for name in ("outcome", "propensity"):
            if getattr(self, name).shape != (n,):
                shape = getattr(self, name).shape
                raise DataError(f"{n} arms came with {name} of shape {shape}; ({n},) is expected, one for each person")
        _check_arms(self.arm)
        empty = np.flatnonzero(self.counts == 0)
        if len(self.counts) < 2 or len(empty):
            missing = int(empty[0]) if len(empty) else 1
            raise DataError(
                f"arm {missing} has nobody ({len(self.counts)} arms came); an effect is told by comparing, so "
                "arms are numbered from 0 (nothing) without a gap and each needs people"
            )
        checked("outcome", self.outcome, np.isfinite(self.outcome), "a finite number")
        right = (self.propensity > 0) & (self.propensity < 1)
        expected = "above 0 and below 1: of who could be given one thing alone, nobody knows what another would do"
        checked("propensity", self.propensity, right, expected)

    def __len__(self) -> int:
        return len(self.arm)

    @classmethod
    def of(cls, arm: AnyArray, outcome: AnyArray, propensity: AnyArray | float | None = None) -> Trial:
        """A trial from plain columns.

        >>> Trial.of([0, 1, 1], [0, 1, 1]).propensity.round(2).tolist()
        [0.33, 0.67, 0.67]

        Args:
            arm: (n,) 0 for nothing, 1, 2, ... for what was given; or true and false.
            outcome: (n,) numbers, or true and false.
            propensity: (n,) the chance of the arm that each was given; or one number, the chance of arm 1 where there
                is no other; None for a trial by lot, in which everybody has the same chances: the parts that were seen.

        Raises:
            DataError: as the class; or one number for several arms, or what is no number.
        """
        numbers = as_numbers("arm", arm)
        if numbers.ndim != 1:
            raise DataError(f"arms of shape {numbers.shape} came; (n,) is expected, one for each person")
        _check_arms(numbers)  # before a number is cut off, or as many chances are made as it is large
        given = numbers.astype(np.int32)
        return cls(given, as_numbers("outcome", outcome), _chances(given, propensity))

    @property
    def counts(self) -> AnyArray:
        """(n_arms,) how many people were given each, nothing first."""
        found: AnyArray = np.bincount(self.arm)
        return found

    @property
    def n_arms(self) -> int:
        """How many arms there are, nothing among them."""
        return len(self.counts)

    @property
    def is_binary(self) -> bool:
        """Whether outcomes are 0 and 1 alone."""
        return bool(np.isin(self.outcome, (0, 1)).all())

    @property
    def weight(self) -> DoubleVector:
        """(n,) for how many people of the trial each one stands, 1 / propensity, so scaled that each arm stands for n.

        (Hájek 1971.) In an arm in which all had the same chance, all weigh alike.
        """
        raw = 1 / self.propensity
        return np.asarray(raw * (len(self) / np.bincount(self.arm, raw))[self.arm], np.float64)


def _check_arms(arm: AnyArray) -> None:
    """Refuse arms (n,) of which one cannot be: each needs somebody, so n people have arms below n."""
    whole = (arm >= 0) & (arm < len(arm)) & (arm == np.round(arm))
    expected = "0 for nothing or a whole number from 1 for what was given; arms are numbered without a gap, so each is"
    checked("arm", arm, whole, f"{expected} below the number of people, {len(arm)}")


def _chances(arm: IntVector, propensity: AnyArray | float | None) -> DoubleVector:
    """(n,) the chance of the arm that each was given; see `Trial.of`."""
    if propensity is None:
        parts = np.bincount(arm) / max(1, len(arm))
        return np.asarray(parts[arm], np.float64)
    chance = as_numbers("propensity", propensity)
    if chance.ndim:
        return chance
    if len(arm) and arm.max() > 1:
        raise DataError(
            f"one propensity ({chance:g}) came for {arm.max()} arms; it is the chance of arm 1 where there is no "
            "other: give one for each person, of the arm that it was given"
        )
    return np.asarray(np.where(arm > 0, chance, 1 - chance), np.float64)
