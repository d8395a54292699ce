"""Charts with named rows: bars, intervals, heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from zhiyin.page.chart import FOOT, Chart, axis_of, finite
from zhiyin.page.drawing import Frame, shortened, tag, text, text_width, tip, x_axis
from zhiyin.page.scales import Scale, linear, number

ROW = 26.0
"""The height of a row."""
TOP = 10.0


def _names_width(names: Sequence[str], width: float) -> float:
    return min(max(map(text_width, names), default=0.0) + 12, width * 0.42)


def _name(words: str, right: float, y: float) -> str:
    short = shortened(words, right - 10)
    drawn = text(short, right - 10, y, "end", "ink")
    return drawn if short == words else tag("g", tip(words) + drawn)


@dataclass(frozen=True, slots=True)
class Rows(Chart):
    """A number on each row, perhaps with an interval around it."""

    labels: tuple[str, ...]
    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    x_label: str

    def _is_empty(self) -> bool:
        return not self.labels

    def _has_interval(self) -> bool:
        return self.lows != self.values or self.highs != self.values

    def _said(self, at: int) -> str:
        said = f"{self.labels[at]}: {number(self.values[at])}"
        if not self._has_interval():
            return said
        return f"{said} ({number(self.lows[at])} to {number(self.highs[at])})"

    def _whisker(self, at: int, scale: Scale, y: float) -> str:
        low, high = self.lows[at], self.highs[at]
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        left, right = scale(low), scale(high)
        return tag("path", d=f"M{left:.1f} {y - 4}v8M{left:.1f} {y}H{right:.1f}M{right:.1f} {y - 4}v8", cls="whisker")

    def _summary(self) -> str:
        return f"{self.x_label or self.title}: " + "; ".join(self._said(at) for at in range(min(30, len(self.labels))))

    def _values(self) -> list[dict[str, Any]]:
        columns = zip(self.labels, self.values, self.lows, self.highs, strict=True)
        return [
            {"label": label, "value": finite(value), "low": finite(low), "high": finite(high)}
            for label, value, low, high in columns
        ]

    def _vega_layers(self, mark: dict[str, Any]) -> dict[str, Any]:
        value = {"x": {"field": "value", **axis_of("quantitative", self.x_label)}}
        whisker = {
            "mark": {"type": "rule"},
            "encoding": {"x": {"field": "low", **axis_of("quantitative", self.x_label)}, "x2": {"field": "high"}},
        }
        layers = [{"mark": {**mark, "tooltip": {"content": "data"}}, "encoding": value}]
        return {
            "data": {"values": self._values()},
            "encoding": {"y": {"field": "label", "type": "nominal", "title": None, "sort": None}},
            "layer": layers + ([whisker] if self._has_interval() else []),
        }


@dataclass(frozen=True, slots=True)
class Bars(Rows):
    """Horizontal bars from zero."""

    kind: ClassVar[str] = "bars"

    def _draw(self, width: float) -> tuple[str, float]:
        left = _names_width(self.labels, width)
        room = max(text_width(number(value)) for value in self.values) + 14
        frame = Frame(left, width - 4, TOP, TOP + ROW * len(self.labels))
        scale = linear(
            [*self.values, *self.lows, *self.highs],
            left,
            width - room,
            n=int((width - left) / 90),
            zero=True,
            tight=True,
        )
        drawn = "".join(self._bar(at, scale, frame) for at in range(len(self.labels)))
        zero = tag("line", x1=scale(0), x2=scale(0), y1=frame.top, y2=frame.bottom, cls="axis")
        if not self.x_label:
            return tag("g", drawn, cls="c1") + zero, frame.bottom + 8
        label = text(f"{self.x_label} →", width, frame.bottom + 16, "end", "ink")
        return tag("g", drawn, cls="c1") + zero + label, frame.bottom + 28

    def _bar(self, at: int, scale: Scale, frame: Frame) -> str:
        y, value = frame.top + ROW * (at + 0.5), self.values[at]
        name = _name(self.labels[at], frame.left, y)
        if not math.isfinite(value):
            return name + text("–", scale(0) + 6, y, cls="faint")
        ends = sorted((scale(0.0), scale(value)))
        bar = tag("rect", x=ends[0], y=y - 8, width=max(ends[1] - ends[0], 0.5), height=16, rx=2, cls=self._cls())
        reach = [scale(edge) for edge in (value, self.highs[at], 0.0) if math.isfinite(edge)]
        whisker = self._whisker(at, scale, y) if self._has_interval() else ""
        written = text(number(value), max(reach) + 6, y)
        return tag("g", tip(self._said(at)) + bar + whisker) + name + written

    def _cls(self) -> str:
        return "mark pale" if self._has_interval() else "mark"

    def _vega(self) -> dict[str, Any]:
        return self._vega_layers({"type": "bar"})


@dataclass(frozen=True, slots=True)
class Intervals(Rows):
    """Dots with whiskers, and a dashed line at the reference."""

    reference: float | None

    kind: ClassVar[str] = "intervals"

    def _draw(self, width: float) -> tuple[str, float]:
        left = _names_width(self.labels, width)
        frame = Frame(left + 4, width - 16, TOP, TOP + ROW * len(self.labels))
        edges = [*self.values, *self.lows, *self.highs] + ([] if self.reference is None else [self.reference])
        scale = linear(edges, frame.left, frame.right, n=int(frame.width / 85))
        drawn = "".join(self._row(at, scale, frame) for at in range(len(self.labels)))
        line = ""
        if self.reference is not None:
            x = scale(self.reference)
            line = tag("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, cls="reference")
        axis = x_axis(scale, frame, self.x_label, grid=True)
        return axis + line + tag("g", drawn, cls="c1"), frame.bottom + (FOOT if self.x_label else 24)

    def _row(self, at: int, scale: Scale, frame: Frame) -> str:
        y, value = frame.top + ROW * (at + 0.5), self.values[at]
        name = _name(self.labels[at], frame.left - 4, y)
        if not math.isfinite(value):
            return name
        dot = tag("circle", cx=scale(value), cy=y, r=5, cls="mark outlined")
        return name + tag("g", tip(self._said(at)) + self._whisker(at, scale, y) + dot)

    def _vega(self) -> dict[str, Any]:
        found = self._vega_layers({"type": "point", "filled": True, "size": 80})
        if self.reference is not None:
            rule = {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"x": {"datum": self.reference}}}
            found = {**found, "layer": [*found["layer"], rule]}
        return found


@dataclass(frozen=True, slots=True)
class Heatmap(Chart):
    """A grid of cells whose colour grows with the size of the value."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    kind: ClassVar[str] = "heatmap"

    def _is_empty(self) -> bool:
        return not (self.rows and self.columns)

    def _flat(self) -> list[float]:
        return [value for row in self.values for value in row if math.isfinite(value)]

    def _depth(self, value: float) -> float:
        """How strongly a value is coloured, 0 to 1: from the least to the greatest, or from zero if any is negative."""
        flat = self._flat()
        low, high = min(flat), max(flat)
        if low < 0:
            return abs(value) / max(-low, high)
        return (value - low) / (high - low) if high > low else 0.5

    def _draw(self, width: float) -> tuple[str, float]:
        left = _names_width(self.rows, width * 0.8)
        wide = min((width - left) / len(self.columns), 120.0)
        slanted = any(text_width(name) > wide - 4 for name in self.columns)
        top = min(max(map(text_width, self.columns)) * 0.72 + 20, 110.0) if slanted else 24.0
        heads = "".join(
            self._head(name, left + wide * (at + 0.5), top - 9, slanted) for at, name in enumerate(self.columns)
        )
        names = "".join(_name(name, left, top + ROW * (at + 0.5)) for at, name in enumerate(self.rows))
        cells = "".join(
            self._cell(row, column, left + wide * column, top + ROW * row, wide)
            for row in range(len(self.rows))
            for column in range(len(self.columns))
        )
        return heads + names + cells, top + ROW * len(self.rows) + 6

    def _head(self, name: str, x: float, y: float, slanted: bool) -> str:
        if not slanted:
            return text(name, x, y, "middle")
        return tag("g", text(shortened(name, 120), 0, 0), transform=f"translate({x:.1f} {y:.1f}) rotate(-45)")

    def _cell(self, row: int, column: int, x: float, y: float, wide: float) -> str:
        value = self.values[row][column]
        words = tip(f"{self.rows[row]}, {self.columns[column]}: {number(value)}")
        if not math.isfinite(value):
            return tag("g", words + text("–", x + wide / 2, y + ROW / 2, "middle", "faint"))
        depth = self._depth(value)
        box = tag(
            "rect", x=x + 1, y=y + 1, width=wide - 2, height=ROW - 2, rx=2, fill_opacity=0.06 + 0.94 * depth, cls="mark"
        )
        written = number(value)
        fits = text_width(written) < wide - 4
        label = text(written, x + wide / 2, y + ROW / 2, "middle", "on" if depth > 0.55 else "ink") if fits else ""
        return tag("g", words + box + label, cls="c2" if value < 0 else "c1")

    def _summary(self) -> str:
        flat = self._flat()
        extent = f", from {number(min(flat))} to {number(max(flat))}" if flat else ""
        return f"Values of {len(self.rows)} rows by {len(self.columns)} columns{extent}."

    def _vega(self) -> dict[str, Any]:
        cells = [
            {"row": name, "column": column, "value": finite(value)}
            for name, row in zip(self.rows, self.values, strict=True)
            for column, value in zip(self.columns, row, strict=True)
        ]
        return {
            "data": {"values": cells},
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "x": {"field": "column", "type": "nominal", "title": None, "sort": None},
                "y": {"field": "row", "type": "nominal", "title": None, "sort": None},
                "color": {"field": "value", "type": "quantitative", "title": None},
            },
        }
