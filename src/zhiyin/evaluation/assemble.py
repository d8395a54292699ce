"""Assemble: what the models did becomes a report, with intervals, slices, tests, tables and examples."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from zhiyin._version import __version__
from zhiyin.arrays import IntVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.recommendations import Recommendations
from zhiyin.evaluation.contestants import Contestant
from zhiyin.evaluation.cost import Cost
from zhiyin.evaluation.evaluate import Evaluation, judges_targets
from zhiyin.evaluation.examples import examples_of
from zhiyin.evaluation.protocol import Protocol
from zhiyin.evaluation.report import ModelResult, Report, place_of
from zhiyin.evaluation.significance import Estimate, Sample, bootstrap, interval, owners
from zhiyin.evaluation.slices import Slice, SliceResult, summarise
from zhiyin.evaluation.verdict import FEW
from zhiyin.metrics.base import ListMetric, Metric, World
from zhiyin.models.base import Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is the same for all models of a comparison."""

    dataset: Dataset
    split: Split
    protocol: Protocol
    metrics: tuple[Metric, ...]
    primary: str
    world: World
    slices: tuple[Slice, ...]
    run: Run

    @property
    def directions(self) -> dict[str, bool | None]:
        """For each metric label whether more is better."""
        return {metric.label: metric.higher_is_better for metric in self.metrics}

    @property
    def tested(self) -> tuple[str, ...]:
        """The metrics that have a value per query and one good direction."""
        return tuple(
            metric.label
            for metric in self.metrics
            if isinstance(metric, ListMetric) and metric.is_mean and metric.higher_is_better is not None
        )

    @property
    def judging(self) -> tuple[str, ...]:
        """The metrics that compare lists with targets."""
        return tuple(metric.label for metric in self.metrics if judges_targets(metric))

    def place(self, outcome: Outcome) -> tuple[float, str]:
        """By what the models of the report are ordered, best first."""
        value = outcome.overall.get(self.primary, np.nan)
        return place_of(outcome.name, None if np.isnan(value) else value, self.directions.get(self.primary))


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What one model did with one seed."""

    fitted_on: str
    evaluation: Evaluation
    sliced: list[dict[str, Sample]]
    cost: Cost
    """Two laps: fit, recommend."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one model did, over all seeds."""

    contestant: Contestant
    rounds: tuple[Round, ...]
    samples: Mapping[str, Sample]
    """Values per query, means over the seeds."""
    overall: Mapping[str, float]
    """Means over the seeds."""

    @classmethod
    def of(cls, contestant: Contestant, rounds: Sequence[Round]) -> Self:
        """Sum up the rounds of all seeds."""
        labels = rounds[0].evaluation.overall
        overall = {label: float(np.mean([one.evaluation.overall[label] for one in rounds])) for label in labels}
        samples = averaged([one.evaluation.samples for one in rounds])
        return cls(contestant, tuple(rounds), samples, overall)

    @property
    def name(self) -> str:
        """The name that tables show."""
        return self.contestant.name

    @property
    def recommendations(self) -> Recommendations:
        """The lists of the first seed."""
        return self.rounds[0].evaluation.recommendations

    def spread(self, label: str) -> float:
        """The standard deviation of a metric over the seeds; NaN for one seed."""
        values = [one.evaluation.overall[label] for one in self.rounds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def averaged(rounds: Sequence[Mapping[str, Sample]]) -> dict[str, Sample]:
    """The values per query as means over rounds."""
    first = rounds[0]
    if len(rounds) == 1:
        return dict(first)
    return {
        label: Sample(
            np.mean([one[label].total for one in rounds], axis=0),
            np.mean([one[label].count for one in rounds], axis=0),
            first[label].finish,
        )
        for label in first
    }


def assemble(plan: Plan, outcomes: Sequence[Outcome], skipped: Mapping[str, str], best: Recommender | None) -> Report:
    """The report of a comparison."""
    outcomes = sorted(outcomes, key=plan.place)
    owner = owners(plan.split.test.queries.users)
    estimates = _estimates(outcomes, plan.protocol.seeds[0], owner)
    files = _files([one.name for one in outcomes])
    lists = {one.name: one.recommendations for one in outcomes}
    report = Report(
        protocol=plan.protocol,
        primary=plan.primary,
        directions=plan.directions,
        tested=plan.tested,
        judging=plan.judging,
        dataset=_dataset_facts(plan.dataset),
        split=plan.split.facts.to_dict(),
        warnings=(*plan.split.facts.warnings, *_warnings(plan, owner)),
        models=tuple(_result(one, estimates[one.name], files[one.name]) for one in outcomes),
        tests=(),
        slices=_slices(plan, outcomes, owner),
        skipped=dict(skipped),
        examples=examples_of(plan.split.test, plan.dataset, lists, best, plan.protocol.exclude_seen, plan.run),
        environment=_environment(plan.run, outcomes),
        per_query=_per_query_table(plan, outcomes),
        recommendations={one.name: _lists_table(one, plan.protocol.seeds) for one in outcomes},
        targets=_targets_table(plan.split.test),
        fitted=best,
    )
    return report.retested()


def _estimates(outcomes: Sequence[Outcome], seed: int, owner: IntVector | None) -> dict[str, dict[str, Estimate]]:
    """Values with intervals; metrics of all lists together have none.

    With several seeds every resample is judged as the whole is: the metric for each seed, and the mean of these.
    """
    flat = [(one.name, label, sample) for one in outcomes for label, sample in one.samples.items()]
    drawn = [
        bootstrap(
            [one.rounds[place].evaluation.samples[label] for one in outcomes for label in one.samples],
            seed,
            owner=owner,
        )
        for place in range(len(outcomes[0].rounds))
    ]
    columns = np.mean(drawn, axis=0).T
    ranges = {
        (name, label): (*interval(column), sample.n)
        for (name, label, sample), column in zip(flat, columns, strict=True)
    }
    nothing = (np.nan, np.nan, 0)
    return {
        one.name: {
            label: Estimate.of(value, *ranges.get((one.name, label), nothing), one.spread(label))
            for label, value in one.overall.items()
        }
        for one in outcomes
    }


def _result(outcome: Outcome, metrics: Mapping[str, Estimate], file: str) -> ModelResult:
    contestant, rounds = outcome.contestant, outcome.rounds
    fit, recommend = (float(np.mean([one.cost.laps[lap] for one in rounds])) for lap in (0, 1))
    return ModelResult(
        name=contestant.name,
        component=contestant.model.name,
        settings=contestant.model.config.model_dump(mode="json"),
        given=contestant.model.config.model_dump(mode="json", exclude_unset=True),
        baseline=contestant.baseline,
        fitted_on=rounds[0].fitted_on,
        metrics=metrics,
        fit_seconds=fit,
        recommend_seconds=recommend,
        cpu_seconds=float(np.mean([one.cost.cpu_seconds for one in rounds])),
        peak_mib=max(one.cost.peak_mib for one in rounds),
        users_per_second=len(outcome.recommendations) / max(recommend, 1e-9),
        filled=float(np.mean([one.evaluation.filled for one in rounds])),
        file=file,
    )


def _files(names: Sequence[str]) -> dict[str, str]:
    """A file name for each model: its own name with only safe characters, numbered where two would be equal."""
    found: dict[str, str] = {}
    for name in names:
        safe = re.sub(r"[^\w.=-]+", "_", name).strip("._")[:80] or "model"
        taken = set(found.values())
        number = 1
        file = f"{safe}.parquet"
        while file.lower() in {one.lower() for one in taken}:
            number += 1
            file = f"{safe}_{number}.parquet"
        found[name] = file
    return found


def _slices(plan: Plan, outcomes: Sequence[Outcome], owner: IntVector | None) -> tuple[SliceResult, ...]:
    return tuple(
        summarise(
            part,
            {one.name: averaged([round_.sliced[place] for round_ in one.rounds]) for one in outcomes},
            plan.protocol.seeds[0],
            owner,
        )
        for place, part in enumerate(plan.slices)
    )


# ---------------------------------------------------------------------- facts


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "events": dataset.n_events,
        "clock": dataset.clock,
    }


