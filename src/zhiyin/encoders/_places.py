"""Where kept vectors lie: parts of them in memory and in files, and an index from the hash of a content to its row."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.lib import format as npy

from zhiyin.arrays import AnyArray, FloatMatrix, LongVector

KEY_BYTES = 16
"""The length of a hash."""


class Index:
    """Places by key: sorted runs, each at least twice as long as the next, so that there are few of them."""

    def __init__(self) -> None:
        self._runs: list[tuple[AnyArray, AnyArray, LongVector]] = []
        """The first halves of keys, which rise, the second halves and the places."""

    def find(self, keys: AnyArray) -> LongVector:
        """(n,) the places of keys (n, 16), -1 for those that are not here."""
        first, second = _halves(keys)
        found = np.full(len(first), -1, np.int64)
        for firsts, seconds, places in self._runs:
            at = np.minimum(np.searchsorted(firsts, first), len(firsts) - 1)
            same = (found < 0) & (firsts[at] == first) & (seconds[at] == second)
            found[same] = places[at[same]]
        return found

    def add(self, keys: AnyArray, places: LongVector) -> None:
        """Take the places (n,) of keys (n, 16)."""
        if not len(places):
            return
        run = (*_halves(keys), places)
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            first, second, place = (np.concatenate(pair) for pair in zip(self._runs.pop(), run, strict=True))
            run = (first, second, place)
        order = np.argsort(run[0], kind="stable")
        self._runs.append((run[0][order], run[1][order], run[2][order]))


class Part(Protocol):
    """Vectors (n, d) that lie together."""

    def values(self) -> AnyArray: ...


@dataclass(frozen=True, slots=True)
class Held:
    """Vectors in memory."""

    held: FloatMatrix

    def values(self) -> AnyArray:
        return self.held


@dataclass(frozen=True, slots=True)
class Stored:
    """Vectors in a file; they are mapped for as long as they are looked at, so that none pile up."""

    path: Path
    shape: tuple[int, int]
    offset: int

    def values(self) -> AnyArray:
        with self.path.open("rb", buffering=0) as file:  # numpy.memmap takes thrice as long
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(self.shape, np.float32, held, self.offset)

    @property
    def size(self) -> int:
        """In bytes."""
        return 4 * self.shape[0] * self.shape[1]


class Out:
    """Vectors in a file that is being written, as far as it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def values(self) -> AnyArray:
        self._file.flush()
        with Path(self._file.name).open("rb") as file:
            npy.read_magic(file)
            (_, width), _, _ = npy.read_array_header_1_0(file)
            begins, ends = file.tell(), file.seek(0, os.SEEK_END)
        return np.memmap(self._file.name, np.float32, "r", begins, ((ends - begins) // (4 * width), width))


def stored(path: Path) -> Stored:
    """A file of vectors, once it is seen to be whole."""
    vectors = np.load(path, mmap_mode="r")
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise ValueError(f"{vectors.shape} {vectors.dtype} vectors")
    return Stored(path, vectors.shape, int(vectors.offset))


def _halves(keys: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The first and the last 8 bytes of keys (n, 16), as numbers."""
    numbers = np.ascontiguousarray(keys).reshape(-1, KEY_BYTES).view(np.uint64)
    return numbers[:, 0], numbers[:, 1]
