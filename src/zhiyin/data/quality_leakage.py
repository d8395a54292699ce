"""Leakage candidates: what could only be known after the event, and yet stands in the data.

A column that sums up the events themselves (a count, a mean rating, a sales rank) tells a model the future of the test
period; so do ids that were given out in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, LongVector
from zhiyin.data.quality_checks import Check, Evidence, Finding, graded, percent
from zhiyin.data.quality_measures import NEVER, YEAR_1990

STRONG = 0.95
"""A rank correlation above this is no coincidence."""
LEAST = 30
"""Fewer rows than this say nothing about correlation."""

SUMMARY_NAMES = re.compile(
    r"(^|_)(avg|average|mean|ratings?|scores?|reviews?|votes?|sales?|sold|purchases?|orders?|spend|spent|views?|clicks?|"
    r"plays?|downloads?|likes|popularity|rank|ctr|conversion|ltv|churn(ed)?|buyers|customers|events)($|_)|^(count|cnt|total)$"
)
"""Names of columns that sum up what users did."""
HARMLESS_NAMES = re.compile(r"(^|_)(age|content|film|movie|mpaa|esrb|pegi|energy)_rating$")
"""Names that only look like it."""


def ranks(values: AnyArray) -> DoubleVector:
    """(n,) the rank of each value, ties sharing their mean rank.

    >>> ranks(np.array([30, 10, 10, 20])).tolist()
    [3.0, 0.5, 0.5, 2.0]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: DoubleVector = ((ends - counts) + (counts - 1) / 2)[place]
    return found


def spearman(first: AnyArray, second: AnyArray) -> float:
    """Rank correlation of two columns; 0 where one is constant.

    >>> spearman(np.array([1, 2, 3, 4]), np.array([10, 20, 25, 90]))
    1.0
    """
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return round(float((a * b).sum() / size), 12) if size else 0.0


# ---------------------------------------------------------------------- attributes


def check_item_columns(evidence: Evidence) -> Iterator[Finding]:
    """Item attributes that are a count or a mean of the very events of this log, or whose name says so."""
    found = evidence.found
    outcomes = {"the number of its events": found.popularity.astype(np.float64)}
    if found.value_count.any():
        with np.errstate(invalid="ignore"):
            outcomes["the mean value of its events"] = found.value_sum / found.value_count
    yield from _columns(evidence, evidence.dataset.item_table, "item", outcomes, found.popularity > 0)


def check_user_columns(evidence: Evidence) -> Iterator[Finding]:
    """User attributes that are a count of the very events of this log, or whose name says so."""
    lengths = evidence.found.lengths
    outcomes = {"the number of their events": lengths.astype(np.float64)}
    yield from _columns(evidence, evidence.dataset.user_table, "user", outcomes, lengths > 0)


def _columns(
    evidence: Evidence, table: pa.Table, owner: str, outcomes: dict[str, DoubleVector], used: BoolVector
) -> Iterator[Finding]:
    for name in table.column_names:
        if name == f"{owner}_id" or not _is_number(table.schema.field(name).type):
            continue
        column = numeric(table.column(name))
        strong = [
            (what, value)
            for what, outcome in outcomes.items()
            if abs(value := _agreement(column, outcome, used)) > STRONG
        ]
        if strong:
            what, value = max(strong, key=lambda one: abs(one[1]))
            yield _is_outcome(owner, name, what, value)
        elif _sums_up(name) and np.isfinite(column).any():
            yield _sounds_like_outcome(owner, name)


def _is_outcome(owner: str, name: str, what: str, value: float) -> Finding:
    return Finding(
        "leaking_column",
        "problem",
        f"The {owner} column `{name}` gives the outcome away",
        f"Its rank correlation with {what} in this very log is {value:.3f}: it was computed from these events, those "
        "of the test period included.",
        f"Do not give `{name}` to any model. If it is needed, compute it anew from the training events alone.",
        (name,),
    )


