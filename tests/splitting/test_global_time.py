from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.errors import ConfigError, DataError, ZhiyinError
from zhiyin.splitting.base import Cases
from zhiyin.splitting.global_time import GlobalTime, moment
from zhiyin.testing.splitters import SplitterSuite, marks, random_log, same_cases, same_split
from zhiyin.testing.worlds import DAY

TARGETS = ("all", "first", "last", "successive")


class TestGlobalTimeAll(SplitterSuite):
    splitter = GlobalTime


class TestGlobalTimeFirst(SplitterSuite):
    splitter = GlobalTime
    options = {"targets": "first"}


class TestGlobalTimeLast(SplitterSuite):
    splitter = GlobalTime
    options = {"targets": "last"}


class TestGlobalTimeSuccessive(SplitterSuite):
    splitter = GlobalTime
    options = {"targets": "successive"}


def world() -> Dataset:
    """Days 0 to 9. User a: 0 1 5 8 8 9; user b: 2 9; user c: 8 9; user d: 1."""
    time = np.array([0, 1, 5, 8, 8, 9, 2, 9, 8, 9, 1]) * DAY
    item = np.array([0, 1, 2, 3, 1, 4, 0, 1, 2, 3, 4], np.int32)
    histories = Histories.of_lengths([6, 2, 2, 1], item=item, time=time, session=np.arange(11, dtype=np.int32))
    return Dataset.of(histories, list("vwxyz"), list("abcd"))


def asked(cases: Cases) -> list[tuple[str, int, list[int], list[int]]]:
    """(user, now in days, history, targets) of each case."""
    queries = cases.queries
    assert queries.users is not None
    assert queries.now is not None
    return [
        (
            queries.users[row],
            int(queries.now[row] // DAY),
            marks(queries.histories.slice(row, row + 1)).tolist(),
            marks(cases.targets.slice(row, row + 1)).tolist(),
        )
        for row in range(len(cases))
    ]


def cut_at_8(**options: Any) -> Any:
    return GlobalTime(date=8 * DAY, validation_date=5 * DAY, **options).split(world())


def test_all_later_events_are_targets_of_one_case() -> None:
    split = cut_at_8()
    assert asked(split.test) == [("a", 8, [0, 1, 2], [3, 4, 5]), ("b", 8, [6], [7])]
    assert asked(split.validation) == [("a", 5, [0, 1], [2])]
    assert marks(split.train.histories).tolist() == [0, 1, 6, 10]
    assert marks(split.development.histories).tolist() == [0, 1, 2, 6, 10]
    assert (split.facts.cold_users, split.facts.left_out_cases, split.facts.left_out_targets) == (1, 1, 2)


def test_users_without_a_past_can_be_asked_too() -> None:
    assert asked(cut_at_8(cold_users="keep").test)[2] == ("c", 8, [], [8, 9])


def test_the_first_later_event_is_asked_at_the_cut() -> None:
    assert asked(cut_at_8(targets="first").test) == [("a", 8, [0, 1, 2], [3]), ("b", 8, [6], [7])]


def test_the_last_event_is_asked_at_its_own_moment() -> None:
    expected = [("a", 9, [0, 1, 2, 3, 4], [5]), ("b", 9, [6], [7]), ("c", 9, [8], [9])]
    assert asked(cut_at_8(targets="last").test) == expected


def test_successive_events_are_asked_one_by_one_without_events_of_the_same_moment() -> None:
    assert asked(cut_at_8(targets="successive").test) == [
        ("a", 8, [0, 1, 2], [3]),
        ("a", 8, [0, 1, 2], [4]),
        ("a", 9, [0, 1, 2, 3, 4], [5]),
        ("b", 9, [6], [7]),
        ("c", 9, [8], [9]),
    ]


def test_long_histories_can_be_cut_to_their_latest_events() -> None:
    assert [case[2] for case in asked(cut_at_8(max_history=2).test)] == [[1, 2], [6]]
    assert [case[2] for case in asked(cut_at_8(max_history=2, targets="last").test)] == [[3, 4], [6], [8]]


def test_repeats_and_cold_items_can_be_left_out() -> None:
    assert [case[3] for case in asked(cut_at_8(repeats="drop").test)] == [[3, 5], [7]]
    assert [case[3] for case in asked(cut_at_8(cold_items="drop").test)] == [[4, 5], [7]]


@pytest.mark.parametrize("date", ["1970-01-09", "1970-01-09T00:00:00Z", "19700109", 8 * DAY, str(8 * DAY)])
def test_a_date_can_be_written_in_many_ways(date: str | int) -> None:
    split = GlobalTime(date=date, validation_date=5 * DAY).split(world())
    assert same_split(split, cut_at_8())


def test_a_bad_date_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="expected an ISO date"):
        GlobalTime(date="last Monday")


