"""Charts with two numeric axes: lines, points, histograms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from zhiyin.page.chart import FOOT, HEAD, Chart, Point, Series, axis_of
from zhiyin.page.drawing import (
    EM,
    Frame,
    colour,
    legend,
    shortened,
    tag,
    text,
    text_width,
    ticks_width,
    tip,
    x_axis,
    y_axis,
)
from zhiyin.page.labels import place
from zhiyin.page.scales import Scale, builder, linear, moment, number
from zhiyin.page.style import N_COLOURS

DASHES = ("none", "7 4", "2 3", "9 3 2 3", "5 2", "1 4", "12 4")
MOST_POINTS = 500
"""A line with more points is thinned: of each stretch its lowest and highest point stay."""
MOST_TIPS = 80
MOST_LABELS = 40
"""Of more points only the first so many have their name written beside them; the others show it under the pointer."""
HEIGHTS = {360: 235.0, 560: 290.0}


def _frame(width: float, left: float, top: float, foot: float = FOOT) -> tuple[Frame, float]:
    height = HEIGHTS.get(int(width), 340.0) + top
    return Frame(left, width - 14, top + HEAD, height - foot), height


def _scales(
    width: float, top: float, x: Sequence[float], y: Sequence[float], x_how: Any, y_how: Any, **options: Any
) -> tuple[Frame, float, Scale, Scale]:
    """The frame, its height, and the two scales; the left margin is as wide as the texts of the vertical axis."""
    frame, height = _frame(width, 40, top)
    y_scale = y_how(y, frame.bottom, frame.top, n=int(frame.height / 42), **options)
    frame = Frame(ticks_width(y_scale), frame.right, frame.top, frame.bottom)
    x_scale = x_how(x, frame.left, frame.right, n=int(frame.width / 95))
    return frame, height, x_scale, y_scale


@dataclass(frozen=True, slots=True)
class Line(Chart):
    """Lines over a numeric axis or time; a single line that starts at zero has its area filled."""

    series: tuple[Series, ...]
    x_label: str
    y_label: str
    x_log: bool
    y_log: bool
    x_is_time: bool

    kind: ClassVar[str] = "line"

    def _is_empty(self) -> bool:
        return not any(len(one.x) for one in self.series)

    def _draw(self, width: float) -> tuple[str, float]:
        names = [one.name for one in self.series] if len(self.series) > 1 else []
        legend_drawn, top = legend(names, [_stroke(at) for at in range(len(names))], width, 4)
        x = [value for one in self.series for value in one.x]
        y = [value for one in self.series for value in one.y]
        low, high = _extent(y)
        near_zero = not self.y_log and 0 <= low <= 0.4 * high
        frame, height, x_scale, y_scale = _scales(
            width,
            top,
            x,
            y,
            _tight if not (self.x_log or self.x_is_time) else builder(self.x_log, self.x_is_time),
            builder(self.y_log),
            **({"zero": True} if near_zero else {}),
        )
        axes = y_axis(y_scale, frame, self.y_label) + x_axis(x_scale, frame, self.x_label)
        filled = near_zero and len(self.series) == 1
        drawn = "".join(self._one(at, one, x_scale, y_scale, filled) for at, one in enumerate(self.series))
        return legend_drawn + axes + drawn, height

    def _one(self, at: int, one: Series, x_scale: Scale, y_scale: Scale, filled: bool) -> str:
        runs = list(_runs(one, x_scale, y_scale))
        parts = []
        for run in runs:
            path = "M" + "L".join(f"{x_scale(x):.1f} {y_scale(y):.1f}" for x, y in thinned(run))
            if filled and len(run) > 1:
                ground = y_scale.start
                area = f"{path}L{x_scale(run[-1][0]):.1f} {ground:.1f}L{x_scale(run[0][0]):.1f} {ground:.1f}Z"
                parts.append(tag("path", d=area, cls="area"))
            parts.append(tag("path", d=path, cls="line", stroke_dasharray=_dashes(at)))
        points = [point for run in runs for point in run]
        parts += [self._dot(one, x, y, x_scale, y_scale, len(points)) for x, y in _some(points)]
        return tag("g", "".join(parts), cls=colour(at))

    def _dot(self, one: Series, x: float, y: float, x_scale: Scale, y_scale: Scale, total: int) -> str:
        name = f"{one.name}: " if len(self.series) > 1 else ""
        words = f"{name}{moment(x) if self.x_is_time else number(x)}, {number(y)}"
        few = total <= 20
        size, cls = (4.0, "mark outlined") if few else (5.0, "hover")
        return tag("circle", tip(words), cx=x_scale(x), cy=y_scale(y), r=size, cls=cls)

    def _summary(self) -> str:
        named = ", ".join(one.name for one in self.series)
        low, high = _extent(value for one in self.series for value in one.y)
        extent = f", from {number(low)} to {number(high)}" if high >= low else ""
        return f"Line chart of {self.y_label} by {self.x_label or 'time'} for {named}{extent}."

    def _vega(self) -> dict[str, Any]:
        unit = 1000 if self.x_is_time else 1
        rows = [
            {"series": one.name, "x": x / unit, "y": y}
            for one in self.series
            for run in _runs(one, None, None)
            for x, y in run
        ]
        encoding: dict[str, Any] = {
            "x": {"field": "x", **axis_of("temporal" if self.x_is_time else "quantitative", self.x_label, self.x_log)},
            "y": {"field": "y", **axis_of("quantitative", self.y_label, self.y_log)},
        }
        if len(self.series) > 1:
            encoding["color"] = {"field": "series", "type": "nominal", "title": None}
        return {"data": {"values": rows}, "mark": {"type": "line", "tooltip": True}, "encoding": encoding}


def _tight(values: Sequence[float], start: float, stop: float, *, n: int) -> Scale:
    return linear(values, start, stop, n=n, tight=True)


def _extent(values: Iterable[float]) -> tuple[float, float]:
    """The lowest and the highest finite value; infinity and its negative where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return min(finite, default=math.inf), max(finite, default=-math.inf)


