"""Codes as digits: checked, numbered by their beginnings, and told apart by one digit more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, IntMatrix, IntVector, LongVector
from zhiyin.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """The different beginnings of codes, of one length, in the order of their digits."""

    of_item: LongVector
    """(n,) the number of each item's beginning."""
    parent: LongVector
    """(n_prefixes,) the number of the beginning that is shorter by one digit."""
    digit: IntVector
    """(n_prefixes,) the last digit."""

    def __len__(self) -> int:
        return len(self.digit)


def checked(codes: Any, sizes: Sequence[int] | None = None) -> IntMatrix:
    """(n, levels) int32 codes; -1 at every level of an item that has none.

    Args:
        codes: what came.
        sizes: how many values each digit may have; unknown when None.

    Raises:
        DataError: no table of whole numbers came, or a digit is out of bounds.
    """
    found = np.asarray(codes)
    if found.ndim != 2 or not found.shape[1] or not np.issubdtype(found.dtype, np.integer):
        raise DataError(
            f"codes of shape {found.shape} and type {found.dtype} came; (n, levels) whole numbers are expected, as "
            "codebook.assign(vectors) gives them"
        )
    if sizes is not None and found.shape[1] > len(sizes):
        raise DataError(
            f"codes of {found.shape[1]} digits came, {len(sizes)} are known; leave out the last one, which tells equal "
            f"codes apart: codes[:, :{len(sizes)}]"
        )
    none: BoolVector = np.all(found < 0, axis=1)
    most = np.iinfo(np.int32).max if sizes is None else np.asarray(sizes)[: found.shape[1]]
    wrong = ((found < 0) | (found >= most)) & ~none[:, None]
    if wrong.any():
        row, level = np.argwhere(wrong)[0].tolist()
        bound = "" if sizes is None else f" to {sizes[level] - 1}"
        raise DataError(
            f"digit {level} of item {row} is {found[row, level]}; 0{bound} is expected, or -1 in all digits"
        )
    return np.where(none[:, None], -1, found).astype(np.int32)


def prefixes(codes: IntMatrix) -> Iterator[Prefixes]:
    """The beginnings of one digit, then of two, and so on; every item has a code."""
    number = np.zeros(len(codes), np.int64)
    for column in codes.T:
        width = int(column.max(initial=0)) + 1
        keys, number = np.unique(number * width + column, return_inverse=True)
        yield Prefixes(number, keys // width, (keys % width).astype(np.int32))


def unique(codes: AnyArray, most: int | None = None) -> IntMatrix:
    """(n, levels + 1) the codes with one more digit: 0, 1, 2, ... for the items of equal codes, in their order.

    Items that come later never change the digits of earlier ones.

    Args:
        codes: (n, levels); -1 for an item without a code, which has no last digit either.
        most: how many values the last digit may have; beyond, it begins anew and items share their digits again.

    Raises:
        DataError: no table of whole numbers came.
        ConfigError: `most` is not positive.

    >>> unique(np.array([[3, 1], [0, 2], [3, 1], [-1, -1]])).tolist()
    [[3, 1, 0], [0, 2, 0], [3, 1, 1], [-1, -1, -1]]
    """
    if most is not None and most < 1:
        raise ConfigError(f"a last digit of {most} values was asked for; at least 1 is expected")
    found = checked(codes)
    there = found[:, 0] >= 0
    last = np.full(len(found), -1, np.int32)
    if there.any():
        *_, whole = prefixes(found[there])
        rank = ranks(whole.of_item)
        last[there] = rank if most is None else rank % most
    return np.column_stack([found, last])


def further(codes: IntMatrix, place: IntVector, before: IntMatrix, most: int) -> IntMatrix:
    """(n, levels + 1) the codes of another catalogue, in which new items are told from those that stay.

    Args:
        codes: (n, levels + 1); the last digit of a new item says nothing yet.
        place: (n,) the number that each item had; -1 for a new one.
        before: (m, levels + 1) the codes of the items that were there, also of those that are gone.
        most: how many values the last digit may have.

    Returns:
        A new item has the last digit that fewest items of its code share; of those, one that no item had comes before
        that of an item which is gone.

    >>> codes, place = np.array([[0, 2], [0, 0], [0, 0], [0, 0], [0, 0]]), np.array([2, -1, -1, -1, -1])
    >>> further(codes, place, np.array([[0, 0], [1, 0], [0, 2]]), most=4)[:, -1].tolist()
    [2, 1, 3, 0, 1]
    """
    new = np.flatnonzero(place < 0)
    stays = np.isin(np.arange(len(before)), place)
    *_, whole = prefixes(np.concatenate([codes[new, :-1], before[:, :-1]]))
    group, there = np.split(whole.of_item, [len(new)])
    taken: dict[int, Counter[int]] = {one: Counter() for one in group.tolist()}
    left: dict[int, set[int]] = {one: set() for one in taken}
    for row in np.flatnonzero(np.isin(there, group)).tolist():
        one, digit = int(there[row]), int(before[row, -1])
        if stays[row]:
            taken[one][digit] += 1
        else:
            left[one].add(digit)
    turns = {one: _by_turns(taken[one], left[one], most) for one in taken}
    found = codes.copy()
    found[new, -1] = [next(turns[one]) for one in group.tolist()]
    return found


def _by_turns(taken: Counter[int], left: set[int], most: int) -> Iterator[int]:
    """Digits without end, those that fewest items share first; of these, first such as were not left by any."""
    for shared in count():
        for was_left in (False, True):
            for digit in range(most):
                if taken[digit] == shared and (digit in left) == was_left:
                    yield digit
                    taken[digit] += 1


def ranks(groups: LongVector) -> LongVector:
    """(n,) which member of its group each one is, in their order, from 0."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    start = np.repeat(np.cumsum(counts) - counts, counts)
    found = np.empty(len(groups), np.int64)
    found[order] = np.arange(len(groups)) - start
    return found
