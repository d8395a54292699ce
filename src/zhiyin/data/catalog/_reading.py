"""Readers that the parsers of public sets share: delimited text and JSON lines to Arrow tables, in pieces."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from zhiyin.data.catalog._files import Files
from zhiyin.errors import DataError

BLOCK = 32 << 20
"""Bytes that are read at once."""

Types = Mapping[str, pa.DataType]

ID, TIME, VALUE = pa.string(), pa.int64(), pa.float32()


def delimited(
    files: Files,
    name: str,
    types: Types,
    *,
    delimiter: str = ",",
    header: bool = True,
    quoted: bool = True,
    escaped: bool = False,
    encoding: str = "utf8",
    rename: Mapping[str, str] | None = None,
) -> Iterator[pa.Table]:
    """Tables with the columns of `types` (in the file's names) from a delimited text, in pieces.

    Without a header the columns of the file are those of `types`, in order. `rename` gives new names. In
    `escaped` texts a backslash takes the next character as it is; elsewhere a quote is doubled.
    """
    with files.open(name) as raw:
        stream, one = (raw, delimiter) if len(delimiter) == 1 else (_Replaced(raw, delimiter.encode()), "\x1f")
        reader = pa_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pa_csv.ReadOptions(
                column_names=None if header else list(types), block_size=BLOCK, encoding=encoding
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=one, quote_char='"' if quoted else False, escape_char="\\" if escaped else False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            table = pa.Table.from_batches([batch])
            yield table.rename_columns([(rename or {}).get(column, column) for column in table.column_names])


class _Replaced(io.RawIOBase):
    """A stream whose delimiter of two characters is replaced by one that no text holds."""

    def __init__(self, stream: IO[bytes], delimiter: bytes) -> None:
        self._lines, self._delimiter, self._left = stream, delimiter, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            lines = self._lines.readlines(BLOCK if size < 0 else size)  # whole lines, so that no delimiter is cut
            self._left = b"".join(lines).replace(self._delimiter, b"\x1f")
        size = len(self._left) if size < 0 else size
        found, self._left = self._left[:size], self._left[size:]
        return found


def json_lines(files: Files, name: str, types: Types, rename: Mapping[str, str] | None = None) -> Iterator[pa.Table]:
    """Tables with the columns of `types` from a file of one JSON object per line, in pieces."""
    options = pa_json.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="ignore")
    with files.open(name) as stream:
        while lines := stream.readlines(BLOCK):
            text = io.BytesIO(b"".join(lines))
            table = pa_json.read_json(text, pa_json.ReadOptions(block_size=2 * BLOCK), options).select(list(types))
            yield table.rename_columns([(rename or {}).get(column, column) for column in table.column_names])


def rows(files: Files, name: str, delimiter: str, encoding: str = "utf8", skip: int = 0) -> Iterator[list[str]]:
    """The fields of each line of a small file without quotes."""
    with files.open(name) as stream, io.TextIOWrapper(stream, encoding=encoding, newline="\n") as text:
        for number, line in enumerate(text):
            if number >= skip and line.strip():
                yield line.rstrip("\r\n").split(delimiter)


def whole(tables: Iterable[pa.Table]) -> pa.Table:
    """All pieces as one table.

    Raises:
        DataError: there is no piece.
    """
    parts = list(tables)
    if not parts:
        raise DataError("a file without any row came")
    return pa.concat_tables(parts)


def split_year(title: str) -> tuple[str, int | None]:
    """A title without the year that ends it, and the year.

    >>> split_year("Matrix, The (1999) "), split_year("Babylon 5"), split_year("Death Note (2006–2007)")
    (('Matrix, The', 1999), ('Babylon 5', None), ('Death Note (2006–2007)', None))
    """
    found = re.fullmatch(r"(.*?)\s*\((\d{4})\)\s*", title)
    return (found[1], int(found[2])) if found else (title.strip(), None)


def films(records: Iterable[tuple[str, str, list[str]]]) -> pa.Table:
    """A catalogue of films from (id, title with year, categories)."""
    listed = [(one, *split_year(title), categories) for one, title, categories in records]
    return pa.table(
        {
            "item_id": pa.array([one[0] for one in listed], pa.string()),
            "title": pa.array([one[1] for one in listed], pa.string()),
            "year": pa.array([one[2] for one in listed], pa.int16()),
            "categories": pa.array([one[3] for one in listed], pa.list_(pa.string())),
        }
    )


def table_of(records: list[dict[str, Any]], types: Types) -> pa.Table:
    """A table of records; a field that a record lacks is null."""
    return pa.Table.from_pylist(records, schema=pa.schema(types))


def unescaped(text: str | None) -> str | None:
    """Text without HTML entities; None for an empty one."""
    return html.unescape(text).strip() or None if text else None


def positions(users: pa.ChunkedArray) -> pa.Array:
    """(n,) the place of each row among the rows of the same user, from 0."""
    code = (
        np.asarray(pc.rank(users, sort_keys="ascending", tiebreaker="dense")) if len(users) else np.zeros(0, np.int64)
    )
    order = np.argsort(code, kind="stable")
    first = np.searchsorted(code[order], code[order])
    place = np.empty(len(code), np.int32)
    place[order] = np.arange(len(code)) - first
    return pa.array(place)