def _sounds_like_outcome(owner: str, name: str) -> Finding:
    return Finding(
        "suspicious_column",
        "note",
        f"The {owner} column `{name}` may be known only afterwards",
        "Its name says that it sums up what users did, and nothing says up to when.",
        f"Find out when `{name}` was computed; if that was after the first test event, leave it out.",
        (name,),
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _sums_up(name: str) -> bool:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return bool(SUMMARY_NAMES.search(plain)) and not HARMLESS_NAMES.search(plain)


def numeric(column: pa.ChunkedArray) -> DoubleVector:
    """(n,) float64; NaN where there is nothing."""
    found: DoubleVector = column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    return found


def _agreement(column: DoubleVector, outcome: DoubleVector, used: BoolVector) -> float:
    both = used & np.isfinite(column) & np.isfinite(outcome)
    if np.count_nonzero(both) < LEAST or len(np.unique(outcome[both])) < 5 or len(np.unique(column[both])) < 5:
        return 0.0
    return spearman(column[both], outcome[both])


# ---------------------------------------------------------------------- availability


def check_availability(evidence: Evidence) -> Iterator[Finding]:
    """Items that were used before they were available."""
    table, found = evidence.dataset.item_table, evidence.found
    if "available_from" not in table.column_names or found.span is None:
        return
    start = microseconds(table.column("available_from"))
    if start is None:
        return
    early = np.flatnonzero((found.first < start) & (start < NEVER))
    known = int(np.count_nonzero((found.first < NEVER) & (start < NEVER)))
    if len(early):
        share = len(early) / known
        yield Finding(
            "used_before_available",
            graded(share, 0.01),
            "Some items were used before they were available",
            f"{len(early):,} of {known:,} items ({percent(share)}) with an event earlier than `available_from`.",
            "The column probably holds the time of the last change, or another time zone. As a filter it would hide "
            "items that could have been recommended; as a feature it tells the future.",
            evidence.items(early),
        )


def microseconds(column: pa.ChunkedArray) -> LongVector | None:
    """(n,) times in microseconds since 1970, the latest possible where there is none.

    None for texts, years and other columns that are no such times.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif not pa.types.is_integer(kind):
        return None
    found: LongVector = column.cast(pa.int64()).fill_null(NEVER).combine_chunks().to_numpy()
    is_other_unit = bool(len(found)) and bool((found < YEAR_1990).all())
    return None if is_other_unit else found


# ---------------------------------------------------------------------- ids


def check_id_order(evidence: Evidence) -> Iterator[Finding]:
    """Ids that grow with the time of first use (a trap: Rajput et al., "TIGER", NeurIPS 2023, appendix D)."""
    found = evidence.found
    seen = np.flatnonzero(found.first < NEVER)
    if found.span is None or len(seen) < LEAST:
        return
    value = spearman(id_order(evidence.dataset.items.ids)[seen], found.first[seen])
    if value > STRONG:
        yield Finding(
            "ids_tell_time",
            "warning",
            "Item ids grow with the time of their first event",
            f"The rank correlation between the order of the ids and the first event of each of the {len(seen):,} items "
            f"is {value:.3f}: an id says when its item appeared, also for the test period.",
            "Never feed ids as numbers or as text to a model, and do not break ties by id; give out new random ids if "
            "a model builds codes from them.",
        )


def id_order(ids: pa.Array) -> LongVector:
    """(n,) the place of each id in their natural order: by the one number in it if each has one, else as text."""
    numbered = pc.extract_regex(ids, r"^[^0-9]*(?P<number>[0-9]{1,18})[^0-9]*$")
    if numbered.null_count:
        order = np.asarray(pc.sort_indices(ids))
        places = np.empty(len(ids), np.int64)
        places[order] = np.arange(len(ids))
        return places
    found: LongVector = np.asarray(pc.struct_field(numbered, "number").cast(pa.int64()))
    return found


CHECKS: tuple[Check, ...] = (
    check_item_columns,
    check_user_columns,
    check_availability,
    check_id_order,
)
