"""What an item says, as one clean text."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

import pyarrow as pa

from zhiyin.encoders._terms import Fields, values_of

_HIDDEN = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        ("<!--", "-->"),
        (r"<script\b[^<>]*>", r"</script\s*>"),
        (r"<style\b[^<>]*>", r"</style\s*>"),
    )
)
"""How what is not shown begins and ends."""
_INLINE = re.compile(r"</?(?:a|b|em|font|i|mark|small|span|strong|sub|sup|u)(?:\s[^<>]*)?>", re.IGNORECASE)
"""Tags within words and sentences."""
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff]+")
_SENTENCE_END = ".!?…。！？"
_LAYERS = 3
"""Markup may be hidden in entities, and these in others; so many layers are taken off."""


def cleaned(text: str, most: int | None = None) -> str:
    r"""A text without markup, entities and control characters, on one line; of a longer one, the first `most` letters.

    What only looks like markup stays: a tag begins with a letter. What was escaped, once or up to three times, is
    markup all the same.

    >>> cleaned("<p>Tom &amp; <b>Jerry</b>,\n\t2 < 3</p>")
    'Tom & Jerry, 2 < 3'
    >>> cleaned("R&D &amp;lt;b&amp;gt;now&amp;lt;/b&amp;gt;")
    'R&D now'
    """
    if not text.isascii() or not text.isprintable() or "<" in text or "&" in text or "  " in text:
        text = _plain(text)  # most texts are plain, and this is most of what `tfidf` costs beside its own work
    text = text.strip()
    return text if most is None or len(text) <= most else text[:most].rstrip()


def _plain(text: str) -> str:
    text = _without_tags(text)
    for _ in range(_LAYERS if "&" in text else 0):
        plain = html.unescape(text)
        if plain == text:
            break
        text = _without_tags(plain)
    if not text.isprintable() or "  " in text:  # no letter of _BLANK but the space is printable
        text = _BLANK.sub(" ", text.encode("utf-8", "ignore").decode("utf-8"))
    return unicodedata.normalize("NFC", text)


def _without_tags(text: str) -> str:
    """The text without tags, and without what is not shown."""
    if "<" not in text:
        return text
    for opening, closing in _HIDDEN:
        text = _shown(text, opening, closing)
    return _TAG.sub(" ", _INLINE.sub("", text))


def _shown(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """The text without what lies between an opening and a closing; in time that grows with its length alone."""
    pieces, at = [], 0
    while (begins := opening.search(text, at)) and (ends := closing.search(text, begins.end())):
        pieces.append(text[at : begins.start()])
        at = ends.end()
    return " ".join([*pieces, text[at:]])


def item_texts(table: pa.Table, fields: Fields, most: int) -> list[str]:
    """(n_items,) the text of each item: title first, then categories, then all other columns; empty for none.

    Args:
        table: one row an item.
        fields: the columns to read.
        most: the length of a text, in letters; what is beyond is cut off.
    """
    names = sorted((*fields.text, *fields.categories), key=lambda name: _place(name, fields))
    columns = [[_joined(value, most) for value in values_of(table, name)] for name in names]
    return [_sentences(parts)[:most].rstrip() for parts in zip(*columns, strict=True)]


def _place(name: str, fields: Fields) -> int:
    return 0 if name == "title" else 1 if name in fields.categories else 2


def _joined(value: object, most: int) -> str:
    """One cell as text; of a list, its different members."""
    if value is None:
        return ""
    if isinstance(value, str):
        return cleaned(value, most)
    members = (cleaned(str(one), most) for one in value if one)  # type: ignore[attr-defined]
    return ", ".join(dict.fromkeys(one for one in members if one))


def _sentences(parts: Sequence[str]) -> str:
    """Parts that are not empty, each ending as a sentence does where another one follows."""
    said = ""
    for part in parts:
        if part:
            said += part if not said else f" {part}" if said[-1] in _SENTENCE_END else f". {part}"
    return said
