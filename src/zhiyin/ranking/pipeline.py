"""Pipeline: retrieve with several models, rank what they found, re-rank the best; several stages, one recommender.

    rules      what may be listed at all, for this query: retrievers look among the rest
    sources    retrieve: the union of the best of several models
    ranker     judges each candidate by its features; `value` makes what it foretells one number
    rerankers  look at the list as a whole; caps and pins of the rules are held meanwhile
    fill       completes a short list with popular items, of those that the rules leave

The ranker must learn from candidates as they will be: found by retrievers that have not seen what they are asked for.
So `fit` cuts the log by time; retrievers learn from what is before the cut, and the ranker from what people did after
it, each event asked for at its own moment, among what filters leave then (but for those of a state of today). (Without
times, people are held out in turn, and the ranker learns from the later or random part of what they did.) Then
retrievers learn anew from the whole log, for as long as was best.
Features are those of the moment of each query, in training as in serving (see `zhiyin.ranking.features`).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, IntVector, LongVector, offsets_of
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.exposures import Exposures
from zhiyin.data.histories import NO_TIME
from zhiyin.data.queries import Queries
from zhiyin.data.recommendations import Reason, Recommendations
from zhiyin.errors import ConfigError, DataError
from zhiyin.models.base import Asked, Recommender, VectorRecommender, load
from zhiyin.ranking import rankers, rerankers
from zhiyin.ranking._cells import aligned
from zhiyin.ranking._saved import load as load_part
from zhiyin.ranking._saved import save
from zhiyin.ranking._teaching import (
    Lesson,
    best_epochs,
    check_goes_on,
    cuts_of,
    drawn,
    finite,
    found_blind,
    latest,
    renumbered,
    retriever,
    scored,
    taught,
    timed,
)
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.draft import Draft
from zhiyin.ranking.features.retrieval import SCORE
from zhiyin.ranking.labels import Labelled
from zhiyin.ranking.lists import PINNED, MadeLists, completed, hide_seen, with_pinned
from zhiyin.ranking.pipeline_config import PipelineConfig, RankerChoice, ReRankerChoice, Source
from zhiyin.ranking.ranked import Ranked, Remark
from zhiyin.ranking.rankers.base import Ranker
from zhiyin.ranking.rules import Rules
from zhiyin.ranking.table import Features, FeaturesConfig
from zhiyin.ranking.value import Value
from zhiyin.retrieval.exact import NOTHING, SCORE_BYTES, top_k
from zhiyin.run import Run
from zhiyin.splitting.base import Split

__all__ = ["Pipeline", "PipelineConfig", "RankerChoice", "ReRankerChoice", "Source"]

logger = logging.getLogger(__name__)

HISTORY = 50
"""So many last items are told to a ranker that reads histories."""

PLACES = 50
"""A list is taken to have so many, where what re-rankers hold of each candidate and place must fit the memory."""

MEASURED = 3_000
"""At most so many cases say when a retriever that stops early is at its best."""


class Pipeline(Recommender):
    """The union of what retrievers find, ranked by what is known of each pair, and made into a list.

    The score of an item is what it is worth by the ranker, or by `value`. A list that re-rankers or rules have changed
    is not in the order of its scores; the notes of each item say what was done.
    """

    config: PipelineConfig
    learns = ("until",)
    until: LongVector
    """(1,) the moment of the latest event that was learnt from; `NO_TIME` where times are not known."""
    retrievers: list[Recommender]
    features: Features
    ranker: Ranker

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.rules = Rules(self.config.rules)
        self.value = None if self.config.value is None else Value(self.config.value)
        self.rerankers = [one.made() for one in self.config.rerankers]
        for one in self.rerankers[:-1]:
            if one.draws:
                raise ConfigError(
                    f"{one.name} draws, and the chances it says would not be those of the list if another re-ranker "
                    "came after it; put it last"
                )

    # ------------------------------------------------------------------ learning

    def _fit(self, train: Dataset, validation: Any, run: Run) -> None:
        own = self.config
        choice: Ranker = rankers.get(own.ranker.ranker)(**own.ranker.settings)
        choice.ready()
        Features(own.features).made()  # what is misspelt is to be said before anything learns
        time = train.histories.time
        self.until = np.array([NO_TIME if time is None or not timed(train) else time.max()])
        self.rules.fit(train)
        if self.value is not None:
            self.value.fit(train.item_table, choice.foretold)
        self.rerankers = [one.made().fit(train, run) for one in own.rerankers]
        lessons = [self._blind(cut, train, choice, run) for cut in cuts_of(train, own.share, own.max_history, run)]
        self.ranker = taught(self._shown(choice), lessons, self, run)
        if self.value is not None:
            self.value.check(tuple(self.ranker.features), self.features.categories)
        anew = [retriever(source, best_epochs(one)) for source, one in zip(own.sources, self.retrievers, strict=True)]
        self.retrievers = [one.fit(train, run=run) for one in anew]
        self._named()
        if not timed(train):
            self.features = Features(self._told(choice)).fit(train, run)

    def _blind(self, cut: Split, train: Dataset, ranker: Ranker, run: Run) -> Lesson:
        """What the ranker learns from and what says when to stop, of retrievers that learn from one side of a cut.

        Features look at what is before their moment; where there is none, they must not know the other side either.
        """
        until = None if cut.validation is None else drawn(cut.validation, MEASURED, run)
        made = [retriever(source) for source in self.config.sources]
        self.retrievers = [
            one.fit(cut.train, until, run) if one.uses_validation else one.fit(cut.development, run=run) for one in made
        ]
        self._named()
        self.features = Features(self._told(ranker)).fit(train if timed(train) else cut.development, run)
        asked = drawn(cut.test, self.config.cases, run)
        now = asked.queries.now
        order = np.arange(len(asked)) if now is None else np.argsort(now, kind="stable")
        last = max(1, len(order) // 5)
        rows, held = (found_blind(self, asked.take(some), run) for some in (order[:-last], order[-last:]))
        hits = sum(float(one.label.sum()) for one in (rows, held) if one is not None)
        logger.info("retrievers find %.0f%% of what is asked for", 100 * hits / max(1, asked.targets.n_events))
        return Lesson(rows, held, len(order) - last)

    def _told(self, ranker: Ranker) -> FeaturesConfig:
        """What features are made: with histories beside them for a ranker that reads them."""
        told = self.config.features
        return told.but(history=HISTORY) if ranker.reads_histories and not told.history else told

    def _shown(self, ranker: Ranker) -> Ranker:
        """The ranker, with the vectors of items of the first retriever that has some."""
        vectors = next((one.item_vectors for one in self.retrievers if isinstance(one, VectorRecommender)), None)
        return ranker if vectors is None else ranker.with_vectors(vectors)

    def _named(self) -> None:
        """Retrievers speak of the pipeline's own catalogue; several threads ask them at once only if all allow it."""
        for one in self.retrievers:
            one.items = self.items
        self.__dict__["threaded"] = all(one.threaded for one in self.retrievers)  # a class variable of other models

    def teach(self, shown: Labelled, run: Run | None = None) -> Self:
        """Teach the ranker anew, from what was shown and what became of it, instead of from what followed.

        Args:
            shown: such as `zhiyin.ranking.labels.exposed` makes of a log; the latest fifth of its lists says when to
                stop, and calibrates.
            run: seed and threads.

        Raises:
            NotFittedError: before `fit`.
            DataError: the rows teach nothing (see `Ranker.fit`), or all are of items that it was not fitted on.
            LeakageError: the retrievers have learnt from events of then or later, so their scores know the answers.
        """
        run = run or Run()
        asked = replace(shown.candidates, queries=self._recent(shown.candidates.queries))
        told = scored(self, replace(shown, candidates=asked), self._rows(run))
        rows, last = told.rows(self.features), latest(told)
        choice: Ranker = rankers.get(self.config.ranker.ranker)(**self.config.ranker.settings)
        self.ranker = self._shown(choice).fit(rows.take(~last), rows.take(last), run)
        if self.value is not None:
            self.value.check(tuple(self.ranker.features), self.features.categories)
        return self

    # ------------------------------------------------------------------ answering

    def _row_bytes(self) -> int:
        return 2 * SCORE_BYTES * self.n_items + max((one._row_bytes() for one in self.retrievers), default=0)

    def _list_bytes(self) -> int:
        if not self.rerankers and not self.rules.limits:
            return self._row_bytes()
        candidates = sum(min(source.quota, self.n_items) for source in self.config.sources)
        held = sum(one.query_bytes for one in self.rerankers)
        return self._row_bytes() + PLACES * 8 * candidates + held

    def _retrieved(self, queries: Queries, free: AnyArray | None) -> Candidates:
        """The union of the best items of all retrievers, with the score of each by each.

        Args:
            queries: what is asked.
            free: (n_queries, n_items) what may be listed; None for all.
        """
        queries = self._recent(queries)
        scores = [one._score(queries) for one in self.retrievers]
        wanted = np.zeros((len(queries), self.n_items), bool)
        for source, found in zip(self.config.sources, scores, strict=True):
            best, _ = top_k(found if free is None else np.where(free, found, NOTHING), min(source.quota, self.n_items))
            row, place = np.nonzero(best >= 0)
            wanted[row, best[row, place]] = True
        row, item = np.nonzero(wanted)
        columns = {
            f"{SCORE}{name}": finite(found[row, item]) for name, found in zip(self._names(), scores, strict=True)
        }
        return Candidates(queries, offsets_of(wanted.sum(1)), item.astype(np.int32), columns)

    def _recent(self, queries: Queries) -> Queries:
        """With as much of each history as the ranker's training had: counts of longer ones it has never seen."""
        return replace(queries, histories=queries.histories.last(self.config.max_history))

    def _names(self) -> list[str]:
        """What the retrievers are called: their model, with a number where one comes twice."""
        names = [source.model for source in self.config.sources]
        nth = [names[: at + 1].count(name) for at, name in enumerate(names)]
        return [name if names.count(name) == 1 else f"{name} {n}" for name, n in zip(names, nth, strict=True)]

    def _worth(self, found: Candidates) -> tuple[DoubleVector, tuple[Remark, ...]]:
        """(n,) what each candidate is worth, and how that came about."""
        table = self.features.table(found)
        if self.value is None:
            return self.ranker.predict(table), ()
        return self.value.worth(found, table, self.ranker.outcomes(table))

    def _score(self, queries: Queries) -> FloatMatrix:
        found = self._retrieved(queries, None)
        scores = np.full((len(queries), self.n_items), NOTHING, np.float32)
        scores[found.owner(), found.item] = self._worth(found)[0]
        return scores

    # ------------------------------------------------------------------ lists

    def _recommend_block(
        self,
        block: Queries,
        k: int,
        exclude_seen: bool,
        allowed: BoolVector | None,
        order: IntVector | None,
        run: Run,
    ) -> Recommendations:
        free = self._free(block, exclude_seen, allowed)
        found = self._retrieved(block, free)
        worth, remarks = self._worth(found)
        found = replace(found, queries=block)
        ranked = with_pinned(Ranked.of(found, worth, self.config.pool, self.rules.limits, remarks), free, k)
        for one in self.rerankers:
            ranked = one.rerank(ranked, k, run)
        draft = Draft(ranked, k).first()
        if order is not None and (draft.chosen < 0).any():
            draft = Draft(completed(draft, free, order), k).first()
        return self._as_lists(draft, block)

    def _free(self, block: Queries, exclude_seen: bool, allowed: BoolVector | None) -> AnyArray:
        """(n_queries, n_items) what may be listed."""
        free = self.rules.lets(block, self.n_items)
        self.rules.report(block, free)
        if exclude_seen:
            hide_seen(free, block)
        if allowed is not None:
            free &= allowed
        return free

    def _as_lists(self, draft: Draft, block: Queries) -> Recommendations:
        """What a draft has chosen, with how it came there."""
        tells = bool(self.rerankers or self.rules.limits or self.value is not None)
        made = MadeLists.of(draft, tells, any(one.draws for one in self.rerankers))
        found = self._lists(made.items, made.scores, block, made.source)
        sources = (*found.sources, PINNED) if self.rules.limits.pins else found.sources
        return replace(found, sources=sources, notes=made.notes, propensity=made.propensity)

    # ------------------------------------------------------------------ what changes without learning anew

    def observe(self, exposures: Exposures) -> None:
        """Tell re-rankers what was shown and what it earned, beside all that was told before.

        Raises:
            ConfigError: none of them learns from it.
            NotFittedError: before `fit`.
            DataError: the exposures are of other items, or their rewards not between 0 and 1.
        """
        if not self.rerankers or not self.rerankers[-1].draws:
            raise ConfigError("no re-ranker of this pipeline learns from exposures; `exploration` (thompson) does")
        self.rerankers[-1].observe(exposures)

    def update_items(self, items: pa.Table) -> None:
        """Read stock, windows, prices and what else rules and the value need from a newer item table.

        Args:
            items: all of them, with `item_id`, in any order; of one that it lacks nothing is known.

        Raises:
            ConfigError: a column is missing, or rules contradict each other now.
            DataError: it says nothing of any item, or its moments are of another unit.
        """
        table = aligned(items, self.vocabulary)
        rules = self.rules.update(table, self.vocabulary)
        if self.value is not None:
            self.value = Value(self.value.formula.text).fit(table, self.ranker.foretold)
        self.rules = rules

    def refresh(self, known: Dataset, run: Run | None = None) -> None:
        """Let features count what happened since; neither retrievers nor the ranker learn anew.

        The ranker has learnt from features that knew all that was before their moment. Where features stay behind the
        queries by weeks, a count of the last seven days is 0 for all, which it has never seen.

        Items that came later count for nothing, as queries lose them too: what stood before and after such an item
        follow one another. Old and new counts are in memory together for a moment, as answers go on meanwhile.

        Args:
            known: the whole log until now; events on items that the pipeline was not fitted on are left out. If fewer
                events are left than the pipeline was fitted on, until the last of those, a warning says so.
            run: how to run.

        Raises:
            NotFittedError: before `fit`.
            DataError: it has no times, or they are of another unit; it begins after the first event that the pipeline
                was fitted on, or ends before the last; or it lacks what features count.
        """
        numbered = renumbered(known, self.vocabulary)
        until = check_goes_on(self, numbered)
        self.features.refresh(numbered, run)
        self.trained_on = {**self.trained_on, "features_count_until": str(np.datetime64(until, "us"))}  # for the card

    def against(self, queries: Asked, item: str) -> list[list[str]]:
        """Per query, the filters that take this item away; empty where it may be listed."""
        batch = self.encode(queries)
        found = self.rules.against(batch, int(self._numbers([item])[0]))
        return [[label for label, gone in found.items() if gone[row]] for row in range(len(batch))]

    # ------------------------------------------------------------------ reasons

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
        for at, made in enumerate(self.rerankers):
            save(made, folder / "rerankers" / f"{at:02d}")
        if self.rules:
            self.rules.save(folder / "rules")
        if self.value is not None:
            self.value.save(folder / "value.safetensors")

    def _read(self, folder: Path) -> None:
        self.retrievers = [load(folder / "sources" / f"{at:02d}") for at in range(len(self.config.sources))]
        for one in self.retrievers:
            if one.vocabulary != self.vocabulary:
                raise DataError(f"{folder} is damaged: its {one.name} knows other items; save the pipeline anew")
        self._named()
        self.ranker = load_part(folder / "ranker", "rankers", "ranker", rankers.get)
        self.features = Features.load(folder / "features", self._told(self.ranker))
        self.rerankers = [
            load_part(folder / "rerankers" / f"{at:02d}", "rerankers", "re-ranker", rerankers.get)
            for at in range(len(self.config.rerankers))
        ]
        if self.rules:
            self.rules.load(folder / "rules")
        if self.value is not None:
            self.value.load(folder / "value.safetensors", self.ranker.foretold)
