"""Windows, training batches and queries: every event once, no answer seen, nothing from another history."""

import time as clock
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.nn.batches import Batch, BatchMaker, Objective, blocks, cut
from zhiyin.nn.reading import SECOND, Reading
from zhiyin.nn.relations import FOREVER, UNKNOWN

LENGTHS = (0, 1, 2, 3, 7, 8, 9, 40, 1, 23, 0, 8)
MAX = 8
DAY = 86_400


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def histories(*lengths: int, times: bool = False) -> Histories:
    """Items are the numbers of their events, so that an item tells where it comes from."""
    of = np.array(lengths or LENGTHS, np.int64)
    n = int(of.sum())
    time = None
    if times:
        time = np.concatenate([np.cumsum(np.arange(1, one + 1)) * 100 * SECOND + 7 * SECOND for one in of])
    return Histories.of_lengths(of, item=np.arange(n, dtype=np.int32), time=time)


def learnable(**options: bool) -> Histories:
    return histories(*(one for one in LENGTHS if one > 1), **options)


def maker(
    objective: Objective = "next", max_length: int = MAX, features: tuple[str, ...] = (), **options: float
) -> BatchMaker:
    return BatchMaker(Reading(features, max_length, 3), max_length, objective, **options)


def owner_of(of: Histories, event: np.ndarray | Tensor) -> np.ndarray:
    found: np.ndarray = of.owner()[np.asarray(event)]
    return found


def whole(of: Histories, make: BatchMaker, seed: int = 0, answers: np.ndarray | None = None) -> Batch:
    """One epoch as one batch."""
    generator = np.random.default_rng(seed)
    (windows,) = make.epoch(of, 10**6, generator)
    return make.training(of, windows, generator, answers)


def queries(of: Histories, now: np.ndarray | None = None) -> Queries:
    return Queries(of, Vocabulary([str(number) for number in range(of.n_events)]), now)


# ---------------------------------------------------------------------- windows


@pytest.mark.parametrize("max_length", [1, 2, 8, 39, 100])
@pytest.mark.parametrize("ahead", [True, False])
def test_windows_cover_each_usable_event_once(ahead: bool, max_length: int) -> None:
    of = histories()
    for seed in range(20):
        windows = cut(of, max_length, ahead, np.random.default_rng(seed))
        assert windows.dtype == np.int64
        assert windows[:, 1].min() >= 1
        assert windows[:, 1].max() <= max_length
        seen = np.concatenate([np.arange(start, start + length) for start, length in windows])
        usable = np.repeat(of.lengths > 1, of.lengths)
        if ahead:
            usable[of.offsets[1:][of.lengths > 0] - 1] = False
        assert np.bincount(seen, minlength=of.n_events).tolist() == usable.astype(int).tolist()
        first, last = windows[:, 0], windows.sum(1) - 1
        assert (owner_of(of, first) == owner_of(of, last)).all()


def test_short_histories_are_one_window_and_long_ones_begin_at_random() -> None:
    of = histories(9, 30)
    first = [cut(of, MAX, True, np.random.default_rng(seed)).tolist() for seed in range(400)]
    assert all(windows[0] == [0, 8] for windows in first)
    lengths = np.bincount([windows[1][1] for windows in first], minlength=MAX + 1)
    assert lengths[0] == 0
    assert lengths[1:].min() > 25  # 400 / 8 = 50 each, with a deviation of 6.6
    assert all(all(length == MAX for _, length in windows[2:-1]) for windows in first)


