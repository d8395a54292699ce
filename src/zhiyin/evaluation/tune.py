"""Tune: search a model's settings on the validation part only; the test part is never looked at.

The search space is read from the model's settings: a number with `search=Search(low, high, log)`, a choice
(`Literal[...]`) or a switch (`bool`) takes part, everything else keeps its default. The first trial is the default, so
the result can never be worse than it on validation. Sampling is Optuna's TPE (Bergstra et al., NeurIPS 2011), seeded.
"""

from __future__ import annotations

import logging
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from zhiyin.config import Config, Search
from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError, MissingExtra, ZhiyinError, unknown
from zhiyin.evaluation.compare import split_of
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.protocol import Protocol
from zhiyin.metrics import parse
from zhiyin.metrics.base import ListMetric, World
from zhiyin.models.base import Recommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split, Splitter

logger = logging.getLogger(__name__)

REDRAWS = 100
"""How often settings that do not go together are drawn anew, before they count as a failed trial."""

Choices: TypeAlias = tuple[Any, ...]
Space: TypeAlias = Mapping[str, Search | Choices]
"""For each setting a range, or the values to choose from."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: its settings, and the value on validation; None with the reason if it failed."""

    number: int
    settings: Mapping[str, Any]
    value: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The outcome of a search."""

    model: str
    metric: str
    best: Mapping[str, Any]
    """The settings of the best trial that differ from the defaults; empty when nothing beat the defaults."""
    value: float
    """The metric of the best trial, on validation."""
    default_value: float
    """The metric of the default settings, on validation."""
    trials: tuple[Trial, ...]
    seed: int
    protocol: Protocol
    """How the values were made. They are of the validation part: no comparison on a test part has this hash."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "protocol": self.protocol.to_dict()}


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is searched, and on what."""

    kind: type[Recommender]
    train: Dataset
    validation: Cases
    metric: ListMetric
    world: World
    protocol: Protocol
    run: Run

    def value(self, settings: Mapping[str, Any]) -> float:
        """The metric on validation of a model with these settings, fitted on train."""
        model = self.kind(**settings)
        cases = self.validation
        model.fit(self.train, cases if model.uses_validation else None, self.run)
        found = evaluate(model, cases, [self.metric], self.world, self.protocol.k, self.run, self.protocol.exclude_seen)
        return found.overall[self.metric.label]


def tune(
    model: str | type[Recommender],
    data: Dataset | Split,
    metric: str = "ndcg@10",
    trials: int = 30,
    seed: int = 0,
    space: Space | None = None,
    run: Run | None = None,
    *,
    split: str | Splitter = "global_time",
    settings: Mapping[str, Any] | None = None,
    exclude_seen: bool = True,
) -> Tuning:
    """Search settings of a model.

    Args:
        model: a model's name or class.
        data: a split, or a dataset that is split by `split`.
        metric: a list metric; what to raise (or to lower, where less is better).
        trials: how many settings to try, the default among them.
        seed: of the search and of the models.
        space: where to look; by default what the settings declare. Ranges as `Search`, choices as tuples.
        run: threads, memory, progress.
        split: how to split a dataset.
        settings: settings that are held fixed in all trials, the first included.
        exclude_seen: leave items of the history out of the lists.

    Raises:
        ConfigError: no validation part, an unknown metric or setting, nothing to search.
        MissingExtra: Optuna is not installed.
    """
    if trials < 1:
        raise ConfigError(f"{trials} trials came; at least one is needed")
    kind = _kind(model)
    fixed = dict(settings or {})
    kind(**fixed)  # a wrong setting is told before anything is fitted
    chosen = {name: where for name, where in _space(kind, space).items() if name not in fixed}
    task = _task(kind, data, metric, split, exclude_seen, run or Run(seed=seed), seed)
    return _tuning(task, _search(task, chosen, fixed, trials, seed), seed)


def space_of(config: type[Config]) -> dict[str, Search | Choices]:
    """The search space that settings declare: ranges (`Search`), choices (`Literal`) and switches (`bool`)."""
    space: dict[str, Search | Choices] = {}
    for name, field in config.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "search" in extra:
            space[name] = Search(**extra["search"])  # type: ignore[arg-type]
        elif field.annotation is bool:
            space[name] = (False, True)
        elif typing.get_origin(field.annotation) is Literal:
            space[name] = typing.get_args(field.annotation)
    return space


def _kind(model: str | type[Recommender]) -> type[Recommender]:
    from zhiyin import models

    kind = models.get(model) if isinstance(model, str) else model
    if not (isinstance(kind, type) and issubclass(kind, Recommender)):
        raise ConfigError(f"a model's name or class was expected, {model!r} came")
    return kind


def _space(kind: type[Recommender], given: Space | None) -> dict[str, Search | Choices]:
    config = kind.settings()
    space = space_of(config) if given is None else dict(given)
    for name in space:
        if name not in config.model_fields:
            raise ConfigError(unknown("setting", name, config.model_fields))
    if not space:
        raise ConfigError(
            f"{config.__name__.removesuffix('Config')} declares no settings to search, so there is nothing to tune; in "
            "Python, `space` may name others: {'setting': Search(low, high)}"
        )
    return space


def _task(
    kind: type[Recommender],
    data: Dataset | Split,
    metric: str,
    split: str | Splitter,
    exclude_seen: bool,
    run: Run,
    seed: int,
) -> _Task:
    judge = parse(metric)
    if not isinstance(judge, ListMetric):
        raise ConfigError(f"{judge.label} does not judge recommended lists; tune on a metric such as ndcg@10")
    if judge.higher_is_better is None:
        raise ConfigError(f"{judge.label} has no good direction; tune on a metric such as ndcg@10")
    divided = data if isinstance(data, Split) else split_of(data, split)
    if divided.validation is None:
        raise ConfigError(
            f"this {divided.name} split has no validation part, on which alone settings may be chosen; split with one"
        )
    part = replace(divided, development=divided.train, validation=None, test=divided.validation)
    made = Protocol.of(divided.train, part, (judge.label,), judge.config.k, exclude_seen, (seed,))
    protocol = replace(made, fitted_on="train, judged on validation")
    run = replace(run, seed=seed)
    return _Task(kind, divided.train, divided.validation, judge, world_of(divided.train), protocol, run)


# ---------------------------------------------------------------------- the search


def _search(task: _Task, space: Space, fixed: Mapping[str, Any], trials: int, seed: int) -> list[Trial]:
    """The trials, the default first. Equal proposals are computed once; what fails on the data is a failed trial."""
    optuna = _optuna()
    direction = "maximize" if task.metric.higher_is_better else "minimize"
    with _quiet(optuna):
        study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed))
        distributions = {name: _distribution(optuna, task.kind, name, where) for name, where in space.items()}
        found: list[Trial] = []
        for number in task.run.progress.track(range(trials), trials, f"tune {task.kind.__name__}"):
            if number == 0:
                found.append(Trial(0, fixed, _defined(task.value(fixed), task)))
                _tell_default(optuna, study, task, fixed, found[0], distributions)
                continue
            asked = _proposed(optuna, study, task, fixed, distributions)
            trial = _try(task, number, {**fixed, **asked.params}, found)
            found.append(trial)
            failed = optuna.trial.TrialState.FAIL
            study.tell(asked, trial.value) if trial.value is not None else study.tell(asked, state=failed)
    return found


def _proposed(optuna: Any, study: Any, task: _Task, fixed: Mapping[str, Any], distributions: Mapping[str, Any]) -> Any:
    """A proposal whose settings go together: one that the model itself refuses is drawn anew, and is no trial."""
    for _ in range(REDRAWS):
        asked = study.ask(distributions)
        try:
            task.kind(**{**fixed, **asked.params})
        except ConfigError:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            return asked
    return study.ask(distributions)


def _defined(value: float, task: _Task) -> float:
    if math.isnan(value):
        raise ConfigError(f"{task.metric.label} is undefined on this validation part; tune on another metric or split")
    return value


def _try(task: _Task, number: int, settings: Mapping[str, Any], before: Sequence[Trial]) -> Trial:
    for other in before:
        if other.settings == settings:
            return Trial(number, settings, other.value, other.error)
    try:
        return Trial(number, settings, _defined(task.value(settings), task))
    except (ZhiyinError, MemoryError) as error:
        logger.info("trial %d with %s failed: %s", number, settings, error)
        return Trial(number, settings, None, str(error))


def _tell_default(
    optuna: Any, study: Any, task: _Task, fixed: Mapping[str, Any], trial: Trial, distributions: Mapping[str, Any]
) -> None:
    """Let the search know the default's value; Optuna can only take it where the default lies inside the space."""
    defaults = task.kind(**fixed).config.model_dump()
    params = {name: defaults[name] for name in distributions}
    try:
        told = optuna.trial.create_trial(params=params, distributions=dict(distributions), value=trial.value)
    except (ValueError, TypeError):
        logger.info("the default settings lie outside the search space: %s", params)
        return
    study.add_trial(told)


