"""What a ranker learns from, out of logs: what was shown and clicked, what was rated, or what was used and not shown.

    exposed    a log of exposures: each row is a candidate, with its click and, if there is one, its conversion
    rated      events with a value: 1 for those of at least a threshold; nothing is drawn, nothing is guessed
    sampled    events alone: what was used is 1, and items drawn at random stand for all that was not

Each row is asked at its own moment, with the person's history strictly before it, so that nothing of the answer is in
the question.

*Conversions come late.* One counts if it came within `window` days after the exposure. Of an exposure younger than that
when the log ends, nobody knows yet; taking it as "no" would teach that what is new does not sell. Such rows teach
nothing, and are counted.

*Drawn negatives have a weight.* Each stands for as many items as it was drawn for, 1 / (n times its chance to be
drawn), so that chances are those of an event among all items, and not among the few that were drawn.

*What was used before* is a matter of its own: either it is no candidate at all, neither as an answer nor drawn, or it
may be both. Were it an answer alone, a ranker would learn that what was used once is certain to come again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, BoolVector, FloatVector, LongVector, offsets_of
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.moments import Moment, check_unit, first_of, microseconds
from zhiyin.data.queries import Queries
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.ranking._events import EventsByKey
from zhiyin.ranking._logs import coded, moments_of, plain, times_of, truth_of
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import Features, FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)

SERVING = ("query", "propensity", "score", "source", "notes")
"""Columns of a log that tell how a list was made, and nothing of the situation."""

DAY = 86_400_000_000
QUERIES_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Candidates and what became of them; see `Rows`."""

    candidates: Candidates
    label: FloatVector
    weight: FloatVector | None = None
    outcomes: Mapping[str, FloatVector] = field(default_factory=dict)
    unripe: int = 0
    """Rows of the whole log that were left out, as it was too early to know; so also of a part of the others."""

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, features: Features) -> Rows:
        """With their features, made in blocks.

        Raises:
            DataError: there are no rows.
        """
        if not len(self):
            raise DataError("no rows are there to make features of; look at what was left out (`between`, `start`)")
        n = len(self.candidates.queries)
        parts = [
            features.table(self.candidates.slice(start, min(n, start + QUERIES_AT_ONCE)))
            for start in range(0, n, QUERIES_AT_ONCE)
        ]
        return Rows(FeatureTable.join(parts), self.label, self.weight, self.outcomes)

    def between(self, start: Moment, stop: Moment) -> Labelled:
        """The rows of queries whose moment is from `start` to before `stop`: datetimes, or microseconds since 1970.

        Raises:
            DataError: one is of another unit.
        """
        now = self.candidates.now()
        low, high = (microseconds(one) for one in (start, stop))
        check_unit("start or stop", np.array([low, high]), int(now.min()) if len(now) else None, "exposures are there")
        return self.keep(np.repeat((now >= low) & (now < high), self.candidates.lengths))

    def keep(self, rows: BoolVector) -> Labelled:
        """Some of the rows; a query of which none is left is left out."""
        found = self.candidates
        lengths = np.bincount(found.owner()[rows], minlength=len(found.queries))
        left = lengths > 0
        columns = {name: column[rows] for name, column in found.columns.items()}
        return replace(
            self,
            candidates=Candidates(found.queries.take(left), offsets_of(lengths[left]), found.item[rows], columns),
            label=self.label[rows],
            weight=None if self.weight is None else self.weight[rows],
            outcomes={name: column[rows] for name, column in self.outcomes.items()},
        )


