"""What the ranker of a pipeline learns from: candidates that were found blind, or what was shown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zhiyin import models
from zhiyin.arrays import AnyArray, BoolVector, FloatVector, offsets_of
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME
from zhiyin.data.moments import check_unit, first_of
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError, LeakageError
from zhiyin.ranking._cells import aligned
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.retrieval import SCORE
from zhiyin.ranking.labels import Labelled
from zhiyin.ranking.lists import hide_seen
from zhiyin.ranking.pipeline_config import Source
from zhiyin.ranking.rankers.base import Ranker, Rows
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split
from zhiyin.splitting.global_time import GlobalTime
from zhiyin.splitting.user_holdout import UserHoldout

if TYPE_CHECKING:
    from zhiyin.models.base import Recommender
    from zhiyin.ranking.pipeline import Pipeline

logger = logging.getLogger(__name__)


def timed(train: Dataset) -> bool:
    """Whether the times of events are known."""
    return train.clock == "time"


def cuts_of(train: Dataset, share: float, max_history: int, run: Run) -> Iterator[Split]:
    """What retrievers learn from, and what the ranker does: later events, or people who are held out.

    A moment cuts once, as what is after it may not be known before. People can be held out in turn: so often that each
    is asked once in the mean.
    """
    if timed(train):
        yield GlobalTime(quantile=1 - share, targets="successive", max_history=max_history).split(train)
        return
    for seed in run.generator("pipeline: cuts").integers(2**31, size=max(1, round(1 / share))):
        held = UserHoldout(test_share=share, validation_share=min(0.05, share / 2), minimum_events=2, seed=int(seed))
        yield held.split(train)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one cut tells the ranker."""

    rows: Rows | None
    """What it learns from; None where retrievers found nothing of what followed."""
    held: Rows | None
    """What says when to stop; None likewise."""
    cases: int
    """In how many cases the rows were looked for."""


def found_blind(pipeline: Pipeline, cases: Cases, run: Run) -> Rows | None:
    """The candidates of cases, and whether they were what followed; see `followed`."""
    parts, step = [], pipeline._rows(run)
    for start in range(0, len(cases), step):
        some = cases.take(np.arange(start, min(len(cases), start + step)))
        free = pipeline.rules.lets(some.queries, pipeline.n_items, past=True)
        if pipeline.config.repeats == "exclude":
            hide_seen(free, some.queries)
        parts.append(followed(pipeline, pipeline._retrieved(some.queries, free), some))
    return _joined(parts)


def _joined(parts: Iterable[Rows | None]) -> Rows | None:
    """Those that are there, one after the other; None if none is."""
    there = [one for one in parts if one is not None]
    return Rows.join(there) if there else None


def taught(made: Ranker, lessons: Sequence[Lesson], pipeline: Pipeline, run: Run) -> Ranker:
    """The ranker, taught by the rows of each cut.

    One that reads histories has vectors of the last cut's retriever, which knows those who are asked in others.

    Raises:
        DataError: no cut has rows to learn from, or all together teach nothing (see `Ranker.fit`).
    """
    rows = _joined(one.rows for one in lessons)
    if rows is None:
        raise _nothing_found(pipeline, sum(one.cases for one in lessons))
    held = _joined(one.held for one in (lessons[-1:] if made.reads_histories else lessons))
    _say_what_is_missing(lessons, held, pipeline.name)
    try:
        return made.fit(rows, held, run)
    except DataError as error:
        raise DataError(
            f"{pipeline.name}: {len(rows):,} candidates are there to learn from, {rows.label.sum():,.0f} of which "
            f"were what followed; {error}"
        ) from None


def _nothing_found(pipeline: Pipeline, cases: int) -> DataError:
    rules = f", or loosen the rules ({', '.join(pipeline.rules.labels)})" if pipeline.rules else ""
    return DataError(
        f"the retrievers find none of what the ranker is to learn from, in {cases:,} cases; raise their quotas, or "
        f"`share` for more cases{rules}"
    )


