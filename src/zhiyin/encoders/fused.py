"""Fused: what several encoders say of an item (its text, its picture, its sound) as one vector.

    encoders.Fused(parts="multilingual:2,image").fit(dataset)

Each part is centred and scaled, so that none dominates, and weighted; then they stand side by side, on their leading
directions if that is too long, or are averaged in the space in which they agree most. What is missing of an item is
predicted from the rest of it, as far as complete items of the catalogue teach that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from zhiyin._svd import right_vectors
from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatMatrix, FloatVector, LongVector, offsets_of
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._fusion import (
    Filling,
    agreement,
    best_ridge,
    scaling,
    second_moment,
    side_by_side,
    with_ridge,
)
from zhiyin.encoders._parts import ComposedEncoder, ComposedVectors, Part, parts_of
from zhiyin.encoders._reader import Reader
from zhiyin.encoders.base import TextConfig, TextEncoder, Vectors, item_table
from zhiyin.errors import DataError
from zhiyin.run import Run

logger = logging.getLogger(__name__)

MOST_LEARNT = 50_000
"""Items that are looked at to learn; of more, so many are drawn."""


class FusedConfig(TextConfig):
    """Settings of `fused`; `text` and `most_letters` are handed to the parts that read texts."""

    parts: tuple[Part, ...] = setting((Part(encoder="multilingual"), Part(encoder="image")), min_length=2)
    """Who reads an item, and with what weight: `multilingual:2,image`, or a list of `{"encoder": ..., "weight": ...,
    "settings": ...}`."""
    method: Literal["concat", "mean"] = "concat"
    """Side by side, where a part keeps all it says; or averaged in a common space, where only that is left in which the
    parts of an item agree."""
    embedding_size: int | None = setting(None, ge=1)
    """The length of a vector, at most: that many leading directions are kept. By default all when side by side, and as
    many as the shortest part has when averaged."""
    missing: Literal["predict", "zero"] = "predict"
    """What stands for a part that says nothing of an item: what its other parts let one expect, or nothing."""
    whiten: float = setting(0.0, ge=0, le=1)
    """How far the directions of a part are made to vary alike: 0 leaves them, 1 makes them equal. It helps against
    vectors that lie in a narrow cone, as those of language models do, and needs many items."""

    @field_validator("parts", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        return parts_of(value)


class Fused(ComposedEncoder):
    """The vector of an item is the joined vectors of its parts; a text is read by the parts that read texts."""

    config: FusedConfig
    about_contents = (*TextEncoder.about_contents, "parts")
    learns = ("sizes", "mean", "moment", "projection", "explained")
    sizes: LongVector
    """(P,) the width of each part."""
    mean: FloatVector
    """(D,) of the parts side by side."""
    moment: FloatMatrix
    """(D, D) their second moment with a ridge, to predict what is missing; (0, 0) where nothing is predicted."""
    projection: FloatMatrix
    """(D, d), or (D,) where each value is only scaled."""
    explained: DoubleVector
    """(P,) the share of a part's variance that the others predict of items held out; NaN where it was not measured."""

    def encode(
        self,
        items: pa.Table | Dataset,
        *,
        keep: bool | Path = True,
        out: Path | None = None,
        run: Run | None = None,
    ) -> ComposedVectors:
        """The vectors of items; `filled` counts, for each part, of how many something is missing. See `Encoder`."""
        found = super().encode(items, keep=keep, out=out, run=run)
        does = "is predicted from the rest" if self.config.missing == "predict" else "is left at zero"
        for name, count in found.filled.items():
            if count:
                logger.warning("%s: what %s would say of %d of %d items %s", self.name, name, count, len(found), does)
        return found

    def _readers(self) -> dict[str, Reader]:
        seen: Counter[str] = Counter()
        named: dict[str, Reader] = {}
        for part in self.config.parts:
            seen[part.encoder] += 1
            nth = seen[part.encoder]
            named[part.encoder if nth == 1 else f"{part.encoder} {nth}"] = part
        return named

    def _learn(self, items: pa.Table | Dataset, run: Run) -> None:
        table = item_table(items, self.name)
        if table.num_rows > MOST_LEARNT:
            drawn = run.generator(f"{self.name}: items").choice(table.num_rows, MOST_LEARNT, replace=False)
            table = table.take(pa.array(np.sort(drawn)))
        with self._told(table, True, None, run, fitted=False) as said:
            self._check_said(said)
            blocks = [one.values for one in said.values()]
        self.sizes = np.array([block.shape[1] for block in blocks], np.int64)
        self.mean = np.concatenate([block[block.any(1)].mean(0, dtype=np.float64) for block in blocks])
        self.mean = self.mean.astype(np.float32)
        x, there = side_by_side(blocks, self.mean)
        del blocks
        ridge = self._learn_missing(x, there)
        self.projection = self._projected(x, there, ridge, run).astype(np.float32)

    def _check_said(self, said: dict[str, Vectors]) -> None:
        for name, one in said.items():
            if not one.speaks.any():
                raise DataError(
                    f"{self.name}: no item says anything to {name}; leave that part out, or see that its column and "
                    "its root are right"
                )
            told = one.values[one.speaks]
            if np.allclose(told, told[0], atol=1e-6):
                raise DataError(f"{self.name}: all {len(told)} items say the same to {name}; leave that part out")

    def _learn_missing(self, x: FloatMatrix, there: BoolVector) -> AnyArray:
        """Learn how parts tell of each other, where that is wanted; return the second moment (D, D) with its ridge."""
        self.__dict__.pop("_filling", None)
        settings = self.config
        if settings.missing == "zero" and settings.method == "concat":
            self.moment, self.explained = np.zeros((0, 0), np.float32), np.full(len(self.sizes), np.nan)
            return self.moment
        complete = x[there.all(1)]
        if len(complete) < 2:
            wanted = "predicted" if settings.missing == "predict" else "averaged"
            raise DataError(
                f"{self.name}: {len(complete)} of {len(x)} items say something to all of {', '.join(self.parts)}, so "
                f'that nothing can be {wanted}; take missing="zero" with method="concat", or fewer parts'
            )
        ridge, self.explained = best_ridge(complete, self.sizes)
        moment = with_ridge(second_moment(complete), self.sizes, ridge)
        kept = moment if settings.missing == "predict" else np.zeros((0, 0))
        self.moment = kept.astype(np.float32)
        return moment

    def _projected(self, x: FloatMatrix, there: BoolVector, moment: AnyArray, run: Run) -> AnyArray:
        """(D, d), or (D,), what x is multiplied by, once it is filled."""
        settings, weights = self.config, [part.weight for part in self.config.parts]
        if settings.method == "mean":
            size = settings.embedding_size or int(self.sizes.min())
            return np.repeat(weights, self.sizes)[:, None] * agreement(moment, self.sizes, size)
        wide = _side_by_side(
            [w * scaled for w, scaled in zip(weights, self._scalings(x, there), strict=True)], self.sizes
        )
        if settings.embedding_size is None or settings.embedding_size >= len(self.mean):
            return wide
        filled = self._filled(x, there)
        seen = filled * wide if wide.ndim == 1 else filled @ wide
        found = right_vectors(seen, settings.embedding_size, run.generator(f"{self.name}: directions"))
        return wide[:, None] * found if wide.ndim == 1 else wide @ found

    def _scalings(self, x: FloatMatrix, there: BoolVector) -> list[AnyArray]:
        edges = offsets_of(self.sizes)
        spoken = [x[there[:, part], edges[part] : edges[part + 1]] for part in range(len(self.sizes))]
        return [scaling(second_moment(one), self.config.whiten) for one in spoken]

    def _join(self, blocks: Sequence[FloatMatrix]) -> FloatMatrix:
        x, there = side_by_side(blocks, self.mean)
        filled, by = self._filled(x, there), self.projection
        found: FloatMatrix = filled * by if by.ndim == 1 else filled @ by
        return found

    def _filled(self, x: FloatMatrix, there: BoolVector) -> FloatMatrix:
        return self._filling.fill(x, there) if self.config.missing == "predict" else x

    @cached_property
    def _filling(self) -> Filling:
        return Filling(self.moment, self.sizes)


def _side_by_side(maps: Sequence[AnyArray], sizes: LongVector) -> AnyArray:
    """Maps of the parts as one of all: (D,) where all are numbers, else (D, D) with blocks on the diagonal."""
    if all(one.ndim == 0 for one in maps):
        return np.repeat([float(one) for one in maps], sizes)
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*maps))
