"""Names for the array types that cross a boundary between rooms, and the offsets of flat ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatMatrix: TypeAlias = NDArray[np.float32]
"""(rows, columns) float32."""

FloatVector: TypeAlias = NDArray[np.float32]
"""(n,) float32."""

DoubleVector: TypeAlias = NDArray[np.float64]
"""(n,) float64, where a number is reported to a person."""

DoubleMatrix: TypeAlias = NDArray[np.float64]
"""(rows, columns) float64."""

IntMatrix: TypeAlias = NDArray[np.int32]
"""(rows, columns) int32, -1 where there is nothing."""

IntVector: TypeAlias = NDArray[np.int32]
"""(n,) int32: item or user numbers, -1 for an unknown one."""

LongVector: TypeAlias = NDArray[np.int64]
"""(n,) int64: offsets into flat arrays, or times in microseconds."""

BoolVector: TypeAlias = NDArray[np.bool_]
"""(n,) bool."""

AnyArray: TypeAlias = NDArray[Any]
"""An array of any type and shape."""


def offsets_of(lengths: Sequence[int] | AnyArray) -> LongVector:
    """(n + 1,) where each of n pieces begins in a flat array, and the end of the last; in 64 bits, however many.

    >>> offsets_of([2, 0, 3])
    array([0, 2, 2, 5])
    """
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=found[1:])
    return found
