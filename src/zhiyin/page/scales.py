"""Scales: from values to places on paper, with round ticks and the texts beside them.

Times are int64 microseconds since 1970 UTC and are written as ISO dates, which read the same in every language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Ticks: TypeAlias = tuple[tuple[float, str], ...]
"""Values with their texts, in rising order."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps the values `low` to `high` to the places `start` to `stop` (in the units of the drawing)."""

    low: float
    high: float
    start: float
    stop: float
    ticks: Ticks
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; a value that the scale cannot show (0 on a log scale) stands at its start."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def shows(self, value: float) -> bool:
        """Whether the scale has a place for the value."""
        return math.isfinite(value) and (value > 0 or not self.log)


# ---------------------------------------------------------------------- numbers


def number(value: float) -> str:
    """A number for a person: four significant digits, thousands separators.

    >>> number(1234567), number(0.12345), number(2.5), number(12345.6)
    ('1,234,567', '0.1235', '2.5', '12,346')
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.2e}"


def _decimals(step: float) -> int:
    for digits in range(12):
        if abs(round(step, digits) - step) < 1e-9 * abs(step):
            return digits
    return 12


def _texts(values: Sequence[float], step: float) -> list[str]:
    largest = max((abs(value) for value in values), default=0.0)
    unit, suffix = next(((unit, name) for unit, name in SUFFIXES if largest >= unit), (1.0, ""))
    digits = _decimals(step / unit)
    return [f"{value / unit + 0.0:,.{digits}f}{suffix if value else ''}".replace("-", "−") for value in values]


def _nice_step(span: float, n: int) -> float:
    raw = span / max(n, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return power * next((nice for nice in (1, 2, 2.5, 5, 10) if nice * power >= raw * 0.999), 10)


def linear(
    values: Iterable[float], start: float, stop: float, *, n: int = 5, zero: bool = False, tight: bool = False
) -> Scale:
    """A linear scale around `values` with about `n` round ticks; `zero` includes 0, `tight` ends at the values."""
    finite = [value for value in values if math.isfinite(value)] + ([0.0] if zero else [])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        margin = abs(low) * 0.1 or 0.5
        low, high = (low if zero and low == 0 else low - margin), high + margin
    step = _nice_step(high - low, n)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [place * step for place in range(first, last + 1)]
    if tight:
        ticks = [tick for tick in ticks if low - step * 1e-9 <= tick <= high + step * 1e-9]
    else:
        low, high = first * step, last * step
    return Scale(low, high, start, stop, tuple(zip(ticks, _texts(ticks, step), strict=True)))


def logarithmic(values: Iterable[float], start: float, stop: float, *, n: int = 5) -> Scale:
    """A logarithmic scale around the positive `values`, with ticks at powers of ten (and 2, 5 where there are few)."""
    positive = [value for value in values if math.isfinite(value) and value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 10.0)
    if high <= low * 1.0001:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = _log_steps(math.log10(high / low), n)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    skip = max(1, math.ceil((last - first) / max(n, 2))) if steps == (1,) else 1
    ticks = [tick for place, tick in enumerate(ticks) if place % skip == 0 and low * 0.999 <= tick <= high * 1.001]
    return Scale(low, high, start, stop, tuple((tick, _power(tick)) for tick in ticks), log=True)


def _log_steps(decades: float, n: int) -> tuple[float, ...]:
    if decades * 3 <= n:
        return (1, 2, 5)
    return (1, 3) if decades * 2 <= n else (1,)


def _power(value: float) -> str:
    if 1e-3 <= value < 1e6:
        return f"{value:,.{_decimals(value)}f}"
    if value >= 1e6:
        return _texts([value], value)[0]
    return f"{value / 10 ** math.floor(math.log10(value)):.0f}·10" + str(math.floor(math.log10(value))).translate(
        SUPERSCRIPT
    )


# ---------------------------------------------------------------------- times


def moment(time: float) -> str:
    """A time as a person writes it; only the date at midnight.

    >>> moment(0), moment(86_400_000_000 + 3_661_000_000)
    ('1970-01-01', '1970-01-02 01:01:01')
    """
    try:
        when = EPOCH + timedelta(microseconds=int(time))
    except OverflowError:
        return number(time)
    if when.hour == when.minute == when.second == 0:
        return f"{when:%Y-%m-%d}"
    return f"{when:%Y-%m-%d %H:%M}" if when.second == 0 else f"{when:%Y-%m-%d %H:%M:%S}"


FIXED: tuple[tuple[int, str], ...] = (
    *((count * SECOND, "%H:%M:%S") for count in (1, 2, 5, 10, 15, 30)),
    *((count * MINUTE, "%H:%M") for count in (1, 2, 5, 10, 15, 30)),
    *((count * HOUR, "%m-%d %H:%M") for count in (1, 2, 3, 6, 12)),
    *((count * DAY, "%Y-%m-%d") for count in (1, 2, 4, 7, 14)),
)
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400)
"""Ticks at months and years, as numbers of months."""


def times(values: Iterable[float], start: float, stop: float, *, n: int = 5) -> Scale:
    """A scale of times (microseconds since 1970 UTC), with ticks at round seconds, hours, days, months or years."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, float(DAY))
    if high <= low:
        low, high = low - DAY / 2, high + DAY / 2
    try:
        ticks = _time_ticks(low, high, n)
    except (OverflowError, ValueError):  # beyond the year 9999: show the bare numbers
        return linear([low, high], start, stop, n=n, tight=True)
    return Scale(low, high, start, stop, ticks)


def _time_ticks(low: float, high: float, n: int) -> Ticks:
    wanted = (high - low) / max(n, 1)
    if wanted < SECOND:
        wanted = SECOND
    for step, form in FIXED:
        if step >= wanted * 0.75:
            first = math.ceil(low / step)
            return _stamps((place * step for place in range(first, math.floor(high / step) + 1)), form)
    months = next((count for count in MONTHS if count * 30.4 * DAY >= wanted * 0.75), MONTHS[-1])
    found = (time for time in _months(low, high, months) if low <= time <= high)
    return _stamps(found, "%Y" if months % 12 == 0 else "%Y-%m")


def _months(low: float, high: float, step: int) -> Iterable[float]:
    first, last = (EPOCH + timedelta(microseconds=edge) for edge in (low, high))
    start = (first.year * 12 + first.month - 1) // step * step
    for count in range(start, last.year * 12 + last.month, step):
        if count >= 12:
            when = datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)
            yield (when - EPOCH) / timedelta(microseconds=1)


def _stamps(found: Iterable[float], form: str) -> Ticks:
    return tuple((time, (EPOCH + timedelta(microseconds=time)).strftime(form)) for time in found)


Builder: TypeAlias = Callable[..., Scale]


def builder(log: bool = False, is_time: bool = False) -> Builder:
    """The kind of scale for an axis."""
    return times if is_time else logarithmic if log else linear
