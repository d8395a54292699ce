"""Kept vectors: what an encoder said of a content, found again by the content's hash.

    FOLDER/
      encoder.json              what made the vectors: the name, settings and weights of one encoder
      1764043200-71.keys.npy    (n, 16) uint8 hashes of contents
      1764043200-71.vectors.npy (n, d) float32

A pair of files is written under another name and renamed, keys last, so a crash loses at most what was not yet written,
and several processes may write into one folder. Many small pairs are merged when the folder is opened; whoever still
looks for one of them reads the folder anew. No text is kept, only its hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, LongVector
from zhiyin.artifacts import read_json, to_json, write_text
from zhiyin.encoders._places import KEY_BYTES as KEY_BYTES
from zhiyin.encoders._places import Held, Index, Out, Part, Stored, stored
from zhiyin.errors import DataError

logger = logging.getLogger(__name__)

ABOUT = "encoder.json"
ROW = 0xFFFFFFFF
"""The lower half of a place."""
MOST_ROWS, MOST_SECONDS = 16_384, 30.0
"""New vectors are written when there are so many of them, or so long after the last time."""
MOST_SMALL, MERGED_BYTES = 64, 2**26
"""When a folder has more small pairs than this, they are merged to pairs of so many bytes. Half of it is small."""
TRIES = 5
"""So often a folder is read anew whose files are merged by another process meanwhile."""


def digest(content: bytes) -> bytes:
    """The hash by which a content is found again."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def as_bytes(learnt: AnyArray | list[str]) -> bytes:
    """What was learnt, for a hash."""
    if isinstance(learnt, list):
        return "\0".join(learnt).encode()
    return f"{learnt.dtype}{learnt.shape}".encode() + np.ascontiguousarray(learnt).tobytes()


def identity_hash(identity: Mapping[str, Any]) -> str:
    """A short hash of what made the vectors; it names the folder."""
    return hashlib.blake2b(to_json(identity).encode(), digest_size=8).hexdigest()