def exposed(
    log: pa.Table,
    dataset: Dataset,
    *,
    click: str = "clicked",
    conversion: str | None = None,
    converted_at: str | None = None,
    window: float = 7.0,
    ends: Moment | None = None,
    max_history: int = 200,
) -> Labelled:
    """Labels of a log of exposures: "click", and "conversion" where the log tells of it.

    Args:
        log: a row for each exposure, with `user_id`, `item_id`, `time` and `click`; rows of one `query`, or else of one
            person and moment, are one list, asked for at its first moment. Times are timestamps (of UTC, where they
            say no zone), dates (the day's first moment), or microseconds since 1970. Of an item that is twice in a list
            each row teaches by itself; it is warned of, but where `position` (or `rank`, as recommendations call it)
            tells them apart. Further columns are for features of context, but for those that tell of the serving.
        dataset: the events until then, whose items and users are meant.
        click: the column that says whether it was clicked.
        conversion: the column that says whether it led to a conversion.
        converted_at: the column of when it did, as `time` is told, empty where it did not; instead of `conversion`. A
            date counts where any moment of that day does.
        window: a conversion counts for so many days after the exposure; without `converted_at` it has no use.
        ends: when the log was taken, a datetime or microseconds since 1970; by default its last moment.
        max_history: the latest events of a person that are kept.

    Raises:
        DataError: no rows came, a column is missing, has empty cells or holds no times or those of another unit, an
            item is not in the catalogue, a list is of two people, or all is too young.
        ConfigError: both columns of conversions are given.
    """
    if conversion is not None and converted_at is not None:
        raise ConfigError("give either the column of conversions or that of their times, not both")
    named = ["user_id", "item_id", "time", click, *(name for name in (conversion, converted_at) if name)]
    _check(log, named, converted_at)
    log = log.set_column(log.column_names.index("time"), "time", moments_of(log, "time"))
    if "rank" in log.column_names and "position" not in log.column_names:
        log = log.rename_columns(["position" if one == "rank" else one for one in log.column_names])
    log, query, moment = _list_by_list(log)
    time = times_of(log)
    _in_unit("time", time, dataset)
    end = int(time.max()) if ends is None else _moment("ends", ends, dataset)
    ripe, outcomes = _outcomes(log, time, click, conversion, converted_at, window, end)
    if not ripe.any():
        raise DataError(f"all {len(time):,} exposures are of the last {window:g} days; no conversion can be known yet")
    further = [name for name in log.column_names if name not in (*named, *SERVING)]
    columns = {name: plain(log[name])[ripe] for name in further}
    first = np.flatnonzero(np.diff(query[ripe], prepend=-1))
    users = dataset.users.encode(log["user_id"])[ripe][first]
    queries = until(dataset, users, moment[ripe][first], max_history)
    item = dataset.items.encode(log["item_id"])[ripe]
    if (item < 0).any():
        raise DataError(
            f"{int((item < 0).sum()):,} exposures are of items that are not in the catalogue; leave such rows out"
        )
    offsets = np.append(first, int(ripe.sum())).astype(np.int64)
    found = {name: column[ripe].astype(np.float32) for name, column in outcomes.items()}
    early = int((~ripe).sum())
    if early:
        logger.info("%d of %d exposures are younger than %g days: too early to know", early, len(ripe), window)
    candidates = Candidates(queries, offsets, item, columns)
    _say_twice(candidates, found["click"])
    return Labelled(candidates, found["click"], None, found, early)


def rated(dataset: Dataset, threshold: float, *, max_history: int = 200, start: Moment | None = None) -> Labelled:
    """Each event with a value, asked at its own moment: 1 where the value is `threshold` or more.

    Args:
        dataset: with times and values.
        threshold: the least value that is liked.
        max_history: the latest events of a person that are kept.
        start: events before this moment (a datetime, or microseconds since 1970) are history alone.

    Raises:
        DataError: times or values are not known, or of another unit.
    """
    dataset.need("time", "rated")
    past = dataset.histories
    if past.value is None:
        raise DataError(f"{dataset.name!r} has no values (ratings) to take labels from; use `sampled` or `exposed`")
    assert past.time is not None
    asked = ~np.isnan(past.value) & (past.time >= _moment("start", start, dataset))
    place = np.flatnonzero(asked)
    place = place[np.argsort(past.time[place], kind="stable")]
    queries = until(dataset, past.owner()[place], past.time[place], max_history)
    candidates = Candidates(queries, np.arange(len(place) + 1), past.item[place])
    return Labelled(candidates, (past.value[place] >= threshold).astype(np.float32))


