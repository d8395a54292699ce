"""Report: what came out of a comparison, as a value, as JSON, as Parquet and as one HTML page.

report/
  report.html                      for people; holds everything it shows
  report.json                      the stable document of `zhiyin compare --json`
  per_query.parquet                query, user_id, model, one column per metric
  recommendations/MODEL.parquet    query, item_id, rank, score (and seed, with several)
  targets.parquet                  query, item_id: with the lists, enough to compute every accuracy number anew
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zhiyin.arrays import DoubleVector
from zhiyin.artifacts import new_folder, read_json, to_json
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.evaluation.examples import Example
from zhiyin.evaluation.protocol import Protocol
from zhiyin.evaluation.significance import Estimate, PairedTest, owners
from zhiyin.evaluation.slices import SliceResult
from zhiyin.evaluation.verdict import paired_tests, verdict

if TYPE_CHECKING:
    from zhiyin.models.base import Recommender

FORMAT = 1
SHOWN = 3
"""How many of the metrics that compare lists with targets fit into a terminal's table."""
BESIDE = ("coverage", "novelty")
"""The metrics of the lists alone that stand beside them there."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model under the protocol: what it is, how good it was, what it cost."""

    name: str
    component: str
    settings: Mapping[str, Any]
    """All its settings."""
    given: Mapping[str, Any]
    """Those that were given; the others are the component's defaults."""
    baseline: bool
    """Whether it is one of the simple baselines that run beside every comparison."""
    fitted_on: str
    metrics: Mapping[str, Estimate]
    fit_seconds: float
    recommend_seconds: float
    cpu_seconds: float
    """Processor seconds of all threads, fit and recommend together."""
    peak_mib: float
    users_per_second: float
    filled: float
    """Share of the listed items that the model left to the popularity fill."""
    file: str
    """Its list file under `recommendations/`."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A comparison of models under one protocol. Models are in order of the primary metric, best first."""

    protocol: Protocol
    primary: str
    """The label of the metric that decides which model is best."""
    directions: Mapping[str, bool | None]
    """For each metric label whether more is better; None where neither direction is."""
    tested: tuple[str, ...]
    """The metrics with paired tests: means over queries of which one direction is better."""
    judging: tuple[str, ...]
    """The metrics that compare lists with targets; the others describe the lists alone."""
    dataset: Mapping[str, Any]
    split: Mapping[str, Any]
    warnings: tuple[str, ...]
    models: tuple[ModelResult, ...]
    tests: tuple[PairedTest, ...]
    slices: tuple[SliceResult, ...]
    skipped: Mapping[str, str]
    """Models that could not run on these data, each with its reason."""
    examples: tuple[Example, ...]
    environment: Mapping[str, Any]
    per_query: pa.Table
    recommendations: Mapping[str, pa.Table]
    targets: pa.Table
    fitted: Recommender | None = field(default=None, repr=False)
    """The best model, fitted, where the comparison ran in this process; not part of the saved report."""

    def model(self, name: str) -> ModelResult:
        """The result of one model.

        Raises:
            ConfigError: it was not compared; the message names the nearest.
        """
        for result in self.models:
            if result.name == name:
                return result
        raise ConfigError(unknown("model of this report", name, [result.name for result in self.models]))

    @property
    def best(self) -> ModelResult:
        """The model with the best value of the primary metric."""
        return self.models[0]

    def best_model(self) -> tuple[str, dict[str, Any]]:
        """The component's name and the settings of the best model: `models.get(name)(**settings)` makes it anew."""
        return self.best.component, dict(self.best.settings)

    def tests_of(self, metric: str, reference: str) -> list[PairedTest]:
        """The tests against one reference model on one metric."""
        return [one for one in self.tests if one.metric == metric and one.reference == reference]

    def verdict(self) -> str:
        """In words: which model is best, by how much, and whether that is beyond chance."""
        return verdict(self)

    def values(self, model: str) -> dict[str, DoubleVector]:
        """The values per query (n_queries,) of one model, NaN where undefined, by metric label."""
        rows = self.per_query.filter(pc.equal(self.per_query.column("model"), model))
        labels = [name for name in rows.column_names if name not in ("query", "user_id", "model")]
        return {label: rows.column(label).to_numpy().astype(np.float64) for label in labels}

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """A table for the terminal: header, and one row per model, best first."""
        judging = [label for label in self.judging if label != self.primary]
        beside = [label for label in self.protocol.metrics if label.partition("@")[0] in BESIDE]
        labels = [self.primary, *judging[: SHOWN - 1], *(label for label in beside if label != self.primary)]
        header = ["model", labels[0], "95 % interval", *labels[1:], "fit s", "users/s", "MiB"]
        return header, [self._row(result, labels) for result in self.models]

    def _row(self, result: ModelResult, labels: Sequence[str]) -> list[str]:
        first, *others = (result.metrics.get(label, Estimate(None)) for label in labels)
        interval = "" if first.low is None or first.high is None else f"{first.low:.4f} to {first.high:.4f}"
        return [
            f"{result.name} (baseline)" if result.baseline else result.name,
            _number(first.value),
            interval,
            *(_number(one.value) for one in others),
            f"{result.fit_seconds:.2f}",
            f"{result.users_per_second:,.0f}",
            f"{result.peak_mib:,.0f}",
        ]

    # ------------------------------------------------------------------ saved form

    def to_dict(self) -> dict[str, Any]:
        """The document of `zhiyin compare --json`: plain values; its keys are stable, new ones may join."""
        left_out = {"protocol", "per_query", "recommendations", "targets", "fitted", *_NESTED}
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in left_out}
        nested = {name: [asdict(one) for one in getattr(self, name)] for name in _NESTED}
        return {
            "format": FORMAT,
            "protocol": self.protocol.to_dict(),
            "verdict": self.verdict(),
            **{name: dict(value) if isinstance(value, Mapping) else value for name, value in plain.items()},
            **nested,
        }

    def write(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the report to a folder, whole or not at all.

        Raises:
            DataError: the folder is there already and `overwrite` is off (or it holds no report), or the disk refuses.
        """
        from zhiyin.evaluation.report_page import page_of

        with new_folder(folder, overwrite, "report.json") as work:
            (work / "report.json").write_text(to_json(self.to_dict()), encoding="utf-8")
            (work / "report.html").write_text(page_of(self).html(), encoding="utf-8")
            pq.write_table(self.per_query, work / "per_query.parquet", compression="zstd")
            pq.write_table(self.targets, work / "targets.parquet", compression="zstd")
            (work / "recommendations").mkdir()
            for result in self.models:
                table = self.recommendations[result.name]
                pq.write_table(table, work / "recommendations" / result.file, compression="zstd")
        return Path(folder)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Open a written report.

        Raises:
            DataError: the folder is missing, damaged, changed by hand, or of another version.
        """
        path = Path(folder)
        content = read_json(path / "report.json")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"{path} holds no report of format {FORMAT}; compare anew")
        try:
            found = _typed(content)
            tables = {
                "per_query": pq.read_table(path / "per_query.parquet"),
                "targets": pq.read_table(path / "targets.parquet"),
                "recommendations": {
                    one.name: pq.read_table(path / "recommendations" / one.file) for one in found["models"]
                },
            }
            protocol = Protocol.from_dict(content["protocol"])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            said = f"{error} is missing in report.json" if isinstance(error, KeyError) else error
            raise DataError(f"{path} is damaged: {said}; compare anew") from error
        return cls(protocol=protocol, **found, **tables)

    def merge(self, other: Report) -> Report:
        """This report with the models of another one under the same protocol; all tests are made anew.

        Raises:
            LeakageError: the protocols differ.
            ConfigError: both hold a model of one name with different settings or numbers.
        """
        self.protocol.require(other.protocol)
        new = [result for result in other.models if not self._has(result)]
        if not new:
            return self
        names = {result.name for result in new}
        models = tuple(sorted([*self.models, *new], key=self._place))
        per_query = pa.concat_tables(
            [
                self.per_query,
                other.per_query.filter(pc.is_in(other.per_query.column("model"), pa.array(sorted(names)))),
            ],
            promote_options="default",
        )
        merged = replace(
            self,
            models=models,
            warnings=(*self.warnings, *self._elsewhere(other, sorted(names))),
            skipped={name: why for name, why in {**other.skipped, **self.skipped}.items() if name not in names},
            slices=_merged_slices(self.slices, other.slices, names),
            examples=tuple(one.joined(other.examples) for one in self.examples),
            per_query=per_query,
            recommendations={**self.recommendations, **{name: other.recommendations[name] for name in names}},
            fitted=other.fitted if models[0].name in names else self.fitted,
        )
        return merged.retested()

    def _elsewhere(self, other: Report, names: Sequence[str]) -> list[str]:
        """What to say of costs that were measured under other conditions than those of this report."""
        mine, theirs = self.environment, other.environment
        differing = [f"{name} {theirs.get(name)}, not {mine[name]}" for name in mine if theirs.get(name) != mine[name]]
        if not differing:
            return []
        return [f"times and memory of {', '.join(names)} were measured elsewhere ({'; '.join(differing)})"]

    def _place(self, result: ModelResult) -> tuple[float, str]:
        value = result.metrics.get(self.primary, Estimate(None)).value
        return place_of(result.name, value, self.directions.get(self.primary))

    def _has(self, result: ModelResult) -> bool:
        for mine in self.models:
            if mine.name == result.name:
                if mine.settings != result.settings or mine.metrics != result.metrics:
                    raise ConfigError(
                        f"both reports hold a model {result.name!r}, but not the same one; rename one of them: "
                        'compare(data, {"another name": ("' + result.component + '", settings)})'
                    )
                return True
        return False

    def retested(self) -> Report:
        """The same report with its paired tests made from the values per query."""
        values = {result.name: self.values(result.name) for result in self.models}
        baselines = [result.name for result in self.models if result.baseline]
        directions = {label: bool(self.directions[label]) for label in self.tested}
        return replace(
            self, tests=paired_tests(values, baselines, directions, self.protocol.seeds[0], owners(self._users()))
        )

    def _users(self) -> list[str] | None:
        """The user of each query; None where they are strangers."""
        if "user_id" not in self.per_query.column_names:
            return None
        users: list[str] = self.per_query.column("user_id").to_pylist()[: int(self.split["test_cases"])]
        return users


