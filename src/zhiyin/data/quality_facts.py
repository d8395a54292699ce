"""The facts and curves of the quality report, from what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, BoolVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.quality_measures import DAY, Measures, sample

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_TEXT = re.compile(r"(^|_)(ids?|urls?|image|audio|language|type|date|time|from|until|code|hash|path)$")
"""Names of text columns that do not say what an item is."""


def facts_of(dataset: Dataset, found: Measures, ingested: Mapping[str, Any] | None) -> dict[str, Any]:
    """Every fact, by topic; None where the log does not say."""
    return {
        "counts": _counts(dataset, found),
        "history_length": _spread(found.lengths[found.lengths > 0])
        | {
            "one_event_share": _share(found.lengths == 1, found.lengths > 0),
            "under_five_share": _share((found.lengths > 0) & (found.lengths < 5), found.lengths > 0),
        },
        "events_per_item": _spread(found.popularity[found.popularity > 0])
        | {"under_five_share": _share((found.popularity > 0) & (found.popularity < 5), found.popularity > 0)},
        "concentration": concentration(found.popularity),
        "time": None if found.span is None else _time(dataset, found),
        "repeats": _repeats(dataset, found),
        "values": None if dataset.histories.value is None else _values(dataset, found),
        "kinds": _kinds(dataset),
        "catalogue": catalogue_facts(dataset, found),
        "attributes": user_facts(dataset, found),
        "preparation": _preparation(dataset, ingested),
    }


def iso(time: int) -> str:
    """A time (microseconds since 1970) as ISO 8601 text; the bare number where no calendar reaches."""
    try:
        return (EPOCH + timedelta(microseconds=int(time))).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return str(int(time))


def _share(part: AnyArray, whole: AnyArray) -> float:
    return ratio(int(np.count_nonzero(part)), int(np.count_nonzero(whole)))


def ratio(part: float, whole: float) -> float:
    """`part / whole`, 0 where there is nothing."""
    return float(part) / float(whole) if whole else 0.0


def _counts(dataset: Dataset, found: Measures) -> dict[str, Any]:
    users, items = int(np.count_nonzero(found.lengths)), int(np.count_nonzero(found.popularity))
    pairs = dataset.n_events - found.repeats
    return {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "events": dataset.n_events,
        "users_with_events": users,
        "items_with_events": items,
        "density": ratio(pairs, users * items),
        "sparsity": 1 - ratio(pairs, users * items),
        "sessions": found.sessions,
        "clock": dataset.clock,
    }


def _spread(counts: LongVector) -> dict[str, Any]:
    if not len(counts):
        return {"min": 0, "median": 0.0, "mean": 0.0, "p95": 0.0, "max": 0}
    return {
        "min": int(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "p95": float(np.quantile(counts, 0.95)),
        "max": int(counts.max()),
    }


def concentration(popularity: LongVector) -> dict[str, float]:
    """How unevenly the events spread over the items that have any: shares of the top 1, 10 and 20 %, and Gini.

    Gini = 2 Σ_i i·x_i / (n Σ x) − (n + 1) / n with x rising: 0 for equal items, near 1 when one has everything.
    """
    rising = np.sort(popularity[popularity > 0])
    n, total = len(rising), float(rising.sum())
    if not n:
        return {"top_1": 0.0, "top_10": 0.0, "top_20": 0.0, "gini": 0.0}
    shares = {f"top_{part}": float(rising[n - max(1, round(n * part / 100)) :].sum() / total) for part in (1, 10, 20)}
    return {**shares, "gini": float(2 * (np.arange(1, n + 1) * rising).sum() / (n * total) - (n + 1) / n)}


# ---------------------------------------------------------------------- time


def _time(dataset: Dataset, found: Measures) -> dict[str, Any]:
    first, last = found.span or (0, 0)
    days = (last - first) / DAY
    return {
        "first": iso(first),
        "last": iso(last),
        "span_days": days,
        "resolution": found.resolution,
        "events_per_day": dataset.n_events / max(days, 1.0),
        **_gaps(found),
        "tied_share": ratio(found.tied, dataset.n_events),
        "one_day_user_share": _one_day_users(dataset, found),
        "disordered": found.disordered,
        "future": found.future,
        "before_1990": found.before_1990,
        **_drift(dataset, found),
    }


def _gaps(found: Measures) -> dict[str, Any]:
    """Days without any event, and the longest run of them."""
    if found.days is None:
        return {"empty_days": None, "longest_gap_days": None, "longest_gap_from": None, "longest_gap_usual": None}
    active = np.flatnonzero(found.days)
    gaps = np.diff(active) - 1
    if not len(gaps) or not gaps.max():
        return {"empty_days": 0, "longest_gap_days": 0, "longest_gap_from": None, "longest_gap_usual": None}
    at = int(np.argmax(gaps))
    start, stop = int(active[at]) + 1, int(active[at + 1])
    around = np.concatenate([found.days[max(0, start - 30) : start], found.days[stop : stop + 30]])
    return {
        "empty_days": int(gaps.sum()),
        "longest_gap_days": int(gaps[at]),
        "longest_gap_from": iso((found.first_day + start) * DAY)[:10],
        "longest_gap_usual": float(np.median(around)),
    }


def _one_day_users(dataset: Dataset, found: Measures) -> float:
    """Share of the users with two events or more whose whole history lies within 24 hours."""
    several = np.flatnonzero(found.lengths > 1)
    time, offsets = dataset.histories.time, dataset.histories.offsets
    if not len(several) or time is None:
        return 0.0
    return float(np.mean(time[offsets[several + 1] - 1] - time[offsets[several]] < DAY))


def _drift(dataset: Dataset, found: Measures) -> dict[str, float]:
    """Of the last tenth of the events: how many are on items, or by users, that were never seen before it."""
    time, offsets = dataset.histories.time, dataset.histories.offsets
    if time is None:
        return {}
    border = float(np.quantile(sample(time), 0.9))
    late = sum(int(np.count_nonzero(time[at : at + 2**21] >= border)) for at in range(0, len(time), 2**21))
    used = np.flatnonzero(found.lengths)
    started = time[offsets[used]]
    return {
        "new_item_share": ratio(found.popularity[found.first >= border].sum(), late),
        "new_user_share": ratio(found.lengths[used][started >= border].sum(), late),
    }


# ---------------------------------------------------------------------- events and items


def _repeats(dataset: Dataset, found: Measures) -> dict[str, Any]:
    return {
        "same_user_and_item_share": ratio(found.repeats, dataset.n_events),
        "exact_share": ratio(found.exact, dataset.n_events) if found.span is not None else None,
        "consecutive_share": ratio(found.consecutive, dataset.n_events) if dataset.has_order() else None,
    }


def _values(dataset: Dataset, found: Measures) -> dict[str, Any]:
    known = int(found.value_count.sum())
    counts = None if found.values is None else {f"{value:g}": found.values[value] for value in sorted(found.values)}
    return {
        "known": known,
        "missing_share": ratio(found.missing_values, dataset.n_events),
        "infinite": found.infinite_values,
        "min": float(found.value_low.min()) if known else None,
        "mean": ratio(found.value_sum.sum(), known) if known else None,
        "max": float(found.value_high.max()) if known else None,
        "counts": counts,
    }


def _kinds(dataset: Dataset) -> dict[str, int] | None:
    kind = dataset.histories.kind
    if kind is None or not dataset.kinds:
        return None
    counts = np.zeros(256, np.int64)
    for start in range(0, len(kind), 2**21):
        counts += np.bincount(kind[start : start + 2**21], minlength=256)[:256]
    return {name: int(counts[number]) for number, name in enumerate(dataset.kinds)}


def catalogue_facts(dataset: Dataset, found: Measures) -> dict[str, Any]:
    """How the catalogue and the events cover each other, and which share of each column is missing."""
    table = dataset.item_table
    columns = [name for name in table.column_names if name != "item_id"]
    empty = {name: missing(table.column(name)) for name in columns}
    nothing = np.logical_and.reduce(list(empty.values())) if columns else np.zeros(dataset.n_items, bool)
    described = int(np.count_nonzero(~nothing))
    without_row = int(np.count_nonzero(nothing & (found.popularity > 0)))
    return {
        "columns": columns,
        "missing_share": {name: ratio(int(np.count_nonzero(mask)), dataset.n_items) for name, mask in empty.items()},
        "items_without_row": without_row if columns else None,
        "events_without_row": int(found.popularity[nothing].sum()) if columns else None,
        "items_without_events": int(np.count_nonzero(found.popularity == 0)),
        "described": described if columns else 0,
        "texts": [
            name for name in columns if _says_what(name, table.schema.field(name).type) and not empty[name].all()
        ],
    }


def user_facts(dataset: Dataset, found: Measures) -> dict[str, Any]:
    """How the table of users and the events cover each other; None where users have no attributes."""
    table = dataset.user_table
    columns = [name for name in table.column_names if name != "user_id"]
    active = found.lengths > 0
    if not columns:
        return {"columns": [], "users_without_row": None, "events_without_row": None}
    nothing = np.logical_and.reduce([missing(table.column(name)) for name in columns]) & active
    return {
        "columns": columns,
        "users_without_row": int(np.count_nonzero(nothing)),
        "events_without_row": int(found.lengths[nothing].sum()),
    }


def _says_what(name: str, kind: pa.DataType) -> bool:
    """Whether a column holds words (title, genres, ...) that a content model can read."""
    inner = kind.value_type if _is_list(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner)) and not NOT_TEXT.search(name.lower())


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def missing(column: pa.ChunkedArray) -> BoolVector:
    """(n,) which cells of a column say nothing: null, NaN, blank text, an empty list."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    elif _is_list(kind):
        blank = pc.equal(pc.list_value_length(column), 0)
    elif pa.types.is_floating(kind):
        blank = pc.is_nan(column)
    else:
        blank = pc.is_null(column)
    found: BoolVector = pc.fill_null(blank, True).combine_chunks().to_numpy(zero_copy_only=False).astype(bool)
    return found


