import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.page.scales import DAY, HOUR, linear, logarithmic, moment, number, times

reals = st.floats(-1e9, 1e9, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)
YEAR_2100 = 4_102_444_800_000_000


@given(st.lists(reals, min_size=1, max_size=8), st.integers(2, 10), st.booleans())
def test_a_linear_scale_shows_every_value_with_round_even_ticks(values: list[float], n: int, tight: bool) -> None:
    scale = linear(values, 0, 100, n=n, tight=tight)
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in values)
    ticks = [tick for tick, _ in scale.ticks]
    assert len(ticks) <= n + 3
    gaps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert gaps <= {1.0}
    assert len({words for _, words in scale.ticks}) == len(ticks)


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5), st.integers(3, 9))
def test_tick_texts_say_where_the_tick_is(low: float, span: float, n: int) -> None:
    for value, words in linear([low, low + span], 0, 1, n=n).ticks:
        assert float(words.replace(",", "").replace("−", "-")) == pytest.approx(value, abs=span * 1e-6)


def test_ticks_of_known_ranges() -> None:
    def texts(scale):
        return [words for _, words in scale.ticks]

    assert texts(linear([0, 0.22], 0, 1, n=5)) == ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]
    assert texts(linear([0, 9_000], 0, 1, n=3)) == ["0", "5,000", "10,000"]
    assert texts(linear([0, 2.1e6], 0, 1, n=3)) == ["0", "1M", "2M", "3M"]
    assert texts(linear([-1, 1], 0, 1, n=2)) == ["−1", "0", "1"]
    assert texts(linear([3, 3], 0, 1, n=2))[0] != texts(linear([3, 3], 0, 1, n=2))[-1]
    assert texts(logarithmic([1, 1000], 0, 1, n=3)) == ["1", "10", "100", "1,000"]
    assert texts(logarithmic([1, 9], 0, 1, n=5)) == ["1", "2", "5"]
    assert texts(logarithmic([1e-5, 1e-4], 0, 1, n=2)) == ["1·10⁻⁵", "3·10⁻⁵", "1·10⁻⁴"]


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=8), st.integers(2, 9))
def test_a_logarithmic_scale_shows_every_positive_value(values: list[float], n: int) -> None:
    scale = logarithmic([*values, 0, -3], 0, 100, n=n)
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in values)
    assert not scale.shows(0)
    assert all(scale.low * 0.99 <= tick <= scale.high * 1.01 for tick, _ in scale.ticks)


@given(st.integers(0, YEAR_2100), st.integers(0, YEAR_2100), st.integers(2, 10))
def test_time_ticks_are_inside_rising_and_few(first: int, second: int, n: int) -> None:
    scale = times([first, second], 0, 1, n=n)
    ticks = [tick for tick, _ in scale.ticks]
    assert ticks == sorted(set(ticks))
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert len(ticks) <= 2 * n + 2
    if abs(first - second) > n * DAY:
        assert len(ticks) >= 1


def test_time_ticks_fall_on_round_moments() -> None:
    start = 1_577_836_800_000_000  # 2020-01-01

    def texts(span, n):
        return [words for _, words in times([start, start + span], 0, 1, n=n).ticks]

    assert texts(4 * 366 * DAY, 4) == ["2020", "2021", "2022", "2023", "2024"]
    assert texts(90 * DAY, 3) == ["2020-01", "2020-02", "2020-03"]
    assert texts(12 * HOUR, 4) == ["01-01 00:00", "01-01 03:00", "01-01 06:00", "01-01 09:00", "01-01 12:00"]
    assert texts(3_000_000, 3) == ["00:00:00", "00:00:01", "00:00:02", "00:00:03"]


def test_times_beyond_the_calendar_do_not_break_the_chart() -> None:
    scale = times([0, 4e18], 0, 1, n=4)
    assert scale(4e18) == pytest.approx(1)
    assert scale.ticks
    assert moment(4e18) == "4,000,000,000,000,000,000"


def test_numbers_for_people() -> None:
    assert [number(value) for value in (0, 1e6, 0.00001234, 123.456, math.nan, math.inf)] == [
        "0",
        "1,000,000",
        "1.23e-05",
        "123.5",
        "–",
        "∞",
    ]
