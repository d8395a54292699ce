"""Compare: several models under one protocol, beside simple baselines, with intervals, tests, slices and costs.

The front door of the room:

report = zhiyin.compare(dataset, ["item_knn", "ease"])
print(report.verdict())
report.write("report")
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zhiyin.artifacts import check_free
from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError, DataError, LeakageError, ZhiyinError
from zhiyin.evaluation.assemble import Outcome, Plan, Round, assemble
from zhiyin.evaluation.contestants import Contestant, Models, contestants
from zhiyin.evaluation.cost import measured
from zhiyin.evaluation.evaluate import (
    Evaluation,
    Metrics,
    depth,
    judged,
    judges_targets,
    lists_of,
    parse_metrics,
    world_of,
)
from zhiyin.evaluation.protocol import Protocol
from zhiyin.evaluation.report import Report
from zhiyin.evaluation.significance import Sample
from zhiyin.evaluation.slices import slice_samples, slices_of
from zhiyin.metrics.base import Metric, ValueMetric
from zhiyin.models.base import Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Split, Splitter

logger = logging.getLogger(__name__)

RATING_METRICS = ("rmse", "mae")
"""Judged beside the given metrics when the data have values, for models that predict them."""

Failure = ZhiyinError | MemoryError


def compare(
    dataset: Dataset,
    models: Models,
    split: str | Splitter | Split = "global_time",
    metrics: Metrics | None = None,
    k: int = 10,
    exclude_seen: bool = True,
    *,
    baselines: Models | None = None,
    seeds: Sequence[int] | None = None,
    run: Run | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Report:
    """Fit and judge models under one protocol.

    Args:
        dataset: prepared data.
        models: names, instances, classes or (name, settings); a mapping gives them names of its own.
        split: a splitter's name, a splitter, or a split of this very dataset.
        metrics: labels or metrics; by default the usual ones at `k`. The first that compares lists with targets
            decides which model is best.
        k: the length of the lists.
        exclude_seen: leave the items of a query's own history out of its list.
        baselines: the simple models that run beside; by default popularity and, where times are known and the data
            are longer than 30 days, popularity of the last 30 days of training.
        seeds: the seeds of the runs, by default `run.seed`; with several, values are means over them with their spread.
        run: threads, memory, progress.
        out: a folder to write the report to.
        overwrite: replace a report that is in `out` already.

    Raises:
        ConfigError: an unknown model, setting, split or metric; a list longer than the catalogue; two models of one
            name; no seed, or one that came twice.
        DataError: the data do not allow the split, none of the models can run on them, or `out` is there already.
        MissingExtra: the only model that was asked for needs a package that is not installed.
        LeakageError: `split` was not made from `dataset`.
    """
    run = run or Run()
    if out is not None:
        check_free(out, overwrite, "report.json")
    running = contestants(models, baselines, dataset)
    plan = _plan(dataset, split, metrics, k, exclude_seen, _seeds(seeds, run), run)
    outcomes, failures, best = _run_all(running, plan)
    report = assemble(plan, outcomes, {name: _reason(error) for name, error in failures.items()}, best)
    if out is not None:
        report.write(out, overwrite)
    return report


def split_of(dataset: Dataset, split: str | Splitter | Split) -> Split:
    """The split of a dataset, from a splitter's name, a splitter or a split that was made from it.

    Raises:
        LeakageError: the split holds other items or users than the dataset.
    """
    from zhiyin import splitting

    if isinstance(split, Split):
        part = split.development
        if part.items != dataset.items or part.users != dataset.users:
            raise LeakageError(f"the split was not made from {dataset.name!r}: its items or users differ; split anew")
        return split
    splitter: Splitter = splitting.get(split)() if isinstance(split, str) else split
    return splitter.split(dataset)


def fit(model: Recommender, split: Split, run: Run) -> str:
    """Fit a model on what it may see; returns a word for that part.

    Models that stop early learn from train and stop on validation; all others learn from both together. A checkpoint is
    each model's own, by its name, settings and seed, and by what it learns from.
    """
    if run.checkpoint is not None:
        of = f"{model.config.model_dump_json()} {run.seed} {split.train.content_hash}"
        run = replace(run, checkpoint=run.checkpoint / f"{model.name.replace(':', '.')}-{zlib.crc32(of.encode()):08x}")
    if model.uses_validation and split.validation is not None:
        model.fit(split.train, split.validation, run)
        return "train, stopped on validation"
    model.fit(split.development, run=run)
    return "development"


# ---------------------------------------------------------------------- the plan


def _plan(
    dataset: Dataset,
    split: str | Splitter | Split,
    metrics: Metrics | None,
    k: int,
    exclude_seen: bool,
    seeds: tuple[int, ...],
    run: Run,
) -> Plan:
    asked = parse_metrics(_usual(k) if _are_usual(metrics) else metrics)  # type: ignore[arg-type]
    longest = depth(asked, k)
    if not 1 <= k <= longest <= dataset.n_items:
        raise ConfigError(
            f"lists of {longest if k >= 1 else k} items were asked for, {dataset.name!r} has {dataset.n_items}: "
            "k, also that of a metric, must be between 1 and the size of the catalogue"
        )
    divided = split_of(dataset, split)
    return Plan(
        dataset=dataset,
        split=divided,
        protocol=Protocol.of(dataset, divided, tuple(one.label for one in asked), k, exclude_seen, seeds),
        metrics=_with_ratings(asked, divided),
        primary=_primary(asked),
        world=world_of(divided.development),
        slices=slices_of(divided),
        run=run,
    )


def _seeds(seeds: Sequence[int] | None, run: Run) -> tuple[int, ...]:
    found = (run.seed,) if seeds is None else tuple(int(seed) for seed in seeds)
    if not found or len(set(found)) < len(found):
        raise ConfigError(f"seeds {list(found)} came; at least one is expected, and each once")
    return found


def _are_usual(metrics: Metrics | None) -> bool:
    from zhiyin.metrics import DEFAULT

    return metrics is None or tuple(metrics) == tuple(DEFAULT)


def _usual(k: int) -> tuple[str, ...]:
    """The usual metrics, cut off at `k`."""
    from zhiyin.metrics import DEFAULT

    return tuple(re.sub(r"@\d+", f"@{k}", label) for label in DEFAULT)


def _primary(metrics: Sequence[Metric]) -> str:
    """The first metric that compares lists with targets, else the first."""
    judging = [metric.label for metric in metrics if judges_targets(metric) and metric.higher_is_better]
    return (judging or [metric.label for metric in metrics])[0]


def _with_ratings(metrics: tuple[Metric, ...], split: Split) -> tuple[Metric, ...]:
    """The metrics, and those of predicted values where the data have values."""
    from zhiyin.metrics import parse

    value = split.test.targets.value
    if value is None or np.isnan(value).all():
        if asked := [one.label for one in metrics if isinstance(one, ValueMetric)]:
            raise DataError(f"{asked[0]} needs events with values (ratings), which {split.development.name!r} lacks")
        return metrics
    known = {one.label for one in metrics}
    return (*metrics, *(parse(label) for label in RATING_METRICS if label not in known))


# ---------------------------------------------------------------------- running


def _run_all(running: Sequence[Contestant], plan: Plan) -> tuple[list[Outcome], dict[str, Failure], Recommender | None]:
    """Run every model; one that cannot run on these data is skipped with its reason. Only the best stays fitted."""
    outcomes: list[Outcome] = []
    failures: dict[str, Failure] = {}
    best: Recommender | None = None
    for contestant in plan.run.progress.track(running, len(running), "compare"):
        try:
            outcome, fitted = _run_one(contestant, plan)
        except LeakageError:
            raise
        except (ZhiyinError, MemoryError) as error:
            logger.info("%s is skipped: %s", contestant.name, error)
            failures[contestant.name] = error
            continue
        if all(plan.place(outcome) < plan.place(other) for other in outcomes):
            best = fitted
        outcomes.append(outcome)
    _insist(running, failures, bool(outcomes))
    return outcomes, failures, best


def _insist(running: Sequence[Contestant], failures: dict[str, Failure], any_ran: bool) -> None:
    """Raise when nothing ran, or nothing of what was asked for."""
    asked = [one.name for one in running if not one.baseline]
    if any_ran and not (asked and all(name in failures for name in asked)):
        return
    if len(failures) == 1 or len(asked) == 1:
        raise failures[asked[0] if asked else next(iter(failures))]
    reasons = "; ".join(f"{name}: {_reason(error)}" for name, error in failures.items())
    raise DataError(f"none of the models can run on these data: {reasons}")


def _reason(error: Failure) -> str:
    return f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error)


def _run_one(contestant: Contestant, plan: Plan) -> tuple[Outcome, Recommender]:
    """Fit, recommend and judge one model, for every seed; returns it as the first seed fitted it."""
    rounds = [_round(contestant, plan, replace(plan.run, seed=seed)) for seed in plan.protocol.seeds]
    return Outcome.of(contestant, [one for one, _ in rounds]), rounds[0][1]


def _round(contestant: Contestant, plan: Plan, run: Run) -> tuple[Round, Recommender]:
    model = type(contestant.model)(contestant.model.config)
    queries, protocol = plan.split.test.queries, plan.protocol
    with measured() as cost:
        fitted_on = fit(model, plan.split, run)
        cost.lap()
        found = model.recommend(queries, depth(plan.metrics, protocol.k), exclude_seen=protocol.exclude_seen, run=run)
        cost.lap()
    evaluation = judged(model, found, plan.split.test, plan.metrics, plan.world, run)
    return Round(fitted_on, evaluation, _slices(evaluation, plan), cost), model


def _slices(found: Evaluation, plan: Plan) -> list[dict[str, Sample]]:
    judging = [metric for metric in plan.metrics if judges_targets(metric)]
    lists = lists_of(found.recommendations, plan.split.test, plan.world)
    return [slice_samples(part, lists, found.samples, judging) for part in plan.slices]
