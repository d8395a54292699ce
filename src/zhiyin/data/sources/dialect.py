"""The dialect of a delimited text file, made out from its first rows: delimiter, quotes, line ends, header."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zhiyin.data.schema import column_number, is_known, plain, untyped
from zhiyin.data.sources.base import copies, distinct, spelt
from zhiyin.data.sources.files import opened
from zhiyin.errors import ConfigError, DataError

DELIMITERS = ("::", "\t", ",", ";", "|", "\x01", " ")
"""The delimiters that are tried, in the order of preference where several fit equally well."""

SAMPLE = 1 << 18
"""How many bytes of a file are looked at."""

_ROWS = 200
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*|nan|inf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written; `names` are those of its header, or column0, column1, ... where it has none."""

    delimiter: str
    quote: str
    escape: str
    newline: str
    header: bool
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What there is to say about its header."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person said about the file; None where it is to be found out."""

    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and not 1 <= len(self.delimiter.encode()) <= 4:
            raise ConfigError(f"the delimiter {self.delimiter!r} came; one of 1 to 4 bytes is expected")
        if self.quote is not None and len(self.quote.encode()) > 1:
            raise ConfigError(f"the quote {self.quote!r} came; one ASCII letter is expected, or '' for none")
        if self.delimiter is not None and len(self.delimiter) > 1 and self.quote:
            raise ConfigError(f"quotes are not understood beside the delimiter {self.delimiter!r}; say quote=''")
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise ConfigError(f"unknown encoding {self.encoding!r}; for example utf-8, latin-1, cp1252, gbk") from None

    @property
    def codec(self) -> str | None:
        """The encoding by its one official name."""
        return None if self.encoding is None else codecs.lookup(self.encoding).name


def sniff(text: str, label: str, wish: Wish, mapping: Mapping[str, str | int]) -> Dialect:
    """Make out how `text`, the whole rows at the beginning of a file, is written.

    Raises:
        DataError: no delimiter gives more than one column, or the header and the rows do not have the same number.
    """
    tried = DELIMITERS if wish.delimiter is None else (wish.delimiter,)
    options = [_Option.of(text, delimiter, quote) for delimiter in tried for quote in _quotes(delimiter, wish)]
    best = max(options, key=lambda one: one.score)  # the first of equals
    # Where lines are whole rows without quotes, and quotes only glue them together, quotes mean nothing.
    bare = next((one for one in options if one.delimiter == best.delimiter and not one.quote), best)
    if bare.score >= best.score and best.has_line_ends and bare.has_stray_quotes:
        best = bare
    if best.width < 2:
        listed = ", ".join(map(repr, tried))
        first = text.splitlines()[0][:80] if text.strip() else ""
        raise DataError(
            f"{label}: only one column was found with the delimiter {listed}; its first line is {first!r}. "
            f"If another delimiter is used there, say so: {spelt('delimiter', '...')}"
        )
    header = _has_header(best.rows, mapping) if wish.header is None else wish.header
    names = _names(best, header, label)
    newline = newline_of(text, best.quote)
    notes = copies([cell.strip() for cell in best.rows[0]], names) if header else ()
    return Dialect(best.delimiter, best.quote, _escape(text, best), newline, header, names, notes)


def _quotes(delimiter: str, wish: Wish) -> tuple[str, ...]:
    if wish.quote is not None:
        return (wish.quote,)
    return ("",) if len(delimiter) > 1 else ('"', "")


@dataclass(frozen=True, slots=True)
class _Option:
    """A delimiter and a quote, and the rows that they give."""

    delimiter: str
    quote: str
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, text: str, delimiter: str, quote: str) -> _Option:
        return cls(delimiter, quote, tuple(split(text, delimiter, quote)))

    @property
    def width(self) -> int:
        """The number of columns of the first row."""
        return len(self.rows[0]) if self.rows else 0

    @property
    def has_stray_quotes(self) -> bool:
        """Whether a cell begins with a quote that does not end it."""
        return any(cell.startswith('"') and not cell.endswith('"') for row in self.rows for cell in row)

    @property
    def has_line_ends(self) -> bool:
        """Whether a cell spans several lines."""
        return any("\n" in cell or "\r" in cell for row in self.rows for cell in row)

    @property
    def score(self) -> tuple[bool, float]:
        """Whether it splits at all, and how many of the rows are as wide as most are."""
        widths = Counter(len(row) for row in self.rows)
        if self.width < 2:
            return False, 0.0
        return True, round(widths[self.width] / len(self.rows), 2)


