"""Aggregate: what a group of people thinks of each item, from what its members think (Masthoff, UMUAI 2004).

    mean            the mean of the members' scores
    least_misery    the smallest: an item is as good as for the member who likes it least
    most_pleasure   the largest: as good as for the member who likes it most

Scores of several people must be on one scale to be compared: chances are; scores that only order the items of one
person are not, and are made places first (`as_places`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from zhiyin.arrays import AnyArray, DoubleMatrix
from zhiyin.errors import ConfigError, DataError

Rule = Literal["mean", "least_misery", "most_pleasure"]


def aggregate(scores: AnyArray, members: Sequence[Sequence[int]], rule: Rule = "mean") -> DoubleMatrix:
    """(n_groups, n_items) what each group thinks of each item.

    Args:
        scores: (n_people, n_items); -inf for what a person may not have, which then no group of theirs may have.
        members: the rows of the people of each group.
        rule: how several opinions become one.

    Raises:
        ConfigError: an unknown rule.
        DataError: a group without members, or with one that is not there.

    >>> aggregate(np.array([[0.9, 0.5], [0.1, 0.4]]), [[0, 1]], "least_misery").tolist()
    [[0.1, 0.4]]
    """
    if rule not in ("mean", "least_misery", "most_pleasure"):
        raise ConfigError(f"rule {rule!r} came; mean, least_misery or most_pleasure is expected")
    rows = np.array([one for group in members for one in group], np.int64)
    length = np.array([len(group) for group in members], np.int64)
    if not length.all():
        raise DataError(f"{int((length == 0).sum())} of {len(length)} groups have no members; leave them out")
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(scores):
        raise DataError(f"members {rows.min()} to {rows.max()} came, people are 0 to {len(scores) - 1}")
    if not len(length):
        return np.zeros((0, scores.shape[1]))
    told, first = np.asarray(scores, np.float64)[rows], np.cumsum(length) - length
    least = np.minimum.reduceat(told, first, axis=0)
    if rule == "least_misery":
        return np.asarray(least)
    if rule == "mean":
        found = np.add.reduceat(told, first, axis=0) / length[:, None]
    else:
        found = np.maximum.reduceat(told, first, axis=0)
    return np.where(least == -np.inf, -np.inf, found)


def as_places(scores: AnyArray) -> DoubleMatrix:
    """(n_people, n_items) 1 for the best item of each person down to 0 for the last; -inf stays; ties share the mean.

    >>> as_places(np.array([[7.0, 9.0, -np.inf, 8.0]])).tolist()
    [[0.0, 1.0, -inf, 0.5]]
    """
    from scipy.stats import rankdata

    known = np.asarray(scores) > -np.inf
    place = rankdata(np.where(known, scores, np.inf), axis=1) - 1  # what is forbidden comes last
    found: DoubleMatrix = np.where(known, place / np.maximum(known.sum(1, keepdims=True) - 1, 1), -np.inf)
    return found
