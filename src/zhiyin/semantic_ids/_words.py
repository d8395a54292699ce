"""Codes that a person can read: for each beginning of a code, the words that set its items apart from those beside.

A word is worth its mean TF-IDF weight among the items of the beginning, less that among the items whose codes differ in
the last digit alone (among all others, where there are none). What a shorter beginning has said is not said again, and
articles, prepositions and their kin are never said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from zhiyin.arrays import AnyArray, IntMatrix, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.encoders._terms import Fields, Limits, TermSpace, shown
from zhiyin.errors import ConfigError, DataError
from zhiyin.semantic_ids._digits import Prefixes, checked, prefixes
from zhiyin.semantic_ids._small_words import SMALL

SEPARATOR = " > "
"""Between the digits of a code, and between the steps of a category's path, of which the last is shown."""
ENDING = 2
"""Words that differ by so many letters at their end are alike: of "shampoo" and "shampoos" one is enough."""
LIMITS = Limits(min_items=2, max_share=0.5)


def words(
    codes: AnyArray,
    items: pa.Table | Dataset | Sequence[str],
    levels: int | None = None,
    n_words: int = 3,
    columns: Sequence[str] | None = None,
) -> dict[tuple[int, ...], tuple[str, ...]]:
    """The words of each beginning of a code; see `zhiyin.semantic_ids.words`."""
    digits = _digits(codes, levels)
    there = np.flatnonzero(digits[:, 0] >= 0)
    found = {}
    for level in _levels(digits[there], _table(items, len(digits)), there, n_words, columns):
        found.update(dict(zip(level.digits, level.words, strict=True)))
    return found