def sampled(
    dataset: Dataset,
    n_negatives: int = 20,
    *,
    by: Literal["uniform", "popularity"] = "uniform",
    repeats: Literal["exclude", "allow"] = "exclude",
    max_history: int = 200,
    start: Moment | None = None,
    run: Run | None = None,
) -> Labelled:
    """Each event, asked at its own moment, beside items drawn for it; weights make up for the drawing.

    Args:
        dataset: with times.
        n_negatives: so many items are drawn for each event; the event's own is left out.
        by: all items alike, or by their events (with 1 added).
        repeats: of what a person has used by then, "exclude" leaves out the events and the drawn items, so that chances
            are those among what is new to the person; "allow" keeps both, so that they are those among all items.
        max_history: the latest events of a person that are kept.
        start: events before this moment (a datetime, or microseconds since 1970) are history alone.
        run: the seed.

    Raises:
        DataError: times are not known, or of another unit.
        ConfigError: no negatives are wanted, or `by` or `repeats` is another.
    """
    for name, told, known in (("by", by, ("uniform", "popularity")), ("repeats", repeats, ("exclude", "allow"))):
        if told not in known:
            raise ConfigError(unknown(name, told, known))
    if n_negatives < 1:
        raise ConfigError(f"n_negatives={n_negatives} came; 1 or more is expected")
    dataset.need("time", "sampled")
    past = dataset.histories
    assert past.time is not None
    place = np.flatnonzero(past.time >= _moment("start", start, dataset))
    place = place[np.argsort(past.time[place], kind="stable")]
    if repeats == "exclude":
        place = place[~_used(dataset, place, past.item[place][:, None])[:, 0]]
    n = len(place)
    queries = until(dataset, past.owner()[place], past.time[place], max_history)
    chance = np.ones(dataset.n_items) if by == "uniform" else dataset.popularity + 1.0
    chance = chance / chance.sum()
    drawn = (run or Run()).generator("sampled").choice(dataset.n_items, (n, n_negatives), p=chance).astype(np.int32)
    item = np.concatenate([past.item[place][:, None], drawn], 1)
    weight = np.concatenate([np.ones((n, 1)), 1 / (n_negatives * chance[drawn])], 1)
    kept = np.ones(item.shape, bool)
    kept[:, 1:] = drawn != item[:, :1]
    if repeats == "exclude":
        kept[:, 1:] &= ~_used(dataset, place, drawn)
    label = np.zeros(item.shape, np.float32)
    label[:, 0] = 1
    candidates = Candidates(queries, offsets_of(kept.sum(1)), item[kept])
    return Labelled(candidates, label[kept], weight[kept].astype(np.float32))


def until(dataset: Dataset, users: AnyArray, moments: LongVector, max_history: int = 200) -> Queries:
    """The queries of users (numbers; -1 for a stranger) at moments: their last events strictly before each.

    Raises:
        DataError: times are not known, or of another unit.
    """
    dataset.need("time", "a question about an earlier moment")
    _in_unit("moments", moments, dataset)
    past = dataset.histories
    assert past.time is not None
    known = users >= 0
    whose = np.where(known, users, 0)
    before = np.where(known, EventsByKey.sorted(past.offsets, past.time).before(whose, moments), 0)
    kept = np.minimum(before, max_history)
    places = np.arange(int(kept.sum())) + np.repeat(past.offsets[whose] + before - np.cumsum(kept), kept)
    columns = {name: column[places] for name, column in past.columns().items()}
    ids = dataset.users.ids.take(pa.array(whose)).to_pylist()
    names = tuple(one if there else "" for one, there in zip(ids, known.tolist(), strict=True))
    return Queries(Histories.of_lengths(kept, **columns), dataset.items, moments, names, kinds=dataset.kinds)


def _used(dataset: Dataset, events: LongVector, items: AnyArray) -> BoolVector:
    """(n, m) whether the person of each event had used each item before it."""
    past, n_items = dataset.histories, dataset.n_items
    assert past.time is not None
    pair = past.owner().astype(np.int64) * n_items + past.item
    order = np.lexsort((past.time, pair))
    pairs, first = np.unique(pair[order], return_index=True)
    times = past.time[order][first]
    wanted = past.owner()[events].astype(np.int64)[:, None] * n_items + items
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    found: BoolVector = (pairs[at] == wanted) & (times[at] < past.time[events][:, None])
    return found