class KeptVectors:
    """Vectors by hash of content: in memory, and in a folder where there is one.

    Args:
        identity: what the vectors depend on beside the content; plain values.
        folder: where they are kept; None to keep them in memory alone.
        needed: whether a folder that cannot be read or written is an error; else it is logged, and done without.

    Raises:
        DataError: the folder is needed, and holds the vectors of another encoder, or cannot be read.
    """

    def __init__(self, identity: Mapping[str, Any], folder: Path | None = None, *, needed: bool = True) -> None:
        self.folder = folder
        self._needed = needed
        self._parts: list[Part] = []
        self._width: int | None = None
        self._about: str | None = None
        """What is to be written of the encoder before the first vector is."""
        self._index = Index()
        """Of each key the part that has the vector and, below, its row."""
        self._new: dict[bytes, AnyArray] = {}
        self._out: Out | None = None
        """The file to which all vectors are written, where there is one."""
        self._out_part: int | None = None
        """Its number among the parts, once it is one."""
        self._written = time.monotonic()
        if folder is not None:
            try:
                self._open(folder, identity)
            except DataError as error:
                self._do_without(error)

    def find(self, keys: Sequence[bytes]) -> LongVector:
        """(n,) the place of each key's vector, -1 for one that is not here or new."""
        return self._index.find(np.frombuffer(b"".join(keys), np.uint8))

    def get(self, keys: Sequence[bytes], width: int | None = None) -> FloatMatrix:
        """(n, d) the vectors of keys that are all here.

        Raises:
            DataError: files were taken away meanwhile.
        """
        for _ in range(TRIES):
            try:
                return self._got(keys, width)
            except (FileNotFoundError, KeyError):
                if self.folder is None:
                    break
                self._list(self.folder)  # another process has merged what was there
        raise DataError(
            "vectors that were kept are not there any more; were their files removed meanwhile? Encode again"
        )

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
            try:
                self._declare(self.folder, self._about)
            except DataError as error:
                self._do_without(error)
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
        if not self._new or (self.folder is None and self._out is not None):
            return
        keys = np.frombuffer(b"".join(self._new), np.uint8).reshape(-1, KEY_BYTES)
        part: Part = Held(np.stack(list(self._new.values())))
        if self.folder is not None:
            try:
                part = _write_pair(self.folder, keys, part.values())
            except DataError as error:
                self._do_without(error)
        self._new = {}
        self._index.add(keys, self._places(part, len(keys)))

    def lean_on(self, file: BinaryIO) -> None:
        """Without a folder, keep no vectors: `lies` says in which rows of this `.npy` file they can be read again."""
        self._out = Out(file)

    def lies(self, keys: Sequence[bytes], rows: Sequence[int]) -> None:
        """Say in which rows of the file the vectors of keys are about to be written, all new ones among them."""
        if self._out is None or self.folder is not None or not self._new:
            return
        if self._out_part is None:
            self._out_part = len(self._parts)
            self._parts.append(self._out)
        row_of = dict(zip(keys, rows, strict=True))
        places = (self._out_part << 32) + np.array([row_of[key] for key in self._new], np.int64)
        self._index.add(np.frombuffer(b"".join(self._new), np.uint8), places)
        self._new = {}

    def _got(self, keys: Sequence[bytes], width: int | None) -> FloatMatrix:
        places = self.find(keys)
        order = np.argsort(places >> 32, kind="stable")
        numbers, starts = np.unique(places[order] >> 32, return_index=True)
        found: FloatMatrix | None = None
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True) if len(keys) else ():
            values = (
                np.stack([self._new[keys[row]] for row in rows.tolist()])
                if number < 0
                else self._parts[number].values()[places[rows] & ROW]
            )
            if found is None:
                found = np.empty((len(keys), values.shape[1]), np.float32)
            found[rows] = values
        return np.zeros((0, width or 0), np.float32) if found is None else found

    def _do_without(self, error: DataError) -> None:
        """Go on in memory, unless the folder is needed."""
        if self._needed:
            raise error
        logger.warning("no vectors are kept on the disk: %s", error)
        self.folder = None

    def _open(self, folder: Path, identity: Mapping[str, Any]) -> None:
        try:
            if not _is_of(folder, identity):
                self._about = to_json(identity)
                if _holds_something(folder) and not _is_of(folder, identity):  # which others may have written since
                    raise DataError(f"{folder} holds no kept vectors (no {ABOUT}); give an empty folder, or a new one")
        except OSError as error:
            raise DataError(f"cannot read {folder}: {error.strerror or error}") from error
        self._list(folder)
        if self._merge(folder):
            self._list(folder)

    def _declare(self, folder: Path, about: str) -> None:
        """Write what made the vectors, unless another process was first."""
        import json

        try:
            if not _is_of(folder, json.loads(about)):
                write_text(folder / ABOUT, about)
        except OSError as error:
            raise DataError(f"cannot keep vectors in {folder}: {error.strerror or error}") from error

    def _list(self, folder: Path) -> None:
        """Read the keys of all pairs of the folder, and sort them once."""
        for _ in range(TRIES):
            self._parts, self._index, self._width = [], Index(), None
            found, gone = [np.zeros((0, KEY_BYTES), np.uint8)], False
            places = [np.zeros(0, np.int64)]
            for place in sorted(folder.glob("*.keys.npy")):
                if place.name.startswith("."):
                    continue
                pair = self._pair(place)
                gone |= pair is None and not place.exists()
                if pair is not None and len(pair[0]):
                    found.append(pair[0])
                    places.append(self._places(pair[1], len(pair[0])))
            if not gone:  # else another process merges them
                break
        self._index.add(np.concatenate(found), np.concatenate(places))

    def _pair(self, place: Path) -> tuple[AnyArray, Stored] | None:
        """The keys and vectors of a file of keys; None if it is damaged or gone."""
        try:
            keys, part = np.load(place), stored(_vectors_of(place))
            if keys.shape != (part.shape[0], KEY_BYTES) or keys.dtype != np.uint8:
                raise ValueError(f"{keys.shape} keys of {part.shape} vectors")
            if self._width not in (None, part.shape[1]):
                raise ValueError(f"vectors of length {part.shape[1]}, {self._width} elsewhere")
        except (OSError, ValueError, EOFError) as error:
            if place.exists():
                logger.warning("%s is damaged and left out, its items are encoded anew: %s", place, error)
            return None
        self._width = part.shape[1]
        return keys, part

    def _places(self, part: Part, n: int) -> LongVector:
        """(n,) the places of the rows of a part that is new here."""
        self._parts.append(part)
        return ((len(self._parts) - 1) << 32) + np.arange(n, dtype=np.int64)

    def _merge(self, folder: Path) -> bool:
        """Merge small pairs, if there are many; tell whether there is something new to be read."""
        small = [
            (number, part)
            for number, part in enumerate(self._parts)
            if isinstance(part, Stored) and part.size < MERGED_BYTES // 2
        ]
        if len(small) <= MOST_SMALL:
            return False
        group: list[tuple[int, Stored]] = []
        try:
            for number, part in small:
                group.append((number, part))
                if sum(one.size for _, one in group) >= MERGED_BYTES or number == small[-1][0]:
                    if len(group) > 1:
                        self._merge_pairs(folder, group)
                    group = []
        except (OSError, ValueError, DataError) as error:  # read-only, full, or merged by another process
            logger.info("the small files of %s are not merged: %s", folder, error)
        return True

    def _merge_pairs(self, folder: Path, group: list[tuple[int, Stored]]) -> None:
        """Write some pairs as one, without what another pair has too, and take them away."""
        all_keys, all_vectors = [], []
        for number, part in group:
            keys = np.load(_keys_of(part.path))
            own = self._index.find(keys) == (number << 32) + np.arange(len(keys))
            all_keys.append(keys[own])
            all_vectors.append(part.values()[own])
        if any(map(len, all_keys)):
            _write_pair(folder, np.concatenate(all_keys), np.concatenate(all_vectors))
        for _, part in group:
            _keys_of(part.path).unlink(missing_ok=True)
            part.path.unlink(missing_ok=True)


