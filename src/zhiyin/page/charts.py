"""Charts: values in, SVG on the page (or a Vega-Lite specification) out.

    charts.line({"ease": (k, recall)}, title="Recall by list length", x_label="k", y_label="recall")

A chart is drawn once for each of three widths and the page shows the one that fits, so that its text stays readable on
a phone. Values that are not finite are left out; a logarithmic axis also leaves out what is not positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from zhiyin.page.chart import Chart, Point, Series, numbers, same_length
from zhiyin.page.charts_rows import Bars, Heatmap, Intervals
from zhiyin.page.charts_xy import Histogram, Line, Scatter

Numbers: TypeAlias = Sequence[float] | Any
"""A sequence of numbers: a list, a tuple or a numpy array."""

__all__ = ["Chart", "Point", "bars", "heatmap", "histogram", "intervals", "line", "scatter"]


def line(
    series: Mapping[str, tuple[Numbers, Numbers]],
    title: str,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = False,
    x_is_time: bool = False,
    caption: str = "",
) -> Chart:
    """Lines through the points of each series; `x_is_time` takes microseconds since 1970.

    Raises:
        DataError: a series has not as many x as y values.
    """
    lines = tuple(
        Series(name, *same_length(f"series {name!r}", x=numbers(x), y=numbers(y))) for name, (x, y) in series.items()
    )
    return Line(title, caption, lines, x_label, y_label, x_log, y_log, x_is_time)


def scatter(
    points: Sequence[Point],
    title: str,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = False,
    caption: str = "",
) -> Chart:
    """Points with their names beside them; points of one group share colour and shape."""
    plain = tuple(Point(float(one.x), float(one.y), str(one.label), str(one.group)) for one in points)
    return Scatter(title, caption, plain, x_label, y_label, x_log, y_log)


def histogram(
    edges: Numbers,
    counts: Numbers,
    title: str,
    x_label: str,
    x_log: bool = False,
    y_label: str = "count",
    caption: str = "",
) -> Chart:
    """How many values fall between each two neighbouring edges.

    Raises:
        DataError: there is not exactly one edge more than counts.
    """
    sides, heights = numbers(edges), numbers(counts)
    if sides or heights:
        same_length("a histogram", left_edges=sides[:-1], counts=heights)
    return Histogram(title, caption, sides, heights, x_label, y_label, x_log)


def bars(
    labels: Sequence[str],
    values: Numbers,
    title: str,
    x_label: str = "",
    low: Numbers | None = None,
    high: Numbers | None = None,
    caption: str = "",
) -> Chart:
    """Horizontal bars with the value at their end, and whiskers from `low` to `high` where given.

    Raises:
        DataError: labels, values and intervals differ in number.
    """
    return Bars(title, caption, *_rows("bars", labels, values, low, high), x_label)


def intervals(
    labels: Sequence[str],
    values: Numbers,
    lows: Numbers,
    highs: Numbers,
    title: str,
    x_label: str,
    reference: float | None = None,
    caption: str = "",
) -> Chart:
    """A dot with a whisker on each row, and a dashed line at `reference` (no difference, the baseline).

    Raises:
        DataError: labels, values and intervals differ in number.
    """
    return Intervals(title, caption, *_rows("intervals", labels, values, lows, highs), x_label, reference)


def heatmap(rows: Sequence[str], columns: Sequence[str], values: Any, title: str, caption: str = "") -> Chart:
    """A grid of values (rows, columns), coloured by their size; negative ones have a colour of their own.

    Raises:
        DataError: the values are not one for each row and column.
    """
    grid = tuple(numbers(row) for row in values)
    same_length("a heatmap", rows=list(rows), values=list(grid))
    for name, row in zip(rows, grid, strict=True):
        same_length(f"row {name!r} of a heatmap", columns=list(columns), values=list(row))
    return Heatmap(title, caption, tuple(map(str, rows)), tuple(map(str, columns)), grid)


def _rows(
    what: str, labels: Sequence[str], values: Numbers, low: Numbers | None, high: Numbers | None
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    points = numbers(values)
    lows = points if low is None else numbers(low)
    highs = points if high is None else numbers(high)
    same_length(what, labels=list(labels), values=list(points), low=list(lows), high=list(highs))
    return tuple(map(str, labels)), points, lows, highs