def _moment(name: str, given: Moment | None, dataset: Dataset) -> int:
    """A moment that was given, in microseconds since 1970; before all where none was."""
    found = NO_TIME if given is None else microseconds(given)
    _in_unit(name, np.array([found]), dataset)
    return found


def _in_unit(name: str, moments: LongVector, dataset: Dataset) -> None:
    """Refuse moments of another unit than those of the events."""
    check_unit(name, moments, first_of(dataset.histories), f"{dataset.name!r} has events")


def _check(log: pa.Table, named: list[str], converted_at: str | None) -> None:
    """Refuse a log without rows or one of the named columns, or with empty cells in them; all may be not converted."""
    for name in named:
        if name not in log.column_names:
            raise DataError(unknown("column of exposures", name, log.column_names))
    if not log.num_rows:
        raise DataError("no exposures came; a log needs one row at least")
    for name in (*named, "query"):
        empty = pc.sum(pc.is_null(log[name], nan_is_null=True)).as_py() if name in log.column_names else 0
        if empty and name != converted_at:
            raise DataError(f"column {name!r} has {empty:,} empty cells; each exposure needs a value")


def _outcomes(
    log: pa.Table,
    time: LongVector,
    click: str,
    conversion: str | None,
    converted_at: str | None,
    window: float,
    ends: int,
) -> tuple[BoolVector, dict[str, AnyArray]]:
    """Which rows are known, and what became of each."""
    found: dict[str, AnyArray] = {"click": truth_of(log, click)}
    ripe = np.ones(len(time), bool)
    if converted_at is not None:
        when = moments_of(log, converted_at)
        check_unit(converted_at, np.asarray(when.drop_null()), int(time.min()), "exposures are there")
        late = np.asarray(pc.fill_null(when, 0)) - time
        least = 1 - DAY if pa.types.is_date(log[converted_at].type) else 0  # of a day nobody knows the hour
        found["conversion"] = np.asarray(pc.is_valid(when)) & (late >= least) & (late <= window * DAY)
        ripe = time + window * DAY <= ends
    elif conversion is not None:
        found["conversion"] = truth_of(log, conversion)
    return ripe, found


def _list_by_list(log: pa.Table) -> tuple[pa.Table, LongVector, LongVector]:
    """The rows list by list, by the first moment of each; of each row the number of its list, and that moment."""
    time, who = times_of(log), coded(log["user_id"])
    told = "query" in log.column_names
    key = coded(log["query"]) if told else np.unique(np.stack([time, who], 1), axis=0, return_inverse=True)[1]
    start, one = np.full(key.max(initial=-1) + 1, np.iinfo(np.int64).max), np.full(key.max(initial=-1) + 1, -1)
    np.minimum.at(start, key, time)
    one[key] = who
    if (one[key] != who).any():
        row = int(np.argmax(one[key] != who))
        raise DataError(
            f"the rows of query {log['query'][row].as_py()!r} are of several people; a list is shown to one"
        )
    order = np.lexsort((key, start[key]))  # rows of a list stay in the order of the log
    rank = np.empty(len(start), np.int64)
    rank[np.lexsort((np.arange(len(start)), start))] = np.arange(len(start))
    return log.take(pa.array(order)), rank[key[order]], start[key[order]]


def _say_twice(shown: Candidates, click: FloatVector) -> None:
    """Warn of lists that hold an item more than once, but at places that are told apart."""
    pair = shown.owner().astype(np.int64) * len(shown.queries.items) + shown.item
    if "position" in shown.columns:
        place = np.unique(shown.columns["position"].astype(str), return_inverse=True)[1]
        pair = pair * (int(place.max(initial=0)) + 1) + place
    again = len(pair) - len(np.unique(pair))
    if again:
        logger.warning(
            "%d of %d exposures are of an item that is in the same list already, and %d items of lists were both "
            "clicked and not; each row teaches by itself: if a click is a row of its own, join it to its exposure",
            *(again, len(pair), len(np.intersect1d(pair[click > 0], pair[click == 0]))),
        )
