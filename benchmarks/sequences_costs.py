"""What an epoch of each sequence model costs, side by side: the seconds of the learning curves.

    taskset -c 0 python benchmarks/sequences_costs.py --data FOLDER [--runs SET/LABEL ...] [--peer rectools=PYTHON]

A machine that others use, too, is twice as slow on some days, and curves of different days, threads or devices cannot
stand beside each other by the seconds that were measured with them. So every model of `sequences.py` learns from the
same part of its set for one epoch, all of them in turn, round after round, on one thread; what counts is how many CPU
seconds each takes for an event, beside an anchor before and after it, as the median over rounds. An epoch of the whole
set costs that, times its events, times what the anchor took at its median. Other libraries learn for one whole epoch,
in the last round. A run replaces its own ratios in results/sequences_costs.json and leaves the others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, write_results
from classics import load
from sequences import ANEW, PEERS, RUNS, library_of, theirs
from zhiyin import models, splitting
from zhiyin.data.dataset import Dataset
from zhiyin.run import Run

ANCHORS = {"movielens-1m": "movielens-1m/sasrec 50 events", "amazon-beauty": "amazon-beauty/sasrec"}
SHARES = {"movielens-1m": 0.125, "amazon-beauty": 1.0}
"""Of the users; enough for batches of the usual size."""
LABELS = tuple(label for label in RUNS if "small:" not in label and not label.endswith(ANEW))


def part(name: str, folder: Path) -> tuple[Dataset, float]:
    """The users of whom an epoch is timed, and how many times as many events the whole training part has."""
    train = splitting.get("leave_last_out")().split(load(name, folder)).train
    taken = np.random.default_rng(0).random(train.n_users) < SHARES[name]
    some = train.keep(np.repeat(taken, train.histories.lengths))
    return some, train.histories.n_events / some.histories.n_events


def epoch(label: str, some: Dataset, times: float) -> float:
    """CPU seconds of an epoch of the whole set, as told by one of a part."""
    name, settings = RUNS[label]
    model = models.get(name)(**{**settings, "epochs": 1})
    model.fit(some, run=Run(seed=0, threads=1))
    return times * model.trained.epochs[-1].cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", nargs="*", default=[*LABELS, *PEERS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    chosen = parser.parse_args()
    pythons = dict(one.split("=", 1) for one in chosen.peer)
    parts = {name: part(name, chosen.data) for name in ANCHORS}
    ratios, anchors = known(chosen.runs)
    names = {label.partition("/")[0] for label in chosen.runs}
    for turn in range(chosen.rounds):
        for name, anchor in ANCHORS.items():
            if name not in names:
                continue
            anchors[name].append(epoch(anchor, *parts[name]))
            for label in chosen.runs:
                if label.partition("/")[0] != name:
                    continue
                if label not in PEERS:
                    found = epoch(label, *parts[name])
                elif turn == chosen.rounds - 1 and library_of(label) in pythons:
                    found = theirs(label, 0, chosen.data, pythons[library_of(label)], seconds=60)["epoch_cpu"]
                else:
                    continue
                anchors[name].append(epoch(anchor, *parts[name]))
                ratios.setdefault(label, []).append(2 * found / sum(anchors[name][-2:]))
                print(f"{turn} {label}: {found:.1f} s, anchor {anchors[name][-1]:.1f} s", flush=True)
                write_results("sequences_costs", summary(ratios, anchors))


def known(anew: list[str]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Ratios of earlier runs but for those that run anew, and the anchors of each set."""
    file = RESULTS / "sequences_costs.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"ratios": {}, "anchors": {}}
    ratios = {label: old for label, old in found["ratios"].items() if label not in anew}
    kept = {label.partition("/")[0] for label in ratios}
    return ratios, {name: found["anchors"].get(anchor, []) if name in kept else [] for name, anchor in ANCHORS.items()}


def summary(ratios: dict[str, list[float]], anchors: dict[str, list[float]]) -> dict[str, Any]:
    """CPU seconds of an epoch of each model, and what they were told by."""
    unit = {name: float(np.median(found)) for name, found in anchors.items() if found}
    costs = {label: float(np.median(found)) * unit[label.partition("/")[0]] for label, found in ratios.items()}
    return {
        "protocol": " ".join((__doc__ or "").split("\n\n")[2].split()),
        "cpu": costs,
        "ratios": ratios,
        "anchors": {ANCHORS[name]: found for name, found in anchors.items()},
    }


if __name__ == "__main__":
    main()
