"""Write the numbers of `results/*.json` into the documents, between `<!-- name -->` and `<!-- /name -->`.

    python benchmarks/tables.py            write them
    python benchmarks/tables.py --check    exit 1 where a document shows another number than its result

No number in a document is typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _tables_ranking as ranking
from _common import epochs_of, learning_curve
from _tables import mean, result, seconds, table

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "docs" / "benchmarks.md",
    *sorted((ROOT / "docs" / "scenarios").glob("*.md")),
)


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


REACHED = 0.10
"""The accuracy on movielens-1m that the time to it is quoted for."""


def sequences() -> str:
    """Each sequence model on each set: accuracy over seeds, and what training took."""
    rows, costs = [], result("sequences_costs")["cpu"]
    for label, seeds in _by_accuracy(result("sequences")["runs"]):
        name, _, model = label.partition("/")
        runs = list(seeds.values())
        cells = [_over([one[metric]["value"] for one in runs]) for metric in ("ndcg@10", "hit_rate@10")]
        taken = _taken(runs[0], costs.get(label.removesuffix(" anew")), name == "movielens-1m")
        rows.append([f"**{name}**", model + _cut_short(runs[0]), *cells, len(runs), *taken])
    header = ["set", "model", "NDCG@10", "HR@10", "seeds"]
    header += ["CPU s an epoch", "CPU minutes to the best epoch", f"CPU s to {REACHED:.2f} on validation"]
    return table(header, rows, 2)


def _taken(run: dict[str, Any], cost: float | None, reaches: bool) -> list[str]:
    """CPU seconds of an epoch, CPU minutes to the best one, and CPU seconds to `REACHED` where that is asked for."""
    if cost is None:
        return ["–", "–", "–"]
    curve = learning_curve(run, cost)
    to_best = cost * (_to_best(curve)[0] if curve else run["epochs"]) / 60
    reached = _reached(curve, REACHED) if reaches else None
    return [seconds(cost), f"{to_best:.1f}", "–" if reached is None else seconds(reached)]


def sequences_short() -> str:
    """Sequence models beside the best simple ones, for the front page."""
    rows, costs = [], result("sequences_costs")["cpu"]
    classic = result("classics")["sets"]
    for label, seeds in _by_accuracy(result("sequences")["runs"]):
        name, _, model = label.partition("/")
        runs = list(seeds.values())
        if model not in (
            "zhiyin",
            "zhiyin anew",
            "zhiyin small",
            "sasrec",
            "sasrec 50 events",
            "rectools sasrec",
            "recbole sasrec",
        ):
            continue
        shown = f"{runs[0]['version']} {model.partition(' ')[2]}" if "version" in runs[0] else f"`{model}`"
        shown = (
            shown.replace("`zhiyin small`", "`zhiyin`, small")
            .replace(" 50 events`", "`, 50 events")
            .replace(" anew`", "`, anew")
        )
        shown += _cut_short(runs[0])
        cells = [f"{mean([one[metric]['value'] for one in runs]):.4f}" for metric in ("ndcg@10", "hit_rate@10")]
        cost = costs.get(label.removesuffix(" anew"))
        minutes = "–" if cost is None else f"{cost * epochs_of(runs[0]) / 60:.1f}"
        rows.append([f"**{name}**", shown, *cells, minutes])
    for name in dict.fromkeys(row[0].strip("*") for row in rows):
        for model in ("ease", "item_knn bm25", "popularity"):
            ours = classic[name]["models"][model]["zhiyin"]
            cells = [f"{ours[metric]['value']:.4f}" for metric in ("ndcg@10", "hit_rate@10")]
            minutes = ours["fit_cpu"] / 60
            shown = f"{minutes:.1f}" if minutes >= 0.05 else "< 0.1"
            rows.append([f"**{name}**", f"`{model.split()[0]}`", *cells, shown])
    rows.sort(key=lambda row: (row[0] != "**movielens-1m**", row[0], -float(row[2])))
    return table(["set", "model", "NDCG@10", "HR@10", "CPU minutes of training"], rows, 2)


def _cut_short(run: dict[str, Any]) -> str:
    """What ended the training of a peer before it had converged."""
    if "version" not in run:
        return ""
    budget = f"{run['curve'][-1][1]:.0f} CPU seconds"  # rows that do not say what stopped them ran out of a budget
    said = run.get("stopped", budget)
    return f", {run['settings']['length']} events" + (f", stopped after {said}" if "CPU" in said else "")


def _by_accuracy(runs: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Runs but for the small ones of parts left out, those of a set together, the best first."""
    found = [(label, seeds) for label, seeds in runs.items() if "/small:" not in label]
    return sorted(
        found, key=lambda one: (one[0].partition("/")[0], -mean([run["ndcg@10"]["value"] for run in one[1].values()]))
    )


