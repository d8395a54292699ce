"""EASE, ALS and BPR beside RecTools' EASE and implicit's ALS and BPR: seconds to fit and to recommend for everybody.

    python benchmarks/factors.py ../shared/data/movielens-1m --repeat 3 [--peer rectools=PYTHON]

The folder holds `events.parquet` with user_id, item_id and time or position. The last event of each user is left out
and is the target; all items stay. Both sides have the same settings. Ours folds every history in as if it had never
seen it; implicit looks the trained vectors of its users up. implicit runs in this environment, RecTools in one of its
own, whose python is named with --peer (without it, it is left out). Every repetition runs each model once, in turn, so
that a busy machine is busy for all; medians of wall and of CPU seconds and their ratios are what to look at. A peer
runs in a process of its own, so importing it is not counted. Written to benchmarks/results/factors.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from _common import clock, write_results
from zhiyin import models
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.run import Run

PEER = Path(__file__).parent / "peers" / "peer.py"
PEERS = {"ease": "rectools-ease", "als": "implicit-als", "bpr": "implicit-bpr"}
STEPS = ("fit_wall", "fit_cpu", "recommend_wall", "recommend_cpu")
K = 10


def read(folder: Path) -> tuple[Dataset, np.ndarray]:
    """The histories of a uniform Parquet folder without each user's last event, and (n_users,) the items of those."""
    table = pq.read_table(folder / "events.parquet")
    users, user = np.unique(table["user_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    items, item = np.unique(table["item_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    columns = [name for name in ("position", "time") if name in table.column_names]
    order = np.lexsort((*(table[name].to_numpy(zero_copy_only=False) for name in columns), user))
    histories = Histories.of_lengths(np.bincount(user), item=item[order].astype(np.int32))
    last = histories.from_end() == 0
    data = Dataset.of(histories.keep(~last), items.tolist(), users.tolist(), clock="position", name=folder.name)
    return data, histories.item[last]


def ours(name: str, data: Dataset, run: Run) -> dict[str, Any]:
    with clock() as fitting:
        model = models.get(name)().fit(data, run=run)
    with clock() as recommending:
        found = model.recommend(data.queries(), K, run=run)
    seconds = (fitting.wall, fitting.cpu, recommending.wall, recommending.cpu)
    return {"items": found.items, **dict(zip(STEPS, seconds, strict=True))}


def theirs(name: str, data: Dataset, python: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, offsets=data.histories.offsets, item=data.histories.item, n_items=data.n_items)
        subprocess.run([python, str(PEER), PEERS[name], str(source), str(target)], check=True, capture_output=True)
        return dict(np.load(target))


def quality(items: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """HR@10 and NDCG@10 of the one target of each user, and the share of the catalogue in all lists."""
    hit, place = np.nonzero(items == target[:, None])
    return {
        "hit_rate": round(len(hit) / len(target), 5),
        "ndcg": round(float((1 / np.log2(place + 2)).sum() / len(target)), 5),
        "distinct_items": len(np.unique(items[items >= 0])),
    }


def summary(runs: list[dict[str, Any]], target: np.ndarray) -> dict[str, Any]:
    seconds = {step: round(statistics.median(float(one[step]) for one in runs), 3) for step in STEPS}
    known = {"version": str(runs[0]["version"])} if "version" in runs[0] else {}
    return {**seconds, **quality(runs[0]["items"], target), "repetitions": len(runs), **known}


def ratios(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Our seconds over theirs; below 1 is faster."""
    found = {step: round(mine[step] / max(other[step], 1e-9), 3) for step in STEPS}
    for kind in ("wall", "cpu"):
        totals = [one[f"fit_{kind}"] + one[f"recommend_{kind}"] for one in (mine, other)]
        found[f"total_{kind}"] = round(totals[0] / totals[1], 3)
    return found


def measure(folder: Path, repeat: int, run: Run, pythons: dict[str, str]) -> dict[str, Any]:
    data, target = read(folder)
    print(data, flush=True)
    runs: dict[str, list[dict[str, Any]]] = {}
    for turn in range(repeat):
        for name, peer in PEERS.items():
            runs.setdefault(name, []).append(ours(name, data, run))
            python = pythons.get(peer.partition("-")[0])
            if python and not (turn and peer.startswith("rectools")):  # minutes each time: once is enough
                runs.setdefault(peer, []).append(theirs(name, data, python))
    found = {name: summary(taken, target) for name, taken in runs.items()}
    compared = {f"{name} / {peer}": ratios(found[name], found[peer]) for name, peer in PEERS.items() if peer in found}
    counts = {"users": data.n_users, "items": data.n_items, "events": data.n_events}
    return {**counts, "models": found, "ratios": compared}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=Run().threads)
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON, such as rectools=venv/bin/python")
    chosen = parser.parse_args()
    pythons = {"implicit": sys.executable, **dict(one.split("=", 1) for one in chosen.peer)}
    run = Run(seed=0, threads=chosen.threads)
    found = {folder.name: measure(folder, chosen.repeat, run, pythons) for folder in chosen.folder}
    print(json.dumps({name: one["ratios"] for name, one in found.items()}, indent=2))
    write_results("factors", {"data": found, "k": K, "repeat": chosen.repeat, "seed": 0, "threads": chosen.threads})


if __name__ == "__main__":
    main()
