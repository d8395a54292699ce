"""What is given as numbers, read as such; text is none, also where it looks like one."""

from __future__ import annotations

from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.errors import DataError, ZhiyinError, shortened


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
    if not isinstance(given, (str, bytes)):
        try:
            return float(given)
        except (TypeError, ValueError, OverflowError):
            pass
    raise error(f"{what} is {_shown(given)}; a number is expected")


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
    try:
        found = np.asarray(given)
        texts = found.dtype.kind in "USMm" or (
            found.dtype == object and any(isinstance(one, (str, bytes)) for one in found.flat)
        )
        if not texts:
            return np.asarray(found, np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise error(f"{what}: {_shown(given)} came; numbers are expected, as an array or as lists of one length")


def _shown(given: Any) -> str:
    """What came, in a few words."""
    return f"the text {shortened(given)!r}" if isinstance(given, str) else shortened(" ".join(repr(given).split()))
