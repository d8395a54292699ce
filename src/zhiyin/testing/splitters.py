"""What every splitter must do: subclass it, name the splitter, and pytest runs the rest.

class TestLeaveLastOut(SplitterSuite):
    splitter = LeaveLastOut
    clock = "position"
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from zhiyin.arrays import AnyArray, IntVector
from zhiyin.data.dataset import Clock, Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError, DataError
from zhiyin.splitting.base import Cases, Split, Splitter
from zhiyin.testing.recommenders import raises
from zhiyin.testing.worlds import DAY


def random_log(
    seed: int = 0, n_users: int = 60, n_items: int = 30, n_events: int = 900, days: int = 80, clock: Clock = "time"
) -> Dataset:
    """Events at random, with repeats and with many events of one user at one moment.

    `session` numbers the events of the whole log from 0, so that a test can tell where each event went; some users and
    items may have no event.
    """
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, n_users, n_events))
    time = rng.integers(0, days, n_events) * DAY
    order = np.lexsort((time, owner))
    histories = Histories.of_lengths(
        np.bincount(owner, minlength=n_users),
        item=rng.integers(0, n_items, n_events).astype(np.int32),
        time=time[order].astype(np.int64) if clock == "time" else None,
        session=np.arange(n_events, dtype=np.int32),
    )
    items = [f"i{number:03d}" for number in range(n_items)]
    return Dataset.of(histories, items, [f"u{number:03d}" for number in range(n_users)], clock, name="random log")


def marks(histories: Histories) -> IntVector:
    """The numbers by which `random_log` knows the events."""
    assert histories.session is not None
    return histories.session


def same_cases(one: Cases | None, other: Cases | None) -> bool:
    """Whether two sets of cases ask the same questions and expect the same answers."""
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(
        np.array_equal(ours.offsets, theirs.offsets) and np.array_equal(marks(ours), marks(theirs))
        for ours, theirs in ((one.queries.histories, other.queries.histories), (one.targets, other.targets))
    )


def same_split(one: Split, other: Split) -> bool:
    """Whether two splits hold the same events in the same places."""
    return (
        np.array_equal(marks(one.train.histories), marks(other.train.histories))
        and np.array_equal(marks(one.development.histories), marks(other.development.histories))
        and same_cases(one.validation, other.validation)
        and same_cases(one.test, other.test)
    )


class SplitterSuite:
    """The behaviour contract of a splitter."""

    splitter: ClassVar[type[Splitter]]
    options: ClassVar[dict[str, Any]] = {}
    clock: ClassVar[Clock] = "time"
    """The least that the splitter must know of when."""

    def split(self, data: Dataset | None = None, **options: Any) -> Split:
        """A split of the random log by default."""
        return self.splitter(**{**self.options, **options}).split(random_log() if data is None else data)

    def test_no_event_is_learnt_from_and_foretold(self) -> None:
        split = self.split()
        assert not set(marks(split.development.histories)) & set(marks(split.test.targets))
        assert split.validation is not None
        assert not set(marks(split.train.histories)) & set(marks(split.validation.targets))
        assert set(marks(split.train.histories)) <= set(marks(split.development.histories))

    def test_histories_and_targets_belong_to_the_user(self) -> None:
        data = random_log()
        split = self.split(data)
        owner = data.histories.owner()
        for cases in (split.test, split.validation):
            assert cases is not None
            assert cases.queries.users is not None
            users = data.users.encode(cases.queries.users)
            for events in (cases.queries.histories, cases.targets):
                assert np.array_equal(owner[marks(events)], users[events.owner()])
                assert np.array_equal(data.histories.item[marks(events)], events.item)

    def test_history_and_targets_of_a_case_are_apart_and_in_order(self) -> None:
        split = self.split()
        for row in range(len(split.test)):
            case = split.test.take([row])
            history, targets = marks(case.queries.histories), marks(case.targets)
            assert len(targets)
            assert not set(history) & set(targets)
            assert (np.diff(history) > 0).all()
            assert (np.diff(targets) > 0).all()

    def test_all_users_and_items_stay_in_the_catalogue(self) -> None:
        data = random_log()
        split = self.split(data)
        for part in (split.train, split.development):
            assert (part.n_users, part.n_items) == (data.n_users, data.n_items)
        assert len(split.test.queries.items) == data.n_items

    def test_the_same_settings_give_the_same_split(self) -> None:
        assert same_split(self.split(), self.split())
        assert same_split(self.split(ties="shuffle", seed=4), self.split(ties="shuffle", seed=4))

    def test_the_data_stays_as_it_was(self) -> None:
        data = random_log()
        before = data.content_hash
        self.split(data, ties="shuffle", repeats="drop")
        assert random_log().content_hash == before
        assert Dataset(data.histories, data.item_table, data.user_table, data.manifest).content_hash == before

    def test_renamed_users_give_the_same_split(self) -> None:
        data = random_log()
        names = [f"somebody else {number}" for number in range(data.n_users)]
        renamed = Dataset.of(data.histories, data.items, names, name="renamed")
        assert same_split(self.split(data), self.split(renamed))

    def test_shuffled_ties_move_events_only_inside_their_moment(self) -> None:
        data = random_log(days=10)
        events = data.histories
        assert events.time is not None
        split = self.split(data, ties="shuffle", seed=1)
        for part in (split.train.histories, split.development.histories):
            assert part.time is not None
            assert np.array_equal(events.time[marks(part)], part.time)
            inside = np.diff(part.owner()) == 0
            assert (np.diff(part.time)[inside] >= 0).all()
            assert (np.diff(marks(part))[inside] < 0).any(), "nothing was shuffled"

    def test_dropped_repeats_and_cold_targets_are_gone_and_counted(self) -> None:
        data = random_log(n_items=300)
        whole, split = self.split(data, cold_users="keep"), self.split(data, cold_users="keep", repeats="drop")
        for row in range(len(split.test)):
            case = split.test.take([row])
            assert not set(case.queries.histories.item) & set(case.targets.item)
            assert len(set(case.targets.item)) == case.targets.n_events
        assert whole.facts.test_targets - split.facts.test_targets == whole.facts.repeats == split.facts.repeats

    def test_facts_are_counted_right(self) -> None:
        split = self.split(random_log(n_items=300), cold_users="keep")
        facts, test = split.facts, split.test
        assert facts.train_events == split.train.n_events
        assert facts.test_cases == len(test)
        assert facts.test_targets == test.targets.n_events
        assert facts.cold_users == sum(len(test.queries.histories.of(row)) == 0 for row in range(len(test)))
        known = set(split.development.histories.item.tolist())
        assert facts.cold_items == sum(item not in known for item in test.targets.item.tolist())
        assert facts.repeats == sum(_repeats(test, row) for row in range(len(test)))

    def test_leakage_is_counted_right(self) -> None:
        split = self.split()
        learnt, targets = split.development.histories.time, split.test.targets.time
        assert learnt is not None
        assert targets is not None
        later = [np.mean(learnt > targets[place]) for place in split.test.targets.offsets[:-1]]
        assert split.facts.later_train_share == np.mean([share > 0 for share in later])
        assert np.isclose(split.facts.later_train_events or 0.0, np.mean(later))
        assert bool(self.splitter.leaks) == bool(split.facts.later_train_share)
        assert not self.splitter.leaks or self.splitter.leaks in split.facts.warnings

    def test_what_is_not_known_of_time_is_not_needed_or_refused(self) -> None:
        known: tuple[Clock, ...] = ("none", "position", "time")
        for clock in known:
            data = random_log(clock=clock)
            if known.index(clock) < known.index(self.clock):
                assert self.splitter(**self.options).name in raises(DataError, lambda data=data: self.split(data))
            else:
                assert len(self.split(data).test)

    def test_too_little_data_is_refused_with_a_reason(self) -> None:
        nothing = random_log(n_users=3, n_events=0)
        assert "no events" in raises(DataError, lambda: self.split(nothing))
        assert "random log" in raises(DataError, lambda: self.split(random_log(n_users=1, n_events=1)))

    def test_bad_settings_are_refused(self) -> None:
        assert "did you mean" in raises(ConfigError, lambda: self.splitter(tie="shuffle"))
        assert "ties" in raises(ConfigError, lambda: self.splitter(ties="sometimes"))

    def test_settings_travel_with_the_split(self) -> None:
        split = self.split(seed=3)
        assert split.settings["seed"] == 3
        assert split.name == self.splitter(**self.options).name
        assert replace(split, name="another").facts == split.facts


def _repeats(cases: Cases, row: int) -> int:
    history: AnyArray = cases.queries.histories.of(row)
    targets = cases.targets.of(row).tolist()
    fresh = set(targets) - set(history.tolist())
    return len(targets) - len(fresh)
