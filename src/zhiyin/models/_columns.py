"""Columns of item and user tables, as numbers of values and buckets.

Text has a number for each value, or each word, that occurs often enough, numbers fall into buckets of about equally
many rows. What is left (a null, a rare value, one that was not there in training) has a bucket of its own, the last one
of its column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, DoubleVector, FloatVector, IntVector, LongVector
from zhiyin.data.vocabulary import as_text
from zhiyin.encoders._terms import tokenize
from zhiyin.errors import ConfigError, DataError, unknown

LEAST = 2
"""A text of fewer rows links nothing, and falls into the last bucket."""

MOST = 10_000
"""At most so many different texts of a column are told apart, those of the most rows."""

BUCKETS = 32
"""At most so many of numbers, of at least `LEAST` rows on average; where no more different numbers are there, each has
its own."""

Entries: TypeAlias = tuple[LongVector, IntVector]
"""(m,) rows, in rising order, and the number of a value that each has."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: the texts, or the borders of numbers, that are told apart."""

    name: str
    values: tuple[str, ...] | None = None
    edges: DoubleVector | None = None
    """Rising; a number that equals one falls below it."""
    weights: FloatVector | None = None
    """(size,) of values that are words of texts: the more rows have one, the less it says (log(1 + n / rows))."""

    @classmethod
    def fit(cls, table: pa.Table, name: str, what: str, words: bool = False) -> Column:
        """What a column of a table of `what` ("item" or "user") tells apart; of texts as wholes, or their words.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers, or no text that has words.
            DataError: it tells no two rows apart.
        """
        column = column_of(table, name, what)
        if words and (_is_number(column.type) or pa.types.is_boolean(column.type)):
            raise ConfigError(f"words of {what} column {name!r} were asked for, but it holds {column.type}, not text")
        if _is_number(column.type):
            edges = _edges(_floats(column))
            if not len(edges):
                raise DataError(f"{what} feature {name!r} has no two different numbers; leave it out")
            return cls(name, edges=edges)
        values = _frequent(column, words)
        if not values and words:
            raise DataError(f"no two {what}s share a word of {name!r}, so that words say nothing of it; leave it out")
        if not values:
            raise DataError(
                f"no two {what}s have the same {name!r}, so it says nothing of one that it does not say of that one "
                f"alone; take {what} features that {what}s share"
            )
        found = cls(name, values=values, weights=np.ones(len(values) + 1, np.float32) if words else None)
        return replace(found, weights=found._weights(table, what)) if words else found

    @property
    def words(self) -> bool:
        """Whether values are the words of texts."""
        return self.weights is not None

    @property
    def size(self) -> int:
        """The number of buckets; the last one stands for what is not known."""
        if self.values is not None:
            return len(self.values) + 1
        assert self.edges is not None
        return len(self.edges) + 2

    def entries(self, table: pa.Table, what: str) -> Entries:
        """The buckets that each row of a table has, at least one: lists have one for each of their known values.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
        """
        column = column_of(table, self.name, what)
        if self.values is None:
            return np.arange(len(column)), self._of_numbers(_as_floats(column, self.name, what))
        rows, texts = _texts(column, self.words)
        numbers = self._numbers(texts)
        rows, numbers = _distinct(rows[numbers >= 0], numbers[numbers >= 0], self.size)
        without = np.setdiff1d(np.arange(len(column)), rows)
        rows = np.concatenate([rows, without])
        numbers = np.concatenate([numbers, np.full(len(without), self.size - 1)])
        order = np.argsort(rows, kind="stable")
        return rows[order], numbers[order].astype(np.int32)

    def shares(self, table: pa.Table, what: str) -> tuple[LongVector, IntVector, FloatVector]:
        """What `entries` says, and how much of a row each is: together 1, alike but for words.

        Raises:
            ConfigError: there is no such column, or it holds neither text nor numbers.
        """
        rows, numbers = self.entries(table, what)
        weights = np.ones(len(numbers)) if self.weights is None else self.weights[numbers].astype(np.float64)
        total = np.bincount(rows, weights, minlength=table.num_rows)
        return rows, numbers, (weights / total[rows]).astype(np.float32)

    def heard(self, texts: pa.Array) -> sparse.csr_array:
        """(n, size) float32 the words of texts, each by its part of its text; unknown ones weigh as the rarest."""
        assert self.weights is not None
        rows, words = _texts(texts, True)
        numbers = self._numbers(words)
        weights = np.where(numbers >= 0, self.weights[numbers], self.weights[:-1].max())
        total = np.bincount(rows, weights, minlength=len(texts))
        known = numbers >= 0
        shares = (weights[known] / total[rows[known]]).astype(np.float32)
        return sparse.csr_array((shares, (rows[known], numbers[known])), shape=(len(texts), self.size))

    def _numbers(self, texts: pa.Array) -> LongVector:
        """(m,) the numbers of texts among the values; -1 for others."""
        found = pc.index_in(texts, value_set=pa.array(self.values, pa.large_string()))
        return np.asarray(pc.fill_null(found, -1), np.int64)

    def told(self, values: AnyArray) -> tuple[BoolVector, IntVector]:
        """(n,) whether a query says anything of this (None and NaN do not), and the bucket of what it says.

        Of a list the first value counts.

        Raises:
            DataError: there is not one value, or one list, for each query.
        """
        if values.ndim != 1:
            raise DataError(f"context {self.name!r} is of shape {values.shape}; a value for each query is expected")
        plain = [first_of(one) for one in values.tolist()]
        given = np.array([one is not None and one == one for one in plain], bool)  # NaN is not itself
        if self.values is None:
            return given, self._of_numbers(np.array([_number(one) for one in plain], np.float64))
        number = {value: place for place, value in enumerate(self.values)}
        found = [number.get(as_text(one).strip(), self.size - 1) for one in plain]
        return given, np.array(found, np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        edges, weights = (None if one is None else one.tolist() for one in (self.edges, self.weights))
        return {"name": self.name, "values": self.values, "edges": edges, "weights": weights}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Column:
        """Read what `to_dict` wrote."""
        values, edges = content["values"], content["edges"]
        if (values is None) == (edges is None):
            raise ValueError("a column has either values or edges")
        weights = content.get("weights")  # older ones have none
        found = cls(
            str(content["name"]),
            None if values is None else tuple(map(str, values)),
            None if edges is None else np.array(edges, np.float64),
            None if weights is None else np.array(weights, np.float32),
        )
        if found.weights is not None and (found.weights.shape != (found.size,) or not (found.weights > 0).all()):
            raise ValueError(f"a column of {found.size} words has other weights")
        return found

    def _weights(self, table: pa.Table, what: str) -> FloatVector:
        """(size,) of words, from the texts of a table."""
        rows = np.maximum(np.bincount(self.entries(table, what)[1], minlength=self.size), 1)
        weights: FloatVector = np.log1p(table.num_rows / rows).astype(np.float32)
        return weights

    def _of_numbers(self, numbers: DoubleVector) -> IntVector:
        assert self.edges is not None
        found = np.where(np.isfinite(numbers), np.searchsorted(self.edges, numbers, side="left"), self.size - 1)
        return found.astype(np.int32)


def column_of(table: pa.Table, name: str, what: str) -> pa.Array:
    """A column of a table, if it can be read."""
    known = [one for one in table.column_names if one != f"{what}_id"]
    if name not in known:
        raise ConfigError(unknown(f"{what} feature", name, known))
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunk, or of too many bytes for one
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if not (_is_number(column.type) or _is_text(column.type) or is_list(column.type)):
        raise ConfigError(
            f"{what} feature {name!r} holds {column.type}; text, lists of text, true or false, or numbers are expected"
        )
    return column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_boolean(kind))


