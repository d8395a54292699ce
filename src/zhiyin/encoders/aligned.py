"""Aligned: an encoder taught by behaviour, so that things used together lie together, whatever their words.

    encoders.Aligned(encoder="multilingual").fit(dataset)

A small head on the vectors of another encoder learns to tell what is used together from what is not; it begins as no
change at all, and of its epochs the one stays that does best on pairs with items that it never saw. A new item, and
what a person asks for, go through the same head. With `tune`, a whole text encoder is tuned first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from zhiyin.arrays import DoubleVector, FloatMatrix, FloatVector, IntMatrix
from zhiyin.config import Search, setting
from zhiyin.data.dataset import Dataset
from zhiyin.encoders import _tuning
from zhiyin.encoders._aligning import Learning, head_of, through
from zhiyin.encoders._company import Company, company_of, split
from zhiyin.encoders._parts import ComposedEncoder
from zhiyin.encoders._reader import Reader, reader_of
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError, MissingExtra
from zhiyin.run import Run

HEAD = ("inner", "inner_bias", "outer")
"""The arrays of a head."""


class AlignedConfig(TextConfig):
    """Settings of `aligned`; `text` and `most_letters` are handed to the encoder."""

    encoder: Reader = Reader()
    """Whose vectors are aligned: `multilingual`, or `{"encoder": ..., "settings": ...}`."""
    hidden: int = setting(0, ge=0, le=16_384)
    """Values of the head's hidden layer; 0 for a linear head, which few events suffice for."""
    window: int = setting(5, ge=1)
    """Two events are a pair if so many follow each other; all of a history where the order is not known."""
    epochs: int = setting(30, ge=0)
    """At most: three without progress on held-out pairs are the end."""
    batch_size: int = setting(512, ge=2)
    """Pairs that are told apart from each other."""
    n_pairs: int = setting(200_000, ge=2)
    """Of an epoch, at most: as many as there are events, and twenty batches at least."""
    learning_rate: float = setting(1e-3, gt=0, search=Search(1e-4, 1e-2, log=True))
    """Of the head."""
    regularization: float = setting(0.01, ge=0)
    """Decay of what the head adds to a vector."""
    temperature: float = setting(0.05, gt=0, search=Search(0.02, 0.5, log=True))
    """What cosines are divided by: the lower, the harder pairs are told apart."""
    held_out: float = setting(0.1, ge=0, lt=1)
    """The share of used items whose pairs are kept out of learning, to see when it should end."""
    tune: bool = False
    """Tune the whole text encoder first, which must be `sentence`. Slow without a GPU."""
    tune_epochs: int = setting(1, ge=1)
    """Of tuning."""
    tune_batch_size: int = setting(32, ge=2)
    """Pairs of texts that are told apart from each other."""
    tune_pairs: int = setting(20_000, ge=2)
    """Of an epoch of tuning, at most."""
    tune_learning_rate: float = setting(2e-5, gt=0)
    """Of tuning."""

    @field_validator("encoder", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        return reader_of(value)


class Aligned(ComposedEncoder):
    """The vector of an item is what a head, taught by behaviour, makes of the vector that its encoder gives."""

    config: AlignedConfig
    about_contents = (*TextEncoder.about_contents, "encoder")
    learns = (*HEAD, "losses", "weights")
    inner: FloatMatrix
    """(d, h); h is 0 for a linear head."""
    inner_bias: FloatVector
    """(h,)."""
    outer: FloatMatrix
    """(h, d), or (d, d) for a linear head."""
    losses: DoubleVector
    """On pairs with items that were held out: before learning, and after each epoch; none if nothing was held out."""
    weights: list[str]
    """The hash of the tuned text encoder; none if it was not tuned."""

    def _readers(self) -> dict[str, Reader]:
        return {self.config.encoder.encoder: self.config.encoder}

    def _begin(self, items: pa.Table | Dataset) -> None:
        if not isinstance(items, Dataset):
            raise DataError(
                f"{self.name} learns from what is used together: a zhiyin.Dataset with histories is expected, but "
                f"{type(items).__name__} came; for items alone take its encoder, {self.config.encoder.encoder}"
            )
        if self.config.tune:
            self.__dict__.pop("parts", None)  # which may be tuned to another dataset
            _tuning.check(next(iter(self.parts.values())), self.name)

    def _learn(self, items: pa.Table | Dataset, run: Run) -> None:
        assert isinstance(items, Dataset)
        (part,) = self.parts.values()
        with self._told(items.item_table, True, None, run, fitted=False) as told:
            (said,) = told.values()
        company = company_of(items, said.speaks, self.config.window, self.name)
        rest, held = split(company, self.config.held_out, run.generator(f"{self.name}: held out"))
        self.weights, vectors = [], said.values
        if self.config.tune:
            texts = part._contents(items.item_table)
            _tuning.tuned(part, texts, rest, held, self.config, run, self.name)
            self.weights = [part._weights()]
            vectors = part.encode(items, keep=False, run=run).values
        self._learn_head(vectors, rest, held, run)

    def _learn_head(self, vectors: FloatMatrix, company: Company, held: IntMatrix, run: Run) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtra("sequence", "torch", f"fitting the encoder {self.name}") from None
        from zhiyin._torch import torch_threads

        settings = self.config
        begun = head_of(vectors.shape[1], settings.hidden, run.generator(f"{self.name}: head"))
        head = torch.nn.ParameterDict({name: torch.from_numpy(one) for name, one in begun.items()})
        with torch_threads(run.threads):
            try:
                head.to(run.device or "cpu")
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(f"{self.name}: the device {run.device!r} is not there: {error}") from None

            def encode(items: Any) -> Any:
                known = torch.from_numpy(vectors[items]).to(run.device or "cpu")
                return torch.nn.functional.normalize(through(known, head, torch.relu), dim=1)

            sizes = (settings.batch_size, settings.n_pairs, settings.temperature)
            learning = Learning(head, encode, company, held, len(vectors), *sizes)
            optimizer = torch.optim.AdamW(
                head.parameters(), lr=settings.learning_rate, weight_decay=settings.regularization
            )
            self.losses = learning.learn(optimizer, settings.epochs, run, f"{self.name}: align")
        for name, value in head.items():
            setattr(self, name, value.detach().cpu().numpy())

    def _join(self, blocks: Sequence[FloatMatrix]) -> FloatMatrix:
        (vectors,) = blocks
        head = {name: getattr(self, name) for name in HEAD}
        found: FloatMatrix = through(vectors, head, lambda value: np.maximum(value, 0))
        found[~vectors.any(1)] = 0
        return found

    def _write(self, folder: Path) -> None:
        super()._write(folder)
        if self.weights:
            _tuning.write(next(iter(self.parts.values())), folder)

    def _read(self, folder: Path) -> None:
        super()._read(folder)
        if self.weights:
            _tuning.read(next(iter(self.parts.values())), folder, self.weights[0])
