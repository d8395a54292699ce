"""Write the numbers of `results/*.json` into the documents, between `<!-- name -->` and `<!-- /name -->`.

    python benchmarks/tables.py            write them
    python benchmarks/tables.py --check    exit 1 where a document shows another number than its result

No number in a document is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "docs" / "benchmarks.md")


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: int = 1) -> str:
    """A Markdown table; columns after the first `text_columns` are aligned right."""
    rule = ["---" if place < text_columns else "---:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, rule, *rows))


def seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def machine(found: dict[str, Any]) -> str:
    one = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items() if version)
    return f"{one['cores']} cores ({one['processor']}), Python {one.get('python', found.get('python'))}, {versions}"


# ---------------------------------------------------------------------- one function per block


def classics() -> str:
    """Every model beside its peer, on every set."""
    rows = []
    for name, one in result("classics")["sets"].items():
        for label, sides in one["models"].items():
            ours = sides["zhiyin"]
            rows.append([f"**{name}**", label, "zhiyin", _with_interval(ours["ndcg@10"]), _cpu(ours), "", ""])
            for who, theirs in sides.items():
                if who != "zhiyin" and "error" not in theirs:
                    folded = " (folded in)" if who.endswith("_folded") else ""
                    difference = 100 * (ours["ndcg@10"]["value"] / theirs["ndcg@10"]["value"] - 1)
                    rows.append(
                        [
                            "",
                            "",
                            theirs["version"] + folded,
                            _with_interval(theirs["ndcg@10"]),
                            _cpu(theirs),
                            f"{difference:+.1f} %",
                            f"{_total(ours) / _total(theirs):.2f}",
                        ]
                    )
    header = ["set", "model", "who", "NDCG@10", "CPU s", "NDCG@10 of zhiyin against it", "CPU s of zhiyin / its"]
    return table(header, rows, text_columns=3)


def classics_short() -> str:
    """NDCG@10 and CPU seconds of the models on movielens-1m, for the front page."""
    rows = []
    for label, sides in result("classics")["sets"]["movielens-1m"]["models"].items():
        peers = [side for who, side in sides.items() if who != "zhiyin" and "error" not in side]
        ours, theirs = sides["zhiyin"], peers[0] if peers else None
        rows.append(
            [
                f"`{label.split()[0]}`" + "".join(f" {word}" for word in label.split()[1:]),
                f"{ours['ndcg@10']['value']:.4f}",
                _cpu(ours),
                theirs["version"] if theirs else "–",
                f"{theirs['ndcg@10']['value']:.4f}" if theirs else "–",
                _cpu(theirs) if theirs else "–",
            ]
        )
    return table(["model", "NDCG@10", "CPU s", "peer", "NDCG@10", "CPU s"], rows)


def _with_interval(one: dict[str, float]) -> str:
    return f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})"


def _cpu(one: dict[str, float]) -> str:
    return seconds(_total(one))


def _total(one: dict[str, float]) -> float:
    return one["fit_cpu"] + one["recommend_cpu"]


def neighbours() -> str:
    """Fit and recommend for everybody, beside implicit, in one process."""
    rows = []
    for name, one in result("neighbours")["data"].items():
        for model in ("item_knn", "user_knn"):
            ours, theirs = (
                sum(one["seconds"][f"{who}.{what}"]["cpu"] for what in ("fit", "recommend"))
                for who in (model, "implicit_item")
            )
            wall = one["ratios"][f"{model} / implicit_item"]["wall"]
            rows.append([name, model, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}", f"{wall:.2f}"])
    header = ["set", "model", "CPU s", "implicit item kNN, CPU s", "ratio, CPU", "ratio, wall"]
    return table(header, rows, text_columns=2)


def prepare_scale() -> str:
    """Preparation beside the raw engine's read, sort and write."""
    rows = []
    for size in result("prepare_scale")["sizes"]:
        runs = size["runs"]
        ours, raw = runs["prepare"], runs["raw"]
        rows.append(
            [
                f"{size['events']:,}",
                seconds(ours["wall_s"]),
                seconds(raw["wall_s"]),
                f"{ours['times_raw_wall']:.2f}",
                f"{ours['times_raw_cpu']:.2f}",
                f"{ours['events_per_s']:,}",
                f"{ours['peak_mib']:,}",
            ]
        )
    header = ["events", "prepare s", "raw s", "ratio, wall", "ratio, CPU", "events/s", "peak MiB"]
    growth = result("prepare_scale")["growth"]
    return (
        table(header, rows, 0)
        + f"\n\nCPU seconds grow with the power {growth:.2f} of the number of events (1 is linear)."
    )


def startup() -> str:
    """Milliseconds of a process of its own."""
    found = result("startup")
    rows = [
        [f"`{name}`", f"{one['median_ms']:.0f}", found["targets_ms"].get(name, "–")]
        for name, one in found["commands"].items()
    ]
    return table(["what", "median ms", "target ms"], rows)


def evaluation_speed() -> str:
    """What judging costs beyond fitting and recommending."""
    found = result("evaluation_speed")
    rows = [
        [found["set"], split, len(one["models"]), f"{one['wall']:.1f}", f"{one['beyond']:.1f}"]
        for split, one in found["splits"].items()
    ]
    return table(["set", "split", "models", "all of it, s", "beyond fit and recommend, s"], rows, 2)


BLOCKS: dict[str, Callable[[], str]] = {
    "classics": classics,
    "classics-short": classics_short,
    "neighbours": neighbours,
    "prepare-scale": prepare_scale,
    "startup": startup,
    "evaluation-speed": evaluation_speed,
}


def filled(text: str) -> str:
    """The text with every block made anew."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n\n{BLOCKS[found[1]]()}\n\n<!-- /{found[1]} -->"

    return re.sub(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->", block, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new, encoding="utf-8")
    if check and stale:
        sys.exit(f"other numbers than in benchmarks/results: {', '.join(stale)}; run python benchmarks/tables.py")


if __name__ == "__main__":
    main()
