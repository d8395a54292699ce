"""Pipeline: retrieve with several models, rank what they found; two stages, one recommender.

The ranker must learn from candidates as they will be: found by retrievers that have not seen what they are asked for.
So `fit` cuts the log by time; retrievers learn from what is before the cut, and the ranker from what people did after
it, each event asked for at its own moment. Then retrievers learn anew from the whole log, for as long as was best.
Features are those of the moment of each query, in training as in serving (see `zhiyin.ranking.features`).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator
from scipy import sparse

from zhiyin import models
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector, offsets_of
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason
from zhiyin.errors import DataError
from zhiyin.models.base import Recommender, load
from zhiyin.ranking import rankers
from zhiyin.ranking._saved import load as load_part
from zhiyin.ranking._saved import save
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.retrieval import SCORE
from zhiyin.ranking.rankers.base import Ranker, Rows
from zhiyin.ranking.table import Features, FeaturesConfig, FeatureTable
from zhiyin.retrieval.exact import NOTHING, SCORE_BYTES, hide, top_k, top_k_entries
from zhiyin.run import Run
from zhiyin.splitting.base import Cases
from zhiyin.splitting.global_time import GlobalTime

logger = logging.getLogger(__name__)

MEASURED = 3_000
"""At most so many cases say when a retriever that stops early is at its best."""


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


class PipelineConfig(Config):
    """Settings of a pipeline."""

    sources: tuple[Source, ...] = (Source(model="item_knn"), Source(model="ease"), Source(model="popularity"))
    """The retrievers; also as text, `ease:200, item_knn`."""
    features: FeaturesConfig = FeaturesConfig()
    """What the ranker is told."""
    ranker: RankerChoice = RankerChoice()
    """Who ranks."""
    share: float = setting(0.2, gt=0, lt=0.9)
    """The latest part of the events, which the ranker learns from."""
    cases: int = setting(20_000, ge=10)
    """At most so many events are asked for in the ranker's training, drawn at random."""
    max_history: int = setting(200, ge=1)
    """A case of the ranker's training has so many latest events at most."""
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


