"""Slices: for whom, and on what, is a model good? A mean over all queries hides both.

A slice either picks queries (users with long histories) or picks targets (purchases; items of the tail). In the second
kind all queries stay and only the targets of the slice count: recall of the tail is the share of *tail* targets found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, BoolVector, IntVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.evaluation.evaluate import judge
from zhiyin.evaluation.significance import Estimate, Sample, bootstrap, interval, witnesses
from zhiyin.metrics.base import Lists, Metric
from zhiyin.splitting.base import Cases, Split

SMALLEST = 30
"""Below this many queries (users, where they have several) a slice gets no interval: a percentile bootstrap of so few
is too narrow."""
RESAMPLES = 1_000
BINS = 4
MOST_VALUES = 12
"""A user column with more different values than this makes no slices."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Some of the queries (`rows`, a mask of the queries) or some of the targets (`targets`, a mask of the targets)."""

    kind: str
    name: str
    rows: BoolVector | None = None
    targets: BoolVector | None = None


@dataclass(frozen=True, slots=True)
class SliceResult:
    """The values of each model on one slice: `values[model][label]`; `n` queries have a say."""

    kind: str
    name: str
    n: int
    values: Mapping[str, Mapping[str, Estimate]]


def slices_of(split: Split) -> tuple[Slice, ...]:
    """All slices of the test cases that their data allow; a kind with only one slice is left out."""
    cases = split.test
    groups = [
        _history_lengths(cases),
        _target_popularity(cases, split.development.popularity),
        _kinds(cases, split.development.kinds),
        *_different(_attributes(cases, split.development)),
    ]
    return tuple(one for group in groups if len(group) > 1 for one in group)


def _different(groups: list[list[Slice]]) -> list[list[Slice]]:
    """Without groups that cut the queries as an earlier one does (an age and the code for it)."""
    found: dict[frozenset[bytes], list[Slice]] = {}
    for group in groups:
        found.setdefault(frozenset(one.rows.tobytes() for one in group if one.rows is not None), group)
    return list(found.values())


def _history_lengths(cases: Cases) -> list[Slice]:
    """Users without history, and quantile bins of the others."""
    lengths = cases.queries.histories.lengths
    warm = lengths[lengths > 0]
    edges = np.unique(np.quantile(warm, np.linspace(0, 1, BINS + 1), method="lower")) if len(warm) else np.zeros(0)
    found = [Slice("history length", "no history (cold user)", lengths == 0)] if (lengths == 0).any() else []
    lows = edges[:-1] if len(edges) > 1 else edges
    for place, low in enumerate(lows):
        last = place == len(lows) - 1
        high = edges[-1] if last else edges[place + 1] - 1
        found.append(Slice("history length", _span(int(low), int(high)), (lengths >= low) & (lengths <= high)))
    return found


def _span(low: int, high: int) -> str:
    return f"{low:,} event{'s' if low > 1 else ''}" if low == high else f"{low:,} to {high:,} events"


def _target_popularity(cases: Cases, popularity: LongVector) -> list[Slice]:
    """Targets by the training events of their item.

    The most used items that together hold a third of all events are the head, those of the next third the torso, the
    others the tail; items without training events are cold.
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    third = np.empty(len(popularity), np.int64)
    third[order] = np.minimum(2, 3 * before // max(1, int(popularity.sum())))
    third[popularity == 0] = 3
    group = third[cases.targets.item]
    names = ("head (a third of all events)", "torso (the next third)", "tail (the last third)", "cold (no events)")
    return [
        Slice("target popularity", name, targets=group == number)
        for number, name in enumerate(names)
        if (group == number).any()
    ]


def _kinds(cases: Cases, kinds: Sequence[str]) -> list[Slice]:
    kind = cases.targets.kind
    if kind is None or len(kinds) < 2:
        return []
    return [
        Slice("event kind", name, targets=kind == number) for number, name in enumerate(kinds) if (kind == number).any()
    ]


def _attributes(cases: Cases, dataset: Dataset) -> list[list[Slice]]:
    """The values of each user column that has only a few."""
    if cases.queries.users is None:
        return []
    rows = dataset.users.encode(list(cases.queries.users))
    if not (rows >= 0).all():
        return []
    names = [name for name in dataset.user_table.column_names if name != "user_id"]
    names.sort(key=lambda name: not _is_text(dataset.user_table.column(name).type))  # "18-24" before the code 18
    return [_attribute(name, dataset.user_table.column(name).take(pa.array(rows))) for name in names]


def _attribute(name: str, column: pa.ChunkedArray) -> list[Slice]:
    kind = column.type
    if not (_is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        return []
    values = pc.unique(column)
    if len(values) > MOST_VALUES:
        return []
    ordered = sorted(values.to_pylist(), key=lambda one: (one is None, one))
    return [Slice(name, "unknown" if one is None else str(one), _equal(column, one)) for one in ordered]


def _equal(column: pa.ChunkedArray, value: Any) -> BoolVector:
    same = pc.is_null(column) if value is None else pc.fill_null(pc.equal(column, value), False)
    return np.asarray(same).astype(bool)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def slice_samples(
    part: Slice, lists: Lists, samples: Mapping[str, Sample], metrics: Sequence[Metric]
) -> dict[str, Sample]:
    """The values per query of one model on one slice, by metric label.

    Args:
        part: the slice.
        lists: the model's lists beside all targets.
        samples: the values per query on all targets, by label.
        metrics: those that compare lists with targets.
    """
    if part.targets is not None:
        return judge(replace(lists, targets=lists.targets.keep(part.targets)), metrics)[0]
    assert part.rows is not None
    return {metric.label: samples[metric.label].take(part.rows) for metric in metrics}


def summarise(
    part: Slice, models: Mapping[str, Mapping[str, Sample]], seed: int = 0, owner: IntVector | None = None
) -> SliceResult:
    """Values with intervals of all models on one slice, from their values per query (and the user of each)."""
    if owner is not None and part.rows is not None:
        owner = owner[part.rows]
    flat = [(name, label, sample) for name, samples in models.items() for label, sample in samples.items()]
    replicates = bootstrap([sample for _, _, sample in flat], seed, RESAMPLES, owner)
    values: dict[str, dict[str, Estimate]] = {name: {} for name in models}
    for (name, label, sample), column in zip(flat, replicates.T, strict=True):
        values[name][label] = _estimate(sample, column, owner)
    return SliceResult(part.kind, part.name, max((sample.n for _, _, sample in flat), default=0), values)


def _estimate(sample: Sample, replicates: AnyArray, owner: IntVector | None) -> Estimate:
    if witnesses(sample, owner) < SMALLEST:
        return Estimate.of(sample.value, n=sample.n)
    return Estimate.of(sample.value, *interval(replicates), n=sample.n)
