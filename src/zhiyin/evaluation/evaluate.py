"""Evaluate: one fitted model on test cases; full ranking, one value per query and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from zhiyin.arrays import FloatVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.recommendations import Recommendations
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError
from zhiyin.evaluation.significance import Sample
from zhiyin.metrics.base import ExposureMetric, ListMetric, Lists, Metric, ValueMetric, World
from zhiyin.models.base import FILLED, RatingPredictor, Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

CATEGORY_COLUMNS = ("categories", "genres")
"""Where an item table says what an item is about; the first one that is there counts."""

Metrics: TypeAlias = Sequence["str | Metric"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What one model did on the test cases.

    `samples` by metric label for metrics with a value per query; `overall` for all metrics.
    """

    recommendations: Recommendations
    samples: dict[str, Sample]
    overall: dict[str, float]
    filled: float
    """Share of the listed items that came from the popularity fill, not from the model."""


def evaluate(
    model: Recommender,
    cases: Cases,
    metrics: Metrics,
    world: World,
    k: int = 10,
    run: Run | None = None,
    exclude_seen: bool = True,
) -> Evaluation:
    """Ask a fitted model for one list per case and judge the lists.

    Args:
        model: fitted on nothing later than the cases.
        cases: queries with what really followed.
        metrics: labels ("ndcg@10") or metrics. Metrics of values (rmse) are computed for rating predictors only.
        world: what metrics may know of the catalogue; see `world_of`.
        k: the length of a list; longer lists are made where a metric looks further.
        run: memory, threads, progress.
        exclude_seen: leave the items of each query's history out of its list.

    Raises:
        ConfigError: an unknown metric, one that judges no lists or values, or a list longer than the catalogue.
    """
    run = run or Run()
    parsed = parse_metrics(metrics)
    found = model.recommend(cases.queries, depth(parsed, k), exclude_seen=exclude_seen, run=run)
    return judged(model, found, cases, parsed, world, run)


def judged(
    model: Recommender, found: Recommendations, cases: Cases, metrics: Sequence[Metric], world: World, run: Run
) -> Evaluation:
    """Judge lists that a model made for the cases, and the values that it predicts for the targets."""
    samples, overall = judge(lists_of(found, cases, world), metrics)
    if isinstance(model, RatingPredictor) and (values := [one for one in metrics if isinstance(one, ValueMetric)]):
        rated = judge_values(model, cases, values, run)
        samples |= rated
        overall |= {label: sample.value for label, sample in rated.items()}
    return Evaluation(found, samples, overall, _filled(found))


def parse_metrics(metrics: Metrics) -> tuple[Metric, ...]:
    """Metrics from labels, each label once.

    Raises:
        ConfigError: an unknown metric, or one of probabilities or logged exposures, which recommended lists lack.
    """
    from zhiyin.metrics import parse

    if isinstance(metrics, str):
        raise ConfigError(f"a list of metrics was expected, one text came: {metrics!r}; write [{metrics!r}]")
    parsed: list[Metric] = [parse(one) if isinstance(one, str) else one for one in metrics]
    for metric in parsed:
        if not isinstance(metric, (ListMetric, ValueMetric)):
            what = "logged exposures" if isinstance(metric, ExposureMetric) else "probabilities"
            raise ConfigError(
                f"{metric.label} judges {what}, and recommended lists have none: use a metric of lists such as ndcg@10"
            )
    if not any(isinstance(metric, ListMetric) for metric in parsed):
        raise ConfigError("no metric of recommended lists came; name at least one, for example ndcg@10")
    return tuple({metric.label: metric for metric in parsed}.values())


def depth(metrics: Sequence[Metric], k: int) -> int:
    """How long the lists must be for all metrics."""
    return max([k, *(int(getattr(metric.config, "k", 0)) for metric in metrics)])


def world_of(dataset: Dataset) -> World:
    """What list metrics may know: the catalogue and its use in `dataset` (the development part of a split)."""
    active = int(np.count_nonzero(dataset.histories.lengths))
    return World(dataset.n_items, dataset.popularity, max(1, active), categories_of(dataset.item_table))


