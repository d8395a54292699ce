"""What a query says of the situation: device, place, the position on the page; whatever the log calls its columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from pydantic import field_validator

from zhiyin.arrays import AnyArray
from zhiyin.config import Config, names, setting
from zhiyin.data.vocabulary import as_text
from zhiyin.errors import DataError
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family


class ContextConfig(Config):
    """Settings of `context`."""

    numbers: tuple[str, ...] = ()
    """Names of what is a number: of a query's context, or columns of candidates."""
    texts: tuple[str, ...] = ()
    """Names of what is a category, the same; values are told apart by their hash, 3 and 3.0 and "3" being one."""
    buckets: int = setting(1024, ge=2, le=1_000_000)
    """Into so many buckets the values of a category are hashed; two in one bucket are one."""

    @field_validator("numbers", "texts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return names(value)


class Context(Family):
    """The columns that are named, NaN or -1 where a query does not say."""

    config: ContextConfig

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many values each column of categories may have."""
        return dict.fromkeys(self.config.texts, self.config.buckets)

    def _columns(self, candidates: Candidates) -> dict[str, AnyArray]:
        found = {name: _as_numbers(name, self._told(name, candidates)) for name in self.config.numbers}
        return found | {name: hashed(self._told(name, candidates), self.config.buckets) for name in self.config.texts}

    def _told(self, name: str, candidates: Candidates) -> AnyArray:
        """(n,) what is said of each candidate, or of its query; None where nothing is."""
        if name in candidates.columns:
            return np.asarray(candidates.columns[name])
        if name in candidates.queries.context:
            return np.asarray(candidates.queries.context[name])[candidates.owner()]
        return np.full(len(candidates), None)


def hashed(values: AnyArray, buckets: int) -> AnyArray:
    """(n,) int32 the bucket of each value, the same on any machine; -1 for None and NaN.

    A value is what it says, whatever its type: a column of whole numbers comes as floats where one is not known.

    >>> hashed(np.array(["phone", None, "phone"]), 100).tolist()
    [75, -1, 75]
    >>> hashed(np.array([3.0, np.nan]), 100)[0] == hashed(np.array([3]), 100)[0]
    np.True_
    """
    told = [one if type(one) is str else None if one is None or one != one else as_text(one) for one in values.tolist()]
    number = {one: _bucket(one, buckets) for one in set(told) if one is not None}
    return np.array([-1 if one is None else number[one] for one in told], np.int32)


def _bucket(text: str, buckets: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") % buckets


def _as_numbers(name: str, values: AnyArray) -> AnyArray:
    try:
        return np.array([np.nan if one is None else float(one) for one in values.tolist()], np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"context {name!r} is read as a number, but {error}; name it under texts, where it is a category"
        ) from None