def _distribution(optuna: Any, kind: type[Recommender], name: str, where: Search | Choices) -> Any:
    if not isinstance(where, Search):
        return optuna.distributions.CategoricalDistribution(tuple(where))
    annotation = kind.settings().model_fields[name].annotation
    parts = {annotation, *typing.get_args(annotation)}
    if int in parts and float not in parts:
        return optuna.distributions.IntDistribution(int(where.low), int(where.high), log=where.log)
    return optuna.distributions.FloatDistribution(where.low, where.high, log=where.log)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("tune", "optuna", "tune") from None
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna reports every trial by its own logger; progress is shown by `run.progress`."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _tuning(task: _Task, trials: Sequence[Trial], seed: int) -> Tuning:
    sign = 1 if task.metric.higher_is_better else -1
    known = [(trial.value, trial) for trial in trials if trial.value is not None]
    value, best = max(known, key=lambda one: (sign * one[0], -one[1].number))
    defaults = task.kind().config.model_dump()
    default_value = known[0][0]
    return Tuning(
        model=task.kind().name,
        metric=task.metric.label,
        best={name: one for name, one in best.settings.items() if defaults[name] != one},
        value=value,
        default_value=default_value,
        trials=tuple(trials),
        seed=seed,
        protocol=task.protocol,
    )
