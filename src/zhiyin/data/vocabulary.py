"""The ids of items or users, and the dense numbers that stand for them inside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.arrays import AnyArray, IntVector
from zhiyin.errors import DataError, shortened, unknown

COMPARED = 10_000
"""To how many ids an unknown one is compared letter by letter, to name the nearest."""


class Vocabulary:
    """Ids in a fixed order: the id at place `i` has the number `i`. Ids are text, always.

    >>> items = Vocabulary(["matrix", "alien"])
    >>> items.encode(["alien", "who?", "matrix"])
    array([ 1, -1,  0], dtype=int32)
    >>> items.decode([1, 0])
    ['alien', 'matrix']
    """

    def __init__(self, ids: Iterable[str] | pa.Array | pa.ChunkedArray) -> None:
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        if not isinstance(ids, pa.Array):
            ids = pa.array([str(one) for one in ids], pa.large_string())
        self.ids: pa.Array = ids.cast(pa.large_string())
        if self.ids.null_count:
            raise DataError(f"{self.ids.null_count} of {len(self.ids)} ids are empty; an id is needed for each")

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self is other or self.hash == other.hash)

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"Vocabulary of {len(self)} ids"

    @cached_property
    def hash(self) -> str:
        """A short hash of all ids in order."""
        digest = hashlib.blake2b(np.asarray(pc.binary_length(self.ids)).astype(np.int64).data, digest_size=16)
        if len(self):
            borders = np.frombuffer(self.ids.buffers()[1], np.int64)[self.ids.offset :][: len(self) + 1]
            digest.update(memoryview(self.ids.buffers()[2] or b"")[borders[0] : borders[-1]])
        return digest.hexdigest()

    @cached_property
    def _number(self) -> dict[str, int]:
        return {one: number for number, one in enumerate(self.ids.to_pylist())}

    def encode(self, ids: Sequence[str] | pa.Array) -> IntVector:
        """(n,) the number of each id, -1 for one that is not here."""
        if isinstance(ids, (pa.Array, pa.ChunkedArray)):
            found = pc.index_in(ids.cast(pa.large_string()), value_set=self.ids)
            return np.asarray(pc.fill_null(found, -1)).astype(np.int32)
        look_up = self._number.get
        return np.fromiter((look_up(str(one), -1) for one in ids), np.int32, len(ids))

    def decode(self, numbers: Sequence[int] | AnyArray) -> list[str]:
        """The id of each number. Numbers must be in range; there is no id for -1."""
        places = np.asarray(numbers, np.int64)
        if len(places) and (places.min() < 0 or places.max() >= len(self)):
            raise DataError(f"numbers from {places.min()} to {places.max()} came, but there are only {len(self)} ids")
        result: list[str] = self.ids.take(pa.array(places)).to_pylist()
        return result

    def number(self, one: str, what: str = "id") -> int:
        """The number of one id.

        Raises:
            DataError: it is not here; the message names the nearest ids.
        """
        found = self._number.get(str(one), -1)
        if found < 0:
            raise DataError(self._unknown(str(one), what))
        return found

    def _unknown(self, one: str, what: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(one, self._alike(one), n=3, cutoff=0.6)
        if near:
            return unknown(what, one, near)
        some = ", ".join(shortened(other) for other in self.ids[:5].to_pylist())
        return f"unknown {what} {shortened(one)!r}; there are {len(self):,}, such as {some}"

    def _alike(self, one: str) -> list[str]:
        """Ids that may be meant: all of a few; of many, some that share the first or the last half of the letters.

        (Every id that differs in one place shares one of them.)
        """
        if len(self) <= COMPARED:
            return list(self._number)
        half = len(one) // 2
        either = pc.or_(pc.starts_with(self.ids, one[:half]), pc.ends_with(self.ids, one[half:]))
        near_length = pc.less_equal(pc.abs(pc.subtract(pc.utf8_length(self.ids), len(one))), 2)
        found: list[str] = self.ids.filter(pc.and_(either, near_length)).to_pylist()
        return found[:COMPARED]

    def take(self, numbers: IntVector) -> Vocabulary:
        """A vocabulary of some of the ids, in the order of `numbers`."""
        return Vocabulary(self.ids.take(pa.array(numbers, pa.int64())))


def as_text(one: Any) -> str:
    """A value as a category, as a table would have it: 3, 3.0 and numpy's are "3", True is "true".

    >>> [as_text(one) for one in (3, 3.0, 2.5, True, "phone")]
    ['3', '3', '2.5', 'true', 'phone']
    """
    if isinstance(one, (bool, np.bool_)):
        return "true" if one else "false"
    if isinstance(one, (float, np.floating, Decimal)) and float(one).is_integer():
        return str(int(one))
    return str(one)
