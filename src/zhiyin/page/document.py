"""The page and the blocks that it is made of. Every text is escaped; a block gives its HTML with `html()`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Integral
from pathlib import Path
from typing import Literal, Protocol, Self, TypeAlias

from zhiyin._version import __version__
from zhiyin.artifacts import write_text
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.page.style import CSS

Kind = Literal["info", "warning", "good", "problem"]
KINDS: tuple[Kind, ...] = ("info", "warning", "good", "problem")
SIDES: Mapping[str, str] = {"l": "", "r": "right", "c": "centre"}
NOTHING = '<span class="nothing">–</span>'

CODE = re.compile(r"`([^`\n]+)`")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but its own styles. The browser enforces that it is self-contained."""


class Block(Protocol):
    """A part of a page."""

    def html(self) -> str:
        """Its HTML, every text escaped."""
        ...


def _html(block: Block | str) -> str:
    return Text(block).html() if isinstance(block, str) else block.html()


def _all(blocks: Sequence[Block | str]) -> str:
    return "\n".join(_html(block) for block in blocks)


def _inline(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(text))


def _paragraphs(text: str) -> str:
    parts = [part.strip() for part in text.split("\n\n")]
    return "".join(f"<p>{_inline(part)}</p>" for part in parts if part)


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; an empty line starts a new paragraph, `backticks` mark what is typed."""

    text: str

    def html(self) -> str:
        """Its HTML."""
        return f'<div class="text">{_paragraphs(self.text)}</div>'


class Items:
    """A list with bullets; of a pair of texts the first is set in bold."""

    def __init__(self, *texts: str | tuple[str, str]) -> None:
        self.texts = texts

    def html(self) -> str:
        """Its HTML."""
        return f'<ul class="items">{"".join(map(self._item, self.texts))}</ul>'

    @staticmethod
    def _item(text: str | tuple[str, str]) -> str:
        if isinstance(text, str):
            return f"<li>{_inline(text)}</li>"
        return f"<li><strong>{_inline(text[0])}</strong> {_inline(text[1])}</li>"


class Note:
    """Something to notice: information, a warning, a problem, or good news.

    `title` is its first line, in the colour of the kind; `large` for the one note that opens a page.

    Raises:
        ConfigError: an unknown kind.
    """

    def __init__(
        self, text: str, kind: Kind = "info", title: str = "", *blocks: Block | str, large: bool = False
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(unknown("kind of note", kind, KINDS))
        self.text, self.kind, self.title, self.blocks, self.large = text, kind, title, blocks, large

    def html(self) -> str:
        """Its HTML."""
        heading = f'<p class="heading">{escape(self.title)}</p>' if self.title else ""
        size = " large" if self.large else ""
        inside = heading + _paragraphs(self.text) + _all(self.blocks)
        return f'<div class="note {self.kind}{size}" role="note">{inside}</div>'


class Columns:
    """Blocks side by side where the screen is wide enough, one below the other where it is not."""

    def __init__(self, *blocks: Block | str) -> None:
        self.blocks = blocks

    def html(self) -> str:
        """Its HTML."""
        return f'<div class="columns">{"".join(f"<div>{_html(block)}</div>" for block in self.blocks)}</div>'


class Details:
    """Blocks that are folded away under a one-line summary."""

    def __init__(self, summary: str, *blocks: Block | str, opened: bool = False) -> None:
        self.summary, self.blocks, self.opened = summary, blocks, opened

    def html(self) -> str:
        """Its HTML."""
        start = "<details open>" if self.opened else "<details>"
        return f"{start}<summary>{escape(self.summary)}</summary>{_all(self.blocks)}</details>"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that matters, with what it counts and perhaps a remark."""

    label: str
    value: str | float
    remark: str = ""

    def html(self) -> str:
        """Its HTML, a part of `Figures`."""
        remark = f'<dd class="small">{escape(self.remark)}</dd>' if self.remark else ""
        return f"<div><dt>{escape(self.label)}</dt><dd>{escape(shown(self.value, 4))}</dd>{remark}</div>"


class Figures:
    """The few numbers that matter, large, in a row."""

    def __init__(self, *figures: Figure) -> None:
        self.figures = figures

    def html(self) -> str:
        """Its HTML."""
        layout = "figures four" if len(self.figures) > 6 else "figures"
        return f'<dl class="{layout}">{"".join(figure.html() for figure in self.figures)}</dl>'


Value: TypeAlias = str | float | None
"""What a cell shows: a text, a whole number, a number with decimals, or nothing (a dash)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell with a tooltip, in bold, or with a bar (0 to 1 of its width) behind the value."""

    value: Value
    title: str = ""
    strong: bool = False
    bar: float | None = None


