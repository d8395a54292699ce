"""The classics beside the same models of other libraries: one split, full ranking, one evaluator.

    python benchmarks/classics.py --data FOLDER [--sets NAME ...] [--peer rectools=PYTHON] [--peer lenskit=PYTHON]

FOLDER holds sets of uniform Parquet. `movielens-100k` is fetched by name. Protocol: first event of each pair of user
and item, 5-core, leave last out with ties in the order of the log, models fitted on everything before the test event,
items of the history excluded, all items ranked. implicit runs in this environment; RecTools and LensKit each in one of
their own, whose python is named with --peer. Both sides have the same settings; nobody is tuned.

Every repetition runs both sides in turn; seconds are medians. A peer that takes minutes runs once. `als_folded` is
implicit folding every history in (`recalculate_user=True`), which is what ours does; `als` looks trained users up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from _common import RESULTS, clock, peak_mib, write_results
from zhiyin import models, splitting
from zhiyin.data.dataset import Dataset
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.significance import Sample, bootstrap, interval
from zhiyin.metrics import parse
from zhiyin.metrics.base import Lists, World
from zhiyin.run import Run

SETS = ("movielens-100k", "movielens-1m", "amazon-beauty")
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "popularity": ("popularity", {}),
    "item_knn cosine": ("item_knn", {"similarity": "cosine", "neighbours": 100}),
    "item_knn bm25": ("item_knn", {"similarity": "dot", "weighting": "bm25", "neighbours": 100}),
    "item_knn tfidf": ("item_knn", {"similarity": "cosine", "weighting": "tfidf", "neighbours": 100}),
    "user_knn": ("user_knn", {"neighbours": 100}),
    "ease": ("ease", {"regularization": 500.0}),
    "als": ("als", {"embedding_size": 64, "regularization": 0.05, "alpha": 10.0, "epochs": 15}),
    "bpr": ("bpr", {"embedding_size": 64, "learning_rate": 0.05, "regularization": 0.01, "epochs": 100}),
    "content": ("content", {}),
    "blend": ("blend", {}),
}
PEERS = {
    "item_knn cosine": ("implicit-cosine",),
    "item_knn bm25": ("implicit-bm25",),
    "item_knn tfidf": ("implicit-tfidf",),
    "user_knn": ("lenskit-userknn",),
    "ease": ("rectools-ease",),
    "als": ("implicit-als", "implicit-als_folded"),
    "bpr": ("implicit-bpr",),
}
STEPS = ("fit_cpu", "fit_wall", "recommend_cpu", "recommend_wall")
MINUTES = 60.0
"""Seconds after which a side is not repeated."""
PROTOCOL = "first of each pair, 5-core, leave last out, stable ties"
METRICS = ("hit_rate@10", "ndcg@10", "mrr@10", "coverage@10")


def load(name: str, folder: Path) -> Dataset:
    """The set, first event of each pair, 5-core."""
    source = folder / name
    if not source.is_dir():
        from zhiyin.data import catalog

        source = catalog.resolve(name)
    events, items, users = open_folder(source)
    steps = [{"name": "one_per_pair", "keep": "first"}, {"name": "minimum_counts", "users": 5, "items": 5}]
    return prepare(events, items, users, steps=steps, name=name, catalogue="with_events")


def world_of(split: Any) -> World:
    return World(split.development.n_items, split.development.popularity, split.development.n_users)


def judge(items: np.ndarray, split: Any) -> dict[str, Any]:
    """Each metric with its 95 % bootstrap interval where it is a mean over users."""
    lists = Lists(items.astype(np.int32), split.test.targets, split.test.queries.histories, world_of(split))
    found: dict[str, Any] = {}
    for label in METRICS:
        metric = parse(label)
        found[label] = {"value": metric.overall(lists)}
        if metric.is_mean:
            low, high = interval(bootstrap([Sample.of(metric.per_query(lists))])[:, 0])
            found[label] |= {"low": low, "high": high}
    return found


def ours(name: str, settings: dict[str, Any], split: Any) -> dict[str, Any]:
    """Fit and recommend with one of our models."""
    run = Run(seed=0)
    model = models.get(name)(**settings)
    with clock() as fit:
        model.fit(split.development, run=run)
    with clock() as recommend:
        found = model.recommend(split.test.queries, k=10, run=run)
    return {
        "fit_cpu": fit.cpu,
        "fit_wall": fit.wall,
        "recommend_cpu": recommend.cpu,
        "recommend_wall": recommend.wall,
        "peak_mib": peak_mib(),
        **judge(found.items, split),
    }


def theirs(peer: str, python: str, split: Any) -> dict[str, Any]:
    """Fit and recommend with another library, in a process of its own."""
    queries = split.test.queries.histories
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, offsets=queries.offsets, item=queries.item, n_items=split.development.n_items)
        script = Path(__file__).parent / "peers" / "peer.py"
        done = subprocess.run([python, str(script), peer, str(source), str(target)], capture_output=True, text=True)
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1]}
        found = dict(np.load(target))
    times = {key: float(found[key]) for key in ("fit_cpu", "fit_wall", "recommend_cpu", "recommend_wall")}
    return {"version": str(found["version"]), **times, **judge(found["items"], split)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--models", nargs="*", default=list(OURS))
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--name", default="classics")
    chosen = parser.parse_args()
    pythons = {"implicit": sys.executable, **dict(one.split("=", 1) for one in chosen.peer)}
    results = known(chosen.name)
    for name in chosen.sets:
        dataset = load(name, chosen.data)
        split = splitting.get("leave_last_out")().split(dataset)
        facts = {
            "users": dataset.n_users,
            "items": dataset.n_items,
            "events": dataset.n_events,
            "cases": len(split.test),
        }
        if results.get(name, {}).get("content_hash") != dataset.content_hash:
            results[name] = {"facts": facts, "content_hash": dataset.content_hash, "models": {}}
        print(f"\n{name}: {facts}")
        for label in chosen.models:
            sides = {"zhiyin": partial(ours, *OURS[label], split)}
            for peer in PEERS.get(label, ()):
                if python := pythons.get(peer.partition("-")[0]):
                    sides[peer] = partial(theirs, peer, python, split)
            row = in_turn(sides, chosen.repeat)
            results[name]["models"][label] = row
            for who, one in row.items():
                show(label, who, one)
        write_results(chosen.name, {"protocol": PROTOCOL, "sets": results})


def known(name: str) -> dict[str, Any]:
    """The results by set of earlier runs; what is run again replaces its own row."""
    file = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["sets"] if file.is_file() else {}
    return found


def in_turn(sides: dict[str, Callable[[], dict[str, Any]]], repeat: int) -> dict[str, Any]:
    """Run every side `repeat` times, one after the other; seconds are medians over its runs."""
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in sides}
    for _ in range(repeat):
        for who, run in sides.items():
            if not runs[who] or sum(runs[who][-1].get(step, MINUTES) for step in STEPS) < MINUTES:
                runs[who].append(run())
    return {who: {**taken[0], **medians(taken), "runs": len(taken)} for who, taken in runs.items()}


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {step: median(one[step] for one in runs) for step in STEPS if step in runs[0]}


def show(label: str, who: str, one: dict[str, Any]) -> None:
    if "error" in one:
        print(f"{label:18s} {who:18s} {one['error']}")
        return
    cpu = f"fit {one['fit_cpu']:7.2f} + recommend {one['recommend_cpu']:7.2f} CPU s"
    print(
        f"{label:18s} {who:18s} NDCG@10 {one['ndcg@10']['value']:.4f}  HR@10 {one['hit_rate@10']['value']:.4f}  {cpu}"
    )


if __name__ == "__main__":
    main()