def _say_what_is_missing(lessons: Sequence[Lesson], held: Rows | None, who: str) -> None:
    if empty := sum(one.rows is None for one in lessons):
        logger.info("%s: in %d of %d cuts retrievers find nothing to learn from", who, empty, len(lessons))
    if held is None:
        logger.warning("%s: retrievers find nothing in the validation part, so nothing says when to stop", who)


def followed(pipeline: Pipeline, found: Candidates, cases: Cases) -> Rows | None:
    """Candidates, and whether they were what followed; cases of which none was are left out. None if none is left."""
    label = _among(found, cases)
    hit: BoolVector = np.bincount(found.owner(), label, len(cases)) > 0
    if not hit.any():
        return None
    kept = np.repeat(hit, found.lengths)
    columns = {name: column[kept] for name, column in found.columns.items()}
    left = Candidates(found.queries.take(hit), offsets_of(found.lengths[hit]), found.item[kept], columns)
    kinds = _kinds(pipeline.kinds, left, cases.take(hit))
    return Rows(pipeline.features.table(left), label[kept], None, kinds)


def _among(found: Candidates, cases: Cases) -> FloatVector:
    """(n,) 1 for the candidates that are among the targets of their case."""
    n_items = len(found.queries.items)
    wanted = cases.targets.owner().astype(np.int64) * n_items + cases.targets.item
    return np.isin(found.owner().astype(np.int64) * n_items + found.item, wanted).astype(np.float32)


def _kinds(kinds: tuple[str, ...], found: Candidates, cases: Cases) -> dict[str, FloatVector]:
    """What followed, kind by kind, where events have kinds: for rankers of several outcomes."""
    kind = cases.targets.kind
    if kind is None or len(kinds) < 2:
        return {}
    return {
        name: _among(found, Cases(cases.queries, cases.targets.keep(kind == number)))
        for number, name in enumerate(kinds)
    }


def scored(pipeline: Pipeline, shown: Labelled, rows: int) -> Labelled:
    """What was shown, with the scores of the retrievers; so many queries are scored at once.

    Raises:
        DataError: the pipeline knows none of the items.
        LeakageError: the retrievers have learnt from events of then or later.
    """
    shown = _translated(pipeline, shown)
    asked = shown.candidates
    _check_blind(pipeline, asked.queries)
    columns: dict[str, AnyArray] = dict(asked.columns)
    starts = range(0, len(asked.queries), rows)
    for name, one in zip(pipeline._names(), pipeline.retrievers, strict=True):
        blocks = (asked.slice(start, min(len(asked.queries), start + rows)) for start in starts)
        columns[f"{SCORE}{name}"] = np.concatenate(
            [finite(one._score(some.queries)[some.owner(), some.item]) for some in blocks]
        )
    return replace(shown, candidates=replace(asked, columns=columns))


def _translated(pipeline: Pipeline, shown: Labelled) -> Labelled:
    """What was shown, in the numbers of the pipeline; items that it does not know are left out."""
    number = pipeline.vocabulary.encode(shown.candidates.queries.items.ids)
    known = number[shown.candidates.item] >= 0
    if not known.any():
        raise DataError(
            f"{pipeline.name} knows none of the items of all {len(shown):,} exposures; teach it by a log of the items "
            "that it was fitted on, with ids written alike"
        )
    if not known.all():
        lost, total = int((~known).sum()), len(known)
        logger.warning(
            "%s does not know the items of %d of %d exposures; they teach nothing", pipeline.name, lost, total
        )
        shown = shown.keep(known)
    found = shown.candidates
    return replace(shown, candidates=replace(found, queries=pipeline.encode(found.queries), item=number[found.item]))


def latest(shown: Labelled, share: float = 0.2) -> BoolVector:
    """(n_queries,) which queries are the latest ones."""
    n = len(shown.candidates.queries)
    found = np.zeros(n, bool)
    found[np.argsort(shown.candidates.now(), kind="stable")[-max(1, int(n * share)) :]] = True
    return found


