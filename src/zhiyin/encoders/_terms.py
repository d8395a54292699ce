"""Terms: what items say, as sparse TF-IDF vectors over the words of their texts and over their categories.

No lists of stop words and no language is assumed. Scripts that write words apart are split into words; runs of those
that do not (Chinese, Japanese, Thai, ...) are split into overlapping pairs of characters. A word of one item alone
links it to no other and is left out; a word of many items weighs little, and can be left out by its share of the items.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from scipy import sparse

from zhiyin.arrays import AnyArray, DoubleVector, offsets_of
from zhiyin.errors import DataError, unknown

KEYWORDS = ("creator", "brand", "type")
"""Columns whose whole text is one category."""
NOT_TEXT = ("item_id", "image", "audio", "url", "language", "price", "available_from", "available_until", *KEYWORDS)
"""Columns of text that are not read as words."""

ALWAYS_USEFUL = 50
"""A term of up to so many items is kept whatever its share: in a small catalogue shares say little."""

# Marks that belong to the letter before them, but that \w does not take: accents, vowel signs, points.
_MARKS = "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a"
_MARKS += "\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a4d\u0a81-\u0acd"
_MARKS += "\u0b01-\u0b4d\u0b82-\u0bcd\u0c00-\u0c4d\u0c81-\u0ccd\u0d01-\u0d4d\u0d82-\u0ddf\u0f35-\u0f84\u1ab0-\u1aff"
_MARKS += "\u1dc0-\u1dff\u20d0-\u20ff\u200c\u200d"
# Scripts without spaces between words: Thai, Lao, Burmese, Khmer; kana; Han and its extensions; half-width kana.
_RUN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
_RUN += "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_PIECE = re.compile(f"(?P<run>[{_RUN}]+)|(?P<word>(?:(?![{_RUN}_])[\\w{_MARKS}])+)")


def tokenize(text: str) -> list[str]:
    """The words of a text, in small letters; pairs of characters where words are not written apart.

    A single letter or digit is no word, a single Chinese character is.

    >>> tokenize("Blade Runner 2049: the FINAL cut")
    ['blade', 'runner', '2049', 'the', 'final', 'cut']
    >>> tokenize("银翼杀手 (Blade)")
    ['银翼', '翼杀', '杀手', 'blade']
    """
    normal = unicodedata.normalize("NFKC", text).casefold()
    return [token for piece in _PIECE.finditer(normal) for token in _tokens(piece)]


def _tokens(piece: re.Match[str]) -> list[str]:
    found = piece.group()
    if piece.lastgroup == "word":
        return [found] if len(found) > 1 else []
    return [found[place : place + 2] for place in range(len(found) - 1)] or [found]


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of an item table that speak: `text` is read as words, each value of `categories` is one term."""

    text: tuple[str, ...]
    categories: tuple[str, ...]

    @classmethod
    def of(cls, table: pa.Table, text: Sequence[str] | None = None, categories: Sequence[str] | None = None) -> Fields:
        """The named columns; by default all of text, and all lists of text with `KEYWORDS`.

        Raises:
            DataError: a named column is not there or is not of text, or nothing speaks at all.
        """
        for name in (*(text or ()), *(categories or ())):
            if name not in table.column_names:
                raise DataError(unknown("column", name, table.column_names))
            if not (_is_text(table.schema.field(name).type) or _is_list(table.schema.field(name).type)):
                raise DataError(
                    f"column {name} holds {table.schema.field(name).type}; text, or lists of it, is expected"
                )
        found = cls(
            tuple(_texts(table) if text is None else text), tuple(_lists(table) if categories is None else categories)
        )
        if not found.text and not found.categories:
            raise DataError(
                f"the item table has no text and no categories, only {', '.join(table.column_names)}; give items a "
                "title, a description or categories, or take a model of behaviour such as item_knn"
            )
        return found


def _texts(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if _is_text(field.type) and field.name not in NOT_TEXT]


def _lists(table: pa.Table) -> list[str]:
    keywords = [field.name for field in table.schema if field.name in KEYWORDS and _is_text(field.type)]
    return [one.name for one in table.schema if _is_list(one.type) and one.name != "language"] + keywords


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists) and _is_text(kind.value_type)


@dataclass(frozen=True, slots=True)
class Limits:
    """Which terms are kept."""

    min_items: int = 2
    """A term of fewer items links nothing."""
    max_share: float = 1.0
    """A term of a larger share of the items (and of more than `ALWAYS_USEFUL`) says nothing; one of all, never."""
    max_terms: int = 50_000
    """At most so many terms, those of the most items."""


