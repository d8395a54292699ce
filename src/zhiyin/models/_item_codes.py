"""The codes of a catalogue's items: what they say, and who uses them, by a codebook; one for each item."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from zhiyin import semantic_ids
from zhiyin._svd import right_vectors
from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix, IntVector
from zhiyin.config import Config
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError
from zhiyin.run import Run
from zhiyin.semantic_ids._digits import further, unique
from zhiyin.semantic_ids.base import Codebook, CodebookConfig

BOOK = "codebook"
"""The folder of the saved codebook."""

TINY = 1e-6
"""Vectors that are shorter say nothing."""

RIDGE = 1.0
"""The penalty of the regression of who uses items on what they say: as much as one item more in each direction."""

FEW = 4
"""Where a digit is not told how many values it has, each has so many items at least."""


class Coder(Config):
    """Who makes the codes."""

    codebook: str = "residual_kmeans"
    """The name of a codebook, or `package.module:Class`; see `zhiyin list semantic_ids`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults. Without `n_codes`, a digit of a catalogue of less than 1,024
    items has as many values as a quarter of the items."""


def coder_of(value: Any) -> Any:
    """A coder from text, `residual_vq`, or `{"codebook": ..., "settings": ...}`; anything else as it is."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("{") else {"codebook": value.strip()}


def company_vectors(histories: Histories, n_items: int, size: int, run: Run, name: str) -> FloatMatrix:
    """(n_items, size) of length 1: whom items are used by, zeros for an item that nobody used.

    The leading right singular vectors, by their singular values, of the matrix of users and items, in which each entry
    is divided by the roots of how many items the user and how many users the item has, so that neither counts for more
    than another. What all items have in common is left out.
    """
    matrix = histories.matrix(n_items, np.ones(histories.n_events, np.float32))
    users, items = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=n_items)
    matrix.data = (1 / np.sqrt(np.repeat(users, users) * items[matrix.indices])).astype(np.float32)
    found = right_vectors(matrix, size, run.generator(f"{name}: company"))
    found = _unit(found * np.linalg.norm(matrix @ found, axis=0))
    used = np.flatnonzero(items)
    whole = np.zeros((n_items, size), np.float32)
    whole[used, : found.shape[1]] = _unit(found[used] - found[used].mean(0))
    return whole


def _unit(vectors: FloatMatrix) -> FloatMatrix:
    """Rows of length 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found = (vectors / np.where(length > TINY, length, 1)).astype(np.float32)
    found[length[:, 0] <= TINY] = 0
    return found


@dataclass(frozen=True, slots=True, eq=False)
class ItemCodes:
    """A codebook that was fitted on a catalogue, and the code of each of its items.

    An item of which the codebook is told nothing (no word, no user) has a code too: its first digit is one that no
    other item has, the next ones count such items. The last digit of a code tells items of equal codes apart.
    """

    book: Codebook
    company: float
    """The part of what is coded that is about who uses an item; the rest is what it says."""
    codes: IntMatrix
    """(n_items, levels + 1)."""
    last: int
    """How many values the last digit may have."""
    expected: FloatMatrix
    """(s, c) maps what an item says to who is expected to use it, for one that nobody has used; (0, 0) where one
    of the two is not known."""

    @classmethod
    def fit(
        cls, coder: Coder, said: FloatMatrix | None, used: FloatMatrix | None, company: float, run: Run
    ) -> ItemCodes:
        """The codes of items.

        Args:
            coder: who makes them.
            said: (n_items, s) what items say, of length 1; None where `company` is 1.
            used: (n_items, c) who uses them, of length 1; None where `company` is 0.
            company: how much of their squared length is the second.
            run: seed, threads, memory.

        Raises:
            ConfigError: there is no such codebook, or it has no such settings.
            DataError: fewer than four items say anything, or all the same.
        """
        expected = _expected(said, used) if said is not None and used is not None else np.zeros((0, 0), np.float32)
        if said is not None and used is not None:
            used = np.where(used.any(1, keepdims=True), used, _unit(said @ expected))
        vectors = joined(said, used, company)
        book = codebook_for(coder, int(np.count_nonzero(vectors.any(1))))
        book.fit(vectors, run)
        codes = unique(_with_silent(book, book.assign(vectors, run)))
        return cls(book, company, codes, int(codes[:, -1].max(initial=0)) + 1, expected)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(levels + 1,) how many values each digit may have."""
        first, *others = self.book.sizes
        return (first + 1, *others, self.last)

    def of(self, said: FloatMatrix, run: Run) -> IntMatrix:
        """(n, levels) the codes of items that nobody has used, without the last digit."""
        if self.expected.size:
            used = _unit(said @ self.expected)
        else:
            used = np.zeros((len(said), len(self.book.mean)), np.float32)
        vectors = joined(said if self.company < 1 else None, used if self.company > 0 else None, self.company)
        return _with_silent(self.book, self.book.assign(vectors, run))

    def moved(self, place: IntVector, said: FloatMatrix, run: Run) -> ItemCodes:
        """The codes of another catalogue.

        Args:
            place: (n,) the number that each item has here; -1 for a new one.
            said: (n, s) what items say.
            run: threads and memory.

        Returns:
            Items that are here keep their codes; new ones of equal codes have further last digits, as long as there are
            some, and then share codes with others.
        """
        codes = self.codes[place]
        new = np.flatnonzero(place < 0)
        if len(new):
            codes[new, :-1] = self.of(said[new], run)
            codes = further(codes, place, self.codes, self.last)
        return replace(self, codes=codes)