def categories_of(items: pa.Table) -> sparse.csr_array | None:
    """(n_items, n_categories) sparse 0/1 from the first category column (lists of text, or text); None without one."""
    for name in CATEGORY_COLUMNS:
        if name in items.column_names:
            column = items.column(name).combine_chunks()
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
                return _indicator(pc.list_parent_indices(column), pc.list_flatten(column), len(column))
            return _indicator(pa.array(np.arange(len(column))), column, len(column))
    return None


def _indicator(rows: pa.Array, names: pa.Array, n: int) -> sparse.csr_array:
    known = np.asarray(pc.is_valid(names))
    coded = pc.dictionary_encode(names.filter(pa.array(known)))
    row, column = np.asarray(rows)[known], np.asarray(coded.indices)
    matrix = sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape=(n, len(coded.dictionary)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def lists_of(found: Recommendations, cases: Cases, world: World) -> Lists:
    """Recommendations beside the targets, in the item numbers of the cases."""
    items = found.items
    if found.vocabulary != cases.queries.items:
        items = _translated(found, cases.queries.items)
    return Lists(items, cases.targets, cases.queries.histories, world)


def _translated(found: Recommendations, vocabulary: Vocabulary) -> np.ndarray:
    table = np.append(vocabulary.encode(found.vocabulary.ids), np.int32(-1))
    return table[found.items]


def judge(lists: Lists, metrics: Sequence[Metric]) -> tuple[dict[str, Sample], dict[str, float]]:
    """Values per query (for metrics that are means over queries) and overall values, by label."""
    samples, overall = {}, {}
    for metric in metrics:
        if isinstance(metric, ListMetric):
            if metric.is_mean:
                samples[metric.label] = Sample.of(metric.per_query(lists))
                overall[metric.label] = samples[metric.label].value
            else:
                overall[metric.label] = metric.overall(lists)
    return samples, overall


def judge_values(
    model: RatingPredictor, cases: Cases, metrics: Sequence[ValueMetric], run: Run | None = None
) -> dict[str, Sample]:
    """The errors of the predicted values of all targets that have one, summed per query; empty without values."""
    truth = cases.targets.value
    if truth is None or np.isnan(truth).all():
        return {}
    guess = predictions(model, cases, run or Run())
    known = ~np.isnan(truth)
    owner = cases.targets.owner()[known]
    count = np.bincount(owner, minlength=len(cases)).astype(np.float64)
    found = {}
    for metric in metrics:
        errors = metric.errors(truth[known], guess[known])
        total = np.bincount(owner, errors, len(cases)).astype(np.float64)
        found[metric.label] = Sample(total, count, metric._finish)
    return found


def predictions(model: RatingPredictor, cases: Cases, run: Run) -> FloatVector:
    """(n_targets,) the predicted value of every target, from its query alone; in blocks of bounded memory."""
    owner = cases.targets.owner()
    mean_length = cases.queries.histories.n_events / max(1, len(cases))
    rows = min(run.block_rows(int(64 * (mean_length + 1))), max(1, len(owner)))
    parts = []
    for start in range(0, len(owner), rows):
        block = cases.queries.take(owner[start : start + rows])
        parts.append(model.predict(block, cases.targets.item[start : start + rows]))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def judges_targets(metric: Metric) -> bool:
    """Whether a list metric compares the list with the targets: it is then undefined for a query without any."""
    if not isinstance(metric, ListMetric) or not metric.is_mean:
        return False
    world = World(4, np.ones(4, np.int64), 1, sparse.csr_array(np.eye(4, dtype=np.float32)))
    items, past = np.array([[0, 1]] * 2, np.int32), Histories.of_lists([[2, 3]] * 2)
    with_target, without = metric.per_query(Lists(items, Histories.of_lists([[1], []]), past, world))
    return bool(np.isnan(without) and not np.isnan(with_target))


def _filled(found: Recommendations) -> float:
    if found.source is None or FILLED not in found.sources:
        return 0.0
    listed = found.items >= 0
    return float(np.mean(found.source[listed] == found.sources.index(FILLED))) if listed.any() else 0.0
