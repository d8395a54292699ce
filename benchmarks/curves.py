"""Draw the learning curves of results/sequences.json to docs/images, one picture for each set.

    python benchmarks/curves.py

A point is a measurement on the validation part: CPU seconds of training until then, by what an epoch costs in
results/sequences_costs.json, and NDCG@10; of the first seed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from _common import RESULTS, learning_curve
from zhiyin.page import charts
from zhiyin.page.style import CSS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = "<style>" + CSS + "svg{background:#fff;font:12px sans-serif}</style>"
MARGIN = 16


def main() -> None:
    runs, costs = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("sequences", "sequences_costs"))
    runs, costs = runs["runs"], costs["cpu"]
    sets = sorted({label.partition("/")[0] for label in runs})
    for name in sets:
        series = {}
        for label, seeds in runs.items():
            of, _, model = label.partition("/")
            if of == name and label in costs:
                _, spent, accuracy = zip(*learning_curve(seeds[min(seeds)], costs[label]), strict=True)
                series[model] = (spent, accuracy)
        drawn = charts.line(series, name, "CPU seconds of training", "validation NDCG@10", x_log=True).svg(720)
        drawn = re.sub(r'viewBox="0 0 (\S+) (\S+)"', _wider, drawn, count=1)
        start = drawn.index(">") + 1
        file = IMAGES / f"sequences-{name}.svg"
        file.write_text(drawn[:start] + COLOURS + drawn[start:] + "\n", encoding="utf-8")
        print(f"written: {file.name}")


def _wider(box: re.Match[str]) -> str:
    width, height = (float(one) + 2 * MARGIN for one in box.groups())
    return f'viewBox="-{MARGIN} -{MARGIN} {width:g} {height:g}"'


if __name__ == "__main__":
    main()
