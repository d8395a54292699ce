"""Sequence models where the future is unknown: split by time, beside simple models that were tuned alike.

    python benchmarks/sequences_time.py --data FOLDER [--work FOLDER] [--sets NAME ...] [--anew MODEL ...]
        [--device cuda]

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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, device_name, write_results
from zhiyin import models, splitting
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.assemble import averaged
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.significance import Sample, bootstrap, holm, interval, owners, sign_flip
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
METRICS = ("ndcg@10", "hit_rate@10")
CERTAIN = ("popularity", "item_knn", "ease")
"""Models that chance has no part in."""
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


def judge(
    name: str, split: Split, best: dict[str, Any], seeds: list[int], work: Path | None, device: str | None
) -> dict[str, list[dict[str, Sample]]]:
    """Model -> for each seed the metrics of all test cases; `work` keeps them, so that an interrupted run goes on.

    Models that chance has no part in learn once.
    """
    found: dict[str, list[dict[str, Sample]]] = {}
    for model in (*BASELINES, *(one for one in GRIDS if one not in BASELINES)):
        for seed in seeds if model not in CERTAIN else seeds[:1]:
            wanted = (model, BLEND) if model == "zhiyin" else (model,)
            files = [None if work is None else work / f"{name} {one} {seed}.npz" for one in wanted]
            if any(file is None or not file.is_file() for file in files):
                run = Run(seed=seed, device=device)
                fitted = models.get(model)(**best[model]["settings"]).fit(split.development, run=run)
                each = [fitted]
                if model == "zhiyin":
                    other = models.get("popularity")(**best["popularity"]["settings"]).fit(split.development, run=run)
                    members = best[BLEND]["settings"]["members"]
                    each.append(Blend.of([fitted, other], [member["weight"] for member in members]))
                samples = [evaluate(one, split.test, METRICS, world_of(split.development)).samples for one in each]
            else:
                samples = [{label: Sample.of(values) for label, values in np.load(file).items()} for file in files]
            for one, file, sample in zip(wanted, files, samples, strict=True):
                found.setdefault(one, []).append(sample)
                if file is not None:
                    np.savez_compressed(file, **{label: sample[label].values() for label in METRICS})
                print(f"  {one} seed {seed}: {sample['ndcg@10'].value:.4f}", flush=True)
    return found


def compared(judged: dict[str, list[dict[str, Sample]]], cases: Cases) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The mean over seeds of each metric with its interval, and tests against the best of the simple models."""
    owner = owners(cases.queries.users)
    means = {model: averaged(rounds) for model, rounds in judged.items()}
    order = list(means)
    found: dict[str, Any] = {model: {} for model in order}
    for label in METRICS:
        draws = bootstrap([means[model][label] for model in order], owner=owner)
        for place, model in enumerate(order):
            low, high = interval(draws[:, place])
            spread = (
                float(np.std([one[label].value for one in judged[model]], ddof=1)) if len(judged[model]) > 1 else None
            )
            found[model][label] = {"value": means[model][label].value, "low": low, "high": high, "spread": spread}
    reference = max(BASELINES, key=lambda model: means[model]["ndcg@10"].value)
    others = [model for model in order if model not in BASELINES]
    draws = bootstrap([means[model]["ndcg@10"] for model in (reference, *others)], owner=owner)
    base = means[reference]["ndcg@10"].values()
    differences = np.stack([means[model]["ndcg@10"].values() - base for model in others], 1)
    raw = sign_flip(differences, owner=owner)
    tests = []
    for place, (model, p, corrected) in enumerate(zip(others, raw, holm(raw), strict=True)):
        low, high = interval(draws[:, place + 1] - draws[:, 0])
        tests.append(
            {
                "model": model,
                "reference": reference,
                "metric": "ndcg@10",
                "difference": float(differences[:, place].mean()),
            }
            | {"low": low, "high": high, "p": float(p), "p_holm": float(corrected), "n": len(base)}
        )
    return found, tests


def cpu_since(start: float) -> float:
    return round(time.process_time() - start, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--anew", nargs="*", default=[], help="models to tune anew; others keep what was found before")
    parser.add_argument("--work", type=Path, help="a folder from which an interrupted run goes on")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--device", help="where models learn before they are judged, such as cuda")
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
        judged = judge(name, split, best, chosen.seeds, chosen.work, chosen.device)
        models_found, tests = compared(judged, split.test)
        results[name] = {
            "users": len(set(split.test.queries.users or ())),
            "cases": len(split.test),
            "device": device_name(chosen.device),
            "trials": trials,
            "tuned": best,
            "models": models_found,
            "tests": tests,
        }
        keep()
        for model, found in models_found.items():
            print(f"  {model:12s} {found['ndcg@10']['value']:.4f}")
        for test in tests:
            print("  ", test)


if __name__ == "__main__":
    main()