def is_list(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists) and _is_text(kind.value_type)


def _floats(column: pa.Array) -> DoubleVector:
    """(n,) NaN where there is none."""
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), math.nan), np.float64)


def _as_floats(column: pa.Array, name: str, what: str) -> DoubleVector:
    if not _is_number(column.type):
        raise ConfigError(f"{what} feature {name!r} holds {column.type}; numbers are expected, as in training")
    return _floats(column)


def _texts(column: pa.Array, words: bool) -> tuple[LongVector, pa.Array]:
    """(m,) rows and trimmed texts, without nulls and blanks, or the words of texts; of a list, each one's."""
    if is_list(column.type):
        rows, column = np.asarray(pc.list_parent_indices(column)), pc.list_flatten(column)
    else:
        rows = np.arange(len(column))
    texts = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    known = pc.fill_null(pc.not_equal(texts, ""), False)
    rows, texts = rows[np.asarray(known)].astype(np.int64), texts.filter(known)
    if not words:
        return rows, texts
    each = [tokenize(text) for text in texts.to_pylist()]
    rows = np.repeat(rows, [len(one) for one in each])
    return rows, pa.array([word for one in each for word in one], pa.large_string())


def _distinct(rows: LongVector, numbers: AnyArray, size: int) -> tuple[LongVector, LongVector]:
    """Pairs, each once, in the order of rows, then numbers (below `size`)."""
    pairs = np.unique(rows * size + numbers)
    return pairs // size, pairs % size


def _frequent(column: pa.Array, words: bool) -> tuple[str, ...]:
    """The texts, or words, of at least `LEAST` rows, at most `MOST`, those of the most rows first."""
    rows, texts = _texts(column, words)
    coded = texts.dictionary_encode()
    _, numbers = _distinct(rows, np.asarray(coded.indices, np.int64), max(1, len(coded.dictionary)))
    counts = np.bincount(numbers, minlength=len(coded.dictionary))
    often = np.flatnonzero(counts >= LEAST)
    names = coded.dictionary.take(pa.array(often)).to_pylist()
    order = sorted(zip((-counts[often]).tolist(), names, strict=True))
    return tuple(name for _, name in order[:MOST])


def _edges(numbers: DoubleVector) -> DoubleVector:
    """Halfway between different numbers where there are few, else where quantiles lie; no bucket is empty."""
    known = np.sort(numbers[np.isfinite(numbers)])
    different = np.unique(known)
    below, most = np.arange(len(different) - 1), min(BUCKETS, max(2, len(known) // LEAST))
    if len(different) > most:
        quantiles = known[len(known) * np.arange(1, most) // most]
        below = np.unique(np.minimum(np.searchsorted(different, quantiles), len(different) - 2))
    return different[below] / 2 + different[below + 1] / 2


def first_of(value: Any) -> Any:
    """The first of a list, None of an empty one; anything else as it is."""
    if not isinstance(value, (list, tuple)):
        return value
    return value[0] if value else None


def _number(value: Any) -> float:
    """NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
