"""Conversion of raw columns to ids, labels, numbers and positions, as SQL expressions with their faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zhiyin.data.sources.base import BLANKS, Column, rows_of
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.data.engine import DuckDBEngine

LONGEST_ID = 1024
"""Ids of more bytes are taken for a mistake (a quote that did not close, a text in the wrong column)."""

LARGEST = 3.4028234663852886e38
"""Values are kept in single precision; what is greater would become infinite there."""

_NO_IDS = ("STRUCT", "MAP", "UNION", "INTERVAL", "TIME", "GEOMETRY", "VARIANT")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read.

    `value` is an SQL expression; `faults` are pairs of a reason and a condition, of which the first that holds says why
    a row is bad; `notes` is what there is to say. `good` holds exactly where no fault does, and costs less to find out.
    """

    value: str
    faults: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    good: str = "true"


def id_of(engine: DuckDBEngine, relation: str, column: Column, role: str) -> Reading:
    """Ids are text: "007" stays, and 1.0 is "1" where the whole column is integral."""
    text = label_of(engine, relation, column)
    value = text.value.replace(f"nullif({column.sql}, '')", column.sql)  # empty ids are faults anyway; plain is faster
    if column.type not in ("VARCHAR", "BLOB"):
        return Reading(value, ((f"{role} is empty", f"{value} IS NULL"),), text.notes, f"{value} IS NOT NULL")
    # every blank sorts before "!": the cheap comparison spares nearly all ids the trim, which is most of the cost
    blank = f"{value} < '!' AND trim({value}, {BLANKS}) = ''"
    faults = (
        (f"{role} is empty", f"{value} IS NULL OR ({blank})"),
        (f"{role} is longer than {LONGEST_ID:,} bytes", f"strlen({value}) > {LONGEST_ID}"),
        (f"{role} holds a null byte", f"contains({value}, chr(0))"),
    )
    good = f"strlen({value}) <= {LONGEST_ID} AND NOT contains({value}, chr(0)) AND NOT ({blank})"
    return Reading(value, faults, text.notes, good)


def label_of(engine: DuckDBEngine, relation: str, column: Column) -> Reading:
    """Any value as text; NULL for an empty one."""
    kind = column.type.split("(")[0]
    if column.type.endswith("]") or kind in _NO_IDS:
        raise DataError(
            f"column {column.name!r} holds {column.type}, which cannot be an id or a label; expected text or "
            "numbers: map the role to another column, or take the text out of it first"
        )
    if kind in ("FLOAT", "DOUBLE", "DECIMAL"):
        return _of_floats(engine, relation, column, kind)
    if kind == "BLOB":
        return Reading(f"TRY(decode({column.sql}))")
    if kind != "VARCHAR":
        return Reading(f"CAST({column.sql} AS VARCHAR)")
    if _all_end_in_zero(engine, relation, column):
        note = f"every value of {column.name!r} ends in .0; they were read as whole numbers"
        return Reading(f"substr({column.sql}, 1, length({column.sql}) - 2)", notes=(note,))
    return Reading(f"nullif({column.sql}, '')")


def _all_end_in_zero(engine: DuckDBEngine, relation: str, column: Column) -> bool:
    """Whether a text column is one of whole numbers that some library wrote as floats."""
    whole = f"regexp_full_match({column.sql}, '-?[0-9]+[.]0')"
    first = engine.scalar(f"SELECT {whole} FROM {relation} WHERE {column.given} IS NOT NULL LIMIT 1")
    if not first:
        return False
    return not engine.scalar(f"SELECT count(*) FROM {relation} WHERE {column.given} IS NOT NULL AND NOT {whole}")


def _of_floats(engine: DuckDBEngine, relation: str, column: Column, kind: str) -> Reading:
    double = f"CAST({column.sql} AS DOUBLE)"
    finite = f"isfinite({double})"
    fractions = f"count(*) FILTER ({finite} AND {double} <> trunc({double}))"
    largest_of = f"max(abs({double})) FILTER ({finite})"
    ((broken, largest),) = rows_of(engine, f"SELECT {fractions}, {largest_of} FROM {relation}")
    notes = []
    if broken:
        notes.append(f"column {column.name!r} holds fractions such as floats have; they were kept as they are")
        return Reading(f"CASE WHEN {finite} THEN CAST({column.sql} AS VARCHAR) END", notes=tuple(notes))
    if largest is not None and largest > (2**24 if kind == "FLOAT" else 2**53) and kind != "DECIMAL":
        notes.append(
            f"column {column.name!r} holds floats too large to be exact (up to {largest:.0f}): different ids may have "
            "become one"
        )
    whole = f"TRY_CAST({column.sql} AS HUGEINT)"
    return Reading(f"CASE WHEN {finite} THEN CAST({whole} AS VARCHAR) END", notes=tuple(notes))


def number_of(column: Column, role: str) -> Reading:
    """A finite number, or NULL where nothing is given."""
    number = f"TRY_CAST({column.sql} AS DOUBLE)"
    faults = (
        (f"{role} is not a number", f"{number} IS NULL AND {column.given} IS NOT NULL"),
        (f"{role} is not finite", f"NOT isfinite({number})"),
        (f"{role} is too large", f"abs({number}) > {LARGEST}"),
    )
    return Reading(number, faults, good=f"abs({number}) <= {LARGEST} OR {column.given} IS NULL")


def position_of(column: Column, needed: bool) -> Reading:
    """A whole number, or NULL where nothing is given (a fault when it is all that is known of the order)."""
    double = f"TRY_CAST({column.given} AS DOUBLE)"
    whole = f"{double} = trunc({double}) AND abs({double}) <= 9e15"
    faults = [("position is not a whole number", f"{column.given} IS NOT NULL AND ({whole}) IS NOT TRUE")]
    good = whole if needed else f"({whole}) OR {column.given} IS NULL"
    if needed:
        faults.insert(0, ("position is missing", f"{column.given} IS NULL"))
    return Reading(f"TRY_CAST({column.given} AS BIGINT)", tuple(faults), good=good)


def context_of(column: Column) -> str:
    """Numbers as DOUBLE, everything else as VARCHAR."""
    kind = column.type.split("(")[0]
    numeric = kind.endswith("INT") or kind in ("INTEGER", "UINTEGER", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")
    return f"CAST({column.sql} AS DOUBLE)" if numeric else f"CAST({column.sql} AS VARCHAR)"
