"""Draw the learning curves of results/sequences.json to docs/images, one picture for each set.

    python benchmarks/curves.py

A point is a measurement on the validation part: CPU seconds of training until then, NDCG@10; of the first seed, if it
learnt on one thread.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from _common import RESULTS, one_thread
from zhiyin.page import charts
from zhiyin.page.style import CSS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = "<style>" + CSS + "svg{background:#fff;font-family:sans-serif}</style>"
MARGIN = 16


def main() -> None:
    runs = json.loads((RESULTS / "sequences.json").read_text(encoding="utf-8"))["runs"]
    sets = sorted({label.partition("/")[0] for label in runs})
    for name in sets:
        series = {}
        for label, seeds in runs.items():
            of, _, model = label.partition("/")
            if of == name and not model.startswith("small:"):
                first = seeds[min(seeds)]
                points = [one for one in first["curve"] if one[1] > 0]
                if points and one_thread(first):
                    series[model] = ([one[1] for one in points], [one[2] for one in points])
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