class Pipeline(Recommender):
    """The union of what retrievers find, ranked by what is known of each pair."""

    config: PipelineConfig
    needs = "time"
    retrievers: list[Recommender]
    features: Features
    ranker: Ranker

    # ------------------------------------------------------------------ learning

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        own = self.config
        cut = GlobalTime(quantile=1 - own.share, targets="successive", max_history=own.max_history).split(train)
        assert cut.validation is not None
        until = _drawn(cut.validation, MEASURED, run)
        made = [_made(source) for source in own.sources]
        self.retrievers = [
            one.fit(cut.train, until, run) if one.uses_validation else one.fit(cut.development, run=run) for one in made
        ]
        self._named()
        self.features = Features(own.features).fit(train, run)
        self.ranker = self._taught(_drawn(cut.test, own.cases, run), run)
        anew = [_made(source, _best_epochs(one)) for source, one in zip(own.sources, self.retrievers, strict=True)]
        self.retrievers = [one.fit(train, run=run) for one in anew]
        self._named()

    def _named(self) -> None:
        """Retrievers speak of the pipeline's own catalogue."""
        for one in self.retrievers:
            one.items = self.items

    def _taught(self, asked: Cases, run: Run) -> Ranker:
        """The ranker, taught by cases in the order of their times: the last fifth says when to stop."""
        assert asked.queries.now is not None
        order = np.argsort(asked.queries.now, kind="stable")
        last = max(1, len(order) // 5)
        parts = [self._found(asked.take(part), run) for part in (order[:-last], order[-last:])]
        found = float(parts[0].label.sum()) / max(1, len(order) - last)
        logger.info("retrievers find %.0f%% of what is asked for among %d candidates", 100 * found, len(parts[0].label))
        choice = self.config.ranker
        made: Ranker = rankers.get(choice.ranker)(**choice.settings)
        try:
            return made.fit(parts[0], parts[1], run)
        except DataError as error:
            raise DataError(
                f"{self.name}: of {len(order):,} cases, {found:.1%} of targets were found; {error}"
            ) from None

    def _found(self, cases: Cases, run: Run) -> Rows:
        """The candidates of cases and whether they were what followed; cases of which none was are left out."""
        parts, step = [], self._rows(run)
        for start in range(0, len(cases), step):
            some = cases.take(np.arange(start, min(len(cases), start + step)))
            found = self._retrieved(some.queries, self.config.repeats == "exclude", None)
            label = _among(found, some)
            hit = np.bincount(found.owner(), label, len(some)) > 0
            if hit.any():
                kept = np.repeat(hit, found.lengths)
                columns = {name: column[kept] for name, column in found.columns.items()}
                left = Candidates(some.queries.take(hit), offsets_of(found.lengths[hit]), found.item[kept], columns)
                parts.append((self.features.table(left), label[kept]))
        if not parts:
            raise DataError("the retrievers find none of what the ranker is to learn from; raise their quotas")
        tables, labels = zip(*parts, strict=True)
        return Rows(FeatureTable.join(tables), np.concatenate(labels))

    # ------------------------------------------------------------------ answering

    def _row_bytes(self) -> int:
        return 2 * SCORE_BYTES * self.n_items + max((one._row_bytes() for one in self.retrievers), default=0)

    def _retrieved(self, queries: Queries, exclude_seen: bool, allowed: BoolVector | None) -> Candidates:
        """The union of the best items of all retrievers, with the score of each by each."""
        scores = [one._score(queries) for one in self.retrievers]
        wanted = np.zeros((len(queries), self.n_items), bool)
        for source, found in zip(self.config.sources, scores, strict=True):
            free = found.copy()
            if exclude_seen:
                hide(free, queries.histories)
            if allowed is not None:
                free[:, ~allowed] = NOTHING
            best, _ = top_k(free, min(source.quota, self.n_items))
            row, place = np.nonzero(best >= 0)
            wanted[row, best[row, place]] = True
        row, item = np.nonzero(wanted)
        columns = {
            f"{SCORE}{name}": _finite(found[row, item]) for name, found in zip(self._names(), scores, strict=True)
        }
        return Candidates(queries, offsets_of(wanted.sum(1)), item.astype(np.int32), columns)

    def _names(self) -> list[str]:
        """What the retrievers are called: their model, with a number where one comes twice."""
        names = [source.model for source in self.config.sources]
        nth = [names[: at + 1].count(name) for at, name in enumerate(names)]
        return [name if names.count(name) == 1 else f"{name} {n}" for name, n in zip(names, nth, strict=True)]

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        found = self._retrieved(block, exclude_seen, allowed)
        score = self.ranker.predict(self.features.table(found)).astype(np.float32)
        entries = sparse.csr_array((score, found.item, found.offsets), shape=(len(block), self.n_items))
        return top_k_entries(entries, k)

    def _score(self, queries: Queries) -> FloatMatrix:
        found = self._retrieved(queries, False, None)
        scores = np.full((len(queries), self.n_items), NOTHING, np.float32)
        scores[found.owner(), found.item] = self.ranker.predict(self.features.table(found))
        return scores

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Those of the retrievers, each in standard deviations of its scores: why an item came before the ranker."""
        total = np.zeros((query.histories.n_events, len(items)), np.float32)
        for one in self.retrievers:
            scores = one._score(query)[0]
            known = np.isfinite(scores)
            spread = float(scores[known].std()) if known.any() else 0.0
            if spread > 0:
                total += np.where(known[items], one._contributions(query, items), 0) / spread
        return total

    def _general_reason(self, item: int, query: Queries) -> Reason | None:
        reasons = (one._general_reason(item, query) for one in self.retrievers)
        return next((reason for reason in reasons if reason is not None), None)

    def _common(self, item: int, other: int) -> str | None:
        said = (one._common(item, other) for one in self.retrievers)
        return next((text for text in said if text is not None), None)

    # ------------------------------------------------------------------ saved form

    def _write(self, folder: Path) -> None:
        for at, one in enumerate(self.retrievers):
            one.save(folder / "sources" / f"{at:02d}")
        self.features.save(folder / "features")
        save(self.ranker, folder / "ranker")

    def _read(self, folder: Path) -> None:
        self.retrievers = [load(folder / "sources" / f"{at:02d}") for at in range(len(self.config.sources))]
        for one in self.retrievers:
            if one.vocabulary != self.vocabulary:
                raise DataError(f"{folder} is damaged: its {one.name} knows other items; save the pipeline anew")
        self._named()
        self.features = Features.load(folder / "features", self.config.features)
        self.ranker = load_part(folder / "ranker", "rankers", "ranker", rankers.get)


def _made(source: Source, epochs: int | None = None) -> Recommender:
    """A retriever that is yet to learn, for as many epochs as are told."""
    more = {} if epochs is None else {"epochs": epochs}
    made: Recommender = models.get(source.model)(**{**source.settings, **more})
    return made


def _best_epochs(model: Recommender) -> int | None:
    """For how many epochs a model that stops early was at its best; None for others."""
    trained = getattr(model, "trained", None)
    return None if trained is None else max(1, int(trained.best_epoch))


def _drawn(cases: Cases, most: int, run: Run) -> Cases:
    """At most so many of the cases."""
    if len(cases) <= most:
        return cases
    return cases.take(np.sort(run.generator("pipeline: cases").choice(len(cases), most, replace=False)))


def _among(found: Candidates, cases: Cases) -> AnyArray:
    """(n,) 1 for the candidates that are among the targets of their case."""
    n_items = len(found.queries.items)
    wanted = cases.targets.owner().astype(np.int64) * n_items + cases.targets.item
    return np.isin(found.owner().astype(np.int64) * n_items + found.item, wanted).astype(np.float32)


def _finite(scores: AnyArray) -> FloatVector:
    """Scores with NaN where a retriever says nothing."""
    found: FloatVector = np.where(np.isfinite(scores), scores, np.nan).astype(np.float32)
    return found
