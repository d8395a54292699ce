"""Aggregate: what a group of people thinks of each item, from what its members think (Masthoff, UMUAI 2004).

    mean            the mean of the members' scores
    least_misery    the smallest: an item is as good as for the member who likes it least
    most_pleasure   the largest: as good as for the member who likes it most

Scores of several people must be on one scale to be compared: chances are; scores that only order the items of one
person are not, and are made places first (`as_places`). `recommend_to_groups` does all of it for a fitted model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, DoubleMatrix, FloatMatrix, IntMatrix, IntVector, LongVector, offsets_of
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Recommendations
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._filling import FILLED
from zhiyin.models._filling import fill as completed
from zhiyin.models._given import check_k
from zhiyin.models.base import Asked, Recommender
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.rules import Rules
from zhiyin.run import Run

Rule = Literal["mean", "least_misery", "most_pleasure"]

Scale = Literal["places", "chances"]
"""How the scores of several people are made comparable: places for any model; chances where scores are chances."""

logger = logging.getLogger(__name__)


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
    _check_rule(rule)
    rows, offsets = _flat(members, len(scores))
    if len(offsets) == 1:
        return np.zeros((0, scores.shape[1]))
    told, first = np.asarray(scores, np.float64)[rows], offsets[:-1]
    least = np.minimum.reduceat(told, first, axis=0)
    if rule == "least_misery":
        return np.asarray(least)
    if rule == "mean":
        found = np.add.reduceat(told, first, axis=0) / np.diff(offsets)[:, None]
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


def recommend_to_groups(
    model: Recommender,
    queries: Asked,
    members: Sequence[Sequence[int]],
    k: int = 10,
    rule: Rule = "mean",
    *,
    scale: Scale = "places",
    heard: Sequence[Sequence[int]] | None = None,
    exclude_seen: bool = True,
    fill: bool = True,
    run: Run | None = None,
) -> Recommendations:
    """The `k` best items for each group of people who decide together.

    A group may have what each of its members may have: what the filters of a pipeline's rules leave, and what nobody
    of them had. Of this, items of which the model says something to anybody who is heard are candidates; what it does
    not say something of to a member comes last for this member. Opinions are made comparable among the candidates
    (`scale`) and become one (`rule`); items that are equal by the rule are in the order of the mean. A member to whom
    the model says nothing of all this is not heard, unless there is nobody else.

    Of a pipeline, the retrievers look among all items, also those that are left out afterwards: give them quotas with
    room for that. Its re-rankers, caps and pins look at the list of one person and are not used, which is logged.

    Args:
        model: fitted.
        queries: those of the members, one for each person.
        members: the rows of the queries of each group; a person may be in several.
        k: the length of a list, at most the size of the catalogue.
        rule: how several opinions become one; see `aggregate`.
        scale: `places` takes the order alone: 1 for what a member likes best of the candidates, down to 0. `chances`
            takes scores between 0 and 1 at their word, as a ranker with `objective = "chance"` says them; nothing said
            is 0.
        heard: the rows of those of each group whose opinion counts; all members by default. What others had is left
            out all the same.
        exclude_seen: leave out what any member had.
        fill: complete lists that are left short with the most popular items that the group may have, and say so in
            `source`.
        run: memory and threads of this call.

    Returns:
        A list for each group, whose scores are those of the group; `users` is None, as a group is nobody.

    Raises:
        ConfigError: an unknown rule or scale, chances that are none, or `k` is not between 1 and the catalogue's size.
        DataError: a group without members, with one that is not there, or without anybody who is heard.
    """
    _check_rule(rule)
    if scale not in ("places", "chances"):
        raise ConfigError(f"scale {scale!r} came; places or chances is expected")
    run, k, asked = run or Run(), check_k(k, model.n_items), model.encode(queries)
    rows, offsets = _flat(members, len(asked))
    speakers = _heard(members, heard)
    _note_what_is_left_out(model)
    order = np.argsort(-model.popularity, kind="stable").astype(np.int32) if fill else None

    def block(start: int, stop: int) -> Recommendations:
        low, high = offsets[start], offsets[stop]
        groups = _Groups(asked.take(rows[low:high]), offsets[start : stop + 1] - low, speakers[low:high])
        return groups.lists(model, k, rule, scale, groups.free(model, exclude_seen), order)

    longest = int(np.diff(offsets).max(initial=1))
    parts = model._in_blocks(block, len(members), run, "recommend to groups", longest * model._row_bytes())
    return Recommendations.join(parts) if parts else model.recommend([], k)


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Some groups, one after the other; those of group `i` are the people `offsets[i]` to `offsets[i + 1]`."""

    asked: Queries
    offsets: LongVector
    heard: BoolVector
    """(n_people,) whose opinion counts."""

    @property
    def owner(self) -> IntVector:
        """(n_people,) the group of each person."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    def free(self, model: Recommender, exclude_seen: bool) -> AnyArray:
        """(n_groups, n_items) what every member may have."""
        free = np.ones((len(self.offsets) - 1, model.n_items), bool)
        rules = getattr(model, "rules", None)
        if isinstance(rules, Rules):
            free &= np.logical_and.reduceat(rules.lets(self.asked, model.n_items), self.offsets[:-1], axis=0)
        if exclude_seen:
            past = self.asked.histories
            free[self.owner[past.owner()], past.item] = False
        return free

    def lists(
        self, model: Recommender, k: int, rule: Rule, scale: Scale, free: AnyArray, order: IntVector | None
    ) -> Recommendations:
        """The lists; completed by the first items of `order`, unless that is None."""
        scores = model._score(self.asked)
        said = np.isfinite(scores) & free[self.owner] & self.heard[:, None]
        open_to = np.logical_or.reduceat(said, self.offsets[:-1], axis=0)
        opinions = _comparable(np.where(said, scores, -np.inf), open_to[self.owner], scale)
        items, values = _best(opinions, self._voices(np.asarray(said.any(1))), k, rule)
        source = np.zeros(items.shape, np.uint8)
        if order is not None:
            gone = Histories(offsets_of((~free).sum(1)), np.nonzero(~free)[1].astype(np.int32))
            source = completed(items, gone, True, order, model.n_items)
        unknown = self.asked.unknown
        lost = None if unknown is None else np.add.reduceat(unknown, self.offsets[:-1])
        return Recommendations(items, values, model.vocabulary, (model.name, FILLED), source, unknown=lost)

    def _voices(self, speaks: AnyArray) -> list[list[int]]:
        """The people of each group who are heard and speak; all who are heard where nobody speaks."""
        whole = np.split(np.arange(len(self.heard)), self.offsets[1:-1])
        return [one[speaks[one] if speaks[one].any() else self.heard[one]].tolist() for one in whole]


def _comparable(scores: FloatMatrix, open_to: AnyArray, scale: Scale) -> DoubleMatrix:
    """(n_people, n_items) opinions on one scale, of what is open to the group of each person; -inf for the rest.

    Raises:
        ConfigError: chances that are none.
    """
    known = scores > -np.inf
    if scale == "places":
        least = np.where(known, scores, np.inf).min(1, keepdims=True).astype(np.float64)
        return as_places(np.where(open_to, np.where(known, scores, np.nextafter(least, -np.inf)), -np.inf))
    told = scores[known]
    if len(told) and not 0 <= told.min() <= told.max() <= 1:
        raise ConfigError(
            f"scores from {told.min():g} to {told.max():g} came with scale='chances'; take scale='places', or a ranker "
            'with objective = "chance"'
        )
    return np.where(open_to, np.where(known, scores, 0.0), -np.inf)


def _best(opinions: DoubleMatrix, voices: Sequence[Sequence[int]], k: int, rule: Rule) -> tuple[IntMatrix, FloatMatrix]:
    """(n_groups, k) the best items, padded with -1, and what the group thinks of them, padded with NaN."""
    # rounded, or sums that are equal but for the order of the members would not be ties
    found, mean = (aggregate(opinions, voices, one).round(12) for one in (rule, "mean"))
    best = np.lexsort((-mean, -found), axis=1)[:, :k]
    values = np.take_along_axis(found, best, 1)
    there = values > -np.inf
    return np.where(there, best, -1).astype(np.int32), np.where(there, values, np.nan).astype(np.float32)


def _check_rule(rule: str) -> None:
    if rule not in ("mean", "least_misery", "most_pleasure"):
        raise ConfigError(f"rule {rule!r} came; mean, least_misery or most_pleasure is expected")


def _flat(members: Sequence[Sequence[int]], n_people: int) -> tuple[LongVector, LongVector]:
    """The rows of all members, group by group, and (n_groups + 1,) where each group begins.

    Raises:
        DataError: a group without members, or with one that is not there; or something else came.
    """
    whole = all(isinstance(one, (int, np.integer)) for group in members if _is_group(group) for one in group)
    if not whole or not all(map(_is_group, members)):
        raise DataError("members are the rows of the queries of each group, such as [[0, 1, 2], [3, 4]]; others came")
    rows = np.array([one for group in members for one in group], np.int64)
    lengths = np.array([len(group) for group in members], np.int64)
    if not lengths.all():
        raise DataError(f"{int((lengths == 0).sum())} of {len(lengths)} groups have no members; leave them out")
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_people:
        raise DataError(f"members {rows.min()} to {rows.max()} came, people are 0 to {n_people - 1}")
    return rows, offsets_of(lengths)


def _is_group(group: object) -> bool:
    return isinstance(group, (list, tuple, np.ndarray))


def _heard(members: Sequence[Sequence[int]], heard: Sequence[Sequence[int]] | None) -> BoolVector:
    """(n_members,) whose opinion counts, group by group.

    Raises:
        DataError: there is not one list for each group, a list is empty, or names somebody who is no member.
    """
    if heard is None:
        return np.ones(sum(len(group) for group in members), bool)
    if len(heard) != len(members):
        raise DataError(f"{len(members)} groups came with {len(heard)} lists of who is heard; one for each is expected")
    for at, (group, some) in enumerate(zip(members, heard, strict=True)):
        if not len(some) or not set(some) <= set(group):
            raise DataError(f"of group {at}, {list(some)} are heard; some of its members {list(group)} are expected")
    told = [one in set(some) for group, some in zip(members, heard, strict=True) for one in group]
    return np.array(told, bool)


def _note_what_is_left_out(model: Recommender) -> None:
    if isinstance(model, Pipeline) and (model.rerankers or model.rules.limits):
        logger.warning(
            "%s: re-rankers, caps and pins look at one person's list; lists for groups lack them", model.name
        )