_NESTED = ("models", "tests", "slices", "examples")


def _typed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a report from its JSON document, checked."""
    from pydantic import TypeAdapter

    kinds: dict[str, Any] = {"models": ModelResult, "tests": PairedTest, "slices": SliceResult, "examples": Example}
    found: dict[str, Any] = {
        name: tuple(TypeAdapter(kind).validate_python(one) for one in content[name]) for name, kind in kinds.items()
    }
    plain = {name: content[name] for name in ("primary", "directions", "dataset", "split", "skipped", "environment")}
    return {**found, **plain, **{name: tuple(content[name]) for name in ("warnings", "tested", "judging")}}


def place_of(name: str, value: float | None, higher_is_better: bool | None) -> tuple[float, str]:
    """Sorts models best first by the value of the primary metric; equal ones by name, undefined ones last."""
    if value is None:
        return (np.inf, name)
    return (value if higher_is_better is False else -value, name)


def _merged_slices(
    mine: Sequence[SliceResult], others: Sequence[SliceResult], names: set[str]
) -> tuple[SliceResult, ...]:
    theirs = {(one.kind, one.name): one.values for one in others}
    return tuple(
        replace(
            one,
            values={
                **one.values,
                **{name: value for name, value in theirs.get((one.kind, one.name), {}).items() if name in names},
            },
        )
        for one in mine
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