def test_the_generator_decides_the_windows() -> None:
    of = histories()
    first, again, other = (cut(of, 4, True, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_nothing_to_cut() -> None:
    for of in (histories(0, 0), histories(1, 1), Histories.of_lists([])):
        assert cut(of, MAX, True, np.random.default_rng(0)).shape == (0, 2)
        assert maker().epoch(of, 100, np.random.default_rng(0)) == []


def test_two_hundred_thousand_histories_are_cut_at_once() -> None:
    lengths = np.random.default_rng(0).geometric(0.02, 200_000)
    of = Histories.of_lengths(lengths, item=np.zeros(lengths.sum(), np.int32))
    start = clock.process_time()
    windows = cut(of, 50, True, np.random.default_rng(0))
    assert clock.process_time() - start < 1
    assert windows[:, 1].sum() == (lengths - 1).sum()


@pytest.mark.parametrize("size", [1, 10, 30, 1000])
def test_an_epoch_deals_out_every_window_once(size: int) -> None:
    of, make = histories(), maker()
    parts = make.epoch(of, size, np.random.default_rng(3))
    right = cut(of, MAX, True, np.random.default_rng(3))
    dealt = np.concatenate(parts)
    assert sorted(map(tuple, dealt)) == sorted(map(tuple, right))
    assert all(len(part) for part in parts)
    events = np.array([part[:, 1].sum() for part in parts])
    assert (events <= size + 2 * MAX).all()
    if size == 10:
        assert len(parts) == pytest.approx(right[:, 1].sum() / size, abs=2)
        assert dealt.tolist() != right.tolist()  # shuffled
        assert [len(part) for part in parts] != [len(part) for part in make.epoch(of, size, np.random.default_rng(4))]
    again = make.epoch(of, size, np.random.default_rng(3))
    assert [part.tolist() for part in parts] == [part.tolist() for part in again]


def test_masked_windows_hold_the_last_event_too() -> None:
    of = learnable()
    assert sum(part[:, 1].sum() for part in maker("masked").epoch(of, 20, np.random.default_rng(0))) == of.n_events


# ---------------------------------------------------------------------- training on what comes next


def test_next_targets_are_the_events_that_follow() -> None:
    of = learnable()
    batch = whole(of, maker())
    assert batch.places is None
    assert batch.target is not None
    assert torch.equal(batch.target, batch.item + 1)
    assert (owner_of(of, batch.item) == owner_of(of, batch.target)).all()
    assert sorted(batch.target.tolist()) == sorted(set(range(of.n_events)) - set(of.offsets[:-1].tolist()))
    assert batch.item.dtype == batch.target.dtype == torch.int64


def test_windows_lie_longest_first_and_each_is_whole() -> None:
    of, make = learnable(), maker()
    generator = np.random.default_rng(0)
    (windows,) = make.epoch(of, 10**6, generator)
    batch = make.training(of, windows, generator)
    assert sorted(batch.order.tolist()) == list(range(len(windows)))
    assert (np.diff(batch.layout.lengths) <= 0).all()
    for place, row in enumerate(batch.order):
        start, length = windows[row]
        own = batch.item[batch.layout.offsets[place] : batch.layout.offsets[place + 1]]
        assert own.tolist() == list(range(start, start + length))
    assert torch.equal(batch.item[batch.layout.last()], torch.as_tensor(windows.sum(1)[batch.order] - 1))


@pytest.mark.parametrize("horizon", [1, 3, 100])
def test_all_action_targets_lie_within_the_horizon_and_the_history(horizon: int) -> None:
    of, make = learnable(), maker("all_action", horizon=horizon)
    seen = set()
    for seed in range(60):
        batch = whole(of, make, seed)
        assert batch.target is not None
        apart = (batch.target - batch.item).numpy()
        assert apart.min() == 1
        assert apart.max() <= horizon
        assert (owner_of(of, batch.item) == owner_of(of, batch.target)).all()
        seen |= set(apart.tolist())
    assert seen == set(range(1, min(horizon, MAX) + 1))


def test_all_action_takes_each_of_the_next_events_alike() -> None:
    of, make = histories(9), maker("all_action", horizon=4)
    found = [whole(of, make, seed).target for seed in range(600)]
    first = np.bincount([int(one[0]) for one in found if one is not None], minlength=9)
    assert first[[1, 2, 3, 4]].min() > 110  # 150 each, with a deviation of 10.6
    assert first.sum() == first[1:5].sum()
    last = {int(one[-1]) for one in found if one is not None}
    assert last == {8}  # only one event is left


@pytest.mark.parametrize("objective", ["next", "all_action"])
def test_only_events_that_may_be_asked_for_are(objective: Objective) -> None:
    of, make = learnable(), maker(objective, horizon=3)
    answers = np.random.default_rng(1).random(of.n_events) < 0.4
    batch, bare = whole(of, make, answers=answers), whole(of, make)
    assert batch.target is not None
    assert batch.places is not None
    assert bare.target is not None
    assert torch.equal(batch.item, bare.item)  # history stays what it is
    wanted = answers[bare.target]
    assert batch.places.tolist() == np.flatnonzero(wanted).tolist()
    assert torch.equal(batch.target, bare.target[batch.places])
    assert 0 < len(batch.target) < len(bare.target)


@pytest.mark.parametrize(("objective", "left"), [("next", [(0, 3)]), ("masked", [(0, 3), (3, 3)])])
def test_windows_that_ask_for_nothing_are_left_out(objective: Objective, left: list[tuple[int, int]]) -> None:
    of, answers = histories(3, 3, 3), np.zeros(9, bool)
    answers[[2, 3]] = True  # the last event of the first history; the first of the second, which nothing comes before
    windows = maker(objective).epoch(of, 10**6, np.random.default_rng(0), answers)
    found = sorted((int(start), int(length)) for one in windows for start, length in one)
    assert [(start, length + (objective == "next")) for start, length in found] == left


def test_no_event_may_be_asked_for() -> None:
    of = learnable()
    for objective in ("next", "all_action", "masked"):
        batch = whole(of, maker(objective), answers=np.zeros(of.n_events, bool))
        assert batch.places is not None
        assert batch.target is not None
        assert len(batch.places) == len(batch.target) == 0


@pytest.mark.parametrize("objective", ["next", "all_action", "masked"])
def test_a_seed_is_a_batch(objective: Objective) -> None:
    of, make = learnable(times=True), maker(objective, features=("position", "wait"), horizon=3, blind=0.3)
    first, again, other = whole(of, make, 1), whole(of, make, 1), whole(of, make, 2)
    for name in ("item", "features", "seconds", "asked", "hidden", "places", "target"):
        one, two = getattr(first, name), getattr(again, name)
        assert (one is None and two is None) or torch.equal(one, two)
    assert first.target is not None
    assert other.target is not None
    assert first.target.tolist() != other.target.tolist()


# ---------------------------------------------------------------------- times


def test_an_event_answers_at_the_time_of_the_next_one() -> None:
    of = learnable(times=True)
    assert of.time is not None
    batch = whole(of, maker(features=("wait",)))
    assert batch.seconds is not None
    assert batch.asked is not None
    assert batch.seconds.dtype == batch.asked.dtype == torch.int32
    event = batch.item.numpy()
    first = np.repeat(event[batch.layout.offsets[:-1]], batch.layout.lengths)
    assert batch.seconds.tolist() == ((of.time[event] - of.time[first]) // SECOND).tolist()
    assert batch.asked.tolist() == ((of.time[event + 1] - of.time[first]) // SECOND).tolist()
    right = Reading(("wait",), MAX).numbers({"time": of.time[event]}, of.time[event + 1], batch.layout.positions())
    assert batch.features.tolist() == right.tolist()


def test_no_times_are_no_seconds() -> None:
    batch = whole(learnable(), maker(features=("position",)))
    assert batch.seconds is None
    assert batch.asked is None
    assert batch.features[:, 0].tolist() == batch.layout.positions().tolist()


def test_unknown_and_far_times() -> None:
    time = np.array([0, NO_TIME, 5, 200 * 365 * DAY, NO_TIME, 9, 10]) * np.array(
        [SECOND, 1, SECOND, SECOND, 1, SECOND, SECOND]
    )
    of = Histories.of_lengths(np.array([4, 3]), item=np.arange(7, dtype=np.int32), time=time)
    batch = maker().training(of, np.array([[0, 3], [4, 2]]), np.random.default_rng(0))
    assert batch.seconds is not None
    assert batch.asked is not None
    # the first event answers at an unknown time; of the second nothing is known; of the others the origin
    assert batch.seconds.tolist() == [UNKNOWN, UNKNOWN, 5, UNKNOWN, UNKNOWN]
    assert batch.asked.tolist() == [UNKNOWN, UNKNOWN, FOREVER, UNKNOWN, UNKNOWN]


def test_blind_windows_are_told_of_their_items_alone() -> None:
    of = learnable(times=True)
    make = maker(features=("position", "wait"), blind=0.5)
    batch, seeing = whole(of, make), whole(of, maker(features=("position", "wait")))
    assert batch.seconds is not None
    assert batch.asked is not None
    blind = (batch.seconds == UNKNOWN).numpy()
    for start, stop in zip(batch.layout.offsets[:-1], batch.layout.offsets[1:], strict=True):
        assert blind[start:stop].all() or not blind[start:stop].any()  # a window is told of all or of nothing
    assert 0.2 < blind[batch.layout.offsets[:-1]].mean() < 0.8
    assert ((batch.asked == UNKNOWN).numpy() == blind).all()
    last = sum(make.reading.sizes.values()) - 1
    assert (batch.features[blind, 1] == last).all()
    assert (batch.features[~blind, 1] != last).all()
    assert torch.equal(batch.features[:, 0], seeing.features[:, 0])
    assert (whole(of, maker(features=("wait",), blind=0.0)).seconds != UNKNOWN).all()


# ---------------------------------------------------------------------- hidden events


def test_hidden_events_show_no_item_and_are_answered() -> None:
    of = histories(*[9] * 40)
    of = replace(of, item=of.item + 1)  # 0 stands for hidden
    batch = whole(of, maker("masked", masked=0.3))
    assert batch.hidden is not None
    assert batch.places is not None
    assert batch.target is not None
    assert batch.hidden.dtype == torch.bool
    assert not batch.item[batch.hidden].any()
    assert (batch.item[~batch.hidden] > 0).all()
    assert batch.places.tolist() == torch.nonzero(batch.hidden)[:, 0].tolist()
    full = batch.item.clone()
    full[batch.places] = batch.target
    assert sorted(full.tolist()) == of.item.tolist()  # each event is there once, and targets are the true ones
    for start, stop in zip(batch.layout.offsets[:-1], batch.layout.offsets[1:], strict=True):
        assert full[start:stop].diff().eq(1).all()


def test_shares_of_hidden_events() -> None:
    of = histories(*[8] * 2000)
    batch = whole(of, maker("masked", masked=0.2))
    assert batch.hidden is not None
    hidden = batch.hidden.numpy().reshape(-1, 8)
    assert hidden[:, :-1].mean() == pytest.approx(0.2, abs=0.015)
    assert hidden[:, -1].mean() == pytest.approx(1 - 0.8 * 0.5, abs=0.05)  # the last one of every other window too


def test_hidden_events_that_may_not_be_asked_for_stay_hidden() -> None:
    of, make = learnable(), maker("masked", masked=0.5)
    answers = np.random.default_rng(1).random(of.n_events) < 0.5
    batch, bare = whole(of, make, answers=answers), whole(of, make)
    assert batch.hidden is not None
    assert bare.hidden is not None
    assert batch.target is not None
    assert bare.target is not None
    assert torch.equal(batch.hidden, bare.hidden)
    assert torch.equal(batch.item, bare.item)
    assert batch.target.tolist() == [one for one in bare.target.tolist() if answers[one]]


# ---------------------------------------------------------------------- queries


def asked_of(of: Histories, now: list[int] | None = None, **options: tuple[str, ...]) -> Batch:
    return maker(**options).queries(queries(of, None if now is None else np.array(now)))


def test_queries_show_the_last_events_of_each() -> None:
    of = histories(3, 20, 8, 1, 9)
    batch = asked_of(of)
    assert batch.layout.lengths.tolist() == [8, 8, 8, 3, 1]
    assert batch.order.tolist() == [1, 2, 4, 0, 3]
    for place, row in enumerate(batch.order):
        own = batch.item[batch.layout.offsets[place] : batch.layout.offsets[place + 1]]
        assert own.tolist() == of.of(row)[-MAX:].tolist()
    assert batch.hidden is None
    assert batch.target is None
    assert batch.seconds is None


def test_the_last_event_is_asked_at_now_and_the_others_at_the_next_one() -> None:
    of = histories(2, 10, times=True)
    assert of.time is not None
    now = [int(of.time[1]) + 50 * SECOND, int(of.time[-1]) + 900 * SECOND]
    batch = asked_of(of, now, features=("wait",))
    assert batch.seconds is not None
    assert batch.asked is not None
    long, short = of.time[4:], of.time[:2]
    right = [*(long[1:] - long[0]) // SECOND, (now[1] - long[0]) // SECOND]
    right += [*(short[1:] - short[0]) // SECOND, (now[0] - short[0]) // SECOND]
    assert batch.asked.tolist() == right
    assert batch.seconds.tolist() == [*(long - long[0]) // SECOND, *(short - short[0]) // SECOND]
    event = np.array([*range(4, 12), 0, 1])
    moments = np.array([*of.time[5:], now[1], of.time[1], now[0]])
    told = Reading(("wait",), MAX).numbers({"time": of.time[event]}, moments, batch.layout.positions())
    assert batch.features.tolist() == told.tolist()


def test_a_query_without_now_waits_for_nothing_and_an_unknown_now_is_not_known() -> None:
    of = histories(3, times=True)
    waits = maker(features=("wait",))
    assert waits.queries(queries(of)).features[-1].tolist() == [0]
    batch = waits.queries(queries(of, np.array([NO_TIME])))
    assert batch.features[-1].tolist() == [waits.reading.sizes["wait"] - 1]
    assert batch.asked is not None
    assert batch.asked[-1] == UNKNOWN
    assert batch.asked[0] != UNKNOWN


def test_the_moment_is_told_also_where_no_event_has_a_time() -> None:
    moment = 1_000_000_000 * SECOND  # a Sunday, 01:46:40
    batch = asked_of(histories(2), [moment], features=("hour", "weekday", "wait"))
    unknown = maker(features=("hour", "weekday", "wait")).reading.numbers({}, None, np.arange(2))
    assert batch.features[0].tolist() == unknown[0].tolist()
    assert batch.features[1].tolist() == [1, 25 + 6, unknown[1, 2]]
    assert batch.seconds is None


def test_a_query_tells_as_much_as_training_did() -> None:
    """The query of a history up to its last event is the window that learnt to answer that event."""
    of = histories(9, times=True)
    assert of.time is not None
    features = ("position", "wait", "gap", "hour", "weekday")
    trained = whole(of, maker(features=features))
    past = of.keep(np.arange(9) < 8)
    asked = maker(features=features).queries(queries(past, of.time[8:]))
    for name in ("item", "features", "seconds", "asked"):
        assert torch.equal(getattr(trained, name), getattr(asked, name))


def test_queries_do_not_change_their_histories() -> None:
    of = histories(3, 5, times=True)
    assert of.time is not None
    before = of.time.copy()
    asked_of(of, [10**12, 10**12], features=("wait",))
    assert of.time.tolist() == before.tolist()


def test_a_masked_query_adds_a_hidden_event() -> None:
    of = histories(3, 20, 8, 1, times=True)
    of = replace(of, item=of.item + 1)
    assert of.time is not None
    batch = maker("masked", features=("position", "hour")).queries(queries(of))
    assert batch.layout.lengths.tolist() == [8, 8, 4, 2]
    assert batch.order.tolist() == [1, 2, 0, 3]
    assert batch.hidden is not None
    last = batch.layout.last()
    assert torch.nonzero(batch.hidden)[:, 0].tolist() == last.tolist()
    assert not batch.item[last].any()
    for place, row in enumerate(batch.order):
        own = slice(batch.layout.offsets[place], batch.layout.offsets[place + 1])
        assert batch.item[own][:-1].tolist() == of.of(row)[-(MAX - 1) :].tolist()
        assert batch.features[own][-1, 1] == batch.features[own][-2, 1]  # what is known of the last event
        assert batch.features[own][:, 0].tolist() == list(range(batch.layout.lengths[place]))[::-1]


def test_blocks_of_queries_hold_about_so_many_events() -> None:
    events = np.array([5, 5, 5, 30, 1, 1, 1])
    assert list(blocks(events, 10)) == [(0, 2), (2, 3), (3, 4), (4, 7)]
    assert list(blocks(events, 1)) == [(place, place + 1) for place in range(7)]
    assert list(blocks(events, 1000)) == [(0, 7)]
    assert list(blocks(np.zeros(0, np.int64), 10)) == []


@pytest.mark.parametrize("objective", ["next", "all_action", "masked"])
@pytest.mark.parametrize("chosen", [False, True])
def test_events_are_answers_as_often_as_is_said(objective: Objective, chosen: bool) -> None:
    of, make, epochs = histories(2, 3, 5, 8, 1, 9), maker(objective, max_length=20, horizon=3, masked=0.3), 3_000
    wanted = np.arange(of.n_events) % 3 > 0 if chosen else None
    generator, found = np.random.default_rng(0), np.zeros(of.n_events)
    for _ in range(epochs):
        (windows,) = make.epoch(of, 10**6, generator, wanted)
        target = make.training(of, windows, generator, wanted).target
        assert target is not None
        np.add.at(found, target.numpy(), 1 / epochs)
    said = make.answered(of, wanted)
    np.testing.assert_allclose(found, said, atol=4.5 * 0.8 / epochs**0.5)
    assert (found[said == 0] == 0).all()
