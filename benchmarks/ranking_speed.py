"""What the second stage costs: one live query, learning from millions of rows, counting millions of events anew.

    python benchmarks/ranking_speed.py --data FOLDER [--parts query ...]

"query": movielens-1m, all default features (scores of two retrievers are given), 500 candidates drawn at random for one
person at a time with up to 200 events of history, 1,000 people; boosted trees of 31 leaves that begin on a line, one
thread: 100 trees (the pipelines of `two_stage.py` stop at 17 to 120), and 500, the most by default. Milliseconds from
the candidates to the order. "learning": 5,000,000 rows of 50 candidates a query with 40 features, two
of them categories, and a label that depends on some; LambdaRank, 100 trees of 31 leaves, both cores; wall seconds and
the peak memory of a process that does nothing else, the rows themselves (800 MB) included. "counting": a log of
5,000,000 events of 100,000 people with 50,000 items, drawn at random; the features that count (`Features.refresh`)
count it anew, in one thread; wall seconds and peak memory, the log itself included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, peak_mib, write_results
from classics import load
from zhiyin.arrays import offsets_of
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.labels import until
from zhiyin.ranking.rankers import BoostedTrees
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import Features, FeatureTable
from zhiyin.run import Run

CANDIDATES, PEOPLE = 500, 1_000
TREES = (100, 500)
ROWS, A_QUERY, FEATURES, CATEGORIES = 5_000_000, 50, 40, 2
EVENTS, PEOPLE_OF_LOG, ITEMS = 5_000_000, 100_000, 50_000
YEAR = 365 * 86_400 * 10**6


def query(folder: Path) -> dict[str, Any]:
    """Milliseconds of the parts, over people."""
    dataset = load("movielens-1m", folder)
    time_of = dataset.histories.time
    assert time_of is not None
    features = Features().fit(dataset)
    rng = np.random.default_rng(0)
    people = rng.integers(0, dataset.n_users, PEOPLE)
    asked = until(dataset, people, np.full(PEOPLE, int(time_of.max()) + 1))
    made = [_candidates(asked.slice(at, at + 1), dataset.n_items, rng) for at in range(PEOPLE)]
    learnt = FeatureTable.join([features.table(one) for one in made[:200]])
    told: dict[str, Any] = {"features made": len(learnt.names)}
    for n_trees in TREES:
        ranker = _trees(learnt, n_trees)
        parts: dict[str, list[float]] = {"features": [], "trees": [], "both": []}
        for one in made:
            start = time.perf_counter()
            table = features.table(one)
            between = time.perf_counter()
            np.argsort(-ranker.predict(table))
            end = time.perf_counter()
            for name, seconds in (("features", between - start), ("trees", end - between), ("both", end - start)):
                parts[name].append(1_000 * seconds)
        told[f"{n_trees} trees"] = {
            name: {"median": float(np.median(one)), "p99": float(np.quantile(one, 0.99))} for name, one in parts.items()
        }
    return told


def _candidates(asked: Any, n_items: int, rng: np.random.Generator) -> Candidates:
    items = np.sort(rng.permutation(n_items)[:CANDIDATES]).astype(np.int32)
    scores = {f"score of {name}": rng.random(CANDIDATES).astype(np.float32) for name in ("ease", "item_knn")}
    return Candidates(asked, np.array([0, CANDIDATES]), items, scores)


def _trees(table: FeatureTable, n_trees: int) -> BoostedTrees:
    """Trees of the full number; what they say is of no interest here."""
    rng = np.random.default_rng(1)
    odds = np.nan_to_num(table.column("interest in its categories")) + rng.gumbel(size=len(table))
    label = (odds > np.quantile(odds, 0.98)).astype(np.float32)
    ranker = BoostedTrees(n_trees=n_trees).fit(Rows(table, label), run=Run(threads=2))
    assert ranker.trees[0].count("Tree=") == n_trees
    return ranker


def learning() -> dict[str, Any]:
    """Wall seconds and peak memory of learning from millions of rows."""
    rng = np.random.default_rng(0)
    values = np.empty((ROWS, FEATURES), np.float32)
    for at in range(FEATURES):
        drawn = rng.integers(0, 30, ROWS) if at < CATEGORIES else rng.normal(size=ROWS)
        values[:, at] = drawn
    odds = values[:, 5] + 0.5 * values[:, 6] * values[:, 7] + (values[:, 0] == 3) + rng.gumbel(size=ROWS)
    label = (odds > np.quantile(odds[:100_000], 0.97)).astype(np.float32)
    names = tuple(f"feature {at}" for at in range(FEATURES))
    sizes = {names[at]: 30 for at in range(CATEGORIES)}
    table = FeatureTable(names, values, sizes, offsets_of(np.full(ROWS // A_QUERY, A_QUERY)))
    before = peak_mib()
    start = time.perf_counter()
    ranker = BoostedTrees(n_trees=100).fit(Rows(table, label), run=Run(threads=2))
    return {
        "seconds": time.perf_counter() - start,
        "peak mib": peak_mib(),
        "peak mib before": before,
        "trees": ranker.trees[0].count("Tree="),
    }


def counting() -> dict[str, Any]:
    """Wall seconds and peak memory of counting a log anew."""
    rng = np.random.default_rng(0)
    offsets = offsets_of(np.full(PEOPLE_OF_LOG, EVENTS // PEOPLE_OF_LOG))
    item = np.minimum(rng.exponential(ITEMS / 8, EVENTS), ITEMS - 1).astype(np.int32)
    time_of = np.sort(rng.integers(0, 3 * YEAR, EVENTS).reshape(PEOPLE_OF_LOG, -1), 1).ravel() + 50 * YEAR
    past = Histories(offsets, item, time_of, rng.integers(1, 6, EVENTS).astype(np.float32))
    dataset = Dataset.of(past, [f"i{number}" for number in range(ITEMS)])
    features = Features().fit(dataset)
    before = peak_mib()
    start = time.perf_counter()
    features.refresh(dataset, Run(threads=1))
    seconds = time.perf_counter() - start
    families = [one.name for one in features.families if one.counts]
    return {"seconds": seconds, "peak mib": peak_mib(), "peak mib before": before, "families": families}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "query": query,
    "learning": lambda _: learning(),
    "counting": lambda _: counting(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--part", choices=list(PARTS), help="one part in this process; what this calls itself")
    chosen = parser.parse_args()
    if chosen.part:
        print(json.dumps(PARTS[chosen.part](chosen.data)))
        return
    file = RESULTS / "ranking_speed.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found = {part: kept[part] for part in PARTS if part in kept}
    for part in chosen.parts:
        again = [sys.executable, __file__, "--data", str(chosen.data), "--part", part]
        one_thread = {} if part == "learning" else {"OMP_NUM_THREADS": "1"}  # of BLAS too, which idles beside trees
        said = subprocess.run(again, check=True, capture_output=True, text=True, env=os.environ | one_thread).stdout
        found[part] = json.loads(said.splitlines()[-1])
        print(part, found[part], flush=True)
    write_results("ranking_speed", {"protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()), **found})


if __name__ == "__main__":
    main()
