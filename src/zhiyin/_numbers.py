"""What is given as numbers, read as such; text is none, also where it looks like one."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any, TypeGuard

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.errors import DataError, ZhiyinError, shortened


def is_real(one: Any) -> TypeGuard[float]:
    """Whether one value is a number; text and durations are none.

    >>> [is_real(one) for one in (1, np.float32(2), Decimal(3), True, "4", np.timedelta64(5, "s"))]
    [True, True, True, True, False, False]
    """
    return isinstance(one, (Real, np.bool_, Decimal)) and not isinstance(one, np.timedelta64)


def as_number(what: str, given: Any, error: type[ZhiyinError] = DataError) -> float:
    """One number; its bounds are for others to look at.

    >>> as_number("cost", 3)
    3.0

    Args:
        what: it is called in the message.
        given: what came.
        error: the class of the error.

    Raises:
        ZhiyinError: of that class, if it is none.
    """
    one = given.item() if isinstance(given, np.ndarray) and given.ndim == 0 else given
    if not is_real(one):
        raise error(f"{what} is {_shown(given)}; a number is expected")
    try:
        return float(one)
    except (OverflowError, ValueError) as cause:  # the second of a signalling NaN
        raise error(f"{what} is {_shown(given)}; a number below {np.finfo(np.float64).max:g} is expected") from cause


def as_numbers(what: str, given: Any, error: type[ZhiyinError] = DataError) -> AnyArray:
    """An array (float64) of numbers, NaN for None; its shape and their bounds are for others to look at.

    >>> as_numbers("costs", [[1, 2], [3, None]]).tolist()
    [[1.0, 2.0], [3.0, nan]]

    Args:
        what: they are called in the message.
        given: what came.
        error: the class of the error.

    Raises:
        ZhiyinError: of that class, if some are none, or lists are not of one length.
    """
    wrong = f"{what}: {_shown(given)} came; numbers are expected, as an array or as lists of one length"
    try:
        found = np.asarray(given)
        if found.dtype == object and all(one is None or is_real(one) for one in found.flat):
            return found.astype(np.float64)
    except (ValueError, OverflowError) as cause:
        raise error(wrong) from cause
    if found.dtype.kind not in "biuf":
        raise error(wrong)
    return found.astype(np.float64)


def _shown(given: Any) -> str:
    """What came, in a few words."""
    return f"the text {shortened(given)!r}" if isinstance(given, str) else shortened(" ".join(repr(given).split()))
