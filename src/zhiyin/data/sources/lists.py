"""Several values in one cell: lists as they come, lists that are written in text, and texts with a mark between.

What is told (`lists`) is read as told. Of other columns of text only those are taken for lists that can hardly be
anything else: JSON, or what Python writes; and texts with `|` between values that occur in other cells, too, or are
ids of the table.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.config import names
from zhiyin.data.schema import Match, untyped
from zhiyin.data.vocabulary import as_text
from zhiyin.errors import ConfigError, DataError, unknown

Lists: TypeAlias = str | Collection[str] | Mapping[str, str | None]
"""Columns of several values: their names, also as text ("region, blocked"); or each with what stands between them."""

SEPARATORS = ("|", ";", ",")
"""Between the values of one cell of text: the first that occurs in the column is taken, where none is told."""

KEYWORDS = ("language", "creator", "type")
"""Roles of texts that are values: an item may have several of them."""

MAY_HOLD_LISTS = ("categories", *KEYWORDS)
"""The roles of which an item may have several values."""

ELSEWHERE = 2 / 3
"""A text is split by itself where so large a part of what stands around the mark is known otherwise."""

GLANCE = 10_000
"""So many cells are looked at for marks that are never split at without being told."""

ROWS = 65_536
"""So many rows are taken apart at a time."""

LIST = pa.list_(pa.string())

_NOTHING = {"(no genres listed)", ""}


class Guess(NamedTuple):
    """What a column of text is taken for."""

    lists: pa.ChunkedArray | None
    """None: texts."""
    note: str = ""
    doubtful: bool = False
    """Whether it may hold several values that were not taken apart."""


def wanted(lists: Lists) -> dict[str, str | None]:
    """Columns of several values, each with what stands between them; None: to be found out, "": they are no lists.

    >>> wanted("region, blocked"), wanted({"region": "/"})
    ({'region': None, 'blocked': None}, {'region': '/'})

    Raises:
        ConfigError: something else came.
    """
    try:
        found = dict(lists) if isinstance(lists, Mapping) else dict.fromkeys(names(lists))
    except TypeError:  # not iterable, or of what cannot be a name
        found = {None: None}
    if not all(isinstance(one, str) and isinstance(mark, str | None) for one, mark in found.items()):
        raise ConfigError(f"lists = {lists!r} came; names of columns are expected, or each with what stands between")
    return found


def resolved(
    lists: Mapping[str, str | None], columns: Sequence[str], matches: Sequence[Match], source: str
) -> dict[str, str | None]:
    """The same by the names that columns have in the source; a column may be told by its role, too.

    Raises:
        DataError: there is no such column, or it plays a role of one value.
    """
    roles = {match.column: match.role for match in matches}
    known = {match.role: match.column for match in matches} | {untyped(one): one for one in columns}
    known |= {one: one for one in columns}
    found: dict[str, str | None] = {}
    for name, mark in lists.items():
        if name not in known:
            raise DataError(f"{source}: lists names a column that is not there: {unknown('column', name, columns)}")
        role = roles.get(known[name])
        if role is not None and role not in MAY_HOLD_LISTS:
            raise DataError(
                f"{source}: lists names {name!r}, which is the {role} of each, and has one value; leave it out, or map "
                f'the role to another column: roles={{"{role}": ""}} for none'
            )
        found[known[name]] = mark
    return found


def split(column: pa.ChunkedArray, separator: str | None) -> tuple[pa.ChunkedArray, str | None]:
    """Lists of text, whatever a column holds, and at what texts were split; None for a separator finds it out."""
    kind = column.type
    if is_list(kind):
        if is_text(kind.value_type):
            return column.cast(pa.list_(pa.string())), separator
        return pa.chunked_array([_lists(column.to_pylist())]), separator
    texts = _texts(column)
    if separator is None:
        separator = next((one for one in SEPARATORS if pc.any(pc.match_substring(texts, one)).as_py()), None)
    return _coded(texts, LIST, lambda known: _lists(_parts(one, separator) for one in known)), separator


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as it came; lists of whole numbers are ids or codes, and become text as those do.

    Numbers of 8 bits, and lists that are all of one length by their type, are vectors.
    """
    kind = column.type
    if not is_list(kind) or pa.types.is_fixed_size_list(kind):
        return column
    ids = pa.types.is_integer(kind.value_type) and kind.value_type.bit_width > 8
    return column.cast(LIST) if ids or is_text(kind.value_type) else column


def guess(column: pa.ChunkedArray, name: str, table: str, ids: pa.ChunkedArray) -> Guess:
    """What the texts of a column are taken for.

    Args:
        column: the texts.
        name: what the column is called in what is said of it.
        table: likewise.
        ids: of the table, which its texts may name.
    """
    texts = _texts(column)
    if pc.any(pc.match_substring_regex(texts, r"^\s*\[")).as_py():
        found = _written(texts)
        if found is not None:
            return Guess(found)
    cells = pc.sum(pc.match_substring_regex(texts, r"(?s)[^|\s][^|]*\|.*[^|\s]")).as_py()
    if cells:
        if not _recurs(texts, "|", ids):
            return Guess(None, _doubt(name, "|", cells, table), True)
        said = f"column {name!r}: {cells:,} cells were split at '|'; lists={{{name!r}: ''}} keeps them whole"
        return Guess(split(texts, "|")[0], said)
    for mark in SEPARATORS[1:]:
        few = texts.slice(0, GLANCE)
        if pc.any(pc.match_substring(few, mark)).as_py() and _recurs(few, mark, ids):
            return Guess(None, _doubt(name, mark, pc.sum(pc.match_substring(texts, mark)).as_py(), table), True)
    return Guess(None)


