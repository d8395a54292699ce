import numpy as np
import pytest

from zhiyin.ranking._events import EventsByKey, since

END = np.iinfo(np.int64).max


@pytest.mark.parametrize("seed", range(5))
def test_it_counts_as_a_loop_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    key, time = rng.integers(0, 6, 80), rng.integers(-10, 20, 80)
    events = EventsByKey.of(key, time, 8)
    asked, start, stop = rng.integers(0, 8, 300), rng.integers(-15, 25, 300), rng.integers(-15, 25, 300)
    stop = np.maximum(start, stop)
    for at in range(300):
        own = time[key == asked[at]]
        assert events.before(asked, stop)[at] == np.count_nonzero(own < stop[at])
        assert events.between(asked, start, stop)[at] == np.count_nonzero((own >= start[at]) & (own < stop[at]))
        assert events.first(asked)[at] == own.min(initial=END)
    assert (events.before(asked, np.full(300, END)) == np.bincount(key, minlength=8)[asked]).all()


def test_what_is_saved_makes_the_same() -> None:
    rng = np.random.default_rng(0)
    events = EventsByKey.of(rng.integers(0, 5, 40), rng.integers(0, 9, 40), 5)
    again = EventsByKey.sorted(events.offsets, events.time)
    np.testing.assert_array_equal(again.place, events.place)


def test_without_events_nothing_is_counted() -> None:
    events = EventsByKey.of(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert events.before(np.array([0, 2]), np.array([5, 5])).tolist() == [0, 0]
    assert events.first(np.array([1])).tolist() == [END]


def test_how_long_ago_is_not_known_where_one_of_two_is_not() -> None:
    none = np.iinfo(np.int64).min
    found = since(np.array([0, none, END, 4]), np.array([10, 10, 10, END]), 5)
    np.testing.assert_array_equal(found, [2, np.nan, np.nan, np.nan])
