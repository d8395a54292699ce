"""Codebook: vectors go in, codes of a few digits come out; the base class does the rest.

A codebook writes `_fit`, `_assign` and `_decode`, and sees only vectors that say something, moved to mean 0 and scaled
to a mean square length of 1. Checks, blocks of bounded memory, items that say nothing, the digit that tells equal codes
apart, saving and loading are here, once.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import model_validator

from zhiyin._parallel import in_blocks
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix
from zhiyin.config import Component, Config, setting
from zhiyin.errors import DataError, NotFittedError
from zhiyin.run import Run
from zhiyin.semantic_ids._digits import checked, unique
from zhiyin.semantic_ids._saved import load as load
from zhiyin.semantic_ids._saved import save

logger = logging.getLogger(__name__)


class CodebookConfig(Config):
    """Settings that every codebook has."""

    levels: int = setting(3, ge=1, le=64)
    """How many digits a code has."""
    n_codes: int = setting(256, ge=2, le=65_536)
    """How many values a digit may have."""
    most_vectors: int = setting(65_536, ge=2)
    """Learn from at most so many vectors, drawn at random; all get codes."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.most_vectors < self.n_codes:
            raise ValueError(f"{self.n_codes} codes cannot be learnt from most_vectors={self.most_vectors}")
        return self