def _preparation(dataset: Dataset, ingested: Mapping[str, Any] | None) -> dict[str, Any]:
    steps = [
        {
            "name": step.name,
            "rows_before": step.rows_before,
            "rows_after": step.rows_after,
            "removed": step.rows_before - step.rows_after,
            "note": step.note,
        }
        for step in dataset.manifest.steps
    ]
    return {
        "steps": steps,
        "quarantine": _refused(dataset, ingested or {}),
        "ingested": dict(ingested) if ingested else None,
    }


def _refused(dataset: Dataset, ingested: Mapping[str, Any]) -> dict[str, int]:
    """Rows that were set aside when the log was read, by reason: as told by the reader, else by the manifest."""
    told = [ingested.get("reasons"), *(step.settings.get("refused") for step in dataset.manifest.steps)]
    reasons: Mapping[str, Any] = next((one for one in told if isinstance(one, Mapping)), {})
    return {str(reason): int(rows) for reason, rows in reasons.items()}


# ---------------------------------------------------------------------- curves


def curves_of(dataset: Dataset, found: Measures) -> dict[str, Any]:
    """The data of the charts, each small whatever the size of the log."""
    return {
        "activity": _log_histogram(found.lengths[found.lengths > 0]),
        "popularity": _long_tail(found.popularity),
        "time": None if found.days is None else _over_time(found),
        "hours": found.hours.tolist() if found.resolution not in ("day", "hour", "unknown") else None,
        "values": None if dataset.histories.value is None else _value_curve(dataset, found),
    }


