"""Encoder: what items say goes in, vectors come out; the base class does the rest.

An encoder writes `_contents` (what there is to read of each item) and `_encode` (contents to vectors); text encoders
have the first already. Windows of bounded memory, contents that occur twice, the vectors that were kept from before,
length 1, what says nothing or cannot be read, checks, saving and loading are here, once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, IntVector
from zhiyin.artifacts import cache_folder
from zhiyin.config import Component, Config, names, setting
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._kept import MOST_SECONDS, KeptVectors, as_bytes, digest, identity_hash
from zhiyin.encoders._rows import Rows, new_matrix
from zhiyin.encoders._saved import THEN, check_weights, save
from zhiyin.encoders._saved import load as load
from zhiyin.encoders._terms import Fields
from zhiyin.encoders._texts import cleaned, item_texts
from zhiyin.encoders._ticks import Tally, Ticks
from zhiyin.errors import DataError, NotFittedError
from zhiyin.run import Run

logger = logging.getLogger(__name__)

WINDOW = 1_024
"""Items that are read, looked up and encoded together; within a window, contents of like length go together."""
BATCHES, BATCH = 4, 64
"""What an encoder reads before that is kept: so many of its batches once one was quick, and how long one is where no
setting says it."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """What an encoder made of some items. `numpy.asarray` takes its values."""

    values: FloatMatrix
    """(n, d) float32, rows of length 1; a row of zeros for an item that says nothing or cannot be read."""
    silent: IntVector
    """Rows of items that say nothing: no text, no file."""
    unreadable: IntVector
    """Rows of items that say something which the encoder could not read, such as a broken picture."""
    refused: IntVector = field(kw_only=True, default_factory=lambda: np.zeros(0, np.int32))
    """Rows, silent ones too, of items that name what may not be read, such as a file outside of `root`."""
    encoded: int
    """How many contents were encoded."""
    kept: int
    """How many items were found among the vectors kept from before, or say what an earlier one of them says."""

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def speaks(self) -> BoolVector:
        """(n,) which items have a vector."""
        found = np.ones(len(self.values), bool)
        found[self.silent] = found[self.unreadable] = False
        return found


class Encoder(Component):
    """Base of every encoder. Its settings are `config`; what it learnt, if anything, in the attributes of `learns`."""

    config: Config
    room = "zhiyin.encoders"
    learns: ClassVar[tuple[str, ...]] = ()
    """Names of attributes to save: numpy arrays or lists of text. An encoder that has some is to be fitted first."""
    about_contents: ClassVar[tuple[str, ...]] = ()
    """Settings that say what is read, or how fast, and not what vector a content has."""
    worth_keeping: ClassVar[bool] = True
    """Whether encoding is slower than finding a kept vector; if not, none is looked for unless a folder is named."""
    refuses: ClassVar[str] = "name what may not be read"
    """What there is to say of the items of which `_refuses` does not let a content be read."""

    # ------------------------------------------------------------------ what an encoder writes

    def _fit(self, items: pa.Table, run: Run) -> None:
        """Learn from the items of a catalogue; nothing by default."""

    def _contents(self, items: pa.Table) -> list[str]:
        """(n,) what there is to read of each item, such as its text or the path of its picture; empty for nothing."""
        raise NotImplementedError

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        """(n, d) float32, of any length; a row that is not finite for a content that cannot be read."""
        raise NotImplementedError

    def _steps(self, contents: Sequence[str], run: Run) -> Generator[tuple[list[int], FloatMatrix]]:
        """Encode contents little by little: places among them, and their vectors, to be kept before the next come.

        A content that never comes could not be read by a fault of the machine; it is not kept, and tried again.
        """
        batch = self._batch
        size, most, at = batch, BATCHES * batch, 0
        while at < len(contents):
            began, places = time.monotonic(), list(range(at, min(at + size, len(contents))))
            yield places, self._encode([contents[place] for place in places], run)
            at += len(places)
            if time.monotonic() - began > MOST_SECONDS:
                most = batch
            size = most

    def _key(self, content: str) -> bytes | None:
        """The hash by which a content is found again; None where it is not there."""
        return digest(content.encode())

    def _refuses(self, content: str) -> bool:
        """Whether a content without a key has none because it may not be read."""
        return False

    def _weights(self) -> str:
        """A hash of what the encoder knows beside its settings and what it learnt: its weights, or their version."""
        return ""

    # ------------------------------------------------------------------ what everybody inherits

    def fit(self, items: pa.Table | Dataset, run: Run | None = None) -> Self:
        """Learn from a catalogue what the encoder learns; most know all beforehand and learn nothing.

        Raises:
            DataError: no table came, or the encoder finds nothing to read in it.
        """
        table = item_table(items, self.name)
        try:
            self._fit(table, run or Run())
        except BaseException:
            for name in self.learns:
                self.__dict__.pop(name, None)  # half a fit is none
            raise
        finally:
            self.__dict__.pop("_width", None)
        self.__dict__.pop(THEN, None)
        return self

    def encode(
        self,
        items: pa.Table | Dataset,
        *,
        keep: bool | Path = True,
        out: Path | None = None,
        run: Run | None = None,
    ) -> Vectors:
        """The vectors of the items of a table, in its order.

        Args:
            items: one row an item, or a dataset, of which the item table is taken.
            keep: whether vectors are kept on the disk, and taken from there next time; or the folder where. An encoder
                that is quicker than that keeps none, unless a folder is named.
            out: a new `.npy` file for the vectors, which are then mapped from it and need not fit into memory.
            run: threads, and who watches.

        Raises:
            DataError: no table came, a column is missing, a folder or file cannot be written, the folder keeps
                vectors of another encoder, or a loaded encoder has other weights than when it was saved.
            NotFittedError: the encoder learns from a catalogue, and has not yet.
        """
        self._check_fitted()
        check_weights(self)
        table, how = item_table(items, self.name), run or Run()
        kept, tally = self._kept(keep), Tally()
        if out is None:
            values = self._rows(table, kept, tally, how, None).values
        else:
            with new_matrix(Path(out)) as file:
                self._rows(table, kept, tally, how, file)
            values = np.load(out, mmap_mode="r")
        assert values is not None
        some = [np.array(one, np.int32) for one in (tally.silent, tally.unreadable, tally.refused)]
        for rows, what in zip(some, ("say nothing", "cannot be read", self.refuses), strict=True):
            if len(rows):
                logger.warning("%s: %d of %d items %s; their vectors are zero", self.name, len(rows), len(values), what)
        silent, unreadable, refused = some
        kept_before = table.num_rows - len(silent) - tally.encoded
        return Vectors(values, silent, unreadable, tally.encoded, kept_before, refused=refused)

    @property
    def width(self) -> int:
        """The length of a vector."""
        found: int | None = self.__dict__.get("_width")
        if found is None:
            check_weights(self)
            found = self.__dict__["_width"] = self._probe()
        return found

    def _probe(self) -> int:
        self._check_fitted()
        return int(self._encode(["a"], Run()).shape[1])

    def identity(self) -> dict[str, Any]:
        """What the vector of a content depends on: name, settings, weights and what was learnt; plain values."""
        settings = self.config.model_dump(mode="json")
        said = {name: value for name, value in settings.items() if name not in self.about_contents}
        learnt = b"".join(digest(as_bytes(getattr(self, name))) for name in self.learns)
        return {
            "encoder": self.name,
            "settings": said,
            "weights": self._weights(),
            "learnt": digest(learnt).hex() if learnt else "",
        }

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write settings and what was learnt to a folder, whole or not at all; `zhiyin.encoders.load` opens it.

        Raises:
            NotFittedError: it learns from a catalogue, and has not yet.
            DataError: the folder is there already and may not be replaced, or cannot be written.
        """
        self._check_fitted()
        return save(self, path, overwrite)

    def _write(self, folder: Path) -> None:
        """Save what is not in `learns`."""

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""

    def _check_fitted(self) -> None:
        if any(name not in self.__dict__ for name in self.learns):
            raise NotFittedError(f"{self.name} learns from a catalogue first: call fit(items), or load a saved one")

    def _kept(self, keep: bool | Path) -> KeptVectors | None:
        """Where vectors are looked for, if anywhere."""
        if isinstance(keep, bool) and not self.worth_keeping:
            return None
        if keep is False:
            return KeptVectors({})
        identity = self.identity()
        named = f"{self.name.rpartition(':')[2]}-{identity_hash(identity)}"
        if keep is True:  # the cache only saves time: without it, all goes on
            return KeptVectors(identity, cache_folder() / "vectors" / named, needed=False)
        return KeptVectors(identity, Path(keep))

    @property
    def _batch(self) -> int:
        """How many contents are read at once."""
        return int(getattr(self.config, "batch_size", BATCH))

    def _rows(self, table: pa.Table, kept: KeptVectors | None, tally: Tally, run: Run, file: BinaryIO | None) -> Rows:
        """The vectors of all rows, window by window."""
        rows = Rows(table.num_rows, file)
        if file is not None and kept is not None:
            kept.lean_on(file)
        try:
            with Ticks(table.num_rows, self._batch, run, self.name) as ticks:
                for start in range(0, table.num_rows, WINDOW):
                    rows.append(self._window(table.slice(start, WINDOW), start, kept, tally, run, ticks))
        finally:
            if kept is not None:
                kept.write()
        if not table.num_rows:
            rows.start(self.width)
        return rows

    def _window(
        self, table: pa.Table, start: int, kept: KeptVectors | None, tally: Tally, run: Run, ticks: Ticks
    ) -> FloatMatrix:
        """(n, d) the vectors of some rows."""
        contents = self._contents(table)
        if kept is None:
            return self._afresh(contents, start, tally, run, ticks)
        found = [self._key(content) if content else None for content in contents]
        there = [row for row, key in enumerate(found) if key is not None]
        nothing = [row for row, key in enumerate(found) if key is None]
        tally.silent += [start + row for row in nothing]
        tally.refused += [start + row for row in nothing if contents[row] and self._refuses(contents[row])]
        keys = [key for key in found if key is not None]
        new = sorted(kept.missing(keys), key=lambda place: -len(contents[there[place]]))
        ticks.to(start + len(contents) - len(new))
        self._keep([contents[there[place]] for place in new], [keys[place] for place in new], kept, run, ticks)
        ticks.to(start + len(contents))
        tally.encoded += len(new)
        gone = {keys[place] for place in kept.missing(keys)}
        told = [place for place, key in enumerate(keys) if key not in gone]
        if told:
            said = kept.get([keys[place] for place in told])
            kept.lies([keys[place] for place in told], [start + there[place] for place in told])
            self.__dict__["_width"] = said.shape[1]
        values = np.zeros((len(contents), self.width), np.float32)
        if told:
            values[[there[place] for place in told]] = said
        spoke = np.array(there, np.int64)
        tally.unreadable += (start + spoke[~values[spoke].any(1)]).tolist()
        return values

    def _afresh(self, contents: list[str], start: int, tally: Tally, run: Run, ticks: Ticks) -> FloatMatrix:
        """(n, d) the vectors of contents, of which none is looked for; of equal ones, one is encoded."""
        place_of = {content: place for place, content in enumerate(dict.fromkeys(filter(None, contents)))}
        found = np.zeros((len(place_of) + 1, self.width), np.float32)  # the last row for who says nothing
        with closing(self._steps(list(place_of), run)) as steps:
            for places, vectors in steps:
                found[places] = self._checked(vectors, len(places))
        places_of_all = np.array([place_of.get(content, -1) for content in contents], np.int64)
        tally.encoded += len(place_of)
        tally.silent += (start + np.flatnonzero(places_of_all < 0)).tolist()
        empty = ~np.any(found, axis=1)[places_of_all]
        tally.unreadable += (start + np.flatnonzero(empty & (places_of_all >= 0))).tolist()
        ticks.to(start + len(contents))
        return found[places_of_all]

    def _keep(self, contents: list[str], keys: list[bytes], kept: KeptVectors, run: Run, ticks: Ticks) -> None:
        """Encode contents and keep each vector as soon as it is there, so that an error or a crash loses little."""
        with closing(self._steps(contents, run)) as steps:
            for places, vectors in steps:
                kept.add([keys[place] for place in places], self._checked(vectors, len(places)))
                ticks.to(ticks.done + len(places))

    def _checked(self, vectors: AnyArray, n: int) -> FloatMatrix:
        """Vectors of length 1; zeros for those that are not finite, or have no direction."""
        values = np.asarray(vectors)
        if values.ndim != 2 or len(values) != n:
            raise DataError(f"{self.name} gave an array of shape {values.shape} for {n} contents; ({n}, d) is expected")
        return unit(values)


