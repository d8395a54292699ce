"""Drawing: SVG elements, the widths of texts, and the frame with its axes that charts stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from zhiyin.page.scales import Scale
from zhiyin.page.style import N_COLOURS

EM = 12.0
"""The size of text in a chart, in the units of the drawing."""

NARROW, WIDE = "iljI.,:;'|!()[]{} ft", "mwMW@%"


def tag(name: str, inside: str = "", **attributes: str | float) -> str:
    """An SVG element; `cls` is its class, an underscore in a name becomes a hyphen. `inside` must be escaped already.

    >>> tag("rect", x=1.25, cls="mark", fill_opacity=0.5)
    '<rect x="1.25" class="mark" fill-opacity="0.5"/>'
    """
    written = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def _name(key: str) -> str:
    return "class" if key == "cls" else key.replace("_", "-")


def _value(value: str | float) -> str:
    return escape(value, quote=True) if isinstance(value, str) else f"{round(float(value), 2):g}"


def text(words: str, x: float, y: float, anchor: str = "start", cls: str = "", size: float = EM) -> str:
    """A line of text; `y` is its middle."""
    attributes: dict[str, str | float] = {"x": x, "y": y + size * 0.35}
    if anchor != "start":
        attributes["text_anchor"] = anchor
    if cls:
        attributes["cls"] = cls
    if size != EM:
        attributes["font_size"] = size
    return tag("text", escape(words), **attributes)


def tip(words: str) -> str:
    """What is shown while the pointer rests on a mark."""
    return f"<title>{escape(words)}</title>"


def colour(place: int) -> str:
    """The class of the `place`-th series."""
    return f"c{place % N_COLOURS + 1}"


def text_width(words: str, size: float = EM) -> float:
    """About how wide a text is, without knowing the font: letters by their kind, CJK and emoji one em.

    >>> text_width("知音") == 2 * 12.0
    True
    """
    return size * sum(_em(letter) for letter in words)


def _em(letter: str) -> float:
    if ord(letter) >= 0x1100:
        return 1.0
    if letter in NARROW:
        return 0.31
    return 0.88 if letter in WIDE else 0.68 if letter.isupper() else 0.58


def shortened(words: str, width: float, size: float = EM) -> str:
    """The text, cut with an ellipsis where it is wider than `width`.

    >>> shortened("a long name of a thing", 80)
    'a long nam …'
    """
    if text_width(words, size) <= width:
        return words
    room = width - size
    kept = 0
    for letter in words:
        room -= _em(letter) * size
        if room < 0:
            break
        kept += 1
    return words[:kept].rstrip() + " …" if kept else "…"


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a drawing where the marks are."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


def x_axis(scale: Scale, frame: Frame, label: str, grid: bool = False) -> str:
    """The horizontal axis below the frame: ticks, their texts, and the label at the right with an arrow."""
    parts = [tag("line", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom, cls="axis")]
    edge = -1e9
    for value, words in scale.ticks:
        x, half = scale(value), text_width(words) / 2
        line_top = frame.top if grid else frame.bottom
        parts.append(tag("line", x1=x, x2=x, y1=line_top, y2=frame.bottom + 4, cls="grid" if grid else "axis"))
        if x - half > edge:
            parts.append(text(words, x, frame.bottom + 14, "middle"))
            edge = x + half + 6
    if label:
        parts.append(text(f"{label} →", frame.right, frame.bottom + 33, "end", "ink"))
    return "".join(parts)


def y_axis(scale: Scale, frame: Frame, label: str) -> str:
    """The vertical axis left of the frame, with grid lines; its label stands above, where it is read first."""
    parts = []
    for value, words in scale.ticks:
        y = scale(value)
        parts.append(tag("line", x1=frame.left, x2=frame.right, y1=y, y2=y, cls="grid"))
        parts.append(text(words, frame.left - 7, y, "end"))
    if label:
        parts.append(text(f"↑ {label}", 0, frame.top - 16, "start", "ink"))
    return "".join(parts)


def ticks_width(scale: Scale) -> float:
    """The room that the texts of a vertical axis take."""
    return max((text_width(words) for _, words in scale.ticks), default=0.0) + 10


def legend(names: Sequence[str], samples: Sequence[str], width: float, top: float) -> tuple[str, float]:
    """Names of series with a sample of each, in rows; and the height that they take.

    `samples` are drawn around the origin, 22 wide.
    """
    parts, x, y = [], 0.0, top
    for name, sample in zip(names, samples, strict=True):
        words = shortened(name, width - 40)
        wide = 30 + text_width(words) + 18
        if x and x + wide - 18 > width:
            x, y = 0.0, y + 19
        parts.append(tag("g", sample + text(words, 29, 0, cls="ink"), transform=f"translate({x:g} {y + 8:g})"))
        x += wide
    return "".join(parts), y + 19 - top if names else 0.0
