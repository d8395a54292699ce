"""Names for the array types that cross a boundary between rooms."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatMatrix: TypeAlias = NDArray[np.float32]
"""(rows, columns) float32."""

FloatVector: TypeAlias = NDArray[np.float32]
"""(n,) float32."""

DoubleVector: TypeAlias = NDArray[np.float64]
"""(n,) float64, where a number is reported to a person."""

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