def test_cuts_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="not before the test cut"):
        GlobalTime(quantile=0.5, validation_quantile=0.6).split(random_log())


def test_a_cut_outside_the_log_is_refused() -> None:
    for date in ("1960-01-01", "2960-01-01"):
        with pytest.raises(DataError, match=r"0 training events|0 of 0 test cases"):
            GlobalTime(date=date).split(random_log())


@pytest.mark.parametrize("options", [{"date": 1_718_000_000}, {"date": "2024-06-10", "validation_date": 1_717_000_000}])
def test_dates_of_another_unit_are_refused(options: dict[str, Any]) -> None:
    log, made = random_log(), GlobalTime(**options)
    assert log.histories.time is not None
    time = log.histories.time + moment("2024-06-01")
    wrong = r"date came as 171.*000, which is of the year 1970 .* look like seconds"
    for first in (time[0], NO_TIME):
        today = log.with_histories(replace(log.histories, time=np.append(first, time[1:])))
        with pytest.raises(DataError, match=wrong):
            made.split(today)
        with pytest.raises(DataError, match=wrong):
            list(made.folds(today, 2))


def test_moments_of_years_before_1970_and_of_zones() -> None:
    assert moment("1969-12-31T23:59:59.999999") == -1
    assert moment("1970-01-01T00:00:00-02:00") == 7_200_000_000


def test_validation_can_be_left_out() -> None:
    split = GlobalTime(validation=False).split(random_log())
    assert split.validation is None
    assert same_cases(split.test, GlobalTime().split(random_log()).test)
    assert split.train.n_events == split.development.n_events
    assert any("no validation" in line for line in split.facts.warnings)


# ---------------------------------------------------------------- properties

