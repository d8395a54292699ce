"""Two stages beside one: a pipeline against each of the retrievers that it is made of.

    python benchmarks/two_stage.py --data FOLDER [--sets movielens-1m ...] [--seeds 0 1 2]

What each run found for each case lies in `results/two_stage`; several may run at once.

"movielens-1m": global time, each event of the last tenth asked for at its own moment with all earlier ones as history
(20,000 of them at most, drawn once); one event of each pair, 5-core. "retailrocket-filtered": this log has neither
times nor an order, so people are held out (three tenths; of what they did four fifths are told by random), events of
all kinds. All items are ranked, those of the history left out. The best single retriever is the best of those in the
pipeline, as they learnt there from all that is before the cut; `ease` and `item_knn` have been tuned for no set.
"movielens-1m, with sequences" adds a sequence model that is told the times, and which is the best alone;
"movielens-latest-small" is cut as the first set is, and has one too (settings of `sequences_time.py`). A sequence model
learns for as many epochs as were best on the part that the pipeline holds back for its ranker. "without transitions"
and "trees alone" lack what its name says. "pipeline, counting on" is the same one whose features count all events
before each moment (`Pipeline.refresh`), those after the cut too, as counters of a service do; nothing has learnt from
them. The gain is tested on the mean over seeds, in pairs, by 10,000 flips of signs; the cases of a user, some of whom
have many, are drawn and flipped together.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from _common import RESULTS, clock, is_kept, kept_file, write_results
from classics import load
from sequences_time import LEARNT, NARROW, TIMES
from zhiyin import splitting
from zhiyin.data.dataset import Dataset
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.significance import Sample, bootstrap, interval, owners, paired
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
UNORDERED = [name for name in DEFAULT if name != "transitions"]
TREES = {"ranker": "boosted_trees", "settings": {"line": False}}
SETTINGS: dict[str, dict[str, Any]] = {
    "movielens-1m": {"sources": list(SIMPLE)},
    "movielens-1m, without transitions": {"sources": list(SIMPLE), "features": UNORDERED},
    "movielens-1m, without transitions, trees alone": {
        "sources": list(SIMPLE),
        "features": UNORDERED,
        "ranker": TREES,
    },
    "movielens-1m, with sequences": {"sources": [{"model": "zhiyin", "quota": 150, "settings": LARGE}, *SIMPLE]},
    "movielens-latest-small": {"sources": [{"model": "zhiyin", "quota": 150, "settings": SEQUENCE}, *SIMPLE]},
    "retailrocket-filtered": {"sources": "ease:150, item_knn:150, user_knn:150, popularity:50"},
}


FOUND = RESULTS / "two_stage"
"""What was found for each case, a file for each set and seed."""


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


def measured(name: str, folder: Path, seed: int) -> None:
    """Keep what each metric is for each case, of the pipeline and each retriever."""
    split = cut(name, folder)
    cases, world = asked(split.test), world_of(split.development)
    run = Run(seed=seed, threads=1)
    with clock() as spent:
        pipeline = Pipeline(**SETTINGS[name]).fit(split.development, run=run)
    labels = [one.model for one in pipeline.config.sources]
    made: dict[str, Any] = {PIPELINE: pipeline, **dict(zip(labels, pipeline.retrievers, strict=True))}
    if split.development.clock == "time":
        made[COUNTING] = pipeline
    owner = owners(cases.queries.users)
    found: dict[str, np.ndarray] = {"owner": np.arange(len(cases), dtype=np.int32) if owner is None else owner}
    for label, model in made.items():
        if label == COUNTING:
            pipeline.refresh(whole(name, folder), run)
        samples = evaluate(model, cases, METRICS, world, run=run).samples
        found |= {f"{label}/{metric}": samples[metric].total.astype(np.float32) for metric in METRICS}
        print(name, seed, label, float(found[f"{label}/{METRICS[0]}"].mean()), flush=True)
    facts = {
        "fit cpu": spent.cpu,
        "epochs": next((one.config.epochs for one in pipeline.retrievers if hasattr(one, "trained")), None),
        "trees": len(pipeline.ranker.trees[0].split("Tree=")) - 1,
        "importance": dict(list(pipeline.ranker.importance().items())[:12]),
    }
    FOUND.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(kept_file(FOUND, name, seed), settings=_settings(name), facts=json.dumps(facts), **found)


def _settings(name: str) -> str:
    """All of them, as text."""
    return json.dumps(Pipeline(**SETTINGS[name]).config.model_dump(mode="json"), sort_keys=True)


def summary(name: str) -> dict[str, Any] | None:
    """The mean of each metric for the pipeline and each retriever, and the gain over the best one; None of nothing."""
    files = [kept_file(FOUND, name, seed) for seed in range(10)]
    kept = [dict(np.load(file)) for file in files if is_kept(file, _settings(name))]
    if not kept:
        return None
    labels = list(dict.fromkeys(key.rpartition("/")[0] for key in kept[0] if "/" in key))
    found = {
        label: {metric: np.stack([one[f"{label}/{metric}"] for one in kept]).astype(np.float64) for metric in METRICS}
        for label in labels
    }
    owner = kept[0]["owner"]
    rows = {label: {metric: _told(one[metric], owner) for metric in METRICS} for label, one in found.items()}
    best = max((one for one in rows if one not in (PIPELINE, COUNTING)), key=lambda one: rows[one]["ndcg@10"]["value"])
    sample = {label: Sample.of(one["ndcg@10"].mean(0)) for label, one in found.items()}
    tests = {
        label: paired("ndcg@10", (label, sample[label]), (best, sample[best]), owner=owner)
        for label in (PIPELINE, COUNTING)
        if label in found
    }
    base = sample[best].value
    gains = {
        label: {"value": one.difference / base, "low": one.low / base, "high": one.high / base, "p": one.p}
        for label, one in tests.items()
    }
    facts = [json.loads(str(one["facts"])) for one in kept]
    told = {fact: [one[fact] for one in facts] for fact in ("fit cpu", "epochs", "trees")}
    size = {"cases": len(kept[0][f"{PIPELINE}/{METRICS[0]}"]), "seeds": len(kept)}
    return {"rows": rows, "best single": best, "gains": gains, **size, **told, "importance": facts[0]["importance"]}


def _told(values: np.ndarray, owner: np.ndarray) -> dict[str, Any]:
    sample = Sample.of(values.mean(0))
    low, high = interval(bootstrap([sample], owner=owner)[:, 0])
    return {"value": sample.value, "low": low, "high": high, "seeds": values.mean(1).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    chosen = parser.parse_args()
    protocol = " ".join((__doc__ or "").split("\n\n", 3)[3].split())
    for name in chosen.sets:
        for seed in chosen.seeds:
            if not is_kept(kept_file(FOUND, name, seed), _settings(name)):
                measured(name, chosen.data, seed)
        sets = {one: told for one in SETTINGS if (told := summary(one)) is not None}
        write_results("two_stage", {"protocol": protocol, "sets": sets})
        print(name, json.dumps(sets[name]["gains"]), flush=True)


if __name__ == "__main__":
    main()
