"""Sequence models where the future is unknown: split by time, beside simple models that were tuned alike.

    python benchmarks/sequences_time.py --data FOLDER [--sets NAME ...] [--anew MODEL ...] [--seeds 0 1 2]

FOLDER holds sets of uniform Parquet. One moment cuts all users; each event of the last tenth is asked for at its own
moment, with all earlier events of its user as history (`global_time`, targets "successive"), among all items but those
of the history. Models do not learn after the cut. Every model's settings are the best of its grid below by NDCG@10 on
(at most 3,000 cases of) the validation part, for sequence models the number of epochs too; then each learns anew from
all that came before the cut, and is judged on the test part. Differences are tested in pairs, user by user. "zhiyin and
popularity" is the blend of both by standard scores, its weight chosen alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, write_results
from zhiyin import models, splitting
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.compare import compare
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.models.blend import Blend
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split

SETS = ("movielens-latest-small", "movietweetings-100k")
CASES = 3_000
LEARNT = {"schedule": "constant", "epochs": 60, "patience": 4, "max_length": 100, "learning_rate": 1e-3}
TIMES = {"relations": ["position", "time"], "features": ["value", "gap", "wait"]}
NARROW = {"embedding_size": 64, "n_heads": 2, "convolution": 0}
GRIDS: dict[str, dict[str, list[Any]]] = {
    "popularity": {"fade": ["window", "decay"], "days": [1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0, 10_000.0]},
    "item_knn": {
        "similarity": ["cosine", "dot"],
        "weighting": ["none", "bm25", "tfidf"],
        "neighbours": [20, 50, 100, 300],
    },
    "ease": {"regularization": [25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0]},
    "als": {"embedding_size": [32, 64, 128], "regularization": [0.01, 0.1, 1.0], "alpha": [1.0, 5.0, 20.0]},
    "sasrec": {"with": [LEARNT], "dropout": [0.2, 0.5], "temperature": [None, 0.07], "loss": ["softmax"]},
    "zhiyin": {
        "with": [LEARNT, LEARNT | TIMES, LEARNT | TIMES | NARROW],
        "dropout": [0.2, 0.5],
        "temperature": [0.07],
        "loss": ["softmax"],
    },
}
PROTOCOL = " ".join((__doc__ or "").split("\n\n")[2].split())
BLEND = "zhiyin and popularity"
WEIGHTS = (0.05, 0.1, 0.2, 0.5, 1.0)
BASELINES = ("popularity", "item_knn", "ease", "als")


def settings_of(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination; `with` stands for settings that go together."""
    for values in product(*grid.values()):
        one = dict(zip(grid, values, strict=True))
        yield {**one.pop("with", {}), **one}


Keep = Callable[[], None]
"""Writes the results as they are so far."""


def tuned(name: str, split: Split, cases: Cases, tried: list[dict[str, Any]], keep: Keep) -> dict[str, Any]:
    """The best settings of the grid on the validation cases; `tried` gets each as soon as it is known."""
    known = [one["asked"] for one in tried]
    for settings in settings_of(GRIDS[name]):
        if settings in known:
            continue
        start = time.process_time()
        model = models.get(name)(**settings)
        own = {}
        if model.uses_validation:
            model.fit(split.train, cases, Run(seed=0))
            own = {"epochs": max(1, model.trained.best_epoch), "patience": 1}
        else:
            model.fit(split.train, run=Run(seed=0))
        value = evaluate(model, cases, ["ndcg@10"], world_of(split.train)).samples["ndcg@10"].value
        tried.append({"asked": settings, "settings": {**settings, **own}, "ndcg@10": value, "cpu": cpu_since(start)})
        keep()
        print(f"  {name} {settings} {own.get('epochs', '')}: {value:.4f}", flush=True)
    best = max(tried, key=lambda one: one["ndcg@10"])
    return {"settings": best["settings"], "validation": best["ndcg@10"], "tried": len(tried)}


def tuned_blend(split: Split, cases: Cases, best: dict[str, Any]) -> dict[str, Any]:
    """The weight at which the best `popularity` helps the best `zhiyin` most."""
    settings = {name: best[name]["settings"] for name in ("zhiyin", "popularity")}
    fitted = [models.get(name)(**own).fit(split.train, run=Run(seed=0)) for name, own in settings.items()]
    tried = {}
    for weight in WEIGHTS:
        model = Blend.of(fitted, [1.0, weight])
        tried[weight] = evaluate(model, cases, ["ndcg@10"], world_of(split.train)).samples["ndcg@10"].value
        print(f"  {BLEND} {weight}: {tried[weight]:.4f}", flush=True)
    weight = max(tried, key=lambda one: tried[one])
    members = [
        {"model": name, "weight": share, "settings": own}
        for (name, own), share in zip(settings.items(), (1.0, weight), strict=True)
    ]
    return {
        "settings": {"members": members},
        "validation": tried[weight],
        "tried": len(tried),
    }


def cpu_since(start: float) -> float:
    return round(time.process_time() - start, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--anew", nargs="*", default=[], help="models to tune anew; others keep what was found before")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    chosen = parser.parse_args()
    file = RESULTS / "sequences_time.json"
    results = json.loads(file.read_text(encoding="utf-8"))["sets"] if file.is_file() else {}
    for name in chosen.sets:
        print(name, flush=True)
        dataset = prepare(*open_folder(chosen.data / name), name=name)
        split = splitting.get("global_time")(targets="successive").split(dataset)
        assert split.validation is not None
        cases = split.validation
        if len(cases) > CASES:
            cases = cases.take(np.sort(np.random.default_rng(0).choice(len(cases), CASES, replace=False)))
        best = results.setdefault(name, {}).setdefault("tuned", {})
        trials = results[name].setdefault("trials", {})

        def keep() -> None:
            write_results("sequences_time", {"protocol": PROTOCOL, "sets": results})

        for model in (*GRIDS, BLEND):
            new = set(chosen.anew) & {model, *(("zhiyin", "popularity") if model == BLEND else ())}
            if model not in best or new:
                if new:
                    trials.pop(model, None)
                best[model] = (
                    tuned_blend(split, cases, best)
                    if model == BLEND
                    else tuned(model, split, cases, trials.setdefault(model, []), keep)
                )
                keep()
        asked = {model: ("blend" if model == BLEND else model, best[model]["settings"]) for model in best}
        report = compare(
            dataset,
            {model: one for model, one in asked.items() if model not in BASELINES},
            replace(split, validation=None),
            baselines={model: asked[model] for model in BASELINES},
            seeds=chosen.seeds,
            run=Run(seed=0),
        )
        results[name] = {
            "users": len(set(split.test.queries.users or ())),
            "cases": len(split.test),
            "trials": trials,
            "tuned": best,
            "models": {
                one.name: {label: asdict(one.metrics[label]) for label in ("ndcg@10", "hit_rate@10")}
                for one in report.models
            },
            "tests": [asdict(test) for test in report.tests if test.metric == "ndcg@10"],
        }
        keep()
        for one in report.models:
            print(f"  {one.name:12s} {one.metrics['ndcg@10'].value:.4f}")
        for test in results[name]["tests"]:
            print("  ", test)


if __name__ == "__main__":
    main()
