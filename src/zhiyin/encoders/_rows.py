"""Rows of a matrix that come one after the other, put into memory or straight into a `.npy` file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from zhiyin.arrays import FloatMatrix
from zhiyin.errors import DataError


class Rows:
    """(n, d) float32 of which the rows come in order.

    Args:
        n: how many will come.
        file: where they are written; None for memory.
    """

    def __init__(self, n: int, file: BinaryIO | None = None) -> None:
        self.n, self.file = n, file
        self.values: FloatMatrix | None = None
        self._at = 0

    def start(self, width: int) -> None:
        """Say how long a row is, before the first one comes."""
        if self.file is None:
            self.values = np.empty((self.n, width), np.float32)
        else:
            npy.write_array_header_1_0(self.file, {"descr": "<f4", "fortran_order": False, "shape": (self.n, width)})

    def append(self, rows: FloatMatrix) -> None:
        """Take the next rows."""
        if not self._at:
            self.start(rows.shape[1])
        if self.file is not None:
            self.file.write(np.ascontiguousarray(rows, "<f4").data)
        elif self.values is not None:
            self.values[self._at : self._at + len(rows)] = rows
        self._at += len(rows)


@contextmanager
def new_matrix(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name only when the block ends well.

    Raises:
        DataError: the path is a folder, does not end in .npy, or the disk refuses to write.
    """
    if path.suffix != ".npy" or path.is_dir():
        raise DataError(f"cannot write vectors to {path}: name a file that ends in .npy")
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with work.open("wb") as file:
                yield file
            work.replace(path)
        finally:
            work.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; nothing was left half-written") from error