def split(text: str, delimiter: str, quote: str, limit: int = _ROWS) -> list[tuple[str, ...]]:
    """The first rows of a text; blank lines are left out."""
    if not quote:
        lines = (line for line in re.split(r"\r\n|\n|\r", text) if line)
        return [tuple(line.split(delimiter)) for line in itertools.islice(lines, limit)]
    rows: list[tuple[str, ...]] = []
    reader = csv.reader(re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", text), delimiter=delimiter, quotechar=quote)
    with suppress(csv.Error):  # a cell beyond its limit: the rows until there must do
        rows.extend(itertools.islice((tuple(row) for row in reader if row), limit))
    return rows


def count_rows(path: Path, encoding: str, dialect: Dialect) -> int:
    """How many rows a file has, the header included, by Python's own reader: slow, to check a fast one where in doubt.

    A cell too long for it ends the count, which is then too small to say anything.
    """
    rows = 0
    with io.TextIOWrapper(opened(path), encoding, "replace", newline="") as text:
        if not dialect.quote:
            return sum(1 for line in text if line.strip("\r\n"))
        try:
            doubled = dialect.escape == dialect.quote
            for row in csv.reader(
                text,
                delimiter=dialect.delimiter,
                quotechar=dialect.quote,
                doublequote=doubled,
                escapechar=None if doubled else dialect.escape,
            ):
                rows += bool(row)
        except csv.Error:
            return rows
    return rows


def newline_of(text: str, quote: str) -> str:
    r"""The first line end outside quotes: "\n", "\r\n" or "\r".

    >>> newline_of('"a\nb",c\r\n', '"')
    '\r\n'
    """
    inside = False
    for mark in re.finditer(rf"{re.escape(quote)}|\r\n|\n|\r" if quote else r"\r\n|\n|\r", text):
        if quote and mark.group() == quote:
            inside = not inside
        elif not inside:
            return mark.group()
    return "\n"


def _escape(text: str, option: _Option) -> str:
    """Quotes inside quotes are doubled, unless the sample shows only ones with a backslash.

    A backslash before the quote that ends a cell is a letter of the cell, and shows nothing.
    """
    quote, delimiter = re.escape(option.quote), re.escape(option.delimiter)
    if quote and option.quote * 2 not in text and re.search(rf"\\{quote}(?!{delimiter}|[\r\n]|$)", text):
        return "\\"
    return option.quote


def _has_header(rows: Sequence[tuple[str, ...]], mapping: Mapping[str, str | int]) -> bool:
    first, rest = rows[0], rows[1:]
    cells = {untyped(cell.strip()).casefold() for cell in first}
    said = [wanted for wanted in mapping.values() if wanted != ""]
    if any(isinstance(wanted, str) and untyped(wanted.strip()).casefold() in cells for wanted in said):
        return True
    numeric = [bool(_NUMBER.fullmatch(cell)) for cell in first]
    known = sum(is_known(cell) for cell in first)
    if known >= 2 or (known and not any(numeric)):
        return True
    if any(numeric):
        return False
    if any(
        all(_NUMBER.fullmatch(row[place]) for row in rest if len(row) > place) for place in range(len(first)) if rest
    ):
        return True
    by_number = bool(said) and all(column_number(wanted) is not None for wanted in said)
    return not by_number and len({plain(cell) for cell in first} - {""}) == len(first)


def _names(option: _Option, header: bool, label: str) -> tuple[str, ...]:
    if not header:
        return tuple(f"column{place}" for place in range(option.width))
    widths = Counter(len(row) for row in option.rows[1:])
    usual, count = widths.most_common(1)[0] if widths else (option.width, 0)
    if usual != option.width and count > len(option.rows[1:]) / 2:
        raise DataError(
            f"{label}: the header has {option.width} columns but the rows have {usual} "
            f"(delimiter {option.delimiter!r}); give the file one name for each column, or say "
            f"{spelt('delimiter', '...')}"
        )
    return tuple(distinct(name.strip().lstrip("\ufeff") for name in option.rows[0]))
