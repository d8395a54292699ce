"""Kept vectors: what an encoder said of a content, found again by the content's hash.

    FOLDER/
      encoder.json              what made the vectors: the name, settings and weights of one encoder
      1764043200-71.keys.npy    (n, 16) uint8 hashes of contents
      1764043200-71.vectors.npy (n, d) float32

A pair of files is written under another name and renamed, keys last, so a crash loses at most what was not yet written,
and several processes may write into one folder. No text is kept, only its hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, LongVector
from zhiyin.artifacts import read_json, to_json, write_text
from zhiyin.errors import DataError

logger = logging.getLogger(__name__)

ABOUT = "encoder.json"
KEY_BYTES = 16
ROW = 0xFFFFFFFF
"""The lower half of a place."""
MOST_ROWS, MOST_SECONDS = 16_384, 30.0
"""New vectors are written when there are so many of them, or so long after the last time."""


def digest(content: bytes) -> bytes:
    """The hash by which a content is found again."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def identity_hash(identity: Mapping[str, Any]) -> str:
    """A short hash of what made the vectors; it names the folder."""
    return hashlib.blake2b(to_json(identity).encode(), digest_size=8).hexdigest()


class KeptVectors:
    """Vectors by hash of content: in memory, and in a folder where there is one.

    Args:
        identity: what the vectors depend on beside the content; plain values.
        folder: where they are kept; None to keep them in memory alone.

    Raises:
        DataError: the folder holds the vectors of another encoder, or cannot be written.
    """

    def __init__(self, identity: Mapping[str, Any], folder: Path | None = None) -> None:
        self.folder = folder
        self._parts: list[Path | AnyArray] = []
        """Files of vectors, or the vectors (n, d) themselves where there is no folder."""
        self._width: int | None = None
        self._about: str | None = None
        """What is to be written of the encoder before the first vector is."""
        self._firsts = self._seconds = np.zeros(0, np.uint64)
        self._places: LongVector = np.zeros(0, np.int64)
        """In the order of the first halves of keys, which rise: the part that has the vector and, below, its row."""
        self._new: dict[bytes, AnyArray] = {}
        self._written = time.monotonic()
        if folder is not None:
            self._open(folder, identity)

    def find(self, keys: Sequence[bytes]) -> LongVector:
        """(n,) the place of each key's vector, -1 for one that is not here or new."""
        if not len(keys) or not len(self._places):
            return np.full(len(keys), -1, np.int64)
        first, second = _halves(np.frombuffer(b"".join(keys), np.uint8))
        at = np.minimum(np.searchsorted(self._firsts, first), len(self._firsts) - 1)
        same = (self._firsts[at] == first) & (self._seconds[at] == second)
        return np.where(same, self._places[at], -1)

    def get(self, keys: Sequence[bytes], width: int | None = None) -> FloatMatrix:
        """(n, d) the vectors of keys that are all here."""
        places = self.find(keys)
        found: FloatMatrix | None = None
        for part in np.unique(places >> 32):
            rows = np.flatnonzero(places >> 32 == part)
            values = (
                np.stack([self._new[keys[row]] for row in rows.tolist()])
                if part < 0
                else self._part(part)[places[rows] & ROW]
            )
            if found is None:
                found = np.empty((len(keys), values.shape[1]), np.float32)
            found[rows] = values
        return np.zeros((0, width or 0), np.float32) if found is None else found

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Which of the keys are not here, each once."""
        first: dict[bytes, int] = {}
        for row in np.flatnonzero(self.find(keys) < 0).tolist():
            if keys[row] not in self._new:
                first.setdefault(keys[row], row)
        return list(first.values())

    def add(self, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
        """Keep the vectors (n, d) of keys that are not here yet.

        Raises:
            DataError: the disk refuses to write.
        """
        if self._about is not None and self.folder is not None:
            write_text(self.folder / ABOUT, self._about)
            self._about = None
        self._new.update(zip(keys, vectors, strict=True))
        if len(self._new) >= MOST_ROWS or time.monotonic() - self._written > MOST_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is new.

        Raises:
            DataError: the disk refuses to write.
        """
        self._written = time.monotonic()
        if not self._new:
            return
        keys = np.frombuffer(b"".join(self._new), np.uint8).reshape(-1, KEY_BYTES)
        vectors = np.stack(list(self._new.values()))
        part = vectors if self.folder is None else _write_pair(self.folder, keys, vectors)
        self._new = {}
        self._index(keys, part)

    def _open(self, folder: Path, identity: Mapping[str, Any]) -> None:
        about = folder / ABOUT
        if about.is_file():
            if (held := read_json(about)) != (wanted := _plain(identity)):
                differs = sorted(name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name))
                raise DataError(
                    f"{folder} keeps the vectors of another encoder ({', '.join(differs)} differ: "
                    f"{_shown(held, differs)} there, {_shown(wanted, differs)} here); give each its own folder, or none"
                )
        else:
            if folder.is_dir() and any(folder.iterdir()):
                raise DataError(f"{folder} holds no kept vectors (no {ABOUT}); give an empty folder, or a new one")
            self._about = to_json(identity)
        for place in sorted(folder.glob("*.keys.npy")):
            self._read_pair(place)

    def _read_pair(self, place: Path) -> None:
        other = _vectors_of(place)
        try:
            keys, vectors = np.load(place), np.load(other, mmap_mode="r")
            if keys.shape != (len(vectors), KEY_BYTES) or vectors.dtype != np.float32 or vectors.ndim != 2:
                raise ValueError(f"{keys.shape} keys of {vectors.shape} {vectors.dtype} vectors")
            if self._width not in (None, vectors.shape[1]):
                raise ValueError(f"vectors of length {vectors.shape[1]}, {self._width} elsewhere")
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged and left out, its items are encoded anew: %s", place, error)
            return
        self._width = vectors.shape[1]
        self._index(keys, other)

    def _part(self, number: int) -> AnyArray:
        """The vectors of a part; those of a file are mapped for as long as they are looked at, so that none pile up."""
        part = self._parts[number]
        found: AnyArray = np.load(part, mmap_mode="r") if isinstance(part, Path) else part
        return found

    def _index(self, keys: AnyArray, part: Path | AnyArray) -> None:
        first, second = _halves(keys)
        places = (len(self._parts) << 32) + np.arange(len(keys), dtype=np.int64)
        self._parts.append(part)
        first, second, places = (
            np.concatenate(pair) for pair in ((self._firsts, first), (self._seconds, second), (self._places, places))
        )
        order = np.argsort(first, kind="stable")
        self._firsts, self._seconds, self._places = first[order], second[order], places[order]


def _halves(keys: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The first and the last 8 bytes of keys (n, 16), as numbers."""
    numbers = np.ascontiguousarray(keys).reshape(-1, KEY_BYTES).view(np.uint64)
    return numbers[:, 0], numbers[:, 1]


def _vectors_of(keys: Path) -> Path:
    return keys.with_name(keys.name.replace(".keys.", ".vectors."))


def _write_pair(folder: Path, keys: AnyArray, vectors: FloatMatrix) -> Path:
    """Write keys and vectors; return the file of the vectors."""
    place = folder / f"{time.time_ns()}-{os.getpid()}.keys.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, array in ((_vectors_of(place), vectors), (place, keys)):
            work = target.with_name(f".{target.name}")
            try:
                with work.open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                work.replace(target)
            finally:
                work.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot keep vectors in {folder}: {error.strerror or error}") from error
    return _vectors_of(place)


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as it comes back from its file."""
    import json

    plain: dict[str, Any] = json.loads(to_json(identity))
    return plain


def _shown(identity: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {identity.get(name)!r}" for name in names)
