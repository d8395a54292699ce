"""Sequence models: test accuracy and learning curves, three seeds each, beside the same models of other libraries.

    python benchmarks/sequences.py --data FOLDER [--runs SET/LABEL ...] [--seeds 0 1 2] [--peer rectools=PYTHON]

FOLDER holds sets of uniform Parquet. Protocol: first event of each pair of user and item, 5-core, leave last out with
ties in the order of the log, items of the history excluded, all items ranked. Every model learns without the validation
and the test event of each user; the validation event says when to stop, and nothing but it chose the settings below.
A model "anew" learns from the validation event too, for as many epochs as were best for the first seed without it.

Seconds are those of the day, the threads and the device; `sequences_costs.py` says what models cost beside each other.

A run is of one set, label and seed, in a process of its own; it replaces its row of results/sequences.json and leaves
the others. A curve point is (training seconds, CPU seconds, validation NDCG@10); measuring is not in the seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _common import RESULTS, device_name, peak_mib, peer, write_results
from classics import judge, load
from zhiyin import models, splitting
from zhiyin.run import Run

ML1M = {"max_length": 200, "blind": 0.0, "patience": 5}
BEAUTY = {"max_length": 50, "n_layers": 1, "measure_every": 2, "patience": 4}
BEAUTY |= {"loss": "sampled_softmax", "batch_size": 1500, "learning_rate": 1e-3}
BEAUTY_SASREC = {**BEAUTY, "n_heads": 1, "hidden_size": 64, "epochs": 60, "dropout": 0.4}
BEAUTY_SASREC |= {"n_negatives": 2048, "temperature": 0.07}
ML1M_50 = {**ML1M, "max_length": 50, "epochs": 12, "learning_rate": 2e-3, "loss": "softmax"}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "movielens-1m/zhiyin": ("zhiyin", {**ML1M, "n_layers": 6, "dropout": 0.4, "epochs": 28, "measure_every": 2}),
    "movielens-1m/zhiyin 4 layers": (
        "zhiyin",
        {**ML1M, "n_layers": 4, "dropout": 0.35, "epochs": 24, "measure_every": 2},
    ),
    "movielens-1m/sasrec": ("sasrec", {**ML1M, "epochs": 40, "learning_rate": 2e-3, "loss": "softmax"}),
    "movielens-1m/sasrec 50 events": ("sasrec", ML1M_50),
    "movielens-1m/sasrec gbce 50 events": ("sasrec", {**ML1M_50, "epochs": 6, "loss": "gbce", "n_negatives": 256}),
    "movielens-1m/transformer_xl 1000 events": ("transformer_xl", {**ML1M_50, "epochs": 6, "max_length": 1000}),
    "amazon-beauty/sasrec": ("sasrec", BEAUTY_SASREC),
    "amazon-beauty/sasrec gbce": ("sasrec", {**BEAUTY_SASREC, "loss": "gbce", "temperature": None}),
    "amazon-beauty/transformer_xl": ("transformer_xl", {**BEAUTY_SASREC, "n_heads": 1}),
    "amazon-beauty/sasrec 256 negatives": (  # as RecTools below
        "sasrec",
        {
            **BEAUTY_SASREC,
            "hidden_size": 256,
            "dropout": 0.3,
            "n_negatives": 256,
            "temperature": None,
            "batch_size": 6400,
        },
    ),
    "amazon-beauty/zhiyin": ("zhiyin", {**BEAUTY, "n_heads": 2, "hidden_size": 128, "dropout": 0.5, "epochs": 24}),
    "amazon-beauty/zhiyin 256 wide": (
        "zhiyin",
        {**BEAUTY, "embedding_size": 256, "hidden_size": 256, "dropout": 0.6, "epochs": 30},
    ),
}
HEADLESS = {name: value for name, value in BEAUTY_SASREC.items() if name not in ("n_heads", "hidden_size")}
for other, own in {
    "hstu": {"n_heads": 1},
    "gpt4rec": {"n_heads": 1},
    "bert4rec": {"n_heads": 1},
    "gru4rec": {},
}.items():
    RUNS[f"movielens-1m/{other} 50 events"] = (other, {**ML1M_50, "epochs": 6})
    RUNS[f"amazon-beauty/{other}"] = (other, {**HEADLESS, **own})
"""Other models take the settings of `sasrec`, for six epochs of windows of 50 events of movielens-1m; nothing was tuned
for them."""
SMALL = {**ML1M, "embedding_size": 64, "n_heads": 2, "dropout": 0.2, "epochs": 9, "measure_every": 3}
RUNS["movielens-1m/zhiyin small"] = ("zhiyin", {**SMALL, "measure_every": 1})
CHOICES: dict[str, dict[str, Any]] = {
    "all of it": {},
    "no convolution": {"convolution": 0},
    "places instead of distances": {"relations": [], "features": ["position", "value"]},
    "no values": {"features": []},
    "products instead of cosines": {"temperature": None},
    "no gates": {"block": "prenorm"},
    "no averages": {"average": 0.0},
    "512 negatives": {"loss": "sampled_softmax", "n_negatives": 512},
    "4 layers": {"n_layers": 4},
    "128 wide": {"embedding_size": 128, "n_heads": 4},
}
"""What `zhiyin` is without each of its parts, small and for few epochs; not in the default runs."""
SHORT = {**SMALL, "epochs": 5, "measure_every": 5}
RUNS |= {f"movielens-1m/small: {name}": ("zhiyin", {**SHORT, **change}) for name, change in CHOICES.items()}
ANEW = " anew"
RUNS |= {f"{label}{ANEW}": RUNS[label] for label in ("movielens-1m/zhiyin 4 layers", "amazon-beauty/zhiyin")}
"""Learn from all that comes before the test event, for the number of epochs that was best on the validation event."""
PEERS: dict[str, dict[str, Any]] = {
    "movielens-1m/rectools sasrec": {"length": 50, "batch": 64, "blocks": 2, "heads": 2, "dropout": 0.2},
    "movielens-1m/recbole sasrec": {
        "length": 50,
        "batch": 256,
        "blocks": 2,
        "heads": 2,
        "dropout": 0.2,
        "slice": 60,
    },
    "amazon-beauty/rectools sasrec 256 negatives": {
        "length": 50,
        "batch": 128,
        "blocks": 1,
        "heads": 1,
        "dropout": 0.3,
        "loss": "sampled_softmax",
        "n_negatives": 256,
    },
}
PROTOCOL = __doc__.split("Protocol: ")[1].split("\n\n")[0].replace("\n", " ")
PEER_EPOCHS, PEER_PATIENCE = 40, 5


def ours(label: str, seed: int, folder: Path, checkpoints: Path | None, device: str | None) -> dict[str, Any]:
    """Train one of ours and judge it."""
    name, settings = RUNS[label]
    anew = label.endswith(ANEW)
    if anew:
        settings = {**settings, "epochs": known()[label.removesuffix(ANEW)]["0"]["best_epoch"]}
    split = splitting.get("leave_last_out")().split(load(label.partition("/")[0], folder))
    model = models.get(name)(**settings)
    kept = None if checkpoints is None else checkpoints / f"{label.replace('/', ' ')} {seed}"
    run = Run(seed=seed, checkpoint=kept, device=device)
    model = model.fit(split.development, run=run) if anew else model.fit(split.train, split.validation, run)
    start = time.perf_counter()
    found = model.recommend(split.test.queries, k=10)
    users_a_second = len(found) / (time.perf_counter() - start)
    curve = [
        (round(one.seconds, 1), round(one.cpu_seconds, 1), round(one.measured, 5))
        for one in model.trained.epochs
        if one.measured is not None
    ]
    return {
        "settings": settings,
        "device": device_name(device),
        "threads": run.threads,
        "cpu": model.trained.epochs[-1].cpu_seconds,
        "epochs": len(model.trained.epochs),
        "best_epoch": model.trained.best_epoch,
        "validation": model.trained.best,
        "stopped": model.trained.stopped,
        "curve": curve,
        "users_a_second": users_a_second,
        "peak_mib": peak_mib(),
        **judge(found.items, split),
    }


def theirs(label: str, seed: int, folder: Path, python: str, seconds: float) -> dict[str, Any]:
    """Train the model of another library in an environment of its own, up to so many training seconds."""
    split = splitting.get("leave_last_out")().split(load(label.partition("/")[0], folder))
    given = {**PEERS[label], "seed": seed, "seconds": seconds, "epochs": PEER_EPOCHS, "patience": PEER_PATIENCE}
    found = peer(split, library_of(label), python, given)
    return {
        "settings": PEERS[label],
        "version": str(found["version"]),
        "stopped": str(found["stopped"]),
        "curve": found["curve"].round(5).tolist(),
        "epoch_seconds": float(found["epoch_seconds"]),
        "epoch_cpu": float(found["epoch_cpu"]),
        "users_a_second": float(found["users_a_second"]),
        **judge(found["items"], split),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", nargs="*", default=[*(one for one in RUNS if "small:" not in one), *PEERS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--peer", action="append", default=[], help="library=PYTHON")
    parser.add_argument("--seconds", type=float, default=3600, help="CPU seconds, the most that a peer may train")
    parser.add_argument("--checkpoints", type=Path, help="a folder from which interrupted runs go on")
    parser.add_argument("--device", help="where ours learn, such as cuda")
    parser.add_argument("--one", action="store_true", help="print one run's JSON; what this script calls itself with")
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(ours(chosen.runs[0], chosen.seeds[0], chosen.data, chosen.checkpoints, chosen.device)))
        return
    pythons = dict(one.split("=", 1) for one in chosen.peer)
    for label in chosen.runs:
        for seed in chosen.seeds:
            if label in PEERS:
                python = pythons.get(library_of(label))
                if python is None:
                    continue
                row = theirs(label, seed, chosen.data, python, chosen.seconds)
            else:
                again = [sys.executable, __file__, "--data", str(chosen.data), "--runs", label, "--seeds", str(seed)]
                for option in ("checkpoints", "device"):
                    if getattr(chosen, option) is not None:
                        again += [f"--{option}", str(getattr(chosen, option))]
                done = subprocess.run([*again, "--one"], stdout=subprocess.PIPE, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
            results = known()
            others = {one: old for one, old in results.get(label, {}).items() if old["settings"] == row["settings"]}
            results[label] = {**others, str(seed): row}
            write_results("sequences", {"protocol": PROTOCOL, "runs": results})
            print(f"{label} seed {seed}: NDCG@10 {row['ndcg@10']['value']:.4f} HR@10 {row['hit_rate@10']['value']:.4f}")


def library_of(label: str) -> str:
    """Whose model a label of `PEERS` is of."""
    return label.partition("/")[2].partition(" ")[0]


def known() -> dict[str, Any]:
    """The rows of earlier runs."""
    file = RESULTS / "sequences.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else {}
    return found


if __name__ == "__main__":
    main()
