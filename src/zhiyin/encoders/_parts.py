"""What encoders share that work on the vectors of other encoders: these are their parts, each with its own cache."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, IntVector
from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._kept import identity_hash
from zhiyin.encoders._reader import Reader
from zhiyin.encoders._rows import Rows, new_matrix
from zhiyin.encoders.base import Encoder, TextConfig, TextEncoder, Vectors, item_table, load, unit
from zhiyin.errors import ConfigError
from zhiyin.run import Run

logger = logging.getLogger(__name__)

BLOCK = 8_192
"""Items whose vectors are joined at once."""
FOLDER = "parts"


class Part(Reader):
    """One of several encoders that read an item."""

    weight: float = setting(1.0, gt=0)
    """How much it says beside the others."""


def parts_of(value: Any) -> Any:
    """Parts from text, `multilingual:2,image` or a JSON list; of a list, each from text; anything else as it is.

    >>> parts_of("multilingual:2, image")
    [{'encoder': 'multilingual', 'weight': 2.0}, {'encoder': 'image'}]
    """
    if isinstance(value, str):
        value = (
            json.loads(value) if value.lstrip().startswith("[") else [one for one in value.split(",") if one.strip()]
        )
    return (
        [_part_of(one) if isinstance(one, str) else one for one in value] if isinstance(value, list | tuple) else value
    )


def _part_of(text: str) -> dict[str, Any]:
    name, _, weight = text.strip().rpartition(":")
    try:
        return {"encoder": name, "weight": float(weight)} if name else {"encoder": text.strip()}
    except ValueError:  # the colon is that of package.module:Class
        return {"encoder": text.strip()}


def made(reader: Reader, given: TextConfig) -> Encoder:
    """The encoder that a reader names; one of texts reads what is `given`, unless its own settings say otherwise."""
    from zhiyin import encoders

    kind = encoders.get(reader.encoder)
    handed = {name: getattr(given, name) for name in TextConfig.model_fields if name in given.model_fields_set}
    found: Encoder = kind(**({**handed, **reader.settings} if issubclass(kind, TextEncoder) else reader.settings))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class ComposedVectors(Vectors):
    """What an encoder made of some items by way of its parts."""

    filled: Mapping[str, int]
    """Part -> how many items say nothing to it, but something to another one."""


class ComposedEncoder(TextEncoder):
    """Base of encoders of vectors of other encoders: one writes `_readers`, `_learn` and `_join`."""

    def _readers(self) -> dict[str, Reader]:
        """The parts, by a name for people."""
        raise NotImplementedError

    def _learn(self, items: pa.Table | Dataset, run: Run) -> None:
        """Learn from a catalogue, to which the parts are fitted already."""
        raise NotImplementedError

    def _join(self, blocks: Sequence[FloatMatrix]) -> FloatMatrix:
        """(n, d) float32 of any length, from what each part says (n, d_p); zeros where all are zero."""
        raise NotImplementedError

    @cached_property
    def parts(self) -> dict[str, Encoder]:
        """The encoders that read, by a name for people."""
        return {name: made(reader, self.config) for name, reader in self._readers().items()}

    def fit(self, items: pa.Table | Dataset, run: Run | None = None) -> Self:
        """Learn from a catalogue, the parts first; what they say of it is kept, for `encode` to find.

        Raises:
            DataError: what came cannot be learnt from; the message says why.
            ConfigError: a part is not known, or a setting is wrong.
        """
        self._begin(items)
        how = run or Run()
        try:
            for part in self.parts.values():
                if part.learns:
                    part.fit(items, how)
            self._learn(items, how)
        except BaseException:
            for name in self.learns:
                self.__dict__.pop(name, None)  # half a fit is none
            raise
        finally:
            self.__dict__.pop("_width", None)
        return self

    def _begin(self, items: pa.Table | Dataset) -> None:
        """Refuse what cannot be learnt from, before work is done."""
        item_table(items, self.name)

    def encode(
        self,
        items: pa.Table | Dataset,
        *,
        keep: bool | Path = True,
        out: Path | None = None,
        run: Run | None = None,
    ) -> ComposedVectors:
        """The vectors of the items of a table, in its order; those of the parts are kept, each in a folder of its own.

        `encoded` is by the part that had most to do. For the rest see `Encoder.encode`.
        """
        self._check_fitted()
        table, how = item_table(items, self.name), run or Run()
        if out is None:
            with self._told(table, keep, None, how) as said:
                return _counted(self._join_all(said, None), said)
        with new_matrix(Path(out)) as file, self._told(table, keep, Path(out).parent, how) as said:
            found = _counted(self._join_all(said, file), said)
        return replace(found, values=np.load(out, mmap_mode="r"))

    def _join_all(self, said: Mapping[str, Vectors], file: BinaryIO | None) -> FloatMatrix:
        """(n, d) the vectors of all items; (0, d) where they are written to a file."""
        n = len(next(iter(said.values())))
        rows = Rows(n, file)
        for start in range(0, n, BLOCK):
            rows.append(unit(self._join([one.values[start : start + BLOCK] for one in said.values()])))
        if not n:
            rows.start(self.width)
        return np.zeros((0, self.width), np.float32) if rows.values is None else rows.values

    def encode_texts(
        self, texts: Sequence[str], *, purpose: Literal["query", "item"] = "query", run: Run | None = None
    ) -> FloatMatrix:
        """(n, d) float32 the vectors of texts, of length 1, by the parts that read texts; see `TextEncoder`.

        Raises:
            ConfigError: no part reads texts.
        """
        self._check_fitted()
        if not any(map(_reads_texts, self.parts.values())):
            raise ConfigError(
                f"{self.name}: none of its parts ({', '.join(self.parts)}) reads texts; add one that does, such as "
                "multilingual"
            )
        given = [texts] if isinstance(texts, str) else list(texts)
        blocks = [
            part.encode_texts(given, purpose=purpose, run=run)
            if isinstance(part, TextEncoder) and _reads_texts(part)
            else np.zeros((len(given), part.width), np.float32)
            for part in self.parts.values()
        ]
        return unit(self._join(blocks))

    @contextmanager
    def _told(
        self, table: pa.Table, keep: bool | Path, beside: Path | None, run: Run, fitted: bool = True
    ) -> Iterator[dict[str, Vectors]]:
        """What each part says of the rows of a table: in memory, or in files that lie there for a while."""
        with ExitStack() as stack:
            folder = None
            if beside is not None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".parts.", dir=beside)))
            said = {}
            for number, (name, part) in enumerate(self.parts.items()):
                place = f"{number}-{part.name.rpartition(':')[2]}"
                if fitted and not _has_column(part, table):
                    said[name] = _nothing(table.num_rows, part.width)
                    continue
                kept = keep if isinstance(keep, bool) else Path(keep) / place
                out = None if folder is None else folder / f"{place}.npy"
                said[name] = part.encode(table, keep=kept, out=out, run=run)
            yield said

    def _probe(self) -> int:
        self._check_fitted()
        return int(self._join([np.zeros((1, part.width), np.float32) for part in self.parts.values()]).shape[1])

    def _weights(self) -> str:
        return identity_hash({str(number): part.identity() for number, part in enumerate(self.parts.values())})

    def _write(self, folder: Path) -> None:
        for number, part in enumerate(self.parts.values()):
            part.save(folder / FOLDER / str(number))

    def _read(self, folder: Path) -> None:
        names = list(self._readers())
        self.__dict__["parts"] = {name: load(folder / FOLDER / str(number)) for number, name in enumerate(names)}


def _reads_texts(part: Encoder) -> bool:
    parts = part.parts.values() if isinstance(part, ComposedEncoder) else ()
    return isinstance(part, TextEncoder) and (not parts or any(map(_reads_texts, parts)))


def _has_column(part: Encoder, table: pa.Table) -> bool:
    """Whether a table has the column of files that a part reads; texts are looked for by the part itself."""
    column = part.config.model_dump().get("column")
    if column is None or column in table.column_names:
        return True
    logger.warning("%s: there is no column %s here, so that no item says anything to it", part.name, column)
    return False


def _nothing(n: int, width: int) -> Vectors:
    """Of n items that all say nothing."""
    return Vectors(np.zeros((n, width), np.float32), np.arange(n, dtype=np.int32), np.zeros(0, np.int32), 0, 0)


def _counted(values: FloatMatrix, said: Mapping[str, Vectors]) -> ComposedVectors:
    """Vectors with what is to be said of them: who says nothing to any part, and who has no vector all the same."""
    parts = list(said.values())
    speaks: BoolVector = np.any([one.speaks for one in parts], axis=0)
    silent: BoolVector = np.all([_mask(one.silent, len(one)) for one in parts], axis=0)
    filled = {name: int((speaks & ~one.speaks).sum()) for name, one in said.items()}
    encoded = max(one.encoded for one in parts)
    kept = max(0, len(speaks) - int(silent.sum()) - encoded)
    refused: BoolVector = np.any([_mask(one.refused, len(one)) for one in parts], axis=0)
    unreadable = _rows(~speaks & ~silent)
    return ComposedVectors(values, _rows(silent), unreadable, encoded, kept, filled, refused=_rows(refused))


def _rows(mask: BoolVector) -> IntVector:
    return np.flatnonzero(mask).astype(np.int32)


def _mask(rows: AnyArray, n: int) -> BoolVector:
    found = np.zeros(n, bool)
    found[rows] = True
    return found
