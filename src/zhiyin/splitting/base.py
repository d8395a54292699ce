"""Splitter: cuts a dataset into what a model may see and what it must foretell, and says how much the cut leaks."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from zhiyin.arrays import BoolVector, LongVector
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories, Queries
from zhiyin.errors import ConfigError, DataError

Ties = Literal["stable", "shuffle"]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Questions with their answers: row `i` of `targets` is what really followed query `i`."""

    queries: Queries
    targets: Histories

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Any) -> Cases:
        """Some of the cases, in the order of `rows` (numbers, or a mask of all)."""
        return Cases(self.queries.take(rows), self.targets.take(rows))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a person must know of a split before they believe a number made on it. Shares are between 0 and 1."""

    train_events: int
    validation_cases: int
    test_cases: int
    test_targets: int
    later_train_share: float | None
    """Share of test cases whose target is older than some training event: the future that leaks. None without times."""
    later_train_events: float | None
    """Share of the development events that are later than the median test target. None without times."""
    tie_share: float | None
    """Share of events at the same moment as another of the same user: their order is a convention, not knowledge."""
    cold_users: int
    """Test queries whose history is empty."""
    cold_items: int
    """Test targets on items without any event in the development part."""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A dataset, cut. `development` is train and validation together: what models without early stopping learn from."""

    name: str
    settings: Mapping[str, Any]
    train: Dataset
    validation: Cases | None
    development: Dataset
    test: Cases
    facts: Facts


class SplitterConfig(Config):
    """Settings that every splitter has."""

    ties: Ties = "stable"
    """Events of a user at one moment: `stable` keeps the order of the log, `shuffle` draws one with `seed`."""
    seed: int = setting(0, ge=0)
    """Seed of everything that is drawn."""


class Splitter:
    """Base of every splitter: it writes `_split`; tie rule, leakage count and statistics are here, once."""

    config: SplitterConfig
    leaks: ClassVar[str] = ""
    """What this way of splitting leaks by construction, in a sentence; empty when it does not."""

    def __init__(self, config: SplitterConfig | None = None, **options: Any) -> None:
        wanted = typing.get_type_hints(type(self))["config"]
        if config is not None and options:
            raise ConfigError("give either a config or single settings, not both")
        self.config = wanted.read(options, self.name) if config is None else config

    @property
    def name(self) -> str:
        """The name by which the splitter is found."""
        return type(self).__module__.rpartition(".")[2]

    def _split(self, dataset: Dataset) -> tuple[Dataset, Cases | None, Dataset, Cases]:
        """(train, validation, development, test)."""
        raise NotImplementedError

    def split(self, dataset: Dataset) -> Split:
        """Cut the dataset.

        Raises:
            DataError: it lacks the times or the order that this way of splitting needs, or nothing is left to test on.
        """
        ordered = break_ties(dataset, self.config.ties, self.config.seed)
        train, validation, development, test = self._split(ordered)
        if not train.n_events or not len(test):
            raise DataError(
                f"{self.name} leaves {train.n_events} training events and {len(test)} test cases of {dataset.name!r}; "
                "both must be there: use a larger dataset or other settings"
            )
        facts = _facts(ordered, train, validation, development, test, self.leaks)
        return Split(self.name, self.config.model_dump(mode="json"), train, validation, development, test, facts)


def break_ties(dataset: Dataset, ties: Ties, seed: int) -> Dataset:
    """Put the events of one user at one moment into the order of the log, or into a seeded random one."""
    histories = dataset.histories
    if ties == "stable" or histories.time is None or dataset.clock != "time":
        return dataset
    draw = np.random.default_rng(seed).random(histories.n_events)
    return dataset.with_histories(histories.reorder(np.lexsort((draw, histories.time, histories.owner()))))


def tied(histories: Histories) -> BoolVector:
    """(n_events,) whether the event shares its moment with another event of the same history."""
    if histories.time is None:
        return np.zeros(histories.n_events, bool)
    owner = histories.owner()
    same = (owner[1:] == owner[:-1]) & (histories.time[1:] == histories.time[:-1])
    found: BoolVector = np.append(same, False) | np.append(False, same)
    return found


def cases_of(dataset: Dataset, history: BoolVector, target: BoolVector, now: LongVector | None = None) -> Cases:
    """The users with at least one target event, as cases: their history events and their target events.

    `now` is the moment of each user's query (n_users,); by default that of the first target.
    """
    targets = dataset.histories.keep(target)
    users = np.flatnonzero(targets.lengths > 0)
    chosen = targets.take(users)
    moments: LongVector | None = None if now is None else now[users]
    if now is None and chosen.time is not None and dataset.clock == "time":
        moments = chosen.time[chosen.offsets[:-1]] if len(users) else np.zeros(0, np.int64)
    queries = Queries(
        dataset.histories.keep(history).take(users),
        dataset.items,
        moments,
        tuple(dataset.users.decode(users)),
    )
    return Cases(queries, chosen)


def _facts(
    dataset: Dataset, train: Dataset, validation: Cases | None, development: Dataset, test: Cases, leaks: str
) -> Facts:
    later_cases = later_events = tie_share = None
    if dataset.clock == "time" and test.targets.time is not None and development.histories.time is not None:
        first = test.targets.time[test.targets.offsets[:-1]]
        later_cases = float(np.mean(first < development.histories.time.max()))
        later_events = float(np.mean(development.histories.time > np.median(test.targets.time)))
        tie_share = float(tied(dataset.histories).mean())
    facts = Facts(
        train_events=train.n_events,
        validation_cases=0 if validation is None else len(validation),
        test_cases=len(test),
        test_targets=test.targets.n_events,
        later_train_share=later_cases,
        later_train_events=later_events,
        tie_share=tie_share,
        cold_users=int((test.queries.histories.lengths == 0).sum()),
        cold_items=int((development.popularity[test.targets.item] == 0).sum()),
    )
    return replace(facts, warnings=_warnings(facts, leaks))


def _warnings(facts: Facts, leaks: str) -> tuple[str, ...]:
    said = [leaks] if leaks else []
    if facts.tie_share is not None and facts.tie_share > 0.05:
        said.append(
            f"{facts.tie_share:.0%} of the events share their moment with another of the same user: "
            "their order is a convention, so compare ties=stable with ties=shuffle"
        )
    if facts.cold_items:
        said.append(f"{facts.cold_items:,} of {facts.test_targets:,} test targets are on items without training events")
    return tuple(said)