def _check_blind(pipeline: Pipeline, queries: Queries) -> None:
    if queries.now is None or not len(queries):
        return
    until, first = int(pipeline.until[0]), int(queries.now.min())
    if until != NO_TIME and first <= until:
        raise LeakageError(
            f"{pipeline.name} has learnt from events up to {until} (microseconds since 1970), and the first exposure "
            f"is of {first}: its retrievers know what is to be foretold; fit it on what is before the exposures"
        )


def renumbered(known: Dataset, vocabulary: Vocabulary) -> Dataset:
    """A log in the numbers of another vocabulary, without events on items that it lacks."""
    if known.items == vocabulary:
        return known
    number = vocabulary.encode(known.items.ids)
    item = number[known.histories.item]
    if lost := int((item < 0).sum()):
        logger.warning("%d of %d events are on items that were not fitted on; they do not count", lost, len(item))
    past = replace(known.histories, item=np.maximum(item, 0)).keep(item >= 0)
    return Dataset(
        past,
        aligned(known.item_table, vocabulary),
        known.user_table,
        replace(known.manifest, content_hash="", counts={}),
    )


def check_goes_on(pipeline: Pipeline, known: Dataset) -> int:
    """See that a log, in the numbers of a pipeline, spans all that the pipeline was fitted on, and when it ends.

    Fewer events in that span than it was fitted on are warned of, and not refused: some may have been taken out.

    Returns:
        The moment of its last event, in microseconds since 1970.

    Raises:
        DataError: the pipeline or the log has no times, or the log those of another unit; it begins after the first
            event that the pipeline was fitted on, or ends before the last.
    """
    who, until, since = pipeline.name, int(pipeline.until[0]), pipeline.trained_on.get("since")
    first, time = first_of(known.histories), known.histories.time
    if until == NO_TIME:
        raise DataError(f"{who} was fitted without times, so that its features know nothing of now; fit it anew")
    if time is None or first is None or not timed(known):
        lacks = "times" if known.n_events else "events on any item that it was fitted on"
        raise DataError(f"{who} counts what was before a moment, and the log {known.name!r} has no {lacks}")
    check_unit("times of the log", time, since, f"{who} has learnt from events")
    last = int(time.max())
    if last < until or (since is not None and first > since):
        raise DataError(
            f"{who} was fitted on events {_span(since, until)}, and the log {known.name!r} has those "
            f"{_span(first, last)}; give the whole log until now, not only what is new"
        )
    _say_what_lacks(pipeline, known.name, int(np.count_nonzero(time <= until)))
    return last


def _say_what_lacks(pipeline: Pipeline, log: str, there: int) -> None:
    """Warn where a log has fewer events, until the last that a pipeline was fitted on, than that was fitted on."""
    learnt = pipeline.trained_on.get("events", 0)
    if there < learnt:
        logger.warning(
            "%s was fitted on %d events, and until the last of them the log %r has %d; what it lacks does not count, "
            "so that features count less than when the ranker learnt",
            *(pipeline.name, learnt, log, there),
        )


def _span(first: int | None, last: int) -> str:
    """In words, from one moment (None: not known) to another, both in microseconds since 1970."""
    start = "" if first is None else f"from {np.datetime64(first, 'us')} "
    return f"{start}to {np.datetime64(last, 'us')}"


def finite(scores: AnyArray) -> FloatVector:
    """Scores with NaN where a retriever says nothing."""
    found: FloatVector = np.where(np.isfinite(scores), scores, np.nan).astype(np.float32)
    return found


def retriever(source: Source, epochs: int | None = None) -> Recommender:
    """A retriever that is yet to learn, for as many epochs as are told."""
    more = {} if epochs is None else {"epochs": epochs}
    made: Recommender = models.get(source.model)(**{**source.settings, **more})
    return made


def best_epochs(model: Recommender) -> int | None:
    """For how many epochs a model that stops early was at its best; None for others."""
    trained = getattr(model, "trained", None)
    return None if trained is None else max(1, int(trained.best_epoch))


def drawn(cases: Cases, most: int, run: Run) -> Cases:
    """At most so many of the cases."""
    if len(cases) <= most:
        return cases
    return cases.take(np.sort(run.generator("pipeline: cases").choice(len(cases), most, replace=False)))