def describe(
    codes: AnyArray,
    items: pa.Table | Dataset | Sequence[str],
    levels: int | None = None,
    n_words: int = 3,
    columns: Sequence[str] | None = None,
) -> list[str]:
    """(n,) the codes as a person reads them; see `zhiyin.semantic_ids.describe`."""
    digits = _digits(codes, levels)
    there = np.flatnonzero(digits[:, 0] >= 0)
    told: list[str] = []
    for level in _levels(digits[there], _table(items, len(digits)), there, n_words, columns):
        before = [told[parent] + SEPARATOR for parent in level.parent] if told else [""] * len(level.words)
        said = (", ".join(some) or f"#{one[-1]}" for some, one in zip(level.words, level.digits, strict=True))
        told = [first + last for first, last in zip(before, said, strict=True)]
        of_item = level.of_item
    found = [""] * len(digits)
    for row, number in zip(there.tolist(), of_item.tolist() if len(there) else (), strict=True):
        found[row] = told[number]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The beginnings of one length."""

    digits: list[tuple[int, ...]]
    words: list[tuple[str, ...]]
    said: list[tuple[str, ...]]
    """All words of each beginning, those of shorter ones too, in small letters."""
    parent: list[int]
    of_item: LongVector


def _levels(
    codes: IntMatrix, table: pa.Table, rows: AnyArray, n_words: int, columns: Sequence[str] | None
) -> list[_Level]:
    """The words of the beginnings, by their length; `rows` of the table have these codes."""
    if n_words < 1:
        raise ConfigError(f"n_words={n_words} came; at least 1 is expected")
    if not len(rows):
        return []
    space, weights = _terms(table, columns)
    terms = [shown(term).rpartition(SEPARATOR)[2] for term in space]
    weights = weights[rows].astype(np.float64)
    whole = np.asarray(weights.sum(axis=0)).ravel()
    found: list[_Level] = []
    before, counted = sparse.csr_array(whole.reshape(1, -1)), np.array([len(rows)])
    for step in prefixes(codes):
        mine, counts = _sums(weights, step), np.bincount(step.of_item)
        worth = _contrast(mine, counts, before, counted, step, whole, len(rows))
        found.append(_named(mine, worth, terms, step, found[-1] if found else None, n_words))
        before, counted = mine, counts
    return found


def _terms(table: pa.Table, columns: Sequence[str] | None) -> tuple[tuple[str, ...], sparse.csr_array]:
    """The terms of a table and their weights (n, n_terms); none where nothing speaks, or no two items share a word."""
    nothing: tuple[tuple[str, ...], sparse.csr_array] = (), sparse.csr_array((table.num_rows, 0))
    try:
        fields = _fields(table, columns)
    except DataError:
        if columns is not None:  # one of them is not there
            raise
        return nothing
    try:
        space, weights = TermSpace.fit(table, fields, LIMITS)
    except DataError:
        return nothing
    return space.terms, sparse.csr_array(weights)


def _sums(weights: sparse.csr_array, step: Prefixes) -> sparse.csr_array:
    """(n_prefixes, n_terms) the weights of the items of each beginning together, terms in order."""
    n = len(step.of_item)
    members = sparse.csr_array((np.ones(n), (step.of_item, np.arange(n))), shape=(len(step), n))
    found = sparse.csr_array(members @ weights)
    found.sort_indices()
    return found


def _contrast(
    mine: sparse.csr_array,
    counts: AnyArray,
    before: sparse.csr_array,
    counted: AnyArray,
    step: Prefixes,
    whole: AnyArray,
    n: int,
) -> AnyArray:
    """For each entry of `mine` (n_prefixes, n_terms), its mean less the mean of the items beside."""
    row = np.repeat(np.arange(len(step)), np.diff(mine.indptr))
    parent, width = step.parent[row], mine.shape[1]
    keys = np.repeat(np.arange(before.shape[0]), np.diff(before.indptr)) * width + before.indices
    around = before.data[np.searchsorted(keys, parent * width + mine.indices)]
    alone = counted[parent] == counts[row]
    around = np.where(alone, whole[mine.indices], around) - mine.data
    others = np.where(alone, n, counted[parent]) - counts[row]
    contrast: AnyArray = mine.data / counts[row] - around / np.maximum(others, 1)
    return contrast


def _named(
    mine: sparse.csr_array, worth: AnyArray, terms: list[str], step: Prefixes, before: _Level | None, n_words: int
) -> _Level:
    """The best words of each beginning that no shorter one has said."""
    row = np.repeat(np.arange(len(step)), np.diff(mine.indptr))
    order = np.lexsort((mine.indices, -worth, row))
    order = order[worth[order] > 0]
    columns, ends = mine.indices[order].tolist(), np.searchsorted(row[order], np.arange(len(step) + 1)).tolist()
    level = _Level([], [], [], step.parent.tolist(), step.of_item)
    for number, (parent, digit) in enumerate(zip(level.parent, step.digit.tolist(), strict=True)):
        path, said = ((), ()) if before is None else (before.digits[parent], before.said[parent])
        some = _new([terms[column] for column in columns[ends[number] : ends[number + 1]]], said, n_words)
        level.digits.append((*path, digit))
        level.words.append(some)
        level.said.append((*said, *map(str.casefold, some)))
    return level


def _new(candidates: list[str], said: tuple[str, ...], n_words: int) -> tuple[str, ...]:
    """The first candidates that differ from what was said and from each other."""
    found: list[str] = []
    known = list(said)
    for word in candidates:
        plain = word.casefold()
        if plain not in SMALL and not any(_alike(plain, one) for one in known):
            found.append(word)
            known.append(plain)
            if len(found) == n_words:
                break
    return tuple(found)


def _alike(one: str, other: str) -> bool:
    """Whether words are equal, or long ones are equal but for an ending of one or two letters.

    >>> _alike("shampoo", "shampoos"), _alike("hair", "hairspray"), _alike("gel", "gels")
    (True, False, False)
    """
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and len(long) - len(short) <= ENDING and long.startswith(short))


def _digits(codes: AnyArray, levels: int | None) -> IntMatrix:
    """(n, levels) the digits that are read."""
    found = checked(codes)
    if levels is not None and not 1 <= levels <= found.shape[1]:
        raise ConfigError(
            f"levels={levels} came for codes of {found.shape[1]} digits; 1 to {found.shape[1]} is expected"
        )
    return found[:, :levels]


def _table(items: Any, n: int) -> pa.Table:
    """The table of items, one row a code."""
    if isinstance(items, Dataset):
        table = items.item_table
    elif isinstance(items, pa.Table):
        table = items
    elif isinstance(items, Sequence) and not isinstance(items, str) and all(isinstance(one, str) for one in items):
        table = pa.table({"text": pa.array(items, pa.large_string())})
    else:
        raise DataError(
            f"words are read of a zhiyin.Dataset, an Arrow table, or one text an item, but {type(items).__name__} came"
        )
    if table.num_rows != n:
        raise DataError(f"{n} codes came for {table.num_rows} items; one an item is expected, -1 where there is none")
    return table


def _fields(table: pa.Table, columns: Sequence[str] | None) -> Fields:
    """The columns that are read: lists of text as whole categories, other text as words."""
    if columns is None:
        return Fields.of(table)
    chosen = Fields.of(table, columns, ())
    usual = Fields.of(table)
    lists = tuple(name for name in chosen.text if name in usual.categories)
    return Fields(tuple(name for name in chosen.text if name not in lists), lists)
