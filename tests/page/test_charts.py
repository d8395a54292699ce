import json
import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from zhiyin.errors import DataError
from zhiyin.page import charts
from zhiyin.page.chart import WIDTHS, Chart
from zhiyin.page.charts import Point
from zhiyin.page.charts_xy import thinned
from zhiyin.page.drawing import Frame
from zhiyin.page.labels import place

SVG = "{http://www.w3.org/2000/svg}"
rng = np.random.default_rng(0)


def every_chart() -> dict[str, Chart]:
    x = np.arange(1, 40)
    groups = ["", "g1", "g2", "g3", "g4"]
    return {
        "line": charts.line({"a": (x, x**0.5), "b": (x, np.log(x))}, "t", "x", "y"),
        "line log": charts.line({"a": (x, 1.0 / x)}, "t", "x", "y", x_log=True, y_log=True),
        "line time": charts.line({"a": (x * 10**15, x)}, "t", "x", "y", x_is_time=True),
        "bars": charts.bars(["a", "b"], [1.0, -2.0], "t", "x"),
        "bars interval": charts.bars(["a", "b"], [1.0, 2.0], "t", "x", low=[0.5, 1.5], high=[1.5, 2.5]),
        "intervals": charts.intervals(["a", "b"], [1.0, 2.0], [0, 1], [2, 3], "t", "x", reference=1.5),
        "histogram": charts.histogram([1, 10, 100], [5, 7], "t", "x", x_log=True),
        "scatter": charts.scatter([Point(k, k % 7, f"p{k}", groups[k % 5]) for k in range(1, 30)], "t", "x", "y"),
        "heatmap": charts.heatmap(["a", "b"], ["c", "d", "e"], [[1, 2, 3], [-1, np.nan, 0]], "t"),
    }


@pytest.mark.parametrize("name", every_chart())
def test_svg_is_well_formed_finite_inside_its_box_and_described(name: str) -> None:
    chart = every_chart()[name]
    for width in WIDTHS.values():
        svg = chart.svg(width)
        root = ET.fromstring(svg)
        assert root.find(f"{SVG}title").text == "t"
        assert len(root.find(f"{SVG}desc").text) > 10
        assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', svg)
        _, _, wide, high = map(float, root.get("viewBox").split())
        for element in root.iter():
            if element.tag in (f"{SVG}circle", f"{SVG}rect"):
                x = float(element.get("cx", element.get("x", 0)))
                y = float(element.get("cy", element.get("y", 0)))
                in_group = name == "scatter" and (x, y) in ((11, 0), (6.5, -4.5))
                assert in_group or (-6 <= x <= wide + 6 and -6 <= y <= high + 6)


@pytest.mark.parametrize("name", every_chart())
def test_specification_is_strict_json_with_the_data_inside(name: str) -> None:
    specification = every_chart()[name].specification()
    text = json.dumps(specification, allow_nan=False)
    assert json.loads(text) == specification
    assert specification["$schema"].endswith("v5.json")
    assert specification["data"]["values"]
    assert "mark" in specification or "layer" in specification


def test_a_bar_is_as_long_as_its_value() -> None:
    root = ET.fromstring(charts.bars(["a", "b", "c"], [1.0, 2.0, 4.0], "t").svg())
    wide = [float(one.get("width")) for one in root.iter(f"{SVG}rect")]
    assert wide[1] / wide[0] == pytest.approx(2, rel=0.01)
    assert wide[2] / wide[0] == pytest.approx(4, rel=0.01)


def test_columns_of_a_histogram_are_as_high_as_their_counts() -> None:
    root = ET.fromstring(charts.histogram([0, 1, 2, 3], [10, 5, 0], "t", "x").svg())
    high = [float(one.get("height")) for one in root.iter(f"{SVG}rect")]
    assert high[0] / high[1] == pytest.approx(2, rel=0.01)
    assert high[2] == 0


def test_a_line_stops_at_what_cannot_be_shown() -> None:
    def paths(chart: Chart) -> list[str]:
        root = ET.fromstring(chart.svg())
        return [one.get("d") for one in root.iter(f"{SVG}path") if one.get("class") == "line"]

    x, y = [1, 2, 3, 4, 5], [1.0, 2.0, math.nan, 4.0, 5.0]
    assert len(paths(charts.line({"a": (x, y)}, "t", "x", "y"))) == 2
    assert len(paths(charts.line({"a": (x, [1, 0, 2, 3, 4])}, "t", "x", "y", y_log=True))) == 2
    values = charts.line({"a": (x, y)}, "t", "x", "y").specification()["data"]["values"]
    assert [one["x"] for one in values] == [1, 2, 4, 5]


