"""Moments: microseconds since 1970, as datetimes or numbers; numbers of another unit are told by what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np

from zhiyin.arrays import LongVector
from zhiyin.data.histories import NO_TIME, Histories
from zhiyin.errors import DataError

Moment: TypeAlias = "int | datetime | np.datetime64"
"""A point in time: microseconds since 1970, or a datetime."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PLAUSIBLE = (631_152_000_000_000, 253_402_300_800_000_000)
"""Microseconds from 1990 to the end of the year 9999, which many tables say of what never ends."""

YEAR_1971 = 31_536_000_000_000
"""Seconds and milliseconds of today, read as microseconds, are before it; no times of events are read that are."""

NEVER = 4_102_444_800_000_000_000
"""Numbers from here on (nanoseconds of 2100) stand for a moment that never comes."""


def microseconds(moment: Moment) -> int:
    """Microseconds since 1970; a datetime without a zone is UTC."""
    if isinstance(moment, np.datetime64):
        moment = moment.astype("datetime64[us]").item()
    try:
        if isinstance(moment, datetime):
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return int((zoned - EPOCH) // timedelta(microseconds=1))  # that of pandas' NaT is no number
        return int(moment)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{moment!r} is no moment; give a datetime, or microseconds since 1970") from None


def first_of(histories: Histories) -> int | None:
    """The time of the earliest event, in microseconds since 1970; None where no time is known."""
    time, ends = histories.time, np.iinfo(np.int64)
    found = ends.max if time is None else int(np.min(time, where=time != NO_TIME, initial=ends.max))
    return None if found == ends.max else found


def check_unit(name: str, moments: LongVector | None, first: int | None, known: str) -> None:
    """Refuse moments of another unit than microseconds, which would lie in 1970 or after 9999.

    Where what is known begins before 1990, it may be a clock that counts from 0; then nothing is refused.

    Args:
        name: what the moments are called.
        moments: (n,) in microseconds since 1970; 0 and less, and `NEVER` and more, stand for none.
        first: the earliest moment that is known.
        known: in words, what is known since then.

    Raises:
        DataError: one is of another unit.
    """
    low, high = PLAUSIBLE
    if moments is None or first is None or not low <= first < high:
        return
    wrong = ((moments > 0) & (moments < YEAR_1971)) | ((moments >= high) & (moments < NEVER))
    if wrong.any():
        came = int(moments[np.argmax(wrong)])
        raise DataError(
            f"{name} came as {came}, which is of the year {_year(came)} if it is microseconds since 1970, as is "
            f"expected; {known} since {_year(first)}: {_what_to_do(came)}"
        )


def _year(moment: int) -> str:
    return str(np.datetime64(moment, "us").astype("datetime64[Y]"))


def _what_to_do(moment: int) -> str:
    """With a number that is none of microseconds."""
    if moment >= PLAUSIBLE[1]:
        return "these look like nanoseconds, divide them by 1,000, or give datetimes"
    if moment >= YEAR_1971 // 1_000:
        return "these look like milliseconds, multiply them by 1,000, or give datetimes"
    if moment >= YEAR_1971 // 1_000_000:
        return "these look like seconds, multiply them by 1,000,000, or give datetimes"
    return "give datetimes, or microseconds; where only the order of events is known, leave times out"
