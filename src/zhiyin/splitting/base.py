"""Splitter: cuts a dataset into what a model may see and what it must foretell, and says how much the cut leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from zhiyin.arrays import BoolVector, LongVector
from zhiyin.config import Component, Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError

Ties = Literal["stable", "shuffle"]
Rule = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Questions with their answers: row `i` of `targets` is what really followed query `i`."""

    queries: Queries
    targets: Histories

    def __len__(self) -> int:
        return len(self.queries)

    def __repr__(self) -> str:
        return f"Cases: {len(self):,}, of {self.targets.n_events:,} targets"

    def take(self, rows: Any) -> Cases:
        """Some of the cases, in the order of `rows` (numbers, or a mask of all)."""
        return Cases(self.queries.take(rows), self.targets.take(rows))


Parts: TypeAlias = tuple[Dataset, Cases | None, Dataset, Cases]
"""(train, validation, development, test), before the rules on cold and repeated targets."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a person must know of a split before they believe a number made on it. Shares are between 0 and 1.

    Cold users, cold items and repeats are counted in the test part before any rule leaves them out.
    """

    train_events: int
    validation_cases: int
    test_cases: int
    test_targets: int
    later_train_share: float | None
    """Share of test cases whose first target is older than some development event: the future leaks into them.
    None without times."""
    later_train_events: float | None
    """Share of the development events that are later than the first target, as the mean over test cases: how much of
    the future leaks. None without times."""
    tie_share: float | None
    """Share of events at the same moment as another of the same user: their order is a convention, not knowledge.
    None without times."""
    cold_users: int
    """Test cases whose query has no history."""
    cold_items: int
    """Test targets on items without any event in the development part."""
    repeats: int = 0
    """Test targets whose item is in the query's history, or is an earlier target of the same case."""
    left_out_cases: int = 0
    """Test cases that `cold_users`, `cold_items` and `repeats` left out, together."""
    left_out_targets: int = 0
    """Test targets that they left out, together."""
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

    def __repr__(self) -> str:
        held = "no validation" if self.validation is None else f"validation {self.validation!r}"
        return f"Split by {self.name}: train {self.train!r}; {held}; test {self.test!r}"


class SplitterConfig(Config):
    """Settings that every splitter has."""

    ties: Ties = "stable"
    """Events of a user at one moment: `stable` keeps the order of the log, `shuffle` draws one with `seed`."""
    seed: int = setting(0, ge=0)
    """Seed of everything that is drawn."""
    cold_users: Rule = "drop"
    """Cases whose query has no history: `drop` leaves them out (and counts them), `keep` asks them all the same."""
    cold_items: Rule = "keep"
    """Targets on items without any training event, which only a model of content can find: `drop` leaves them out."""
    repeats: Rule = "keep"
    """Targets whose item is in the history already, which `exclude_seen` can never find: `drop` leaves them out, and of
    several targets on one item keeps the first."""


class Splitter(Component):
    """Base of every splitter: it writes `_split`; tie rule, cold and repeat rules, leakage and statistics are here."""

    config: SplitterConfig
    room = "zhiyin.splitting"
    leaks: ClassVar[str] = ""
    """What this way of splitting leaks by construction, in a sentence; empty when it does not."""

    def _split(self, dataset: Dataset) -> Parts:
        """(train, validation, development, test); the rules on cold and repeated targets come after it."""
        raise NotImplementedError

    def split(self, dataset: Dataset) -> Split:
        """Cut the dataset.

        Raises:
            DataError: it lacks the times or the order that this way of splitting needs, or nothing is left to test on.
        """
        if not dataset.n_events:
            raise DataError(f"{self.name} cannot split {dataset.name!r}: it has no events")
        ordered = break_ties(dataset, self.config.ties, self.config.seed)
        train, validation, development, asked = self._split(ordered)
        test = self._ruled(asked, development)
        if not train.n_events or not len(test):
            raise DataError(
                f"{self.name} leaves {train.n_events:,} training events and {len(test):,} of {len(asked):,} test cases "
                f"of {dataset.name!r}; both must be there: use a larger dataset or other settings"
            )
        if validation is not None:
            validation = self._ruled(validation, train)
            validation = validation if len(validation) else None
        facts = _facts(ordered, train, validation, development, asked, test)
        facts = replace(facts, warnings=_warnings(facts, self.leaks))
        return Split(self.name, self.config.model_dump(mode="json"), train, validation, development, test, facts)

    def _ruled(self, cases: Cases, known: Dataset) -> Cases:
        """Leave out the cold and repeated targets, and the cold cases, that the settings do not want."""
        wanted = np.ones(cases.targets.n_events, bool)
        if self.config.cold_items == "drop":
            wanted &= known.popularity[cases.targets.item] > 0
        if self.config.repeats == "drop":
            wanted &= ~repeated(cases)
        targets = cases.targets if wanted.all() else cases.targets.keep(wanted)
        rows = targets.lengths > 0
        if self.config.cold_users == "drop":
            rows &= cases.queries.histories.lengths > 0
        ruled = Cases(cases.queries, targets)
        return ruled if rows.all() else ruled.take(rows)


