"""Blend: one list out of several models, by a weighted sum of their scores or by reciprocal ranks.

Scores of different models live on different scales, so they are brought onto one, query by query: standard scores,
the range 0 to 1, or ranks. Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009) adds 1 / (60 + rank).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from zhiyin import models
from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector, IntVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.encoders._terms import Fields, TermSpace
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import Recommender, load
from zhiyin.retrieval.exact import NOTHING, SCORE_BYTES, top_k
from zhiyin.run import Run

Method = Literal["zscore", "minmax", "rank", "rrf"]
CLOCKS = ("none", "position", "time")
EASE_ITEMS = 20_000
"""Up to so many items ease is a usual member: its time grows with their cube, its memory with their square."""

logger = logging.getLogger(__name__)


class Member(Config):
    """One model of a blend."""

    model: str
    """Its name, or `package.module:Class`."""
    weight: float = setting(1.0, gt=0)
    """How much it counts."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


class BlendConfig(Config):
    """Settings of `blend`."""

    members: tuple[Member, ...] = ()
    """The models; also as text, `ease:2,als`. None given: ease and content; where one of them is not to be had,
    item_knn too, and popularity, of weight 0.1, without ease. Ease is taken in a catalogue of up to 20,000 items,
    content where items say anything."""
    method: Method = "zscore"
    """How scores become comparable: standard scores, the range 0 to 1, ranks, or reciprocal ranks (rrf)."""
    rrf_k: float = setting(60.0, gt=0)
    """What is added to a rank before it is inverted; the smaller, the more the very first places count."""
    depth: int = setting(1000, ge=1)
    """How many first places of each model `rrf` looks at."""

    @field_validator("members", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        if isinstance(value, (list, tuple)):
            return tuple(_member(one) if isinstance(one, str) else one for one in value)
        return value


def _member(text: str) -> dict[str, Any]:
    """A member from text: `ease`, `ease:2`, or `package.module:Class` with or without a weight."""
    name, _, tail = text.strip().rpartition(":")
    try:
        return {"model": name, "weight": float(tail)}
    except ValueError:
        return {"model": text.strip()}


class Blend(Recommender):
    """Score by the weighted sum of the members' comparable scores; an item is scored where any member scores it.

    A member that has nothing to say about an item gives it no more than it gives to its own last item.
    """

    config: BlendConfig
    learns = ("weights",)
    weights: FloatVector
    """(n_members,) float32."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.models: list[Recommender] = [_made(member) for member in self.config.members]
        self._take_after_members()

    @classmethod
    def of(cls, fitted: Sequence[Recommender], weights: Sequence[float] | None = None, **options: Any) -> Self:
        """A blend of models that are fitted already, on one catalogue.

        Raises:
            ConfigError: no model came, or not one weight for each.
            DataError: the models know different items.
        """
        weights = [1.0] * len(fitted) if weights is None else weights
        if not fitted or len(weights) != len(fitted):
            raise ConfigError(f"{len(fitted)} models came with {len(weights)} weights; give at least one, and one each")
        members = [
            {"model": model.name, "weight": float(weight), "settings": model.config.model_dump(mode="json")}
            for model, weight in zip(fitted, weights, strict=True)
        ]
        blend = cls(members=members, **options)
        first = fitted[0]
        blend.items, blend.popularity = first.vocabulary, first.popularity
        blend.kinds, blend.kind_weights, blend.trained_on = first.kinds, first.kind_weights, first.trained_on
        for model in fitted:
            if model.vocabulary != blend.items:
                raise DataError(f"{model.name} was fitted on other items than {first.name}; fit both on one dataset")
        blend.models = list(fitted)
        blend.weights = np.array(weights, np.float32)
        blend._take_after_members()
        return blend

    def _take_after_members(self) -> None:
        """Need what any member needs, and allow only what all allow."""
        needs = max((CLOCKS.index(model.needs) for model in self.models), default=0)
        self.__dict__.update(  # these are class variables of every other model
            needs=CLOCKS[needs],
            uses_validation=any(model.uses_validation for model in self.models),
            threaded=all(model.threaded for model in self.models),
        )

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        members = self.config.members or _usual(train)
        self.models = []
        for place, member in enumerate(members):
            kept = run.checkpoint and run.checkpoint / f"{place}-{member.model.replace(':', '.')}"
            self.models.append(_made(member).fit(train, validation, replace(run, checkpoint=kept)))
        for model in self.models:
            model.items = self.items
        self.weights = np.array([member.weight for member in members], np.float32)
        self._take_after_members()

    @property
    def reads_text(self) -> bool:
        """Whether a member reads text, and may be asked in words."""
        return any(model.reads_text for model in self.models)

    def hears(self, text: str) -> bool:
        """Whether a text says anything to a member."""
        return any(model.hears(text) for model in self.models)

    def _row_bytes(self) -> int:
        return SCORE_BYTES * self.n_items + max(model._row_bytes() for model in self.models)

    def _score(self, queries: Queries) -> FloatMatrix:
        total = np.zeros((len(queries), self.n_items), np.float32)
        anything = np.zeros(total.shape, bool)
        for model, weight in zip(self.models, self.weights, strict=True):
            scores = model._score(queries)
            known = np.isfinite(scores)
            anything |= known
            total += weight * self._comparable(scores, known)
        total[~anything] = NOTHING
        return total

    def _comparable(self, scores: FloatMatrix, known: AnyArray) -> FloatMatrix:
        """(n, n_items) the scores of one member on the common scale, the least of it where nothing is known."""
        if self.config.method == "rrf":
            return reciprocal_ranks(scores, self.config.depth, self.config.rrf_k)
        return {"zscore": standard_scores, "minmax": unit_range, "rank": ranks}[self.config.method](scores, known)

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        return self._shares(query, items)[:-1]

    def _worth_of_words(self, query: Queries, items: IntVector) -> FloatVector:
        found: FloatVector = self._shares(query, items)[-1]
        return found

    def _shares(self, query: Queries, items: IntVector) -> FloatMatrix:
        """(n_events + 1, n_items) what events and, below them, words add to members, brought onto the common scale.

        With ranks, which are no sums, a member's part of the score is divided in proportion to what adds to it.
        """
        n = query.histories.n_events
        total = np.zeros((n + 1, len(items)), np.float32)
        for model, weight in zip(self.models, self.weights, strict=True):
            scores = model._score(query)
            known = np.isfinite(scores)
            rows = [model._contributions(query, items)] if n else []
            rows.append(model._worth_of_words(query, items)[None])
            shares = np.where(known[0, items], np.concatenate(rows), 0)
            total += weight * shares * self._scale(scores, known, items, shares)
        return total

    def _scale(self, scores: FloatMatrix, known: AnyArray, items: IntVector, shares: FloatMatrix) -> FloatVector:
        """(n_items,) what brings one member's shares (n_events + 1, n_items) onto the common scale."""
        if self.config.method in ("rank", "rrf"):
            size = np.abs(shares).sum(axis=0)
            part = self._comparable(scores, known)[0, items]
            found: FloatVector = np.divide(part, size, out=np.zeros_like(part), where=size > 0)
            return found
        values = scores[0, known[0]]
        unit = 0.0 if not len(values) else float(np.std(values) if self.config.method == "zscore" else np.ptp(values))
        return np.full(len(items), 1 / unit if unit > 0 else 1, np.float32)

    def _general_reason(self, item: int, query: Queries) -> Reason | None:
        reasons = (model._general_reason(item, query) for model in self.models)
        return next((reason for reason in reasons if reason is not None), None)

    def _common(self, item: int, other: int) -> str | None:
        said = (model._common(item, other) for model in self.models)
        return next((text for text in said if text is not None), None)

    def _write(self, folder: Path) -> None:
        for number, model in enumerate(self.models):
            model.save(folder / "members" / f"{number:02d}")

    def _read(self, folder: Path) -> None:
        self.models = [load(folder / "members" / f"{number:02d}") for number in range(len(self.weights))]
        for model in self.models:
            if model.vocabulary != self.vocabulary:
                raise DataError(f"{folder} is damaged: its {model.name} knows other items; save the blend anew")
            model.items = self.items
        self._take_after_members()


def _made(member: Member) -> Recommender:
    made: Recommender = models.get(member.model)(**member.settings)
    return made


def _usual(train: Dataset) -> tuple[Member, ...]:
    """What suits a dataset, by `benchmarks/defaults.py`."""
    few, speaking = train.n_items <= EASE_ITEMS, says_anything(train)
    members = (
        (Member(model="item_knn"), not (few and speaking)),
        (Member(model="popularity", weight=0.1), not few),
        (Member(model="ease"), few),
        (Member(model="content"), speaking),
    )
    return tuple(member for member, wanted in members if wanted)


def says_anything(train: Dataset) -> bool:
    """Whether the items have texts or categories with terms in common."""
    try:
        TermSpace.fit(train.item_table, Fields.of(train.item_table))
    except DataError as reason:
        logger.info("content is left out of the blend: %s", reason)
        return False
    return True


def standard_scores(scores: FloatMatrix, known: AnyArray) -> FloatMatrix:
    """(n, n_items) how many standard deviations a score is above the mean of its row; the least where not known."""
    found = np.where(known, scores, np.float32(0))
    count = np.maximum(np.count_nonzero(known, axis=1), 1).astype(np.float32)
    found -= (found.sum(axis=1) / count)[:, None]
    found *= known
    spread = np.sqrt(np.einsum("ij,ij->i", found, found) / count)
    found /= np.where(spread > 0, spread, 1)[:, None]
    np.copyto(found, found.min(axis=1, keepdims=True), where=~known)  # at most 0, as the mean is 0
    return found


def unit_range(scores: FloatMatrix, known: AnyArray) -> FloatMatrix:
    """(n, n_items) where a score lies between the least (0) and the greatest (1) of its row; 0 where not known."""
    some = known.any(axis=1, keepdims=True)
    low = np.where(some, np.where(known, scores, np.inf).min(axis=1, keepdims=True), 0)
    length = np.where(some, scores.max(axis=1, keepdims=True), 0) - low
    found: FloatMatrix = np.where(known, scores, low) - low
    found /= np.where(length > 0, length, 1)
    return found


def ranks(scores: FloatMatrix, known: AnyArray) -> FloatMatrix:
    """(n, n_items) from 1 for the best item down to 1/m for the last of m known ones; 0 for the others."""
    order = np.argsort(-scores, axis=1, kind="stable")
    count = known.sum(axis=1, keepdims=True, dtype=np.float32)
    by_rank = 1 - np.arange(scores.shape[1], dtype=np.float32) / np.maximum(count, 1)
    np.maximum(by_rank, 0, out=by_rank)
    by_rank *= count > 0
    found = np.zeros_like(scores)
    np.put_along_axis(found, order, by_rank, axis=1)
    return found


def reciprocal_ranks(scores: FloatMatrix, depth: int, k: float) -> FloatMatrix:
    """(n, n_items) 1 / (k + rank), rank from 1, for the first `depth` items of each row; 0 for the others."""
    items, _ = top_k(scores, min(depth, scores.shape[1]))
    row, place = np.nonzero(items >= 0)
    found = np.zeros_like(scores)
    found[row, items[row, place]] = 1 / (k + 1 + place)
    return found
