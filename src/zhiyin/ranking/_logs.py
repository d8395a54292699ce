"""Columns of a log of exposures as arrays: moments, truths, names, and whatever else it holds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, LongVector
from zhiyin.errors import DataError
from zhiyin.ranking._cells import is_number


def moments_of(log: pa.Table, name: str) -> pa.ChunkedArray:
    """(n,) a column of times in whole microseconds since 1970, null where it has none.

    Raises:
        DataError: it holds no times.
    """
    column, kind = log[name], log[name].type
    try:
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("us"))
        elif pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("us", kind.tz), safe=kind.unit != "ns")
        elif pa.types.is_floating(kind):
            column = pc.if_else(pc.is_nan(column), None, pc.floor(column))
        elif not (is_number(kind) or pa.types.is_null(kind)):
            raise DataError(
                f"column {name!r} holds {kind}; timestamps, dates, or microseconds since 1970 are expected: cast it "
                "to one of them first"
            )
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"column {name!r} holds {kind} that are no microseconds since 1970 ({error})") from error


def truth_of(log: pa.Table, name: str) -> AnyArray:
    """A column of true and false, or of 1 and 0."""
    try:
        found = np.asarray(log[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"column {name!r} holds {log[name].type}; true and false, or 1 and 0, are expected") from error
    if not np.isin(found, (0, 1)).all():
        raise DataError(f"column {name!r} holds other numbers than 1 and 0; say what happened, and not how much")
    return found


def times_of(log: pa.Table) -> LongVector:
    """(n,) the moments of rows, where they are told in whole microseconds and all are there."""
    return np.asarray(log["time"].to_numpy(), np.int64)


def coded(column: pa.ChunkedArray) -> LongVector:
    """(n,) a number for each value."""
    found: LongVector = np.asarray(column.combine_chunks().dictionary_encode().indices).astype(np.int64)
    return found


def plain(column: pa.ChunkedArray) -> AnyArray:
    """(n,) as it is."""
    return np.asarray(column.to_numpy(zero_copy_only=False))