@dataclass(frozen=True, slots=True, eq=False)
class TermSpace:
    """The terms of a catalogue and their weights; a category is the term `column:value`.

    A vector is weight · (1 + ln tf) · idf, idf = ln((1 + n) / (1 + items with the term)) + 1, scaled to length 1.
    """

    terms: tuple[str, ...]
    idf: DoubleVector
    fields: Fields
    category_weight: float = 1.0

    @classmethod
    def fit(
        cls, table: pa.Table, fields: Fields, limits: Limits = Limits(), category_weight: float = 1.0
    ) -> tuple[TermSpace, sparse.csr_array]:
        """Learn the terms of the items of a table; return them, with the vectors (n_items, n_terms) of these items.

        Raises:
            DataError: no term is left: there is no text, or no two items share a word.
        """
        counts = Counter(term for terms in term_lists(table, fields) for term in set(terms))
        most = min(max(limits.max_share * table.num_rows, ALWAYS_USEFUL), table.num_rows - 1)
        useful = [(term, count) for term, count in counts.items() if limits.min_items <= count <= most]
        useful.sort(key=lambda pair: (-pair[1], pair[0]))
        kept = useful[: limits.max_terms]
        if not kept:
            few = f"{limits.min_items} to {most:.0f}" if most >= limits.min_items else "some but not all"
            raise DataError(
                f"of {len(counts):,} terms in {', '.join((*fields.text, *fields.categories))} none is shared by "
                f"{few} of {table.num_rows:,} items; take columns that have terms in common"
            )
        idf = np.log((1 + table.num_rows) / (1 + np.array([count for _, count in kept]))) + 1
        space = cls(tuple(term for term, _ in kept), idf, fields, category_weight)
        return space, space.encode(table)

    def encode(self, table: pa.Table) -> sparse.csr_array:
        """(n_items, n_terms) float32 vectors of the items of a table, of length 1, or empty without a known term."""
        number = {term: place for place, term in enumerate(self.terms)}
        lists = [[number[term] for term in terms if term in number] for terms in term_lists(table, self.fields)]
        offsets = offsets_of([len(one) for one in lists])
        flat = np.fromiter((place for one in lists for place in one), np.int32, offsets[-1])
        found = sparse.csr_array((np.ones(len(flat)), flat, offsets), shape=(len(lists), len(self.terms)))
        found.sum_duplicates()
        found.data = (1 + np.log(found.data)) * self._weights()[found.indices]
        return unit_rows(found).astype(np.float32)

    def _weights(self) -> DoubleVector:
        scale = [self.category_weight if ":" in term else 1.0 for term in self.terms]
        weights: DoubleVector = self.idf * np.array(scale)
        return weights


def term_lists(table: pa.Table, fields: Fields) -> Iterator[list[str]]:
    """The terms of each item of a table, in order, with repetitions."""
    words = [map(_words, values_of(table, name)) for name in fields.text]
    kinds = [map(partial(_named, name), values_of(table, name)) for name in fields.categories]
    for row in zip(*words, *kinds, strict=True):
        yield [term for terms in row for term in terms]


def values_of(table: pa.Table, name: str) -> Iterator[object]:
    for batch in table.select([name]).to_batches(max_chunksize=65_536):
        yield from batch.column(0).to_pylist()


def _words(value: object) -> list[str]:
    return [token for text in _as_list(value) for token in tokenize(text)]


def _named(column: str, value: object) -> list[str]:
    return [f"{column}:{one.strip()}" for one in dict.fromkeys(_as_list(value)) if one.strip()]


def _as_list(value: object) -> Iterable[str]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else (one for one in value if one)  # type: ignore[attr-defined]


def unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """The rows of a sparse matrix scaled to length 1; an empty row stays empty."""
    length = np.sqrt(np.asarray(matrix.power(2).sum(axis=1)).ravel())
    scale: AnyArray = np.divide(1, length, out=np.zeros(len(length)), where=length > 0)
    found = matrix.copy()
    found.data = found.data * np.repeat(scale, np.diff(found.indptr)).astype(found.dtype)
    return found


def shown(term: str) -> str:
    """The term as people read it: a category without the name of its column.

    >>> shown("genres:Sci-Fi"), shown("alien")
    ('Sci-Fi', 'alien')
    """
    return term.partition(":")[2] or term