class Codebook(Component):
    """Base of every codebook. Its settings are `config`; what it learnt is in the attributes of `learns`."""

    config: CodebookConfig
    room = "zhiyin.semantic_ids"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays."""
    mean: FloatVector
    """(d,) of the vectors that were learnt from."""
    scale: FloatVector
    """(1,) the root of the mean square distance from there."""

    # ------------------------------------------------------------------ what a codebook writes

    def _fit(self, vectors: FloatMatrix, run: Run) -> None:
        """Learn from (n, d) vectors, at least as many as a digit has values."""
        raise NotImplementedError

    def _assign(self, vectors: FloatMatrix) -> AnyArray:
        """(n, levels) the codes of vectors."""
        raise NotImplementedError

    def _decode(self, codes: IntMatrix) -> FloatMatrix:
        """(n, d) the vectors that codes stand for; codes have all digits, or the first ones alone."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what everybody inherits

    @property
    def levels(self) -> int:
        """How many digits a code has."""
        return self.config.levels

    @property
    def sizes(self) -> tuple[int, ...]:
        """(levels,) how many values each digit may have."""
        return (self.config.n_codes,) * self.config.levels

    @property
    def learnt(self) -> tuple[str, ...]:
        """Names of all attributes that are saved."""
        return ("mean", "scale", *self.learns)

    def fit(self, vectors: ArrayLike, run: Run | None = None) -> Self:
        """Learn codes from vectors. Rows of zeros, items that say nothing, are left out.

        Args:
            vectors: (n, d) numbers; what an encoder gave stands for its values.
            run: seed, threads, memory, and who watches.

        Raises:
            DataError: no table of finite numbers came, all vectors are equal, or they are fewer than codes.
            MissingExtra: the codebook needs a package that is not installed.
        """
        how = run or Run()
        values = self._matrix(vectors)
        try:
            self._fit(self._told(values, np.flatnonzero(self._speaks(values, how)), how), how)
        except BaseException:
            for name in self.learnt:
                self.__dict__.pop(name, None)  # half a fit is none
            raise
        return self

    def assign(self, vectors: ArrayLike, run: Run | None = None) -> IntMatrix:
        """(n, levels) int32 the codes of vectors; -1 in all digits for a row of zeros, an item that says nothing.

        The code of a vector does not depend on those beside it.

        Args:
            vectors: (n, d) numbers, as wide as those of `fit`.
            run: threads, memory, and who watches.

        Raises:
            DataError: no table of finite numbers came, or it has another width.
            NotFittedError: nothing was learnt yet.
        """
        self._check_fitted()
        values, how = self._matrix(vectors), run or Run()
        if values.shape[1] != len(self.mean):
            raise DataError(
                f"{self.name} learnt from vectors of {len(self.mean)} numbers, {values.shape[1]} came; take the same "
                "encoder, or fit a codebook anew"
            )
        speaks = self._speaks(values, how)
        codes = np.full((len(values), self.levels), -1, np.int32)

        def block(start: int, stop: int) -> None:
            rows = start + np.flatnonzero(speaks[start:stop])
            if len(rows):
                codes[rows] = self._assign(self._moved(values[rows].astype(np.float32)))

        in_blocks(block, len(values), self._row_bytes(), how, f"{self.name}: assign")
        return codes

    def decode(self, codes: AnyArray, run: Run | None = None) -> FloatMatrix:
        """(n, d) float32 the vectors that codes stand for; zeros for an item without a code.

        Args:
            codes: (n, levels); fewer digits, the first ones, give coarser vectors.
            run: threads, memory, and who watches.

        Raises:
            DataError: no codes of this codebook came.
            NotFittedError: nothing was learnt yet.
        """
        self._check_fitted()
        digits = checked(codes, self.sizes)
        values = np.zeros((len(digits), len(self.mean)), np.float32)

        def block(start: int, stop: int) -> None:
            rows = start + np.flatnonzero(digits[start:stop, 0] >= 0)
            if len(rows):
                values[rows] = self._decode(digits[rows]) * self.scale + self.mean

        in_blocks(block, len(digits), self._row_bytes(), run or Run(), f"{self.name}: decode")
        return values

    def unique(self, codes: AnyArray, most: int | None = None) -> IntMatrix:
        """(n, levels + 1) codes with one more digit, 0, 1, 2, ... for items of equal codes, in their order.

        Args:
            codes: (n, levels) of this codebook.
            most: how many values the last digit may have; beyond, it begins anew and items share digits again.

        Raises:
            DataError: no codes of this codebook came.
            ConfigError: `most` is not positive.
        """
        return unique(checked(codes, self.sizes), most)

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write settings and what was learnt to a folder, whole or not at all; `zhiyin.semantic_ids.load` opens it.

        Raises:
            NotFittedError: nothing was learnt yet.
            DataError: the folder is there already and may not be replaced, or cannot be written.
        """
        self._check_fitted()
        return save(self, path, overwrite)

    def _check_fitted(self) -> None:
        if any(name not in self.__dict__ for name in self.learnt):
            raise NotFittedError(f"{self.name} learns from vectors first: call fit(vectors), or load a saved one")

    def _row_bytes(self) -> int:
        """About what one row takes while it is worked on."""
        return 4 * (3 * len(self.mean) + 2 * max(self.sizes))

    def _matrix(self, vectors: Any) -> AnyArray:
        """(n, d) numbers."""
        values = np.asarray(vectors)
        fine = values.ndim == 2 and values.shape[1] and np.issubdtype(values.dtype, np.number)
        if not fine or np.iscomplexobj(values):
            raise DataError(
                f"{self.name} reads vectors as one table of numbers, (n, d); shape {values.shape} of {values.dtype} "
                "came; encoder.encode(items).values is one"
            )
        return values

    def _speaks(self, values: AnyArray, run: Run) -> BoolVector:
        """(n,) which rows are not zero."""

        def block(start: int, stop: int) -> BoolVector:
            with np.errstate(over="ignore"):
                part = values[start:stop].astype(np.float32, copy=False)
            finite = np.isfinite(part).all(1)
            if not finite.all():
                row = start + int(np.flatnonzero(~finite)[0])
                raise DataError(f"vector {row} is not finite; give zeros for an item that says nothing")
            found: BoolVector = np.any(part != 0, axis=1)
            return found

        parts = in_blocks(block, len(values), 8 * values.shape[1], run, f"{self.name}: check")
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    def _told(self, values: AnyArray, rows: AnyArray, run: Run) -> FloatMatrix:
        """(n, d) the vectors to learn from, moved and scaled; this learns how."""
        if silent := len(values) - len(rows):
            logger.warning("%s: %d of %d items say nothing; they get no code", self.name, silent, len(values))
        if len(rows) < max(self.sizes):
            raise DataError(
                f"{self.name} has {max(self.sizes)} codes a level, {len(rows)} vectors that say something came; set "
                f"n_codes to at most {len(rows)}"
            )
        most = self.config.most_vectors
        if len(rows) > most:
            rows = np.sort(run.generator(f"{self.name}: vectors").choice(rows, most, replace=False))
        told = values[rows].astype(np.float32)
        self.mean = told.mean(0, dtype=np.float64).astype(np.float32)
        told -= self.mean
        length = np.sqrt(np.einsum("nd,nd->n", told, told, dtype=np.float64).mean())
        if not length > 0:
            raise DataError(f"{self.name}: all {len(rows)} vectors are equal, no code tells them apart")
        self.scale = np.array([length], np.float32)
        told /= self.scale
        return told

    def _moved(self, vectors: FloatMatrix) -> FloatMatrix:
        return (vectors - self.mean) / self.scale