def _is_of(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder says that it keeps the vectors of this encoder.

    Raises:
        DataError: it keeps those of another one.
    """
    about = folder / ABOUT
    if not about.is_file():
        return False
    if (held := read_json(about)) != (wanted := _plain(identity)):
        differs = sorted(name for name in held.keys() | wanted.keys() if held.get(name) != wanted.get(name))
        raise DataError(
            f"{folder} keeps the vectors of another encoder ({', '.join(differs)} differ: "
            f"{_shown(held, differs)} there, {_shown(wanted, differs)} here); give each its own folder, or none"
        )
    return True


def _holds_something(folder: Path) -> bool:
    """Whether files lie there beside those that are half-written, by others or before a crash; these have a dot."""
    return folder.is_dir() and any(not one.name.startswith(".") for one in folder.iterdir())


def _vectors_of(keys: Path) -> Path:
    return keys.with_name(keys.name.replace(".keys.", ".vectors."))


def _keys_of(vectors: Path) -> Path:
    return vectors.with_name(vectors.name.replace(".vectors.", ".keys."))


def _write_pair(folder: Path, keys: AnyArray, vectors: FloatMatrix) -> Stored:
    """Write keys and vectors; return where the vectors are."""
    place = folder / f"{time.time_ns()}-{os.getpid()}.keys.npy"
    offset = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, array in ((_vectors_of(place), vectors), (place, keys)):
            work = target.with_name(f".{target.name}")
            try:
                with work.open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    offset = offset or file.tell() - array.nbytes
                work.replace(target)
            finally:
                work.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot keep vectors in {folder}: {error.strerror or error}") from error
    return Stored(_vectors_of(place), (len(vectors), vectors.shape[1]), offset)


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as it comes back from its file."""
    import json

    plain: dict[str, Any] = json.loads(to_json(identity))
    return plain


def _shown(identity: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {identity.get(name)!r}" for name in names)