def _reached(curve: Sequence[Sequence[float]], value: float) -> float | None:
    """CPU seconds until this accuracy, on a straight line between measurements; None where it was not reached."""
    before = (0.0, 0.0, 0.0)
    for point in curve:
        if point[2] >= value:
            return before[1] + (point[1] - before[1]) * (value - before[2]) / (point[2] - before[2])
        before = tuple(point)
    return None


def sequences_choices() -> str:
    """`zhiyin`, small and for few epochs, without each of its parts."""
    runs, start = result("sequences")["runs"], "movielens-1m/small: "
    chosen = {
        label.removeprefix(start): list(seeds.values()) for label, seeds in runs.items() if label.startswith(start)
    }
    ordered = sorted(chosen.items(), key=lambda one: -sum(run["validation"] for run in one[1]) / len(one[1]))
    rows = [
        [name, _over([run["validation"] for run in found]), _over([run["ndcg@10"]["value"] for run in found])]
        for name, found in ordered
    ]
    return table(["what", "validation NDCG@10", "test NDCG@10"], rows)


def _over(values: Sequence[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    middle = mean(values)
    if len(values) < 2:
        return f"{middle:.4f}"
    spread = (sum((one - middle) ** 2 for one in values) / (len(values) - 1)) ** 0.5
    return f"{middle:.4f} ± {spread:.4f}"


def _to_best(curve: Sequence[Sequence[float]]) -> Sequence[float]:
    """The point of a curve (seconds, CPU seconds, accuracy) that is best."""
    return max(curve, key=lambda one: one[2])


def sequences_speed() -> str:
    """What sequence models cost."""
    found = result("sequences_speed")["parts"]
    step, query, million, loss = found["step"], found["query"]["2 threads"], found["million"], found["loss"]["20000"]
    rows = [
        *(
            [f"training step, {name}", f"{one['share_of_machine']:.0%} of the machine's float32 rate", "≥ 50 %"]
            for name, one in step.items()
        ),
        ["padding in attention", f"{max(one['attention_padding'] for one in step.values()):.0%}", "≤ 10 %"],
        ["shared negatives against the full softmax, 20,000 items", f"{loss['times_faster']:.0f} times faster", "≥ 20"],
        ["one query of 200 events, median", f"{query['p50_ms']:.1f} ms", "≤ 3 ms"],
        ["one query of 200 events, 99th percentile", f"{query['p99_ms']:.1f} ms", "≤ 8 ms"],
        ["one more event of a live history", f"{query['live_p50_ms']:.1f} ms", "–"],
        *(
            [f"a query of 10,000 events, `{name}`{matter}", f"{found['long'][name]['ms_10000']:.0f} ms", "–"]
            for name, matter in (("transformer_xl", ", to which the last 2,000 matter"), ("gru4rec", ""))
        ),
        *(
            [
                f"lists of ten for all users of movielens-1m, {name.removeprefix('length ')} events",
                f"{one['users_a_second']:,.0f} a second"
                + (f", {one['times_rectools']:.1f} times RecTools" if "times_rectools" in one else ""),
                "≥ 5 times RecTools",
            ]
            for name, one in found["users"].items()
        ),
        *(
            [f"peak memory of training, {label}", f"{found['memory'][name]['mib'] / 1024:.2f} GiB", target]
            for name, label, target in (
                ("movielens-1m", "movielens-1m", "≤ 1.5 GiB"),
                ("synthetic", "20 million events", "≤ 4 GiB"),
            )
            if name in found.get("memory", {})
        ),
        ["a million items, top 100, 95th percentile", f"{million['top_100_p95_ms']:.0f} ms", "≤ 60 ms"],
        ["step, a million items beside 100,000", f"{million['codes 0']['growth']:.2f} times", "< 1.3"],
        *(
            [f"peak memory of training, a million items, {what}", f"{million[codes]['peak_mib_1000000']:,.0f} MiB", ""]
            for codes, what in (("codes 0", "a row of 64 numbers each"), ("codes 8", "8 codes each"))
        ),
    ]
    return table(["what", "measured", "target"], rows)


def sequences_switches() -> str:
    """What each thing that a model is told is worth."""
    rows = []
    for name, one in result("sequences_switches")["sets"].items():
        for label, row in sorted(
            one["switches"].items(), key=lambda pair: (pair[0] != "nothing more", -pair[1]["gain"]["value"])
        ):
            gain = row["gain"]
            value = _over([run["ndcg@10"] for run in row["runs"].values()])
            shown = (
                "–" if label == "nothing more" else f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
            )
            rows.append([f"**{name}**", label, value, shown])
    return table(["set", "told", "NDCG@10", "gain"], rows, 2)


def sequences_time() -> str:
    """Sequence models and tuned simple ones under a split by time."""
    rows = []
    for name, one in result("sequences_time")["sets"].items():
        if "models" not in one:  # tuned, and not yet judged
            continue
        tests = {
            test["model"]: test
            for test in one["tests"]
            if test["reference"] in ("popularity", "item_knn", "ease", "als")
        }
        ordered = sorted(one["models"].items(), key=lambda pair: -pair[1]["ndcg@10"]["value"])
        for model, found in ordered:
            test = tests.get(model)
            against = (
                "" if test is None else f"{test['difference']:+.4f} to {test['reference']}, p = {test['p_holm']:.4f}"
            )
            rows.append(
                [
                    f"**{name}**",
                    model,
                    f"{found['ndcg@10']['value']:.4f}",
                    f"{found['hit_rate@10']['value']:.4f}",
                    against,
                ]
            )
    return table(["set", "model", "NDCG@10", "HR@10", "difference to the best simple model"], rows, 2)


def semantics() -> str:
    """The ways to join what items say, each part of the benchmark in a table of its own."""
    runs = result("semantics")["runs"]
    parts = [_joined(_of_part(runs, "warm "), {"ndcg@10": "NDCG@10", "recall@10": "Recall@10", **FEW})]
    cold = {
        "recall@10": "Recall@10 among all",
        "among cold": "Recall@10 among new items",
        "ndcg@10": "NDCG@10 among all",
    }
    parts.append(_joined(_of_part(runs, "cold "), cold))
    if found := _of_part(runs, "wishes "):
        parts.append(_joined(found, {"of the genre": "films of the genre among ten"}))
    others = [found for part in ("transfer ", "codes ") if (found := _of_part(runs, part))]
    parts += [_joined(found, {"ndcg@10": "NDCG@10", "recall@10": "Recall@10"}) for found in others]
    return "\n\n".join(parts)


def semantics_short() -> str:
    """The ways to join what items say on amazon-beauty, for the front page."""
    found = _of_part(result("semantics")["runs"], "warm amazon-beauty")
    runs = {label: one for label, one in found.items() if not one["settings"].get("codes")}
    return _joined(runs, {"ndcg@10": "NDCG@10", "recall@10": "Recall@10", **FEW}, of=False)


def encoding() -> str:
    """What encoders cost beside their bare models."""
    found = result("encoders")
    kept, memory = found["kept"], found["memory"]
    rows = [
        [
            f"`{name}`, of the rate of the bare model",
            f"{one['share']:.0%}",
            f"≥ {found['targets']['share_of_own_throughput']:.0%}",
        ]
        for name, one in found["speed"].items()
    ]
    peak = max(memory[how]["peak_mib"] for how in ("keep", "no_keep")) / 1024
    rows += [
        [
            "items found among kept vectors",
            f"{kept['per_wall_second']:,.0f} a second",
            f"≥ {found['targets']['kept_items_per_second']:,}",
        ],
        [
            f"peak memory, {memory['items']:,} items to {memory['width']} numbers each, items included",
            f"{peak:.2f} GiB",
            f"≤ {found['targets']['peak_mib'] / 1024:.0f} GiB",
        ],
    ]
    named = {"en": "English", "zh": "Chinese"}
    rows += [
        [
            f"`{name}`, Recall@10 of 200 items by other words than their titles', {named[language]}",
            f"{value:.2f}",
            "≥ 0.9",
        ]
        for name, one in found["by words"].items()
        for language, value in one.items()
        if language in named
    ]
    return table(["what", "measured", "target"], rows)


FEW = {"ndcg@10, few": "NDCG@10, at most 5 events"}


def _of_part(runs: dict[str, Any], part: str) -> dict[str, Any]:
    return {label: one for label, one in runs.items() if label.startswith(part)}


def _joined(runs: dict[str, Any], columns: dict[str, str], of: bool = True) -> str:
    """A row for each run: the mean over seeds of each column, and its gain over the first row of its set."""
    rows, first = [], next(iter(columns))
    for label, one in sorted(
        runs.items(), key=lambda run: (_set(run[0]), "p" in run[1][first], -run[1][first]["value"])
    ):
        name, _, how = label.partition("/")
        cells = [f"**{name.partition(' ')[2]}**"] * of + [how]
        for column in columns:
            if column not in one:
                cells.append("–")
                continue
            found = one[column]
            gain, base = found.get("gain", 0.0), found["value"] - found.get("gain", 0.0)
            against = "" if "p" not in found or base <= 0 else f" ({gain / base:+.1%}{_stars(found['p'])})"
            cells.append(f"{found['value']:.4f}{against}")
        rows.append([*cells, str(one["seeds"])])
    return table([*["set"] * of, "items", *columns.values(), "seeds"], rows, 2 if of else 1)


def _set(label: str) -> str:
    return label.partition("/")[0]


def _stars(p: float) -> str:
    """How sure a difference is, after Holm's correction."""
    return "" if p >= 0.05 else "*" if p >= 0.01 else "**"


BLOCKS: dict[str, Callable[[], str]] = {
    "classics": classics,
    "classics-short": classics_short,
    "neighbours": neighbours,
    "prepare-scale": prepare_scale,
    "startup": startup,
    "evaluation-speed": evaluation_speed,
    "sequences": sequences,
    "sequences-short": sequences_short,
    "sequences-choices": sequences_choices,
    "sequences-speed": sequences_speed,
    "sequences-switches": sequences_switches,
    "sequences-time": sequences_time,
    "two-stage": ranking.two_stage,
    "ratings": ranking.ratings,
    "ctr": ranking.ctr,
    "second-stage": ranking.second_stage,
    "off-policy": ranking.off_policy,
    "open-bandit": ranking.open_bandit,
    "ranking-speed": ranking.ranking_speed,
    "uplift": ranking.uplift,
    "budgets": ranking.budgets,
    "scenarios": ranking.scenarios,
    "encoders": encoding,
    "semantics": semantics,
    "semantics-short": semantics_short,
}


def filled(text: str) -> str:
    """The text with every block made anew."""

    def block(found: re.Match[str]) -> str:
        name = found[1]
        told = ranking.scenario(name.removeprefix("scenario-")) if name.startswith("scenario-") else BLOCKS[name]()
        return f"<!-- {name} -->\n\n{told}\n\n<!-- /{name} -->"

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