def _expected(said: FloatMatrix, used: FloatMatrix) -> FloatMatrix:
    """(s, c) the ridge regression of who uses items (n, c) on what they say (n, s), over those that have both.

    Without it, an item that nobody used would be nearest to those whose users are of all kinds.
    """
    both = said.any(1) & used.any(1)
    x, y = said[both].astype(np.float64), used[both].astype(np.float64)
    found: FloatMatrix = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y).astype(np.float32)
    return found


def joined(said: FloatMatrix | None, used: FloatMatrix | None, company: float) -> FloatMatrix:
    """(n, s + c) what items say beside who uses them, so that `company` of the squared length is the second."""
    parts = []
    if said is not None and company < 1:
        parts.append(said * np.float32(np.sqrt(1 - company)))
    if used is not None and company > 0:
        parts.append(used * np.float32(np.sqrt(company)))
    found: FloatMatrix = np.concatenate(parts, 1)
    return found


def codebook_for(coder: Coder, n: int) -> Codebook:
    """A codebook that is yet to learn from `n` vectors.

    Raises:
        ConfigError: there is none of that name, or it has no such settings.
        DataError: there are too few vectors.
    """
    kind = semantic_ids.get(coder.codebook)
    settings = dict(coder.settings)
    if "n_codes" not in settings:
        if n < 2 * FEW:
            raise DataError(f"{n} items say anything or are used; codes need at least {2 * FEW}")
        wanted: type[CodebookConfig] = kind.settings()
        settings["n_codes"] = min(int(wanted.model_fields["n_codes"].default), n // FEW)
    found: Codebook = kind(**settings)
    return found


def _with_silent(book: Codebook, codes: IntMatrix) -> IntMatrix:
    """(n, levels) the same codes, and some for the items that have none."""
    silent = np.flatnonzero(codes[:, 0] < 0)
    rest = np.arange(len(silent))
    for level in range(book.levels - 1, 0, -1):
        codes[silent, level] = rest % book.sizes[level]
        rest = rest // book.sizes[level]
    codes[silent, 0] = book.sizes[0]
    return codes


def saved_codes(folder: Path, codes: AnyArray, last: int, company: float, expected: FloatMatrix) -> ItemCodes:
    """The codes of a saved model.

    Args:
        folder: of the model.
        codes: (n_items, levels + 1).
        last: how many values the last digit may have.
        company: of the settings.
        expected: see `ItemCodes`.

    Raises:
        DataError: they are not of the codebook in the folder.
    """
    found = ItemCodes(semantic_ids.load(folder / BOOK), company, codes, last, expected)
    wide = codes.ndim == 2 and codes.shape[1] == len(found.sizes)
    if not wide or (codes < 0).any() or (codes >= np.array(found.sizes)).any():
        raise DataError(
            f"{folder} is damaged: it has codes of shape {codes.shape}, its codebook makes digits of {found.sizes} "
            "values; save the model anew"
        )
    return found
