"""Chances of a like or a click: rankers on features of the moment beside trees on raw ids and a plain net.

    python benchmarks/ctr.py --data FOLDER [--sets movielens-1m ...]

"movielens-1m": is this rating 4 or more? Cut by time: rows of the fifth to eighth tenth of the log to learn from, the
ninth to stop, choose and calibrate on, the last to test on. Features are of the moment of each row (what the person and
the item were until then), scores of retrievers are those of models of the first half of the log. The two opponents get
the user's and the item's id, all their attributes, hour and weekday, of all rows of the first eight tenths.
"open bandit": was it clicked? All six logs of the sample, with the person's features, place, hour, and the person's
affinity to what was shown. "avazu", "criteo": samples of 1,999 rows, each once; too small for a verdict, and here to
see that nothing breaks (that of alimama has 14 clicks in 304 different rows, too few for folds). For these three, five
folds by random; of the rows to learn from a quarter is there to stop, choose and calibrate on; all rows are judged by
the fold that did not see them.

"trees, raw" is LightGBM with the ids as categories; "net, raw" embeds ids and has layers, without products. Both, and
ours, are chosen from two or three settings each by the log loss of the validation rows. All are calibrated alike
(isotonic; Platt for the three small ones), and "raw error" is the calibration error before. Intervals: 95 %, bootstrap
over rows; "gain" is how much lower our log loss is than that of the better of the two opponents, paired.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import rankdata

from _common import write_results
from classics import load
from zhiyin import models
from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.evaluation.reliability import reliability
from zhiyin.metrics import LogLoss
from zhiyin.models.base import RatingPredictor
from zhiyin.ranking import chances, rankers
from zhiyin.ranking.features.retrieval import SCORE
from zhiyin.ranking.labels import Labelled, rated
from zhiyin.ranking.rankers.base import Ranker, Rows
from zhiyin.ranking.table import DEFAULT, Features, FeatureTable
from zhiyin.run import Run

DRAWS = 300
FOLDS = 5
RUN = Run(seed=0, threads=1)
TREES = [
    {"objective": "chance", "n_leaves": leaves, "least_rows": rows, "n_trees": 1_000}
    for leaves, rows in ((15, 20), (63, 20), (63, 200))
]
NETS = [{"embedding_size": size, "regularization": decay} for size, decay in ((8, 1e-3), (16, 1e-1))]
LINES = [{"regularization": weight} for weight in (10.0, 100.0, 1_000.0)]
OPPONENTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "trees, raw": ("boosted_trees", TREES),
    "net, raw": ("deep_cross", [{**one, "n_crosses": 0, "bins": 1} for one in NETS]),
}
OURS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "boosted_trees": ("boosted_trees", TREES),
    "deep_cross": ("deep_cross", NETS),
    "logistic": ("logistic", LINES),
}
RETRIEVERS = ("svd", "item_knn", "ease")
TIMES = (0.5, 0.8, 0.9)


class Data:
    """Rows for the opponents and for ours, in the same order where both are judged."""

    def __init__(self, raw: Rows, own: Rows, raw_parts: AnyArray, own_parts: AnyArray) -> None:
        self.raw, self.own, self.raw_parts, self.own_parts = raw, own, raw_parts, own_parts


# ---------------------------------------------------------------------- sets


FAMILIES = [name for name in DEFAULT if name != "transitions"]
"""What somebody will like is asked here, not what comes next."""


def films(folder: Path) -> tuple[Rows, Rows, AnyArray, AnyArray]:
    """(rows of raw columns, rows of features, the part of each): 0 to learn from, 1 validation, 2 test."""
    dataset = load("movielens-1m", folder)
    time_of = dataset.histories.time
    assert time_of is not None
    cuts = [int(np.quantile(time_of, share)) for share in TIMES]
    raw = rated(dataset, 4.0, max_history=1)
    own = _scored(rated(dataset, 4.0, start=cuts[0]), dataset.keep(time_of < cuts[0]))
    parts = [np.searchsorted(cuts[1:], one.candidates.now(), side="right") for one in (raw, own)]
    return _raw_rows(dataset, raw), own.rows(Features(families=FAMILIES).fit(dataset, RUN)), parts[0], parts[1]


def _scored(found: Labelled, early: Dataset) -> Labelled:
    """With the scores of retrievers that know the early events alone."""
    asked, columns = found.candidates, {}
    for name in RETRIEVERS:
        model = models.get(name)().fit(early, run=RUN)
        score = model.score_pairs(asked.queries, asked.item, RUN)
        columns[f"{SCORE}{name}"] = np.where(np.isfinite(score), score, np.nan).astype(np.float32)
        if isinstance(model, RatingPredictor):
            columns[f"{SCORE}{name}: value"] = model.predict(asked.queries, asked.item).astype(np.float32)
    return replace(found, candidates=asked.with_columns(**columns))


def _raw_rows(dataset: Dataset, found: Labelled) -> Rows:
    asked = found.candidates
    users = dataset.users.encode(list(asked.queries.users or ()))
    now = asked.now()
    columns: dict[str, AnyArray] = {"user": users.astype(str), "item": asked.item.astype(str)}
    for side, table, rows in (("person", dataset.user_table, users), ("item", dataset.item_table, asked.item)):
        for name in table.column_names:
            values = table.column(name).to_pylist()
            if isinstance(values[0], (str, int, float)) and name not in ("user_id", "item_id", "title", "description"):
                columns[f"{side} {name}"] = np.array(values, object)[rows].astype(str)
            if name == "categories":
                columns["first category"] = np.array([(one or [""])[0] for one in values], object)[rows].astype(str)
    columns["hour"] = (now // 3_600_000_000 % 24).astype(np.float32)
    columns["weekday"] = (now // 86_400_000_000 % 7).astype(np.float32)
    return Rows(FeatureTable.of(columns), found.label)


def open_bandit(folder: Path) -> Rows:
    """All logs of the sample."""
    columns: dict[str, list[Any]] = {}
    label: list[float] = []
    for policy in ("random", "bts"):
        for campaign in ("all", "men", "women"):
            table = pq.read_table(folder / "open-bandit-sample" / f"{policy}_{campaign}.parquet")
            item = np.array([int(one) for one in table["item_id"].to_pylist()])
            affinity = np.stack([table[f"user-item_affinity_{at}"].to_numpy() for at in range(item.max() + 1)], 1)
            own = {
                "item": [f"{campaign} {one}" for one in item],
                "campaign": [campaign] * len(item),
                "policy": [policy] * len(item),
                "place": [str(one) for one in table["position"].to_pylist()],
                **{f"person {at}": table[f"user_feature_{at}"].to_pylist() for at in range(4)},
                "affinity to it": affinity[np.arange(len(item)), item].tolist(),
                "affinity to all": affinity.sum(1).tolist(),
                "hour": (table["time"].to_numpy() // 3_600 % 24).tolist(),
                "propensity": np.log(table["propensity_score"].to_numpy()).tolist(),
            }
            for name, values in own.items():
                columns.setdefault(name, []).extend(values)
            label += table["click"].to_pylist()
    made = {
        name: np.array(values, object if isinstance(values[0], str) else np.float32) for name, values in columns.items()
    }
    return Rows(FeatureTable.of(made), np.array(label, np.float32))


def sample(folder: Path, name: str) -> Rows:
    """One of the samples of logs of advertisements, each row once: copies would be on both sides of a fold."""
    table = pq.read_table(folder / "ctr-samples" / f"{name}.parquet")
    first = {str(row): at for at, row in reversed(list(enumerate(table.to_pylist())))}
    table = table.take(sorted(first.values()))
    columns: dict[str, AnyArray] = {}
    for column in table.column_names:
        values = table[column].to_pylist()
        if column in ("label", "id", "Id") or isinstance(next((one for one in values if one is not None), 0), list):
            continue
        numbers = not isinstance(next((one for one in values if one is not None), 0.0), str)
        columns[column] = np.array(
            [np.nan if numbers and one is None else one for one in values], float if numbers else object
        )
    return Rows(FeatureTable.of(columns), np.array(table["label"].to_pylist(), np.float32))


# ---------------------------------------------------------------------- learning


def chosen(choice: tuple[str, list[dict[str, Any]]], rows: Rows, held: Rows) -> tuple[Ranker, dict[str, Any]]:
    """The ranker of the settings that are best on the validation rows."""
    name, grid = choice
    made = [rankers.get(name)(**one).fit(rows, held, RUN) for one in grid]
    losses = [float(LogLoss()(held.label, np.clip(one.predict(held.features), 1e-6, 1 - 1e-6))) for one in made]
    at = int(np.argmin(losses))
    return made[at], grid[at]


def part_of(rows: Rows, mask: AnyArray) -> Rows:
    return rows.take(mask)


def answers(
    raw: Rows, own: Rows, parts: tuple[AnyArray, AnyArray], method: chances.Method
) -> tuple[dict[str, AnyArray], dict[str, AnyArray], dict[str, Any]]:
    """Chances of the test rows by each, calibrated and not, and the settings that were chosen."""
    found: dict[str, AnyArray] = {}
    before: dict[str, AnyArray] = {}
    told: dict[str, Any] = {}
    for choices, rows, part in ((OPPONENTS, raw, parts[0]), (OURS, own, parts[1])):
        learn, held, test = (part_of(rows, part == at) for at in range(3))
        best: dict[str, dict[str, Any]] = {}
        for label, choice in choices.items():
            if raw is own and label == "boosted_trees":  # the same rows, the same trees
                best[label], found[label] = told["trees, raw"]["settings"], found["trees, raw"]
                before[label] = before["trees, raw"]
                continue
            start = time.process_time()
            made, settings = chosen(choice, learn, held)
            best[choice[0]] = settings
            found[label], before[label] = _calibrated(made, held, test, method)
            told[label] = {"settings": settings, "cpu": time.process_time() - start}
        if choices is OURS:
            made = rankers.get("blend")(parts=[{"ranker": name, "settings": one} for name, one in best.items()])
            made.fit(learn, held, RUN)
            found["blend"], before["blend"] = _calibrated(made, held, test, method)
            told["blend"] = {"shares": made.shares.tolist(), "importance": dict(list(made.importance().items())[:12])}
    return found, before, told


def _calibrated(made: Ranker, held: Rows, test: Rows, method: chances.Method) -> tuple[AnyArray, AnyArray]:
    said, plain = (chances.log_odds(made.predict(one.features)) for one in (held, test))
    return chances.apply(method, chances.learn(method, said, held.label), plain), made.predict(test.features)


def in_folds(rows: Rows) -> tuple[AnyArray, dict[str, AnyArray], dict[str, AnyArray], list[Any]]:
    """The labels of all rows, and chances by models that did not see them."""
    order = np.random.default_rng(0).permutation(len(rows))
    found: dict[str, AnyArray] = {}
    before: dict[str, AnyArray] = {}
    told = []
    for fold in range(FOLDS):
        part = np.zeros(len(rows), np.int64)
        part[order[fold::FOLDS]] = 2
        rest = np.flatnonzero(part == 0)
        part[np.random.default_rng(fold).permutation(rest)[: len(rest) // 4]] = 1
        said, plain, how = answers(rows, rows, (part, part), "platt")
        told.append(how)
        for store, values in ((found, said), (before, plain)):
            for name, one in values.items():
                store.setdefault(name, np.zeros(len(rows)))[part == 2] = one
    return rows.label, found, before, told


# ---------------------------------------------------------------------- judging


def auc(label: AnyArray, said: AnyArray) -> float:
    rank, n = rankdata(said), label.sum()
    return float((rank[label == 1].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))


def judged(label: AnyArray, found: dict[str, AnyArray], before: dict[str, AnyArray]) -> dict[str, Any]:
    """AUC and log loss of each with intervals, calibration, and how much better ours are than the opponents."""
    losses = {name: -np.where(label == 1, np.log(one), np.log1p(-one)) for name, one in found.items()}
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, len(label), len(label)) for _ in range(DRAWS)]
    rows: dict[str, Any] = {}
    for name, said in found.items():
        rows[name] = {
            "auc": _interval(auc(label, said), [auc(label[one], said[one]) for one in draws]),
            "log loss": _interval(losses[name].mean(), [losses[name][one].mean() for one in draws]),
            "error": reliability(label, said).error,
            "raw error": reliability(label, np.clip(before[name], 0, 1)).error,
        }
    best = min(OPPONENTS, key=lambda name: losses[name].mean())
    sharpest = max(OPPONENTS, key=lambda name: rows[name]["auc"]["value"])
    for name in found:
        if name not in OPPONENTS:
            gain = losses[best] - losses[name]
            rows[name]["gain"] = _interval(gain.mean(), [gain[one].mean() for one in draws])
            more = [auc(label[one], found[name][one]) - auc(label[one], found[sharpest][one]) for one in draws]
            rows[name]["auc gain"] = _interval(rows[name]["auc"]["value"] - rows[sharpest]["auc"]["value"], more)
    return {"rows": rows, "cases": len(label), "happened": float(label.mean())}


def _interval(value: float, draws: list[float]) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": float(value), "low": float(low), "high": float(high)}


def movielens(folder: Path) -> dict[str, Any]:
    raw, own, raw_part, own_part = films(folder)
    found, before, told = answers(raw, own, (raw_part, own_part), "isotonic")
    label = own.label[own_part == 2]
    blend = reliability(label, found["blend"])
    return {**judged(label, found, before), "told": told, "reliability": blend.to_dict()}


def folded(rows: Rows) -> dict[str, Any]:
    label, found, before, told = in_folds(rows)
    return {**judged(label, found, before), "told": told}


SETS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "movielens-1m": movielens,
    "open bandit": lambda folder: folded(open_bandit(folder)),
    **{name: lambda folder, name=name: folded(sample(folder, name)) for name in ("avazu", "criteo")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    options = parser.parse_args()
    file = Path(__file__).parent / "results" / "ctr.json"
    kept = json.loads(file.read_text(encoding="utf-8"))["sets"] if file.is_file() else {}
    for name in options.sets:
        kept[name] = SETS[name](options.data)
        print(name, json.dumps(kept[name]["rows"]), flush=True)
        write_results("ctr", {"protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()), "sets": kept})


if __name__ == "__main__":
    main()
