"""What items say, joined to how they are used: the ways to join them, few events, new items, other sets.

    python benchmarks/semantics.py --data FOLDER --work FOLDER [--runs PART/LABEL ...] [--seeds 0 1 2] [--device cuda]

--data holds sets of uniform Parquet; --work keeps models that come to other sets. What each run found for each user
lies in `results/semantics`, so that any run can be tested in pairs against the others; one found elsewhere, such as on
a GPU, only needs its file there. Every model learns until the validation part says stop; settings are those of
`sequences.py`, but for `text`. All items are ranked, those of the history excluded.

"warm": leave last out (see `sequences.py`); beside the mean over all users that over those whose target had at most
five events to learn from. "codes": the same of models of codes. "cold": a tenth of the items loses all events
(`cold_items`), and each target is one of them; ranked among all items, and among the cold ones alone; "none, all told"
learns from all events, those of the test too, so that no model without them could be expected to do better.
"transfer": a model of another set of films, told of an item its title, categories and year and nothing else, answers
for this one (leave last out) of which it has seen nothing ("zero-shot"), or a twentieth of the users ("few-shot");
beside it what that twentieth alone teaches ("few anew"), and popularity among all. "wishes": queries in plain words,
without a history, that name a genre: how many of the first ten films are of it.
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

import zhiyin
from _common import RESULTS, device_name, is_kept, kept_file, write_results
from classics import load
from sequences import RUNS as SEQUENCES
from zhiyin import models, semantic_ids, splitting
from zhiyin.data.dataset import Dataset
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.evaluation.significance import Sample, bootstrap, holm, interval, sign_flip
from zhiyin.run import Run
from zhiyin.splitting.base import Cases, Split

METRICS = ("ndcg@10", "recall@10")
FOUND = RESULTS / "semantics"
"""What was found for each user, a file for each run and seed."""
MEASURED = (*METRICS, "among cold", "of the genre")
COLUMNS = (*MEASURED, *(f"{name}, few" for name in METRICS))
FACTS = ("device", "cpu", "validation", "best_epoch", "code use", "collisions")
FEW = 5
"""Events of an item to learn from, at most, that are few."""
LEAST = 100
"""Cases, of which a mean is worth a row."""
TRANSFERS = {
    "movielens-1m": "movielens-latest-small",
    "movielens-latest-small": "movielens-1m",
    "movietweetings-100k": "movielens-1m",
}
"""A set, and that from which a model comes to it."""
FILM_SET = "movielens-latest-small"
"""Whose genres are wished for."""
WAYS = ("{}", "a {} film for the evening", "I want to see something {}")
"""To ask for a genre."""
FILMS_OF_A_GENRE = 20
SHARE = 0.05
"""Of the users, who teach few-shot."""
BEAUTY = SEQUENCES["amazon-beauty/zhiyin"][1]
FILMS = SEQUENCES["movielens-1m/zhiyin small"][1]
SPOKEN = {"text_size": 128, "encoder": "sentence"}
ALIGNED = {**SPOKEN, "encoder": {"encoder": "aligned", "settings": {"encoder": "sentence"}}}
PLOTS = {
    "text_size": 64,
    "encoder": {"encoder": "multilingual", "settings": {"text": ["title", "description", "abstract"]}},
}
CARRIED: dict[str, Any] = {
    "text": "frozen",
    "text_size": 256,
    "encoder": {"encoder": "multilingual", "settings": {"text": "title"}},
    "words": "title",
    "item_features": ["categories", "year"],
    "epochs": 24,
    "patience": 3,
}
"""What films are told by everywhere; nothing is of an item alone, so that ids say nothing."""
SHARED: dict[str, dict[str, Any]] = {
    "amazon-beauty": {"words": "title", "item_features": "categories"},
    "movielens-1m": {"words": ["title", "description"], "item_features": ["categories", "directors", "actors"]},
}
"""What items have in common, read without any language model."""
BY_USE = {"loss": "sampled_softmax", "n_negatives": 2048, "negatives": "popularity"}
OWN, READ = {"amazon-beauty": BEAUTY, "movielens-1m": FILMS}, {"amazon-beauty": SPOKEN, "movielens-1m": PLOTS}
JOINED: dict[str, dict[str, Any]] = {
    "none": {},
    "initial": {"text": "initial"},
    "frozen": {"text": "frozen"},
    "added": {"text": "added"},
    "null_space": {"text": "null_space"},
    "added, gate": {"text": "added", "gate": 3.0},
    "added, hidden": {"text": "added", "hidden_ids": 0.2},
    "words and categories": {"shared": True},
    "added, words and categories": {"text": "added", "shared": True},
    "added, words and categories, gate": {"text": "added", "shared": True, "gate": 3.0},
    "aligned, added, words and categories, gate": {**ALIGNED, "text": "added", "shared": True, "gate": 3.0},
    "added, words and categories, hidden": {"text": "added", "shared": True, "hidden_ids": 0.3},
    "added, words and categories, hidden, alone": {"text": "added", "shared": True, "hidden_ids": 0.3, "neighbours": 0},
    "added, words and categories, hidden, by use": {"text": "added", "shared": True, "hidden_ids": 0.3, **BY_USE},
    "frozen, words and categories": {"text": "frozen", "shared": True},
    "none, 8 codes": {"codes": 8, "epochs": 80},
    "none, 8 codes by text": {"codes": 8, "codes_by": "text", "epochs": 80, **SPOKEN},
}
"""The ways to join what items say to how they are used; "shared" adds `SHARED`."""
ALL = "added, words and categories"
WARM = {
    "amazon-beauty": (
        *tuple(JOINED)[: tuple(JOINED).index(ALL)],
        *(ALL, f"{ALL}, gate", f"aligned, {ALL}, gate", "none, 8 codes", "none, 8 codes by text"),
    ),
    "movielens-1m": ("none", "added", f"{ALL}, gate"),
}
KEPT = ("none", "added", f"{ALL}, gate", f"{ALL}, hidden", f"{ALL}, hidden, alone", "frozen, words and categories")
COLD = {"amazon-beauty": (*KEPT, f"{ALL}, hidden, by use"), "movielens-1m": KEPT}
CODED: dict[str, Any] = {**BEAUTY, "n_heads": 1, "hidden_size": 64, "dropout": 0.4, "n_negatives": 2048, "epochs": 40}
PRODUCT = {"codebook": "product_quantizer", "settings": {"levels": 16}}
CODES: dict[str, dict[str, Any]] = {
    "tiger": {},
    "tiger, by codes alone": {"dense": 0.0, "epochs": 80},
    "tiger, all digits at once": {"head": "parallel", "codebook": PRODUCT},
    "tiger, all digits at once, by codes alone": {"head": "parallel", "codebook": PRODUCT, "dense": 0.0, "epochs": 80},
}
RUNS: dict[str, tuple[str, str, str, dict[str, Any]]] = {}
"""Part/label -> (part, set, model, settings)."""


def joined(name: str, how: str) -> dict[str, Any]:
    """The settings for a set and one of `JOINED`."""
    joint = dict(JOINED[how])
    shared = SHARED[name] if joint.pop("shared", False) else {}
    if name == "movielens-1m":
        joint.pop("encoder", None)
    found = OWN[name] | (READ[name] if "text" in joint else {}) | shared | joint
    if joint.get("text") == "null_space":
        found["text_size"] = READ[name]["text_size"] // 2  # and as much for an item's own
    return found


for name in OWN:
    for how in WARM[name]:
        RUNS[f"warm {name}/{how}"] = ("warm", name, "zhiyin", joined(name, how))
    RUNS[f"cold {name}/content"] = ("cold", name, "content", {})
    for how in COLD[name]:
        RUNS[f"cold {name}/{how}"] = ("cold", name, "zhiyin", joined(name, how))
    RUNS[f"cold {name}/none, all told"] = ("told", name, "zhiyin", OWN[name])
for name in TRANSFERS:
    RUNS[f"transfer {name}/popularity"] = ("transfer", name, "popularity", {})
    for how in ("zero-shot", "few-shot", "few anew"):
        RUNS[f"transfer {name}/{how}"] = ("transfer", name, "zhiyin", FILMS | CARRIED)
GENRES = {"encoder": "multilingual", "text_size": 32, "hidden_ids": 0.1}
for how, joint in {
    "null_space": {"text": "null_space"},
    "added": {"text": "added"},
    "added, words and categories": {"text": "added", "words": "title", "item_features": "categories"},
}.items():
    RUNS[f"wishes {FILM_SET}/{how}"] = ("wishes", FILM_SET, "zhiyin", FILMS | GENRES | joint)
for how, shape in CODES.items():
    RUNS[f"codes amazon-beauty/{how}"] = ("warm", "amazon-beauty", "tiger", CODED | shape)
RUNS["cold amazon-beauty/tiger"] = ("cold", "amazon-beauty", "tiger", CODED | {"hidden_ids": 0.1, "gate": 3.0})
PROTOCOL = (__doc__ or "").split("\n\n", 2)[2].replace("\n", " ").strip()


def warm(name: str, model: str, settings: dict[str, Any], run: Run, folder: Path) -> dict[str, Any]:
    """Leave last out; the mean over all, and over those whose target is of few events."""
    split = splitting.get("leave_last_out")().split(load(name, folder))
    fitted = _fitted(model, settings, split, run)
    found = _judged(fitted, split.test, split.development)
    counts = np.bincount(split.train.histories.item, minlength=split.train.n_items)
    found["few"] = counts[split.test.targets.item] <= FEW
    return found


def cold(name: str, model: str, settings: dict[str, Any], run: Run, folder: Path) -> dict[str, Any]:
    """New items, ranked among all items and among themselves."""
    dataset = load(name, folder)
    split = splitting.get("cold_items")().split(dataset)
    return _judged_cold(_fitted(model, settings, split, run), split, dataset)


def told(name: str, model: str, settings: dict[str, Any], run: Run, folder: Path) -> dict[str, Any]:
    """The same of a model that cheats: it has learnt from the events of the new items."""
    dataset = load(name, folder)
    split = splitting.get("cold_items")().split(dataset)
    return _judged_cold(models.get(model)(**settings).fit(dataset, run=run), split, dataset)


def _judged_cold(fitted: Any, split: Split, dataset: Dataset) -> dict[str, Any]:
    """`_judged` among all items, and the recall among the new ones alone."""
    found = _judged(fitted, split.test, split.development)
    new = dataset.items.decode(np.unique(split.test.targets.item))
    alone = fitted.recommend(split.test.queries, 10, allow=new)
    hits = [set(row) & set(split.test.targets.of(at)) for at, row in enumerate(alone.items.tolist())]
    found["among cold"] = np.array([len(hit) for hit in hits]) / np.minimum(split.test.targets.lengths, 10)
    return found


def transfer(
    name: str, model: str, settings: dict[str, Any], run: Run, folder: Path, work: Path, how: str
) -> dict[str, Any]:
    """A model of one set on another one; it learns once, and is kept in `work` for all that is asked of it."""
    split = splitting.get("leave_last_out")().split(load(name, folder))
    rng = np.random.default_rng(run.seed)
    taught = rng.random(split.train.n_users) < SHARE
    part = split.train.keep(np.repeat(taught, split.train.histories.lengths))
    if how == "popularity":
        fitted = models.get(model)(**settings).fit(split.development, run=run)
    elif how == "few anew":
        fitted = models.get(model)(**settings).fit(part, split.validation, run)
    else:
        kept = work / f"{TRANSFERS[name]} {run.seed}"
        learnt = zhiyin.load(kept) if kept.is_dir() else None
        if learnt is None or learnt.config != models.get(model)(**settings).config:
            source = splitting.get("leave_last_out")().split(load(TRANSFERS[name], folder))
            learnt = _fitted(model, settings, source, run)
            learnt.save(kept, overwrite=True)
        fitted = learnt.with_catalogue(split.train, run)
        if how == "few-shot":
            fitted = learnt.adapt(part, split.validation, run)
    return _judged(fitted, split.test, split.development)


def wishes(name: str, model: str, settings: dict[str, Any], run: Run, folder: Path) -> dict[str, Any]:
    """For each way to ask for each genre of enough films, the share of ten films that are of it."""
    dataset = load(name, folder)
    split = splitting.get("leave_last_out")().split(dataset)
    fitted = _fitted(model, settings, split, run)
    genres = [set(one or ()) for one in dataset.item_table.column("categories").to_pylist()]
    asked = [(genre, way.format(genre.lower())) for genre in sorted(set().union(*genres)) for way in WAYS]
    asked = [(genre, text) for genre, text in asked if sum(genre in one for one in genres) >= FILMS_OF_A_GENRE]
    listed = fitted.recommend([zhiyin.Query.of([], context={"text": text}) for _, text in asked], 10).items.tolist()
    right = [[genre in genres[item] for item in row] for (genre, _), row in zip(asked, listed, strict=True)]
    return {"of the genre": np.mean(right, axis=1)}


def _fitted(model: str, settings: dict[str, Any], split: Split, run: Run) -> Any:
    made = models.get(model)(**settings)
    if not made.uses_validation:
        return made.fit(split.development, run=run)
    return made.fit(split.train, split.validation, run)


def _judged(fitted: Any, cases: Cases, known: Dataset) -> dict[str, Any]:
    """Each metric for each case, and how learning went."""
    samples = evaluate(fitted, cases, METRICS, world_of(known)).samples
    found: dict[str, Any] = {label: np.asarray(one.total, np.float64) for label, one in samples.items()}
    if hasattr(fitted, "trained"):
        found |= {"validation": fitted.trained.best, "best_epoch": fitted.trained.best_epoch}
    if hasattr(fitted, "item_codes"):
        worth = semantic_ids.report(fitted.item_codes[:, :-1], fitted.codes.sizes[:-1])
        found |= {"code use": min(worth.used), "collisions": worth.collisions_after}
    return found


def one(label: str, run: Run, folder: Path, work: Path) -> None:
    """Run one of `RUNS` and keep what it found."""
    part, name, model, settings = RUNS[label]
    how = label.rpartition("/")[2]
    start = time.process_time()
    if part == "transfer":
        found = transfer(name, model, settings, run, folder, work, how)
    else:
        found = {"warm": warm, "cold": cold, "told": told, "wishes": wishes}[part](name, model, settings, run, folder)
    found |= {"cpu": time.process_time() - start, "device": device_name(run.device), "settings": json.dumps(settings)}
    values = {name: one.astype(np.float32) if name in MEASURED else one for name, one in found.items()}
    np.savez_compressed(kept_file(FOUND, label, run.seed), **values)


def _settings(label: str) -> str:
    return json.dumps(RUNS[label][3])


def known() -> dict[str, Any]:
    """What is on record of runs with the settings of today; it stays where the files of users are no more."""
    file = RESULTS / "semantics.json"
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else {}
    return {label: one for label, one in runs.items() if label in RUNS and one["settings"] == RUNS[label][3]}


def on_record() -> dict[str, Any]:
    """What is known, and what was kept; no comparison of a row whose files are no more with one found anew."""
    old, new = known(), summary()
    for label, one in old.items():
        if label not in new and _first(label) in new:
            tests = ("gain", "gain_low", "gain_high", "p")
            old[label] = {key: _without(value, tests) if key in COLUMNS else value for key, value in one.items()}
    return old | new


def _without(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _first(label: str) -> str:
    """The run of the same part against which all others are tested."""
    part = label.rpartition("/")[0]
    return next(one for one in RUNS if one.rpartition("/")[0] == part)


def summary() -> dict[str, Any]:
    """The means over seeds of all that was kept, and the tests against the first run of each part; no part without."""
    found: dict[str, Any] = {}
    kept: dict[str, list[dict[str, Any]]] = {}
    for label in RUNS:
        files = [kept_file(FOUND, label, seed) for seed in range(10)]
        if runs := [dict(np.load(file)) for file in files if is_kept(file, _settings(label))]:
            kept[label] = runs
    kept = {label: runs for label, runs in kept.items() if _first(label) in kept}
    for label, runs in kept.items():
        found[label] = {"settings": RUNS[label][3], "seeds": len(runs)}
        found[label] |= {name: [run[name].item() for run in runs] for name in FACTS if name in runs[0]}
        for name, values in _columns(runs).items():
            sample = Sample(values.mean(0), np.ones(values.shape[1]))
            low, high = interval(bootstrap([sample])[:, 0])
            found[label][name] = {"value": sample.value, "low": low, "high": high, "seeds": values.mean(1).tolist()}
    for part in dict.fromkeys(label.rpartition("/")[0] for label in kept):
        labels = [label for label in kept if label.rpartition("/")[0] == part]
        for name in _columns(kept[labels[0]]):
            _test(found, kept, labels, name)
    return found


def _columns(runs: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """(seeds, users) what was measured."""
    found = {name: np.stack([run[name] for run in runs]) for name in MEASURED if name in runs[0]}
    few = runs[0].get("few", np.zeros(0, bool))
    if np.count_nonzero(few) >= LEAST:
        found |= {f"{name}, few": found[name][:, few] for name in METRICS}
    return found


def _test(found: dict[str, Any], kept: dict[str, Any], labels: list[str], name: str) -> None:
    """Paired tests of the mean over seeds against that of the first label with as many, with Holm's correction."""
    base = _columns(kept[labels[0]])[name]
    others = labels[1:]
    if not others:
        return
    found_of = {label: _columns(kept[label])[name] for label in others}
    differences = np.stack([one.mean(0) - base[: len(one)].mean(0) for one in found_of.values()], 1)
    for label, p in zip(others, holm(sign_flip(differences)), strict=True):
        difference = differences[:, others.index(label)]
        low, high = interval(bootstrap([Sample(difference, np.ones(len(difference)))])[:, 0])
        gain = float(difference.mean())
        found[label][name] |= {"gain": gain, "gain_low": low, "gain_high": high, "p": float(p)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a folder for models that come to other sets")
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--device", help="where models learn, such as cuda")
    parser.add_argument(
        "--one", action="store_true", help="one run in this process; what this script calls itself with"
    )
    chosen = parser.parse_args()
    for folder in (chosen.work, FOUND):
        folder.mkdir(parents=True, exist_ok=True)
    if chosen.one:
        one(chosen.runs[0], Run(seed=chosen.seeds[0], device=chosen.device), chosen.data, chosen.work)
        return
    device = [] if chosen.device is None else ["--device", chosen.device]
    for label in chosen.runs:
        for seed in chosen.seeds:
            if not is_kept(kept_file(FOUND, label, seed), _settings(label)):
                again = [sys.executable, __file__, "--data", str(chosen.data), "--work", str(chosen.work), *device]
                subprocess.run([*again, "--runs", label, "--seeds", str(seed), "--one"], check=True)
            found = on_record()
            write_results(
                "semantics", {"protocol": PROTOCOL, "runs": {label: found[label] for label in RUNS if label in found}}
            )
            print(label, seed, json.dumps({name: found.get(label, {}).get(name) for name in MEASURED}), flush=True)


if __name__ == "__main__":
    main()
