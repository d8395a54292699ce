"""What the second stage costs: the features and the trees of one live query, and learning from millions of rows.

    python benchmarks/ranking_speed.py --data FOLDER

"query": movielens-1m, all default features (scores of two retrievers are given), 500 candidates drawn at random for one
person at a time with up to 200 events of history, 1,000 people; boosted trees of 31 leaves, one thread: 100 trees, as
many as the pipeline of `two_stage.py` stops at there (101), and 500, the most by default. Milliseconds from the
candidates to the order. "learning": 5,000,000 rows of 50 candidates a query with 40 features, two
of them categories, and a label that depends on some; LambdaRank, 100 trees of 31 leaves, both cores; wall seconds and
the peak memory of a process that does nothing else, the rows themselves (800 MB) included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from _common import peak_mib, write_results
from classics import load
from zhiyin.arrays import offsets_of
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.labels import until
from zhiyin.ranking.rankers import BoostedTrees
from zhiyin.ranking.rankers.base import Rows
from zhiyin.ranking.table import Features, FeatureTable
from zhiyin.run import Run

CANDIDATES, PEOPLE = 500, 1_000
TREES = (100, 500)
ROWS, A_QUERY, FEATURES, CATEGORIES = 5_000_000, 50, 40, 2


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--part", choices=("query", "learning"), help="one part in this process; what this calls itself"
    )
    chosen = parser.parse_args()
    if chosen.part:
        print(json.dumps(query(chosen.data) if chosen.part == "query" else learning()))
        return
    found: dict[str, Any] = {}
    for part in ("query", "learning"):
        again = [sys.executable, __file__, "--data", str(chosen.data), "--part", part]
        said = subprocess.run(again, check=True, capture_output=True, text=True).stdout
        found[part] = json.loads(said.splitlines()[-1])
        print(part, found[part], flush=True)
    write_results("ranking_speed", {"protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()), **found})


if __name__ == "__main__":
    main()