class TextConfig(Config):
    """Settings that every encoder of texts has."""

    text: tuple[str, ...] | None = None
    """The item columns to read; by default all of text and all lists of it, creator, brand and type, title first."""
    most_letters: int = setting(2_000, ge=1)
    """Of a longer text, the beginning is read."""

    @field_validator("text", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return names(value)


class TextEncoder(Encoder):
    """Base of encoders of text: an encoder writes `_encode`, which takes texts that say something."""

    config: TextConfig
    about_contents: ClassVar[tuple[str, ...]] = ("text", "most_letters")

    def encode_texts(
        self, texts: Sequence[str], *, purpose: Literal["query", "item"] = "query", run: Run | None = None
    ) -> FloatMatrix:
        """(n, d) float32 the vectors of texts, of length 1; zeros for a text that says nothing.

        Args:
            texts: what a person asks for, or what would stand in the catalogue.
            purpose: which of the two; some encoders read them differently.
            run: threads.

        Raises:
            DataError: something else than texts came, or the weights are others than when the encoder was saved.
            NotFittedError: the encoder learns from a catalogue, and has not yet.
        """
        self._check_fitted()
        check_weights(self)
        given = [texts] if isinstance(texts, str) else list(texts)
        if wrong := [one for one in given if not isinstance(one, str)]:
            raise DataError(f"{self.name} reads texts, but {type(wrong[0]).__name__} came: {wrong[0]!r}")
        contents = [self._said(cleaned(one, self.config.most_letters), purpose) for one in given]
        there = [row for row, content in enumerate(contents) if content]
        if not there:
            return np.zeros((len(contents), self.width), np.float32)
        said = self._checked(self._encode([contents[row] for row in there], run or Run()), len(there))
        values = np.zeros((len(contents), said.shape[1]), np.float32)
        values[there] = said
        return values

    def _contents(self, items: pa.Table) -> list[str]:
        return [self._said(one, "item") for one in item_texts(items, self._fields(items), self.config.most_letters)]

    def _fields(self, items: pa.Table) -> Fields:
        """The columns that are read."""
        return Fields.of(items, self.config.text, () if self.config.text is not None else None)

    def _said(self, text: str, purpose: Literal["query", "item"]) -> str:
        """The text as it is given to the encoder; an empty one stays empty."""
        return text


def item_table(items: Any, name: str) -> pa.Table:
    """The table of items of what came.

    Raises:
        DataError: it is neither a dataset nor a table.
    """
    if isinstance(items, Dataset):
        return items.item_table
    if isinstance(items, pa.Table):
        return items
    raise DataError(
        f"{name} reads the items of a zhiyin.Dataset or of an Arrow table, but {type(items).__name__} came; a data "
        "frame becomes one by zhiyin.Catalogue.of(frame).to_arrow(), single texts are for encode_texts"
    )


def unit(vectors: AnyArray) -> FloatMatrix:
    """Rows scaled to length 1; zeros for a row that is not finite or has no length."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.linalg.norm(vectors.astype(np.float64, copy=False), axis=1, keepdims=True)
    fine = np.isfinite(length) & (length > 0)
    found: FloatMatrix = np.divide(vectors, length, out=np.zeros(vectors.shape), where=fine).astype(np.float32)
    return found