def _doubt(name: str, mark: str, cells: int, table: str) -> str:
    return (
        f"column {name!r} holds {mark!r} in {cells:,} cells, and each was read as one text; if they are several "
        f"values, say lists=[{name!r}] (at the prompt --read '{table}.lists={name}'); if not, lists={{{name!r}: ''}}"
    )


def _recurs(texts: pa.ChunkedArray, mark: str, ids: pa.ChunkedArray) -> bool:
    """Whether most of what stands around a mark is an id, or is in other cells alone or beside something else."""
    cells = {frozenset(_parts(one, mark)) for one in _distinct(texts)}
    times = Counter(part for cell in cells for part in cell)
    around = sorted({part for cell in cells if len(cell) > 1 for part in cell})
    if not around:
        return False
    named = pc.is_in(pa.array(around, pa.large_string()), value_set=ids.cast(pa.large_string())).to_pylist()
    again = [times[part] > 1 and not (mark == "," and part.isdigit()) for part in around]  # "1,5" may be a number
    known = sum(one or other for one, other in zip(named, again, strict=True))
    return bool(known >= ELSEWHERE * len(around))


def _written(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Lists that are written in cells of text, one by one; None where the column is none of such lists.

    It is where any of its lists holds texts, or all of its cells are lists of numbers; other cells are of one value.
    """
    kinds: set[type] = set()
    alone = False
    for one in _distinct(texts):
        found = _list_in(one)
        alone |= found is None
        kinds |= {list} if found is not None else set()
        kinds |= {type(leaf) for leaf in _flat(found)}
    if list not in kinds or kinds - {list, str, bool, int, float}:
        return None
    if kinds & {str, bool}:
        return _coded(texts, LIST, lambda known: _lists(_parts(one, None) if one.strip() else None for one in known))
    if alone:
        return None
    if float not in kinds:
        return _coded(texts, LIST, lambda known: _lists(_list_in(one) for one in known))
    numbers = pa.list_(pa.float64())
    return _coded(texts, numbers, lambda known: pa.array([_numbers(_list_in(one)) for one in known], numbers))


def _numbers(parsed: Any) -> list[float] | None:
    return None if parsed is None else [float(str(one)) for one in _flat(parsed)]  # of huge whole numbers inf


def _distinct(texts: pa.ChunkedArray) -> Iterable[str]:
    """The different texts that are not blank."""
    known = pc.unique(texts)
    for start in range(0, len(known), ROWS):
        yield from (one for one in known.slice(start, ROWS).to_pylist() if one is not None and one.strip())


def _coded(texts: pa.ChunkedArray, kind: pa.DataType, read: Callable[[list[str]], pa.Array]) -> pa.ChunkedArray:
    """What `read` makes of the texts, some rows at a time; of equal ones once."""
    found = []
    for start in range(0, len(texts), ROWS):
        known = texts.slice(start, ROWS).combine_chunks().dictionary_encode()
        found.append(read(known.dictionary.to_pylist()).take(known.indices))
    return pa.chunked_array(found, kind)


def _lists(values: Iterable[Any]) -> pa.Array:
    return pa.array([None if one is None else [as_text(each) for each in _flat(one)] for one in values], LIST)


def _flat(value: Any) -> Iterable[Any]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, (list, tuple)):
            left.extend(reversed(one))
        elif one is not None:
            yield one


def _parts(text: str, separator: str | None) -> list[str]:
    """The values of one cell."""
    stripped = text.strip()
    parsed = _list_in(stripped)
    if parsed is not None:
        return [as_text(one) for one in _flat(parsed)]
    if stripped in _NOTHING:
        return []
    parts = stripped.split(separator) if separator else [stripped]
    return [part.strip() for part in parts if part.strip()]


def _list_in(text: str) -> Any:
    """The list that a text is, in JSON or as Python writes it; None where it is none."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return None
    for parse in _PARSERS:
        try:
            found = parse(stripped)
            if "\\u" in stripped:  # half a letter, which no text can hold, becomes "?"
                found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
            return found
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


_PARSERS: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that holds no lists as text; floats that are all whole lose their point."""
    if pa.types.is_floating(column.type):
        with contextlib.suppress(pa.ArrowInvalid):
            column = column.cast(pa.int64())
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:
        raise DataError(f"lists names a column of {column.type}; texts, numbers or lists are expected") from None


def is_list(kind: pa.DataType) -> bool:
    """Whether a column is of lists of any kind."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of texts."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
