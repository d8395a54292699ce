"""What somebody did, as a text that a language model or a person reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_KIND, NO_TIME
from zhiyin.data.moments import EPOCH
from zhiyin.data.queries import Queries, Query
from zhiyin.encoders._texts import cleaned
from zhiyin.errors import ConfigError, DataError, shortened

MOST_TITLE, MOST_KIND = 120, 40
"""Letters of a title and of a kind that are shown."""
JOINERS = "\u200c\u200d"
"""Letters without a shape of their own that Persian, Indic scripts and emoji are written with."""
_AGES = (
    ("year", 31_556_952),
    ("month", 2_629_746),
    ("week", 604_800),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
)
"""Seconds of each."""


@dataclass(frozen=True, slots=True)
class _Event:
    """One event, in a person's terms."""

    item: str
    time: int | None = None
    value: float | None = None
    kind: str | None = None


def described(
    history: Query | Queries | Sequence[str],
    dataset: Dataset,
    most: int = 20,
    newest_first: bool = False,
    most_letters: int = 4_000,
) -> str:
    """A history as text, one line an event; see `zhiyin.encoders.describe_history`."""
    if most < 1 or most_letters < 1:
        raise ConfigError(f"most = {most}, most_letters = {most_letters} came; both must be at least 1")
    events, now, unknown = _events(history, dataset)
    numbers = dataset.items.encode([one.item for one in events])
    known = [one for one, number in zip(events, numbers, strict=True) if number >= 0]
    unknown += len(events) - len(known)
    lines = _that_fit(_lines(known[-most:], dataset, now), most_letters)
    head = _head(len(lines), len(known), unknown, newest_first)
    shown = lines[::-1] if newest_first else lines
    return "\n".join([head, *(f"{place}. {line}" for place, line in enumerate(shown, 1))])


def _events(history: Query | Queries | Sequence[str], dataset: Dataset) -> tuple[list[_Event], int | None, int]:
    """The events, oldest first, the present moment where it is known, and how many unknown items were left out."""
    if isinstance(history, Queries):
        return _of_queries(history, dataset)
    query = history if isinstance(history, Query) else Query.of(history)
    found = [
        _Event(
            item,
            None if query.times is None else query.times[row],
            None if query.values is None else query.values[row],
            None if query.kinds is None else query.kinds[row],
        )
        for row, item in enumerate(query.items)
    ]
    found.sort(key=lambda event: event.time or 0)  # events of one time stay as they are
    return found, query.now, 0


def _of_queries(queries: Queries, dataset: Dataset) -> tuple[list[_Event], int | None, int]:
    if len(queries) != 1:
        raise DataError(
            f"a history is described at a time, but {len(queries)} queries came; take queries.slice(i, i + 1)"
        )
    past, real = queries.histories, dataset.clock == "time"
    ids = queries.items.decode(past.item)
    kinds = [*queries.kinds, *[None] * (NO_KIND + 1 - len(queries.kinds))]
    found = [
        _Event(
            item,
            None if past.time is None or not real or past.time[row] == NO_TIME else int(past.time[row]),
            None if past.value is None else float(past.value[row]),
            None if past.kind is None else kinds[past.kind[row]],
        )
        for row, item in enumerate(ids)
    ]
    now = None if queries.now is None or queries.now[0] == NO_TIME or not real else int(queries.now[0])
    return found, now, 0 if queries.unknown is None else int(queries.unknown[0])


def _lines(events: Sequence[_Event], dataset: Dataset, now: int | None) -> list[str]:
    """What is said of each event."""
    titles = _titles([one.item for one in events], dataset)
    return [_line(title, event, now) for title, event in zip(titles, events, strict=True)]


def _titles(ids: list[str], dataset: Dataset) -> list[str]:
    """The title of each item, else its id; clean, on one line, and unable to end the quotation that it stands in."""
    titles: list[str | None] = [None] * len(ids)
    if "title" in dataset.item_table.column_names:
        titles = dataset.item_table.column("title").take(dataset.items.encode(ids)).to_pylist()
    said = [_visible(title or "") or _visible(one) for title, one in zip(titles, ids, strict=True)]
    return [shortened(one, MOST_TITLE).replace('"', "'") for one in said]


def _visible(text: str) -> str:
    """A clean text without letters that nobody sees but a language model reads; those that join others stay."""
    shown = (one for one in text if one in JOINERS or unicodedata.category(one) not in ("Cf", "Co"))
    return cleaned("".join(shown))


def _line(title: str, event: _Event, now: int | None) -> str:
    told = [shortened(_visible(event.kind), MOST_KIND)] if event.kind else []
    if event.value is not None and np.isfinite(event.value):
        told.append(f"value {event.value:g}")
    if event.time is not None:
        told.append(_when(event.time, now))
    return f'"{title}"' + (f" ({', '.join(told)})" if told else "")


def _when(time: int, now: int | None) -> str:
    """How long ago, or the day where the present moment is not known or lies before."""
    if now is None or now < time:
        return _day(time)
    seconds = (now - time) // 1_000_000
    for name, length in _AGES:
        if seconds >= length:
            count = seconds // length
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def _day(time: int) -> str:
    try:
        return (EPOCH + timedelta(microseconds=time)).date().isoformat()
    except OverflowError:
        return "at no known time"


def _that_fit(lines: list[str], most_letters: int) -> list[str]:
    """The last lines that have so many letters together; one at least."""
    letters = np.cumsum([len(line) + 4 for line in reversed(lines)])
    fit = max(1, int(np.searchsorted(letters, most_letters, side="right")))
    return lines[-fit:]


def _head(shown: int, known: int, unknown: int, newest_first: bool) -> str:
    parts = [f"{known} event{'s' if known != 1 else ''}" if known else "no event"]
    if known > 1:
        parts.append("newest first" if newest_first else "oldest first")
    if shown < known:
        parts.append(f"the newest {shown} of them")
    if unknown:
        parts.append(f"and {unknown} on items that are not in the catalogue")
    return f"{', '.join(parts)}:" if known else f"{', '.join(parts)}."