def test_no_two_of_twenty_lines_look_the_same_and_each_looks_like_its_legend() -> None:
    chart = charts.line({f"model {k}": ([1, 2], [k, k + 1]) for k in range(20)}, "t", "x", "y")

    def looks(kind: str) -> list[tuple[str | None, str | None]]:
        groups = ET.fromstring(chart.svg()).iter(f"{SVG}g")
        return [
            (group.get("class"), one.get("stroke-dasharray"))
            for group in groups
            for one in group.findall(f"{SVG}{kind}")
            if one.get("class") == "line"
        ]

    assert len(set(looks("path"))) == 20
    assert looks("line") == looks("path")


def test_a_long_line_is_thinned_but_keeps_its_peaks() -> None:
    points = [(float(k), math.sin(k / 50)) for k in range(20_000)]
    points[12_345] = (12_345.0, 99.0)
    kept = thinned(points)
    assert len(kept) <= 510
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert points[12_345] in kept
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    chart = charts.line({"a": tuple(zip(*points, strict=True))}, "t", "x", "y")
    assert len(chart.html()) < 60_000


def test_time_in_a_specification_is_in_milliseconds() -> None:
    chart = charts.line({"a": ([1_577_836_800_000_000], [1])}, "t", "", "y", x_is_time=True)
    assert chart.specification()["data"]["values"][0]["x"] == 1_577_836_800_000
    assert "2020-01-01" in chart.svg()


@pytest.mark.parametrize("n", [2, 8, 20])
def test_labels_hide_neither_each_other_nor_points(n: int) -> None:
    frame = Frame(40, 900, 40, 300)
    points = list(zip(rng.uniform(50, 880, n).tolist(), rng.uniform(50, 290, n).tolist(), strict=True))
    boxes = place(points, [(60.0, 14.0)] * n, frame)
    assert sum(box.overlap(other) for at, box in enumerate(boxes) for other in boxes[:at]) < 5
    assert all(box.outside(frame) < 1 for box in boxes)


def test_labels_of_points_at_one_place_are_spread() -> None:
    boxes = place([(200.0, 150.0)] * 5, [(50.0, 14.0)] * 5, Frame(0, 400, 0, 300))
    assert sum(box.overlap(other) for at, box in enumerate(boxes) for other in boxes[:at]) == 0


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"series 'a' came with 2 x, 1 y"):
        charts.line({"a": ([1, 2], [1])}, "t", "x", "y")
    with pytest.raises(DataError, match="2 labels, 1 values"):
        charts.bars(["a", "b"], [1], "t")
    with pytest.raises(DataError, match="2 left edges, 3 counts"):
        charts.histogram([1, 2, 3], [1, 2, 3], "t", "x")
    with pytest.raises(DataError, match="row 'b' of a heatmap"):
        charts.heatmap(["a", "b"], ["x"], [[1], [1, 2]], "t")


@pytest.mark.parametrize(
    "chart",
    [
        charts.line({}, "t", "x", "y"),
        charts.line({"a": ([], [])}, "t", "x", "y"),
        charts.bars([], [], "t"),
        charts.intervals([], [], [], [], "t", "x"),
        charts.histogram([], [], "t", "x"),
        charts.scatter([], "t", "x", "y"),
        charts.heatmap([], [], [], "t"),
    ],
)
def test_an_empty_chart_says_so(chart: Chart) -> None:
    assert "nothing to show" in chart.svg()
    ET.fromstring(chart.svg())


@pytest.mark.parametrize(
    "chart",
    [
        charts.line({"a": ([1.0, 2.0], [math.nan, math.nan])}, "t", "x", "y"),
        charts.line({"a": ([1.0], [0.0])}, "t", "x", "y", y_log=True),
        charts.bars(["a", "b"], [math.nan, 1.0], "t", low=[math.nan, 0.5], high=[math.nan, math.inf]),
        charts.intervals(["a"], [math.nan], [math.nan], [math.nan], "t", "x"),
        charts.scatter([Point(math.nan, 1, "a"), Point(0, 1, "b")], "t", "x", "y", x_log=True),
        charts.heatmap(["a"], ["b"], [[math.nan]], "t"),
        charts.histogram([0, 1], [0], "t", "x"),
        charts.bars(["a"], [0.0], "t"),
    ],
)
def test_values_that_are_not_numbers_break_nothing(chart: Chart) -> None:
    svg = chart.html()
    assert not re.search(r'="[^"]*\b(nan|inf)\b', svg)
    json.dumps(chart.specification(), allow_nan=False)
