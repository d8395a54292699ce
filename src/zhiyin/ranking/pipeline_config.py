"""The settings of a pipeline: who retrieves, who ranks, what a candidate is worth, and what becomes a list."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, field_validator

from zhiyin.config import Config, setting
from zhiyin.ranking import rerankers
from zhiyin.ranking.rerankers.base import ReRanker
from zhiyin.ranking.rules import RuleList
from zhiyin.ranking.table import FeaturesConfig


class Source(Config):
    """One retriever of a pipeline."""

    model: str
    """Its name, or `package.module:Class`; see `zhiyin list models`."""
    quota: int = setting(100, ge=1)
    """So many of its best items are candidates."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


class RankerChoice(Config):
    """Who ranks."""

    ranker: str = "boosted_trees"
    """The name of a ranker, or `package.module:Class`; see `zhiyin list rankers`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


class ReRankerChoice(Config):
    """One re-ranker."""

    reranker: str
    """Its name, or `package.module:Class`; see `zhiyin list rerankers`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""

    def made(self) -> ReRanker:
        """The re-ranker, yet to learn."""
        found: ReRanker = rerankers.get(self.reranker)(**self.settings)
        return found


class PipelineConfig(Config):
    """Settings of a pipeline."""

    sources: tuple[Source, ...] = (Source(model="item_knn"), Source(model="ease"), Source(model="popularity"))
    """The retrievers; also as text, `ease:200, item_knn`."""
    features: FeaturesConfig = FeaturesConfig()
    """What the ranker is told; also the families as text, `popularity, activity`, or as a list."""
    ranker: RankerChoice = RankerChoice()
    """Who ranks; also as text, its name."""
    value: str | None = None
    """What a candidate is worth, as a formula of what the ranker foretells, numbers of the catalogue and features; see
    `zhiyin.ranking.value`. None: what the ranker says."""
    rerankers: tuple[ReRankerChoice, ...] = ()
    """Who looks at the list as a whole, in their order; also as text, `diversity, novelty`."""
    pool: int = setting(100, ge=1)
    """So many of the best ranked candidates may re-rankers move."""
    rules: RuleList = ()
    """What may be listed, and what a list must keep to; also the path of a TOML or JSON file; see
    `zhiyin.ranking.rules`. A ranker learns from what they leave, but for `stock`."""
    share: float = setting(0.2, gt=0, lt=0.9)
    """The latest part of the events, which the ranker learns from."""
    cases: int = setting(20_000, ge=10)
    """At most so many events are asked for in the ranker's training, drawn at random."""
    max_history: int = setting(200, ge=1)
    """Retrievers and features look at so many latest events at most, in the ranker's training as in each answer; rules
    look at all of them."""
    repeats: Literal["exclude", "allow"] = "exclude"
    """Whether items of the history are candidates, too, in the ranker's training; with `allow`, ask the pipeline with
    `exclude_seen=False`."""

    @field_validator("sources", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        if isinstance(value, (list, tuple)):
            return tuple(_source(one) if isinstance(one, str) else one for one in value)
        return value

    @field_validator("features", mode="before")
    @classmethod
    def _families(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            value = json.loads(value)
        return {"families": value} if isinstance(value, (str, list, tuple)) else value

    @field_validator("ranker", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.lstrip().startswith("{") else {"ranker": value.strip()}

    @field_validator("rerankers", mode="before")
    @classmethod
    def _chosen(cls, value: Any) -> Any:
        if isinstance(value, str):
            text = value.strip()
            value = (
                json.loads(text) if text.startswith("[") else [one.strip() for one in text.split(",") if one.strip()]
            )
        if isinstance(value, (list, tuple)):
            return tuple({"reranker": one} if isinstance(one, str) else one for one in value)
        return value

    @field_validator("sources")
    @classmethod
    def _some(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        if not value:
            raise ValueError("no retriever came; at least one is expected")
        return value


def _source(text: str) -> dict[str, Any]:
    """A source from text: `ease`, `ease:200`, or `package.module:Class` with or without a quota."""
    name, _, tail = text.strip().rpartition(":")
    return {"model": name, "quota": int(tail)} if tail.isdigit() and name else {"model": text.strip()}
