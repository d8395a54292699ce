"""Times: from whatever a column holds to int64 microseconds since 1970 UTC, as expressions that the engine runs.

Nothing here touches a row: the column is looked at with a few aggregates, the way it is written is decided (and said),
and what comes back is SQL. Numbers are Unix seconds, milliseconds, microseconds or nanoseconds (their plausible ranges
from 1971 to tomorrow do not overlap, so the magnitude tells) or days written as 20240131; text is ISO 8601 or one of
the usual date formats.
"""

from __future__ import annotations

import re
import time as clock
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zhiyin.data.sources.base import Column, quote_text, rows_of, spelt
from zhiyin.data.sources.convert import Reading
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of Unix time, by how many of them make a second."""

_UNIT_NAMES = {
    "seconds": "s", "second": "s", "sec": "s", "milliseconds": "ms", "millis": "ms", "microseconds": "us",
    "micros": "us", "µs": "us", "μs": "us", "nanoseconds": "ns", "nanos": "ns",
}  # fmt: skip
_SAID = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "day": "days like 20240131"}

YEAR_1971 = 31_536_000
"""The first plausible moment, in seconds: what is earlier is a zero, a counter or another unit."""
DAY = 86_400
YEAR = 31_556_952
ENOUGH = 0.05
"""The least share of plausible times: below it, it is not the rows that are wrong but the way they are read."""

SAMPLE = 1_000
"""How many of the first values tell how a text column is written."""

SLACK = 0.02
"""A format must fit so much more of a column than another one to be the right one: a few typing errors do not tell."""

_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")

# strptime formats that are tried when the text is not ISO 8601; the two that differ in the order of day and month are
# told apart by the whole column, or not at all.
_DATES = ("%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m %d, %Y", "%b %d, %Y", "%B %d, %Y",
          "%d %b %Y", "%d %B %Y", "%Y.%m.%d", "%Y%m%d")  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%g", " %I:%M:%S %p", " %I:%M %p")
_OTHERS = ("%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z",
           "%Y-%m-%d %H:%M:%S,%g", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%dT%H%M%S")  # fmt: skip
_ZONE = re.compile(r"\d\d:\d\d.*?(Z|[+-]\d\d(:?\d\d)?|\s?UTC|\s?GMT|\s[A-Z][A-Za-z_]+/\w+)$")


def unit_name(unit: str) -> str:
    """The short name of a unit.

    >>> unit_name("Milliseconds")
    'ms'

    Raises:
        ConfigError: it is none.
    """
    short = unit.strip().lower()
    short = _UNIT_NAMES.get(short, short)
    if short not in UNITS:
        raise ConfigError(f"unknown time unit {unit!r}; known: {', '.join(UNITS)}")
    return short


def read_times(
    engine: DuckDBEngine,
    relation: str,
    column: Column,
    time_format: str | None = None,
    time_unit: str | None = None,
    now: float | None = None,
    of_events: bool = True,
) -> Reading:
    """Decide how `column` of `relation` is to be read as time: BIGINT microseconds, NULL where that cannot be.

    Args:
        engine: where the relation lives; its session's time zone must be UTC.
        relation: what stands after FROM.
        column: the column and its type.
        time_format: a strptime format, or "iso"; guessed when absent.
        time_unit: the unit of Unix times (s, ms, us, ns); guessed from the magnitude of the whole column when absent.
        now: the present moment in Unix seconds, for "in the future".
        of_events: events happened between 1971 and now; things (a film's release) may be dated long ago or ahead.

    Raises:
        DataError: hardly any value is a plausible time when read so; the message says what the values look like.
    """
    latest = (clock.time() if now is None else now) + DAY
    look = _Look(engine, relation, column, latest if of_events else latest + 80 * YEAR, of_events)
    kind = column.type.split("(")[0]
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        naive = "" if kind == "TIMESTAMP WITH TIME ZONE" else "times"
        return look.stamps(f"epoch_us({column.sql})", [_zone_note(column, naive)])
    written = time_format is not None and time_format.lower() != "iso"
    if kind in (*_INTEGERS, *_FLOATS) and not written:
        return look.numbers(f"CAST({column.sql} AS DOUBLE)", f"TRY_CAST({column.sql} AS BIGINT)", time_unit)
    if kind not in ("VARCHAR", *_INTEGERS):
        raise DataError(
            f"column {column.name!r} holds {column.type}, which is no time; expected numbers, text or timestamps"
        )
    text = look.trimmed()
    if time_format is not None and written:
        return look.stamps(_strptime(text, time_format), [f"times of {column.name!r} are read as {time_format!r}"])
    if time_format is None and (time_unit is not None or look.is_numeric(text)):
        return look.numbers(f"TRY_CAST({text} AS DOUBLE)", f"TRY_CAST({text} AS BIGINT)", time_unit)
    return look.text(text, time_format)


def _strptime(text: str, time_format: str) -> str:
    return f"epoch_us(try_strptime({text}, {quote_text(time_format)}))"


def _iso(text: str) -> str:
    return f"epoch_us(TRY_CAST({text} AS TIMESTAMPTZ))"


def _zone_note(column: Column, naive: str) -> str:
    """What to say of the zone where times are `naive`: "times", "some times", or "" for none."""
    return f"{naive} of {column.name!r} carry no zone and are read as UTC" if naive else ""


class _Look:
    """One column under examination."""

    def __init__(self, engine: DuckDBEngine, relation: str, column: Column, latest: float, of_events: bool) -> None:
        self.engine, self.relation, self.column, self.of_events = engine, relation, column, of_events
        self.latest = int(latest)

    def _aggregate(self, *expressions: str) -> tuple[Any, ...]:
        asked = ", ".join(f"{one} AS a{place}" for place, one in enumerate(expressions))
        (found,) = rows_of(self.engine, f"SELECT {asked} FROM {self.relation}")
        return found

    def _share(self, expression: str) -> float:
        """The share of the values that are there for which `expression` is not null."""
        given, good = self._aggregate(f"count({self.column.given})", f"count({expression})")
        return float(good) / given if given else 1.0

    def trimmed(self) -> str:
        """The column as text; trimmed only if the first values need it, as that costs more than the conversion."""
        if self.column.type != "VARCHAR":
            return f"CAST({self.column.sql} AS VARCHAR)"
        some = f"SELECT {self.column.sql} AS one FROM {self.relation} LIMIT {SAMPLE}"
        found = self.engine.scalar(f"SELECT true FROM ({some}) WHERE one <> trim(one) LIMIT 1")
        return f"trim({self.column.sql})" if found else self.column.sql

    def is_numeric(self, text: str) -> bool:
        """Whether at least half of the first text values are numbers."""
        return self._fits(f"TRY_CAST({text} AS DOUBLE)", self._sample()) >= 0.5

    # ---- numbers

    def numbers(self, double: str, whole: str, unit: str | None) -> Reading:
        """Unix times in a unit, or days written as 20240131."""
        finite = f"isfinite({double})"
        counts = [f"count(*) FILTER ({self._plausible(double, one)})" for one in (*UNITS, "day")]
        given, broken, low, high, *found = self._aggregate(
            f"count({double})", f"count(*) FILTER ({finite} AND {double} <> trunc({double}))",
            f"min({double}) FILTER ({finite})", f"max({double}) FILTER ({finite})", *counts,
        )  # fmt: skip
        plausible = dict(zip((*UNITS, "day"), found, strict=True))
        best = max(plausible, key=lambda one: plausible[one])
        chosen = best if unit is None else unit_name(unit)
        if given and plausible[chosen] < ENOUGH * given:
            raise DataError(self._implausible(chosen, best, plausible, given, (low, high), mapped=unit is not None))
        notes = [self._unit_note(chosen, plausible, guessed=unit is None)] if given else []
        value = self._micros(double if broken else whole, chosen, whole=not broken)
        faults, good = self._number_faults(double, chosen), self._plausible(double, chosen)
        if chosen == "day":  # 20240231 lies between two days and is none
            faults, good = (*faults, ("time is no day of the calendar", f"{value} IS NULL")), f"{value} IS NOT NULL"
        return Reading(value, faults, tuple(notes), good)

    def _range(self, unit: str) -> tuple[int, int]:
        if unit == "day":
            return 19_710_101, int(clock.strftime("%Y%m%d", clock.gmtime(self.latest)))
        return YEAR_1971 * UNITS[unit], self.latest * UNITS[unit]

    def _plausible(self, number: str, unit: str) -> str:
        low, high = self._range(unit)
        return f"{number} BETWEEN {low} AND {high}"

    def _micros(self, number: str, unit: str, whole: bool) -> str:
        scale = UNITS.get(unit, 1)
        if unit == "day":
            micros = f"epoch_us(try_strptime(CAST(TRY_CAST({number} AS BIGINT) AS VARCHAR), '%Y%m%d'))"
        elif scale > UNITS["us"]:
            micros = f"CAST(floor({number} / 1000) AS BIGINT)" if not whole else f"{number} // 1000"
        else:
            factor = UNITS["us"] // scale
            micros = f"{number} * {factor}" if whole else f"CAST(round({number} * {factor}) AS BIGINT)"
        return f"CASE WHEN {self._plausible(number, unit)} THEN {micros} END"

    def _number_faults(self, number: str, unit: str) -> tuple[tuple[str, str], ...]:
        low, high = self._range(unit)
        return (
            ("time is missing", f"{self.column.given} IS NULL"),
            ("time is not a number", f"{number} IS NULL OR NOT isfinite({number})"),
            ("time is negative", f"{number} < 0"),
            ("time is before 1971", f"{number} < {low}"),
            ("time is in the future", f"{number} > {high}"),
        )

    def _unit_note(self, unit: str, plausible: dict[str, int], guessed: bool) -> str:
        said = f"times of {self.column.name!r} are {'Unix ' if unit in UNITS else ''}{_SAID[unit]}"
        if guessed:
            said += " (guessed from their magnitude)"
        others = {one: count for one, count in plausible.items() if one != unit and count}
        if others:
            mixed = ", ".join(f"{count:,} values look like {_SAID[one]}" for one, count in others.items())
            said += f"; the column mixes units: {mixed}"
        return said

    def _implausible(
        self, unit: str, best: str, plausible: dict[str, int], given: int, span: tuple[Any, Any], mapped: bool
    ) -> str:
        low, high = (f"{edge:.15g}" if edge is not None else "nothing finite" for edge in span)
        head = f"column {self.column.name!r} holds values from {low} to {high}"
        if mapped and plausible[best] >= ENOUGH * given and best != unit:
            use = spelt("time_unit", best) if best in UNITS else spelt("time_format", "%Y%m%d")
            return f"{head}: hardly any is a plausible time in {_SAID[unit]}, but as {_SAID[best]} they are: use {use}"
        return (
            f"{head}: hardly any is a plausible time between 1971 and now in seconds, milliseconds, microseconds or "
            'nanoseconds. If it only counts the order of events, map it to the role "position"; if it is '
            "another form of time, convert it first"
        )

    # ---- moments

    def stamps(self, micros: str, notes: Sequence[str]) -> Reading:
        """Moments that the engine can make out by itself; `micros` is NULL where it cannot."""
        low, high = (YEAR_1971 if self.of_events else -2_000 * YEAR) * 1_000_000, self.latest * 1_000_000
        plausible = f"CASE WHEN {micros} BETWEEN {low} AND {high} THEN {micros} END"
        # The first rows tell; only if they are bad is the whole column asked.
        if self._fits(plausible, self._sample()) < ENOUGH and (share := self._share(plausible)) < ENOUGH:
            raise DataError(
                f"column {self.column.name!r}: only {share:.1%} of its values are times between 1971 and now "
                f"({self._examples()}); say how they are written, as strptime would: "
                f"{spelt('time_format', '%d/%m/%Y %H:%M')}, or their unit: {spelt('time_unit', 'ms')}"
            )
        early = (("time is negative", f"{micros} < 0"), ("time is before 1971", f"{micros} < {low}"))
        faults = (
            ("time is missing", f"{self.column.given} IS NULL"),
            ("time cannot be read", f"{micros} IS NULL"),
            *(early if self.of_events else ()),
            ("time is in the future", f"{micros} > {high}"),
        )
        value = f"CASE WHEN {micros} BETWEEN {low} AND {high} THEN {micros} END"
        return Reading(value, faults, tuple(filter(None, notes)), f"{micros} BETWEEN {low} AND {high}")

    def text(self, text: str, time_format: str | None) -> Reading:
        """ISO 8601, or the one usual format that fits."""
        sample = self._sample()
        if time_format is not None or self._fits(_iso(text), sample) >= 0.5:
            zoned = sum(_ZONE.search(one) is not None for one in sample)
            naive = "" if zoned == len(sample) else "some times" if zoned else "times"
            return self.stamps(
                _iso(text), [f"times of {self.column.name!r} are ISO 8601", _zone_note(self.column, naive)]
            )
        formats = [date + at for date in _DATES for at in _CLOCKS] + list(_OTHERS)
        fits = {one: self._fits(_strptime(text, one), sample) for one in formats}
        best = max(fits.values())
        if best < 0.5:
            return self.stamps(_iso(text), [])  # says in its error what the values look like
        chosen = self._only_one(text, [one for one in formats if fits[one] == best])
        zone = "" if "%z" in chosen else _zone_note(self.column, "times")
        return self.stamps(
            _strptime(text, chosen), [f"times of {self.column.name!r} are read as {chosen!r} (guessed)", zone]
        )

    def _only_one(self, text: str, formats: list[str]) -> str:
        """Of formats that fit the sample equally well, the one that fits the whole column best."""
        if len(formats) == 1:
            return formats[0]
        shares = {one: self._share(_strptime(text, one)) for one in formats}
        best = [one for one in formats if shares[one] >= max(shares.values()) - SLACK]
        values = {self._checksum(_strptime(text, one)) for one in best}
        if len(values) > 1:
            raise DataError(
                f"column {self.column.name!r} can be read as {' or '.join(map(repr, best))} ({self._examples()}), "
                f"which gives different times; say which it is: {spelt('time_format', best[0])}"
            )
        return best[0]

    def _checksum(self, micros: str) -> Any:
        return self._aggregate(f"sum(CAST({micros} AS DOUBLE))", f"count({micros})", f"min({micros})", f"max({micros})")

    def _sample(self, rows: int = SAMPLE) -> list[str]:
        found = rows_of(
            self.engine,
            f"SELECT {self.column.given} AS one FROM {self.relation} WHERE one IS NOT NULL LIMIT {rows}",
        )
        return [str(one) for (one,) in found]

    def _fits(self, micros: str, sample: list[str]) -> float:
        """The share of the sample that an expression over the column can read."""
        if not sample:
            return 1.0
        given = self.column.given
        some = f"SELECT {given} AS {self.column.sql} FROM {self.relation} WHERE {given} IS NOT NULL LIMIT {len(sample)}"
        found: int = self.engine.scalar(f"SELECT count({micros}) FROM ({some})")
        return found / len(sample)

    def _examples(self) -> str:
        sample = list(dict.fromkeys(self._sample(100)))[:3]
        return "such as " + ", ".join(repr(one[:40]) for one in sample)
