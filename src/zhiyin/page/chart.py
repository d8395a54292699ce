"""Chart: what every kind of chart has in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from zhiyin.errors import DataError
from zhiyin.page.drawing import tag, text, tip

WIDTHS = {"small": 360, "medium": 560, "large": 960}
"""The widths that a chart is drawn for; the style sheet shows the one that fits its place on the page."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
HEAD = 36.0
"""The height above the frame, where the label of the vertical axis stands."""
FOOT = 42.0
"""The height below the frame: tick texts and the label of the horizontal axis."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a scatter chart with its name and, perhaps, the group that gives its colour and shape."""

    x: float
    y: float
    label: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A named line: as many x as y values."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def numbers(values: Iterable[Any]) -> tuple[float, ...]:
    """Any numbers as plain floats; None becomes NaN."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    return tuple(math.nan if value is None else float(value) for value in listed)


def same_length(what: str, **columns: Any) -> tuple[Any, ...]:
    """The columns, after making sure that they are equally long.

    Raises:
        DataError: they are not.
    """
    sizes = {name: _size(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{size} {name.replace('_', ' ')}" for name, size in sizes.items())
        raise DataError(f"{what} came with {listed}; as many of each are expected")
    return tuple(columns.values())


def _size(column: Sized) -> int:
    return len(column)


@dataclass(frozen=True, slots=True)
class Chart:
    """Base of every chart: HTML for a page, SVG of any width, and a Vega-Lite specification."""

    title: str
    caption: str

    kind: ClassVar[str] = "chart"

    def _draw(self, width: float) -> tuple[str, float]:
        """The marks and axes, `width` wide, and the height that they take."""
        raise NotImplementedError

    def _summary(self) -> str:
        """One sentence for those who cannot see it."""
        raise NotImplementedError

    def _is_empty(self) -> bool:
        raise NotImplementedError

    def _vega(self) -> dict[str, Any]:
        """The parts of the Vega-Lite specification that are this chart's own: data, mark, encoding."""
        raise NotImplementedError

    def svg(self, width: float = 560, cls: str = "medium") -> str:
        """The chart as one SVG element with a title and a description. Its colours come from the page's style sheet."""
        if self._is_empty():
            drawn, height = text("nothing to show", width / 2, 40, "middle", "faint"), 80.0
        else:
            drawn, height = self._draw(width)
        inside = tip(self.title) + tag("desc", escape(self._summary())) + drawn
        box = f"0 0 {width:g} {height:g}"
        return tag("svg", inside, cls=cls, viewBox=box, role="img", xmlns="http://www.w3.org/2000/svg")

    def html(self) -> str:
        """The chart with its title and caption, drawn for each width."""
        drawn = "".join(self.svg(width, cls) for cls, width in WIDTHS.items())
        caption = f'<div class="caption">{escape(self.caption)}</div>' if self.caption else ""
        return f'<figure class="chart"><figcaption>{escape(self.title)}</figcaption>{drawn}{caption}</figure>'

    def specification(self) -> dict[str, Any]:
        """The chart as a Vega-Lite 5 specification (plain values, ready for JSON) with its data inside."""
        return {
            "$schema": SCHEMA,
            "title": self.title,
            "description": self._summary(),
            "width": "container",
            **self._vega(),
        }


def finite(value: float) -> float | None:
    """A number for JSON: None where it is not finite."""
    return value if math.isfinite(value) else None


def axis_of(kind: str, title: str, log: bool = False) -> dict[str, Any]:
    """The Vega-Lite encoding of a field on an axis."""
    found: dict[str, Any] = {"type": kind, "title": title}
    if log:
        found["scale"] = {"type": "log"}
    return found