def _dashes(at: int) -> str:
    """The dashes of the `at`-th line; a colour that comes again comes with other dashes."""
    return DASHES[(at + at // N_COLOURS) % len(DASHES)]


def _stroke(at: int) -> str:
    line = tag("line", x1=0, x2=22, y1=0, y2=0, cls="line", stroke_dasharray=_dashes(at))
    return tag("g", line, cls=colour(at))


def _runs(one: Series, x_scale: Scale | None, y_scale: Scale | None) -> Iterator[list[tuple[float, float]]]:
    """The stretches of a line between the points that cannot be shown."""
    run: list[tuple[float, float]] = []
    for x, y in zip(one.x, one.y, strict=True):
        if _shown(x, x_scale) and _shown(y, y_scale):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _shown(value: float, scale: Scale | None) -> bool:
    return math.isfinite(value) if scale is None else scale.shows(value)


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> Sequence[tuple[float, float]]:
    """At most about `most` points of a line: the first, the last, and the lowest and highest of each stretch."""
    if len(points) <= most:
        return points
    step = -(-2 * len(points) // most)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), step):
        stretch = range(start, min(start + step, len(points)))
        kept.add(min(stretch, key=lambda at: points[at][1]))
        kept.add(max(stretch, key=lambda at: points[at][1]))
    return [points[at] for at in sorted(kept)]


def _some(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    return points[:: -(-len(points) // MOST_TIPS)] if points else points


@dataclass(frozen=True, slots=True)
class Scatter(Chart):
    """Points with names."""

    points: tuple[Point, ...]
    x_label: str
    y_label: str
    x_log: bool
    y_log: bool

    kind: ClassVar[str] = "scatter"

    def _is_empty(self) -> bool:
        return not self.points

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(point.group for point in self.points))

    def _draw(self, width: float) -> tuple[str, float]:
        groups = self._groups()
        names = groups if len(groups) > 1 else []
        samples = [tag("g", _shape(at, 11, 0, 5), cls=colour(at)) for at in range(len(names))]
        legend_drawn, top = legend([name or "other" for name in names], samples, width, 4)
        x, y = [point.x for point in self.points], [point.y for point in self.points]
        how = (builder(self.x_log), builder(self.y_log))
        frame, height, x_scale, y_scale = _scales(width, top, _wider(x, self.x_log), _wider(y, self.y_log), *how)
        shown = [point for point in self.points if x_scale.shows(point.x) and y_scale.shows(point.y)]
        places = [(x_scale(point.x), y_scale(point.y)) for point in shown]
        axes = y_axis(y_scale, frame, self.y_label) + x_axis(x_scale, frame, self.x_label, grid=True)
        marks = "".join(
            self._mark(groups.index(point.group), point, at) for point, at in zip(shown, places, strict=True)
        )
        return legend_drawn + axes + marks + _labels(shown[:MOST_LABELS], places[:MOST_LABELS], frame), height

    def _mark(self, group: int, point: Point, at: tuple[float, float]) -> str:
        words = f"{point.label}: {self.x_label} {number(point.x)}, {self.y_label} {number(point.y)}"
        return tag("g", tip(words) + _shape(group, *at, 5.5), cls=colour(group))

    def _summary(self) -> str:
        named = "; ".join(f"{point.label} ({number(point.x)}, {number(point.y)})" for point in self.points[:30])
        return f"Points by {self.x_label} and {self.y_label}: {named}."

    def _vega(self) -> dict[str, Any]:
        rows = [
            {"x": one.x, "y": one.y, "label": one.label, "group": one.group}
            for one in self.points
            if math.isfinite(one.x) and math.isfinite(one.y)
        ]
        position = {
            "x": {"field": "x", **axis_of("quantitative", self.x_label, self.x_log)},
            "y": {"field": "y", **axis_of("quantitative", self.y_label, self.y_log)},
        }
        group = {"field": "group", "type": "nominal", "title": None}
        marks = {"mark": {"type": "point", "filled": True, "size": 80, "tooltip": {"content": "data"}}}
        names = {
            "mark": {"type": "text", "align": "left", "dx": 8},
            "encoding": {"text": {"field": "label", "type": "nominal"}},
        }
        coloured = {**marks, "encoding": {"color": group, "shape": group}} if len(self._groups()) > 1 else marks
        return {
            "data": {"values": rows},
            "encoding": position,
            "layer": [coloured, names],
        }


def _wider(values: Sequence[float], log: bool) -> list[float]:
    """The values and two more a little beyond them, so that no point lies on the border of the frame."""
    shown = [value for value in values if _shown(value, None) and (value > 0 or not log)]
    if not shown:
        return []
    low, high = min(shown), max(shown)
    if log:
        factor = (high / low) ** 0.06
        return [*shown, low / factor, high * factor]
    margin = (high - low) * 0.04
    return [*shown, low - margin, high + margin]


def _shape(group: int, x: float, y: float, r: float) -> str:
    """The mark of a group: circle, square, triangle or diamond, then around again."""
    cls = "mark outlined"
    if group % 4 == 0:
        return tag("circle", cx=x, cy=y, r=r, cls=cls)
    if group % 4 == 1:
        return tag("rect", x=x - r * 0.9, y=y - r * 0.9, width=r * 1.8, height=r * 1.8, cls=cls)
    corners = ((0, -1.2), (1.1, 0.85), (-1.1, 0.85)) if group % 4 == 2 else ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0))
    path = "M" + "L".join(f"{x + right * r:.1f} {y + down * r:.1f}" for right, down in corners) + "Z"
    return tag("path", d=path, cls=cls)


def _labels(points: Sequence[Point], places: Sequence[tuple[float, float]], frame: Frame) -> str:
    words = [shortened(point.label, frame.width * 0.45) for point in points]
    sizes = [(text_width(one) + 2, EM + 2) for one in words]
    inside = Frame(frame.left, frame.right + 12, frame.top - 8, frame.bottom)
    parts = []
    for one, (x, y), box in zip(words, places, place(places, sizes, inside), strict=True):
        if box.far:
            end_x = min(max(x, box.left), box.right)
            end_y = min(max(y, box.top + 2), box.bottom - 2)
            parts.append(tag("line", x1=x, y1=y, x2=end_x, y2=end_y, cls="leader"))
        at, anchor = (box.left, "start") if box.left > x else (box.right, "end") if box.right < x else (x, "middle")
        parts.append(text(one, at, box.middle[1], anchor, "ink halo"))
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Histogram(Chart):
    """Counts between edges, as columns that touch."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    x_label: str
    y_label: str
    x_log: bool

    kind: ClassVar[str] = "histogram"

    def _is_empty(self) -> bool:
        return not self.counts

    def _draw(self, width: float) -> tuple[str, float]:
        x_how = builder(self.x_log) if self.x_log else _tight
        frame, height, x_scale, y_scale = _scales(width, 0, self.edges, self.counts, x_how, linear, zero=True)
        axes = y_axis(y_scale, frame, self.y_label) + x_axis(x_scale, frame, self.x_label)
        columns = "".join(self._column(place, x_scale, y_scale) for place in range(len(self.counts)))
        return axes + tag("g", columns, cls="c1"), height

    def _column(self, at: int, x_scale: Scale, y_scale: Scale) -> str:
        low, high, count = self.edges[at], self.edges[at + 1], self.counts[at]
        left, right, top = x_scale(low), x_scale(high), y_scale(count)
        words = f"{number(low)} to {number(high)}: {number(count)}"
        gap = min(1.0, (right - left) * 0.15)
        return tag(
            "rect",
            tip(words),
            x=left + gap / 2,
            y=top,
            width=max(right - left - gap, 0.4),
            height=y_scale.start - top,
            cls="mark",
        )

    def _summary(self) -> str:
        if not self.counts:
            return f"Histogram of {self.x_label}, empty."
        most = max(range(len(self.counts)), key=self.counts.__getitem__)
        where = f"{number(self.edges[most])} to {number(self.edges[most + 1])}"
        return (
            f"Histogram of {self.x_label} from {number(self.edges[0])} to {number(self.edges[-1])}; "
            f"the most, {number(self.counts[most])}, from {where}."
        )

    def _vega(self) -> dict[str, Any]:
        rows = [
            {"low": low, "high": high, "count": count}
            for low, high, count in zip(self.edges[:-1], self.edges[1:], self.counts, strict=True)
        ]
        return {
            "data": {"values": rows},
            "mark": {"type": "bar", "tooltip": True},
            "encoding": {
                "x": {"field": "low", "bin": "binned", **axis_of("quantitative", self.x_label, self.x_log)},
                "x2": {"field": "high"},
                "y": {"field": "count", **axis_of("quantitative", self.y_label)},
            },
        }
