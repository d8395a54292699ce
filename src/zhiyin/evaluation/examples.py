"""Examples: a few real users with their history, what they took next, and what each model would have shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from zhiyin.data.dataset import Dataset
from zhiyin.data.recommendations import Reason, Recommendations
from zhiyin.models.base import Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

TOP = 5
HISTORY = 8
TARGETS = 10
REASONS = 2
CHOICE = (("short history", 0.10), ("average history", 0.50), ("long history", 0.90))
"""Which users are shown: those whose history length is at these quantiles of all test queries with a history."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One item of a list: whether the user really took it later, and why the model listed it."""

    item_id: str
    title: str
    hit: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One test query: the last events of its history (newest last), what followed, and each model's first items."""

    kind: str
    query: int
    user_id: str | None
    when: str | None
    history_length: int
    history: tuple[Shown, ...]
    n_targets: int
    targets: tuple[Shown, ...]
    lists: Mapping[str, tuple[Shown, ...]]

    def joined(self, others: Sequence[Example]) -> Example:
        """This example with the lists that other reports show for the same query."""
        more = {name: shown for one in others if one.query == self.query for name, shown in one.lists.items()}
        return replace(self, lists={**more, **self.lists})


def choose(cases: Cases) -> dict[str, int]:
    """The query shown for each kind; the same for every run on the same cases."""
    lengths = cases.queries.histories.lengths
    warm = np.flatnonzero(lengths > 0)
    order = warm[np.argsort(lengths[warm], kind="stable")]
    chosen: dict[str, int] = {}
    for kind, quantile in CHOICE:
        if len(order):
            query = int(order[int(quantile * (len(order) - 1))])
            if query not in chosen.values():
                chosen[kind] = query
    if (cold := np.flatnonzero(lengths == 0)).size:
        chosen["no history"] = int(cold[0])
    return chosen


def examples_of(
    cases: Cases,
    dataset: Dataset,
    found: Mapping[str, Recommendations],
    best: Recommender | None = None,
    exclude_seen: bool = True,
    run: Run | None = None,
) -> tuple[Example, ...]:
    """The examples of a comparison.

    Args:
        cases: the test cases.
        dataset: for titles.
        found: each model's lists, best model first.
        best: the best model, fitted: its items come with reasons.
        exclude_seen: as in the comparison.
        run: threads and memory.
    """
    chosen = choose(cases)
    titles = dict(zip(dataset.items.ids.to_pylist(), dataset.item_titles(), strict=True))
    rows = np.array(list(chosen.values()), np.int64)
    why: dict[int, tuple[tuple[Reason, ...], ...]] = {}
    if best is not None and len(rows):
        k = min(TOP, best.n_items)
        listed = best.recommend(cases.queries.take(rows), k, exclude_seen=exclude_seen, reasons=REASONS, run=run)
        why = dict(zip(rows.tolist(), listed.reasons or (), strict=True))
    return tuple(
        _example(kind, query, cases, titles, found, {next(iter(found)): why.get(query, ())})
        for kind, query in chosen.items()
    )


def _example(
    kind: str,
    query: int,
    cases: Cases,
    titles: Mapping[str, str],
    found: Mapping[str, Recommendations],
    why: Mapping[str, tuple[tuple[Reason, ...], ...]],
) -> Example:
    items = cases.queries.items
    history = items.decode(cases.queries.histories.of(query))
    targets = list(dict.fromkeys(items.decode(cases.targets.of(query))))
    lists = {
        name: _listed(lists.ids(query)[:TOP], set(targets), titles, why.get(name, ())) for name, lists in found.items()
    }
    return Example(
        kind=kind,
        query=query,
        user_id=None if cases.queries.users is None else cases.queries.users[query],
        when=None if cases.queries.now is None else _day(int(cases.queries.now[query])),
        history_length=len(history),
        history=tuple(Shown(one, titles[one]) for one in history[-HISTORY:]),
        n_targets=len(targets),
        targets=tuple(Shown(one, titles[one]) for one in targets[:TARGETS]),
        lists=lists,
    )


def _listed(
    ids: Sequence[str], targets: set[str], titles: Mapping[str, str], why: Sequence[Sequence[Reason]]
) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            one,
            titles.get(one, one),
            one in targets,
            tuple(_words(reason, titles) for reason in why[place]) if place < len(why) else (),
        )
        for place, one in enumerate(ids)
    )


def _words(reason: Reason, titles: Mapping[str, str]) -> str:
    if reason.item_id is not None:
        return f"because of {titles.get(reason.item_id, reason.item_id)}"
    return reason.text or reason.kind


def _day(moment: int) -> str | None:
    """The UTC day of a time in microseconds since 1970; None for one outside the calendar."""
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment):%Y-%m-%d}"
    except OverflowError:
        return None