class Table:
    """A table whose first column names the rows. Wide tables scroll inside their own box.

    Args:
        header: the names of the columns.
        rows: cells; numbers with decimals are written with `digits` of them, None and NaN as a dash.
        align: a letter for each column, "l", "r" or "c"; by default numbers stand right, texts left.
        highlight: the numbers of rows to stand out.
        caption: a sentence below the table.
        digits: decimals of a float.

    Raises:
        DataError: a row has not as many cells as the header, or `align` not as many letters.
    """

    def __init__(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[Value | Cell]],
        align: str | None = None,
        highlight: Sequence[int] = (),
        caption: str = "",
        digits: int = 4,
    ) -> None:
        self.header, self.caption, self.digits = tuple(header), caption, digits
        self.rows = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
        self.highlight = frozenset(highlight)
        for place, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise DataError(f"row {place} of a table has {len(row)} cells, its header {len(self.header)}: {header}")
        self.sides = self._sides(align)

    def _sides(self, align: str | None) -> list[str]:
        if align is None:
            return [self._usual(column) for column in range(len(self.header))]
        if len(align) != len(self.header) or not set(align) <= set(SIDES):
            raise DataError(f"align={align!r}: one of l, r, c is expected for each of {len(self.header)} columns")
        return [SIDES[letter] for letter in align]

    def _usual(self, column: int) -> str:
        values = [row[column].value for row in self.rows if row[column].value is not None]
        return "right" if values and not any(isinstance(value, str) for value in values) else ""

    def html(self) -> str:
        """Its HTML."""
        head = "".join(
            f'<th scope="col"{_classes(side)}>{escape(name)}</th>'
            for name, side in zip(self.header, self.sides, strict=True)
        )
        body = "".join(self._row(place, row) for place, row in enumerate(self.rows))
        label = escape(self.caption or ", ".join(self.header), quote=True)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        box = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{table}</div>'
        return f'<figure class="table">{box}{caption}</figure>'

    def _row(self, place: int, row: Sequence[Cell]) -> str:
        cells = "".join(self._cell(column, cell) for column, cell in enumerate(row))
        return f"<tr{_classes('highlight' if place in self.highlight else '')}>{cells}</tr>"

    def _cell(self, column: int, cell: Cell) -> str:
        tag = 'th scope="row"' if column == 0 else "td"
        bar = cell.bar is not None and math.isfinite(cell.bar)
        classes = _classes(self.sides[column], "strong" if cell.strong else "", "bar" if bar else "")
        part = f' style="--part: {100 * min(1.0, max(0.0, cell.bar or 0.0)):.1f}%"' if bar else ""
        tip = f' title="{escape(cell.title, quote=True)}"' if cell.title else ""
        text = shown(cell.value, self.digits)
        return f"<{tag}{classes}{part}{tip}>{escape(text) if text else NOTHING}</{tag[:2]}>"


def _classes(*names: str) -> str:
    used = " ".join(name for name in names if name)
    return f' class="{used}"' if used else ""


def shown(value: Value, digits: int) -> str:
    """A value as text; empty for None and NaN.

    >>> shown(1234567, 4), shown(0.25, 4), shown(float("nan"), 4), shown("a", 4)
    ('1,234,567', '0.2500', '', 'a')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Integral):
        return f"{int(value):,}"
    number = float(value)
    if math.isnan(number):
        return ""
    return f"{number:,.{digits}f}" if math.isfinite(number) else "∞" if number > 0 else "−∞"


class Page:
    """A document: a title, sections of blocks, and a line at the foot. `section` adds to it and gives it back."""

    def __init__(self, title: str, subtitle: str = "", lang: str = "en", footer: str = "") -> None:
        self.title, self.subtitle, self.lang = title, subtitle, lang
        self.footer = footer or f"zhiyin {__version__}"
        self.sections: list[tuple[str, tuple[Block | str, ...]]] = []

    def section(self, title: str, *blocks: Block | str) -> Self:
        """Add a section; an empty title adds its blocks without a heading."""
        self.sections.append((title, blocks))
        return self

    def html(self) -> str:
        """The whole document."""
        subtitle = f'<p class="subtitle">{escape(self.subtitle)}</p>' if self.subtitle else ""
        body = "\n".join(self._section(place, *section) for place, section in enumerate(self.sections, 1))
        return (
            f'<!doctype html>\n<html lang="{escape(self.lang, quote=True)}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
            f"<title>{escape(self.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f'<header class="top"><h1>{escape(self.title)}</h1>{subtitle}{self._contents()}</header>\n'
            f"<main>\n{body}\n</main>\n<footer>{escape(self.footer)}</footer>\n</body>\n</html>\n"
        )

    def _section(self, place: int, title: str, blocks: Sequence[Block | str]) -> str:
        heading = f"<h2>{escape(title)}</h2>\n" if title else ""
        return f'<section id="section-{place}">\n{heading}{_all(blocks)}\n</section>'

    def _contents(self) -> str:
        titled = [(place, title) for place, (title, _) in enumerate(self.sections, 1) if title]
        if len(titled) < 3:
            return ""
        links = "".join(f'<li><a href="#section-{place}">{escape(title)}</a></li>' for place, title in titled)
        return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'

    def write(self, path: str | Path) -> Path:
        """Write the document to a file, whole or not at all.

        Raises:
            DataError: the disk refuses.
        """
        write_text(Path(path), self.html())
        return Path(path)
