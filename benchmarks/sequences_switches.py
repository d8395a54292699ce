"""What each thing that a sequence model can be told is worth: with it and without, three seeds each.

    python benchmarks/sequences_switches.py --data FOLDER [--sets NAME ...] [--switches NAME ...] [--seeds 0 1 2]
        [--device cuda]

FOLDER holds sets of uniform Parquet. The model is `zhiyin` with distances in place and nothing else (row "nothing
more"); each other row adds one thing. Leave last out; the validation event says when to stop. `movietweetings-100k`:
first event of each pair, users of at least five events, true times, sessions 30 minutes apart. `synthetic`: a world
whose events have kinds (some views lead to a cart, some carts to a purchase) and whose users have ages; of `synthetic,
purchases`, the same world, only the cases with a purchase to foretell are measured, items of the history included: what
is bought was looked at before. A gain is NDCG@10 minus that of
"nothing more" with the same seed, with the 95 % interval of its mean over users.

A run replaces its own row of results/sequences_switches.json and leaves the others.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, device_name, write_results
from zhiyin import models, splitting
from zhiyin.data.dataset import Dataset
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.data.synthetic import synthetic
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.significance import Sample, bootstrap, interval
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

NOTHING = "nothing more"
BASE: dict[str, Any] = {"features": [], "max_length": 100, "epochs": 60, "patience": 4, "schedule": "constant"}
BASE |= {
    "learning_rate": 1e-3,
    "loss": "softmax",
    "dropout": 0.4,
    "measure_every": 2,
    "embedding_size": 64,
    "n_heads": 2,
}
SWITCHES: dict[str, dict[str, Any]] = {
    NOTHING: {},
    "value": {"features": ["value"]},
    "gap": {"features": ["gap"]},
    "wait": {"features": ["wait"]},
    "hour and weekday": {"features": ["hour", "weekday"]},
    "session": {"features": ["session"]},
    "kind": {"features": ["kind"]},
    "relations in time": {"relations": ["position", "time"]},
    "positions": {"features": ["position"], "relations": []},
    "items' genres": {"item_features": ["genres"]},
    "items' categories": {"item_features": ["categories"]},
    "users' age": {"user_features": ["age"]},
    "only purchases asked for": {"target_kind": "purchase"},
    "kind, and only purchases asked for": {"features": ["kind"], "target_kind": "purchase"},
    "all of an event": {
        "features": ["value", "gap", "wait", "hour", "weekday", "session", "kind"],
        "relations": ["position", "time"],
    },
}
PURCHASES = "synthetic, purchases"
SETS = ("movietweetings-100k", "synthetic", PURCHASES)


def load(name: str, folder: Path) -> Dataset:
    """The set of this name."""
    if name in ("synthetic", PURCHASES):
        return synthetic(n_users=3_000, n_items=1_000, n_events=90_000, n_groups=12, seed=1)[0]
    steps = [
        {"name": "one_per_pair", "keep": "first"},
        {"name": "minimum_counts", "users": 5, "items": 1},
        {"name": "sessions", "gap_minutes": 30},
    ]
    return prepare(*open_folder(folder / name), steps=steps, name=name, catalogue="with_events")


def can(name: str, dataset: Dataset, settings: dict[str, Any]) -> bool:
    """Whether the data have what the settings add, and it is asked for there."""
    if name == PURCHASES:
        return not set(settings) - {"target_kind"} or settings.get("features") == ["kind"]
    if "target_kind" in settings:
        return False
    columns, histories = {"kind", "session", "value"}, dataset.histories.columns()
    told = set(settings.get("features", ())) & columns
    sides = [(dataset.item_table, "item_features"), (dataset.user_table, "user_features")]
    inside = all(name in table.column_names for table, which in sides for name in settings.get(which, ()))
    return inside and (len(told) > 1 or told <= set(histories))


def purchases(cases: Cases, dataset: Dataset) -> Cases:
    """The cases whose target is a purchase."""
    kind = cases.targets.kind
    assert kind is not None
    return cases.take(kind == dataset.kinds.index("purchase"))


def per_query(name: str, dataset: Dataset, settings: dict[str, Any], run: Run) -> tuple[Any, dict[str, Any]]:
    """NDCG@10 of each test case, and how the training went."""
    split = splitting.get("leave_last_out")().split(dataset)
    assert split.validation is not None
    if name == PURCHASES:
        parts = {part: purchases(getattr(split, part), dataset) for part in ("validation", "test")}
        split = replace(split, **parts)
        settings = {**settings, "repeats": "predict"}
    model = models.get("zhiyin")(**{**BASE, **settings})
    model.fit(split.train, split.validation, run)
    seen = name != PURCHASES
    found = evaluate(model, split.test, ["ndcg@10"], world_of(split.development), exclude_seen=seen).samples["ndcg@10"]
    trained = model.trained
    return np.asarray(found.total), {
        "ndcg@10": found.value,
        "validation": trained.best,
        "epochs": len(trained.epochs),
        "device": device_name(run.device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--switches", nargs="*", default=list(SWITCHES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--device", help="where models learn, such as cuda")
    chosen = parser.parse_args()
    file = RESULTS / "sequences_switches.json"
    results = json.loads(file.read_text(encoding="utf-8"))["sets"] if file.is_file() else {}
    for name in chosen.sets:
        dataset = load(name, chosen.data)
        rows = results.setdefault(name, {"users": dataset.n_users, "events": dataset.n_events, "switches": {}})
        base: dict[int, Any] = {}
        for label in dict.fromkeys([NOTHING, *chosen.switches]):
            settings = SWITCHES[label]
            if not can(name, dataset, settings):
                continue
            runs, gains = {}, []
            for seed in chosen.seeds:
                values, runs[str(seed)] = per_query(name, dataset, settings, Run(seed=seed, device=chosen.device))
                base.setdefault(seed, values)
                gains.append(values - base[seed])
            gain = Sample.of(np.mean(gains, axis=0))
            low, high = interval(bootstrap([gain])[:, 0])
            rows["switches"][label] = {"runs": runs, "gain": {"value": gain.value, "low": low, "high": high}}
            mean = np.mean([one["ndcg@10"] for one in runs.values()])
            print(f"{name} {label:20s} {mean:.4f} gain {gain.value:+.4f} ({low:+.4f} to {high:+.4f})", flush=True)
            write_results("sequences_switches", {"base": BASE, "sets": results})


if __name__ == "__main__":
    main()