def _environment(run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "zhiyin": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": run.threads,
        "memory": outcomes[0].rounds[0].cost.memory_method,
    }


def _warnings(plan: Plan, owner: IntVector | None) -> Iterator[str]:
    """What a reader must know beside the splitter's own warnings."""
    repeats = repeat_share(plan.split.test)
    if plan.protocol.exclude_seen and repeats >= 0.01:
        yield (
            f"{repeats:.0%} of the test targets are in their query's history, which exclude_seen hides from all "
            "models, so that even a perfect one stays below 1; where repeats matter, compare with exclude_seen=False "
            "(--include-seen)"
        )
    if owner is not None and (users := len(np.unique(owner))) < FEW:
        yield (
            f"the {len(owner):,} test queries come from only {users} users, and those of one user are no independent "
            "witnesses: expect wide intervals"
        )


def repeat_share(cases: Cases) -> float:
    """The share of targets whose item is in the history of their own query."""
    n = len(cases.queries.items)
    keys = [part.owner().astype(np.int64) * n + part.item for part in (cases.targets, cases.queries.histories)]
    return float(np.isin(keys[0], keys[1]).mean()) if len(keys[0]) else 0.0


# ---------------------------------------------------------------------- tables


def _per_query_table(plan: Plan, outcomes: Sequence[Outcome]) -> pa.Table:
    """One row per query and model: `query`, `user_id` (where known), `model`, and a column for each metric."""
    n, users = len(plan.split.test), plan.split.test.queries.users
    labels = [metric.label for metric in plan.metrics if any(metric.label in one.samples for one in outcomes)]
    columns: dict[str, Any] = {"query": np.tile(np.arange(n, dtype=np.int32), len(outcomes))}
    if users is not None:
        columns["user_id"] = pa.concat_arrays([pa.array(users, pa.large_string())] * len(outcomes))
    names = pa.array([one.name for one in outcomes], pa.string())
    columns["model"] = names.take(pa.array(np.repeat(np.arange(len(outcomes)), n)))
    for label in labels:
        parts = [one.samples[label].values() if label in one.samples else np.full(n, np.nan) for one in outcomes]
        columns[label] = pa.array(np.concatenate(parts), from_pandas=True)
    return pa.table(columns)


def _lists_table(outcome: Outcome, seeds: Sequence[int]) -> pa.Table:
    """`query`, `item_id`, `rank`, `score`, and `seed` where there are several."""
    parts = []
    for seed, one in zip(seeds, outcome.rounds, strict=True):
        table = one.evaluation.recommendations.to_arrow().select(["query", "item_id", "rank", "score"])
        parts.append(table if len(seeds) == 1 else table.append_column("seed", pa.array([seed] * table.num_rows)))
    return pa.concat_tables(parts)


def _targets_table(cases: Cases) -> pa.Table:
    items = cases.queries.items.ids.take(pa.array(cases.targets.item))
    return pa.table({"query": pa.array(cases.targets.owner()), "item_id": items})