logs = st.builds(
    random_log,
    seed=st.integers(0, 10_000),
    n_users=st.integers(1, 15),
    n_items=st.integers(1, 12),
    n_events=st.integers(2, 200),
    days=st.integers(1, 40),
)
options = st.fixed_dictionaries(
    {
        "quantile": st.floats(0.2, 0.95),
        "targets": st.sampled_from(TARGETS),
        "cold_users": st.sampled_from(["keep", "drop"]),
        "repeats": st.sampled_from(["keep", "drop"]),
        "cold_items": st.sampled_from(["keep", "drop"]),
        "ties": st.sampled_from(["stable", "shuffle"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(logs, options)
def test_the_future_never_reaches_a_model_or_a_query(data: Dataset, chosen: dict[str, Any]) -> None:
    try:
        split = GlobalTime(**chosen).split(data)
    except (DataError, ConfigError):
        return
    assert split.facts.later_train_share == 0
    assert split.facts.later_train_events == 0
    assert data.histories.time is not None
    assert split.test.targets.time is not None
    assert split.development.histories.time is not None
    assert split.development.histories.time.max() < split.test.targets.time.min()
    for cases in (split.test, split.validation):
        if cases is not None:
            _check_cases(data, cases, chosen)


def _check_cases(data: Dataset, cases: Cases, chosen: dict[str, Any]) -> None:
    history, targets, now = cases.queries.histories, cases.targets, cases.queries.now
    assert now is not None
    assert cases.queries.users is not None
    times = data.histories.time
    assert times is not None
    owner, users = data.histories.owner(), data.users.encode(cases.queries.users)
    for row in range(len(cases)):
        past = set(marks(history.slice(row, row + 1)).tolist())
        assert past == set(np.flatnonzero((owner == users[row]) & (times < now[row])).tolist())
        assert times[marks(targets.slice(row, row + 1))].min() >= now[row]
        assert targets.lengths[row] == 1 or chosen["targets"] == "all"
        assert past or chosen["cold_users"] == "keep"


@settings(deadline=None)
@given(logs, st.floats(0.3, 0.9))
def test_every_event_after_the_cut_is_asked_once(data: Dataset, quantile: float) -> None:
    for targets in ("all", "successive"):
        try:
            split = GlobalTime(quantile=quantile, targets=targets, cold_users="keep").split(data)
        except (DataError, ConfigError):
            return
        told = [*marks(split.development.histories).tolist(), *marks(split.test.targets).tolist()]
        assert sorted(told) == list(range(data.n_events))
        assert split.validation is not None or split.train.n_events == split.development.n_events
        if split.validation is not None:
            learnt = [*marks(split.train.histories).tolist(), *marks(split.validation.targets).tolist()]
            assert sorted(learnt) == sorted(marks(split.development.histories).tolist())


# ---------------------------------------------------------------- the peers' protocol, written down a second time


def plain_temporal(user: Any, item: Any, time: Any) -> tuple[dict[int, set[int]], dict[int, set[int]], int]:
    """Test and validation targets of each user, and how many are cold: cuts at quantiles 0.8 and 0.9 of the events."""
    early, late = np.quantile(time, 0.8), np.quantile(time, 0.9)

    def relevant(seen: Any, asked: Any) -> tuple[dict[int, set[int]], int]:
        known, found, cold = set(item[seen].tolist()), {}, 0
        for one in set(user.tolist()):
            had = set(item[seen & (user == one)].tolist())
            new = set(item[asked & (user == one)].tolist()) - had
            if had:
                cold += len(new - known)
                if new & known:
                    found[one] = new & known
        return found, cold

    test, cold = relevant(time <= late, time > late)
    return test, relevant(time <= early, (time > early) & (time <= late))[0], cold


@pytest.mark.parametrize("seed", range(8))
def test_the_temporal_protocol_of_published_tables_is_reproduced(seed: int) -> None:
    data = random_log(seed, n_users=80, n_items=150, n_events=1500, days=1000)
    test, validation, cold = plain_temporal(data.histories.owner(), data.histories.item, data.histories.time)
    split = GlobalTime(cold_items="drop", repeats="drop").split(data)
    for cases, expected in ((split.test, test), (split.validation, validation)):
        assert cases is not None
        assert cases.queries.users is not None
        users = data.users.encode(cases.queries.users).tolist()
        assert users == sorted(expected)
        for row, one in enumerate(users):
            assert sorted(cases.targets.of(row).tolist()) == sorted(expected[one])
    dropped = GlobalTime(repeats="drop").split(data).facts.test_targets - split.facts.test_targets
    assert dropped == cold


# ---------------------------------------------------------------- folds


@pytest.mark.parametrize("options", [{}, {"date": "1970-03-01"}, {"targets": "successive"}])
def test_folds_follow_one_another_and_end_with_the_split_itself(options: dict[str, Any]) -> None:
    data = random_log(n_events=3000)
    folds = list(GlobalTime(cold_users="keep", **options).folds(data, 3))
    assert len(folds) == 3
    assert same_cases(folds[-1].test, GlobalTime(cold_users="keep", **options).split(data).test)
    tested = [set(marks(fold.test.targets).tolist()) for fold in folds]
    for number, fold in enumerate(folds):
        assert fold.facts.later_train_share == 0
        assert not set(marks(fold.development.histories).tolist()) & tested[number]
        assert all(not tested[number] & other for other in tested[:number])
        earlier = set().union(*tested[:number])
        assert earlier <= set(marks(fold.development.histories).tolist())


def test_folds_that_do_not_fit_are_refused() -> None:
    for k, options in ((10, {}), (0, {}), (5, {"date": "1970-02-10"})):
        with pytest.raises(ConfigError, match=r"folds came|leave nothing"):
            list(GlobalTime(**options).folds(random_log(), k))
    with pytest.raises(ZhiyinError, match="times"):
        list(GlobalTime().folds(random_log(clock="position"), 2))


def test_an_event_without_a_time_is_no_room_for_folds() -> None:
    log = random_log()
    assert log.histories.time is not None
    untimed = replace(log.histories, time=np.append(NO_TIME, log.histories.time[1:]))
    with pytest.raises(ConfigError, match="leave nothing before the first"):
        list(GlobalTime(date="1970-02-10").folds(log.with_histories(untimed), 5))
