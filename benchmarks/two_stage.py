"""Two stages beside one: a pipeline against each of the retrievers that it is made of.

    python benchmarks/two_stage.py --data FOLDER [--sets movielens-1m ...] [--seeds 0 1 2]

"movielens-1m": global time, each event of the last tenth asked for at its own moment with all earlier ones as history
(20,000 of them at most, drawn once); one event of each pair, 5-core. "retailrocket-filtered": this log has neither
times nor an order, so people are held out (three tenths; of what they did four fifths are told by random), events of
all kinds. All items are ranked, those of the history left out. The best single retriever is the best of those in the
pipeline, as they learnt there from all that is before the cut; `ease` and `item_knn` have been tuned for no set.
"movielens-1m, with sequences" adds a sequence model that is told the times, and which is the best alone;
"movielens-latest-small" is cut as the first set is, and has one too (settings of `sequences_time.py`). A sequence model
learns for as many epochs as were best on the part that the pipeline holds back for its ranker. Where the order of
events is known, `transitions` are among the features, and trees begin on a line; both were chosen by the validation
part of "movielens-1m". "pipeline, counting on" is the same one whose features count all events before each moment
(`Pipeline.refresh`), those after the cut too, as counters of a service do; nothing has learnt from them. The gain is
tested on the mean over seeds, in pairs, by 10,000 flips of signs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, clock, write_results
from classics import load
from sequences_time import LEARNT, NARROW, TIMES
from zhiyin import splitting
from zhiyin.data.dataset import Dataset
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.significance import Sample, bootstrap, interval, sign_flip
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.ranking.table import DEFAULT
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split

METRICS = ("ndcg@10", "recall@10")
PIPELINE, COUNTING = "pipeline", "pipeline, counting on"
CASES = 20_000
SEQUENCE = {**LEARNT, **TIMES, **NARROW, "dropout": 0.5, "temperature": 0.07, "loss": "softmax"}
SIMPLE = ("ease:150", "item_knn:150", "popularity:50")
LARGE = {**SEQUENCE, "dropout": 0.2, "epochs": 16, "patience": 3}
IN_ORDER = {
    "features": [*DEFAULT, "transitions"],
    "ranker": {"ranker": "boosted_trees", "settings": {"line": True}},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "movielens-1m": {"sources": list(SIMPLE), **IN_ORDER},
    "movielens-1m, with sequences": {
        "sources": [{"model": "zhiyin", "quota": 150, "settings": LARGE}, *SIMPLE],
        **IN_ORDER,
    },
    "movielens-latest-small": {
        "sources": [{"model": "zhiyin", "quota": 150, "settings": SEQUENCE}, *SIMPLE],
        **IN_ORDER,
    },
    "retailrocket-filtered": {"sources": "ease:150, item_knn:150, user_knn:150, popularity:50"},
}


def cut(name: str, folder: Path) -> Split:
    if name != "retailrocket-filtered":
        return splitting.get("global_time")(targets="successive").split(whole(name, folder))
    events, items, users = open_folder(folder / name)
    dataset: Dataset = prepare(events, items, users, name=name)
    return splitting.get("user_holdout")(test_share=0.3).split(dataset)


def whole(name: str, folder: Path) -> Dataset:
    """The log with what came after the cut, for features that count what was before each moment."""
    return load(name.partition(",")[0], folder)


def asked(cases: Cases) -> Cases:
    if len(cases) <= CASES:
        return cases
    return cases.take(np.sort(np.random.default_rng(0).choice(len(cases), CASES, replace=False)))


def measured(name: str, folder: Path, seeds: list[int]) -> Iterator[dict[str, Any]]:
    """After each seed, the mean of each metric for the pipeline and each retriever, and the gain over the best one."""
    split = cut(name, folder)
    cases, world = asked(split.test), world_of(split.development)
    found: dict[str, dict[str, list[Any]]] = {}
    pipelines: list[tuple[float, Pipeline]] = []
    for seed in seeds:
        run = Run(seed=seed, threads=1)
        with clock() as spent:
            pipeline = Pipeline(**SETTINGS[name]).fit(split.development, run=run)
        pipelines.append((spent.cpu, pipeline))
        labels = [one.model for one in pipeline.config.sources]
        made: dict[str, Any] = {PIPELINE: pipeline, **dict(zip(labels, pipeline.retrievers, strict=True))}
        if split.development.clock == "time":
            made[COUNTING] = pipeline
        for label, model in made.items():
            if label == COUNTING:
                pipeline.refresh(whole(name, folder), run)
            samples = evaluate(model, cases, METRICS, world, run=run).samples
            for metric in METRICS:
                found.setdefault(label, {}).setdefault(metric, []).append(samples[metric].total)
        print(name, seed, {label: float(np.mean(one["ndcg@10"][-1])) for label, one in found.items()}, flush=True)
        yield _summary(found, len(cases)) | {
            "fit cpu": [cpu for cpu, _ in pipelines],
            "epochs": [_epochs(one) for _, one in pipelines],
            "trees": [len(one.ranker.trees[0].split("Tree=")) - 1 for _, one in pipelines],
            "importance": dict(list(pipelines[0][1].ranker.importance().items())[:12]),
        }


def _epochs(pipeline: Pipeline) -> int | None:
    return next((one.config.epochs for one in pipeline.retrievers if hasattr(one, "trained")), None)


def _summary(found: dict[str, dict[str, list[Any]]], n_cases: int) -> dict[str, Any]:
    rows = {label: {metric: _told(np.stack(one[metric])) for metric in METRICS} for label, one in found.items()}
    singles = [label for label in rows if label not in (PIPELINE, COUNTING)]
    best = max(singles, key=lambda label: rows[label]["ndcg@10"]["value"])
    base = rows[best]["ndcg@10"]["value"]
    gains = {}
    for label in (one for one in (PIPELINE, COUNTING) if one in rows):
        gain = np.mean(found[label]["ndcg@10"], 0) - np.mean(found[best]["ndcg@10"], 0)
        low, high = interval(bootstrap([Sample(gain, np.ones(len(gain)))])[:, 0])
        tested = {"value": gain.mean() / base, "low": low / base, "high": high / base}
        gains[label] = tested | {"p": float(sign_flip(gain[:, None])[0])}
    return {
        "rows": rows,
        "best single": best,
        "gains": gains,
        "cases": n_cases,
        "seeds": len(found[PIPELINE]["ndcg@10"]),
    }


def _told(values: np.ndarray) -> dict[str, Any]:
    sample = Sample(values.mean(0), np.ones(values.shape[1]))
    low, high = interval(bootstrap([sample])[:, 0])
    return {"value": sample.value, "low": low, "high": high, "seeds": values.mean(1).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    chosen = parser.parse_args()
    protocol = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    for name in chosen.sets:
        for found in measured(name, chosen.data, chosen.seeds):
            file = RESULTS / "two_stage.json"
            kept = json.loads(file.read_text(encoding="utf-8"))["sets"] if file.is_file() else {}
            sets = kept | {name: found}
            write_results(
                "two_stage", {"protocol": protocol, "sets": {one: sets[one] for one in SETTINGS if one in sets}}
            )
            print(name, json.dumps(found["gains"]), flush=True)


if __name__ == "__main__":
    main()