def _log_histogram(counts: LongVector) -> dict[str, Any]:
    if not len(counts):
        return {"edges": [], "counts": []}
    edges = np.unique(np.floor(np.geomspace(1, int(counts.max()) + 1, 18)).astype(np.int64))
    edges[-1] = int(counts.max()) + 1
    return {"edges": edges.tolist(), "counts": np.histogram(counts, edges)[0].tolist()}


def _long_tail(popularity: LongVector) -> dict[str, Any]:
    """Events by rank, and the share of all events that the first so many items have, at up to 120 ranks."""
    falling = np.sort(popularity[popularity > 0])[::-1]
    if not len(falling):
        return {"rank": [], "events": [], "cumulative_share": []}
    ranks = np.unique(np.geomspace(1, len(falling), 120).round().astype(np.int64))
    whole = np.cumsum(falling) / falling.sum()
    return {
        "rank": ranks.tolist(),
        "events": falling[ranks - 1].tolist(),
        "cumulative_share": whole[ranks - 1].tolist(),
    }


def _over_time(found: Measures) -> dict[str, Any]:
    """Events per day: each day of a short log, the mean of weeks or months of a longer one."""
    days = np.zeros(0, np.int64) if found.days is None else found.days
    numbers = np.arange(len(days)) + found.first_day
    if len(days) <= 120:
        unit, group = "day", numbers
    elif len(days) <= 1_500:
        unit, group = "week", (numbers + 3) // 7  # weeks start on Monday; day 0 was a Thursday
    else:
        unit, group = "month", numbers.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    _, start, length = np.unique(group, return_index=True, return_counts=True)
    means = np.add.reduceat(days, start) / length
    return {"unit": unit, "start": (numbers[start] * DAY).tolist(), "events_per_day": means.tolist()}


def _value_curve(dataset: Dataset, found: Measures) -> dict[str, Any]:
    if found.values is not None and len(found.values) <= 24:
        return {"values": sorted(found.values), "counts": [found.values[value] for value in sorted(found.values)]}
    some = sample(dataset.histories.value).astype(np.float64)  # type: ignore[arg-type]
    some = some[np.isfinite(some)]
    log = len(some) > 0 and some.min() > 0 and some.max() > 100 * np.median(some)
    edges = np.geomspace(some.min(), some.max() * (1 + 1e-9), 41) if log else 40
    counts, sides = np.histogram(some, edges)
    return {"edges": sides.tolist(), "counts": counts.tolist(), "log": bool(log)}


def support_of(facts: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """What the log can be used for: the use, whether it is possible, and why or why not."""
    clock, values, catalogue = facts["counts"]["clock"], facts["values"], facts["catalogue"]
    yield "global_time split (honest numbers)", clock == "time", _clock_reason(clock)
    yield "leave_last_out split, sequential models", clock != "none", _clock_reason(clock)
    yield "user_holdout split (new users)", facts["counts"]["users_with_events"] > 1, "needs users only"
    texts = ", ".join(catalogue["texts"])
    yield "content models, items without events", bool(texts), f"items have {texts}" if texts else "items have no text"
    graded = bool(values) and values["known"] > 0 and values["min"] != values["max"]
    yield "rating prediction", graded, "events have different values" if graded else "events have no differing values"


def _clock_reason(clock: str) -> str:
    known = {"time": "the time of each event is known", "position": "only the order inside each history is known"}
    return known.get(clock, "not even the order of events is known")