def break_ties(dataset: Dataset, ties: Ties, seed: int) -> Dataset:
    """Put the events of one user at one moment into the order of the log, or into a seeded random one."""
    histories = dataset.histories
    if ties == "stable" or histories.time is None or dataset.clock != "time":
        return dataset
    places = np.arange(histories.n_events)
    moving = np.flatnonzero(tied(histories))
    moment = moments(histories)[moving]
    draw = np.random.default_rng(seed).random(len(moving))
    places[moving] = moving[np.lexsort((draw, moment))]
    return dataset.with_histories(histories.reorder(places))


def opens(histories: Histories) -> BoolVector:
    """(n_events,) whether the event is the first of its history."""
    first = np.zeros(histories.n_events + 1, bool)
    first[histories.offsets[:-1]] = True
    return first[:-1]


def moments(histories: Histories) -> LongVector:
    """(n_events,) the place of the first event of the same history and moment; the event's own without times."""
    if histories.time is None:
        return np.arange(histories.n_events)
    new = opens(histories)
    new[1:] |= histories.time[1:] != histories.time[:-1]
    starts = np.flatnonzero(new)
    return np.repeat(starts, np.diff(np.append(starts, histories.n_events)))


def tied(histories: Histories) -> BoolVector:
    """(n_events,) whether the event shares its moment with another event of the same history."""
    if histories.time is None:
        return np.zeros(histories.n_events, bool)
    same = (histories.time[1:] == histories.time[:-1]) & ~opens(histories)[1:]
    found: BoolVector = np.append(same, False) | np.append(False, same)
    return found[: histories.n_events]


def repeated(cases: Cases) -> BoolVector:
    """(n_targets,) whether the target's item is in the query's history, or is an earlier target of the same case."""
    n_items = len(cases.queries.items)
    had, wanted = np.sort(_keys(cases.queries.histories, n_items)), _keys(cases.targets, n_items)
    again = np.ones(len(wanted), bool)
    again[np.unique(wanted, return_index=True)[1]] = False
    if len(had):
        again |= had[np.minimum(np.searchsorted(had, wanted), len(had) - 1)] == wanted
    return again


def _keys(histories: Histories, n_items: int) -> LongVector:
    """(n_events,) one number for each pair of row and item."""
    keys: LongVector = histories.owner().astype(np.int64) * n_items + histories.item
    return keys


def cases_of(dataset: Dataset, history: BoolVector, target: BoolVector, now: LongVector | None = None) -> Cases:
    """The users with at least one target event, as cases: their history events and their target events.

    `now` is the moment of each user's query (n_users,); by default that of the first target.
    """
    targets = dataset.histories.keep(target)
    users = np.flatnonzero(targets.lengths > 0)
    chosen = targets.take(users)
    when: LongVector | None = None if now is None else now[users]
    if now is None and chosen.time is not None and dataset.clock == "time":
        when = chosen.time[chosen.offsets[:-1]]
    queries = Queries(
        dataset.histories.keep(history).take(users),
        dataset.items,
        when,
        tuple(dataset.users.decode(users)),
        kinds=dataset.kinds,
    )
    return Cases(queries, chosen)


def _facts(
    dataset: Dataset, train: Dataset, validation: Cases | None, development: Dataset, asked: Cases, test: Cases
) -> Facts:
    later_cases, later_events = _later(development, test)
    return Facts(
        train_events=train.n_events,
        validation_cases=0 if validation is None else len(validation),
        test_cases=len(test),
        test_targets=test.targets.n_events,
        later_train_share=later_cases,
        later_train_events=later_events,
        tie_share=float(tied(dataset.histories).mean()) if dataset.clock == "time" else None,
        cold_users=int((asked.queries.histories.lengths == 0).sum()),
        cold_items=int((development.popularity[asked.targets.item] == 0).sum()),
        repeats=int(repeated(asked).sum()),
        left_out_cases=len(asked) - len(test),
        left_out_targets=asked.targets.n_events - test.targets.n_events,
    )


def _later(development: Dataset, test: Cases) -> tuple[float | None, float | None]:
    """The share of cases with some later development event, and the mean share of later development events."""
    if development.clock != "time" or test.targets.time is None or development.histories.time is None:
        return None, None
    first = test.targets.time[test.targets.offsets[:-1]]
    if first.min() >= development.histories.time.max():
        return 0.0, 0.0
    known = np.sort(development.histories.time)
    later = len(known) - np.searchsorted(known, first, side="right")
    return float(np.mean(later > 0)), float(np.mean(later) / len(known))


def _warnings(facts: Facts, leaks: str) -> tuple[str, ...]:
    said = [leaks] if leaks else []
    if facts.tie_share is not None and facts.tie_share > 0.05:
        said.append(
            f"{facts.tie_share:.0%} of the events share their moment with another of the same user: "
            "their order is a convention, so compare ties=stable with ties=shuffle"
        )
    if facts.left_out_targets:
        asked = facts.test_targets + facts.left_out_targets
        said.append(
            f"{facts.left_out_targets:,} of {asked:,} test targets are left out by the settings "
            f"(there were {facts.cold_users:,} cases without a history, {facts.cold_items:,} targets on items without "
            f"training events, {facts.repeats:,} repeats)"
        )
    elif facts.cold_items:
        said.append(f"{facts.cold_items:,} of {facts.test_targets:,} test targets are on items without training events")
    if not facts.validation_cases:
        said.append("no validation case is left: models that stop early on validation run all their epochs")
    if facts.test_cases < 100:
        said.append(f"only {facts.test_cases:,} test cases: expect wide intervals")
    return tuple(said)
