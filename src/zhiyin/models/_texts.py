"""What items say, for models of behaviour: an encoder, a whitening, and a vector for each item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from zhiyin import encoders
from zhiyin._whitening import Whitening
from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector, LongVector
from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._reader import Reader
from zhiyin.encoders.base import Encoder, TextEncoder
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run

ENCODER, WHITENING = "encoder", "whitening.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class ItemTexts:
    """An encoder of items and the whitening of what it says, fitted on one catalogue."""

    encoder: Encoder
    whitening: Whitening

    @classmethod
    def fit(cls, train: Dataset, reader: Reader, size: int, run: Run) -> tuple[ItemTexts, FloatMatrix]:
        """Fitted on the items of a dataset, and what each of them says (n_items, s).

        Raises:
            ConfigError: there is no such encoder.
            DataError: items say nothing, or all the same.
        """
        encoder: Encoder = encoders.get(reader.encoder)(**reader.settings)
        if encoder.learns:
            encoder.fit(train, run)
        found = encoder.encode(train, run=run).values
        try:
            whitening = Whitening.fit(found, size)
        except ConfigError as error:
            raise DataError(f"{encoder.name} reads the items of {train.name!r}: {error}") from None
        return cls(encoder, whitening), whitening.apply(found)

    def of(self, items: pa.Table, run: Run) -> FloatMatrix:
        """(n, s) what the items of a table say."""
        return self.whitening.apply(self.encoder.encode(items, run=run).values)

    @property
    def reads(self) -> bool:
        """Whether the encoder reads texts."""
        return isinstance(self.encoder, TextEncoder)

    def of_texts(self, texts: list[str], run: Run) -> FloatMatrix:
        """(n, s) what texts say.

        Raises:
            ConfigError: the encoder reads something else than text.
        """
        if not isinstance(self.encoder, TextEncoder):
            raise ConfigError(f"items were read by {self.encoder.name}, which does not read texts")
        return self.whitening.apply(self.encoder.encode_texts(texts, run=run))

    def write(self, folder: Path) -> None:
        """Save to a folder that is there."""
        self.encoder.save(folder / ENCODER)
        save_arrays(folder / WHITENING, {"mean": self.whitening.mean, "directions": self.whitening.directions})

    @classmethod
    def read(cls, folder: Path) -> ItemTexts:
        """Read what `write` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        arrays = load_arrays(folder / WHITENING)
        if arrays.keys() != {"mean", "directions"}:
            raise DataError(f"{folder / WHITENING} is damaged: it holds {', '.join(sorted(arrays))}; save it anew")
        return cls(encoders.load(folder / ENCODER), Whitening(arrays["mean"], arrays["directions"]))


def shares(counts: LongVector, gate: float) -> FloatVector:
    """(n_items,) how much of its own row an item of so many events has: n / (n + gate), and 0 without events."""
    n = np.asarray(counts, np.float64)
    found: FloatVector = np.divide(n, n + gate, out=np.zeros(len(n)), where=n > 0).astype(np.float32)
    return found


def saved_texts(arrays: Mapping[str, AnyArray], n_items: int, file: Path) -> FloatMatrix:
    """(n_items, s) what items say, from the saved arrays of a net that is told of it.

    Raises:
        DataError: it is not there, or of another number of items.
    """
    found = next((one for name, one in arrays.items() if name.startswith("items.") and name.endswith(".said")), None)
    if found is None or found.ndim != 2 or len(found) != n_items:
        came = "nothing" if found is None else f"an array of shape {found.shape}"
        raise DataError(f"{file} is damaged: of what {n_items:,} items say it holds {came}; save the model anew")
    return found
