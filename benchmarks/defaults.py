"""Which default settings of `content` and `blend` are best on VALIDATION parts; no test part is looked at.

    python benchmarks/defaults.py --data FOLDER

FOLDER holds sets of uniform Parquet. Every setting of a small grid is fitted on `split.train` and judged by NDCG@10 on
(at most 3,000 cases of) `split.validation`: of leave_last_out on every set, of global_time where times are known. On
each of these parts its value is taken relative to the best of the grid, and the mean of those is what counts. Of the
settings within one per cent of the best mean, those with the fewest parts win, and among them the best.

`content` is decided first; `blend` is then judged with that content. A blend's members are fitted once for all methods.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from _common import write_results
from zhiyin import models, splitting
from zhiyin.data.prepare import prepare
from zhiyin.data.sources.folder import open_folder
from zhiyin.evaluation.evaluate import evaluate, world_of
from zhiyin.models.base import Recommender
from zhiyin.models.blend import Blend
from zhiyin.run import Run
from zhiyin.splitting.base import Split

Setting: TypeAlias = dict[str, Any]

SETS = ("movielens-latest-small", "movietweetings-100k", "movielens-1m", "amazon-beauty")
CASES = 3_000
"""A part with more cases is judged on so many of them, drawn with seed 0."""
WITHIN = 0.01
CONTENT: list[Setting] = [
    {"half_life": half_life, "max_share": share}
    for half_life, share in product((None, 1.0, 2.0, 3.0, 5.0, 10.0), (1.0, 0.3, 0.1))
]
MEMBERS: tuple[dict[str, float], ...] = (
    {"item_knn": 1, "ease": 1},
    {"ease": 1, "content": 1},
    {"item_knn": 1, "content": 1},
    {"item_knn": 1, "ease": 1, "content": 1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1, "content": 1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1, "content": 0.5},
    {"item_knn": 1, "ease": 1, "popularity": 1, "content": 1},
)
BLEND: list[Setting] = [
    {"method": method, "members": members} for members, method in product(MEMBERS, ("zscore", "minmax", "rank", "rrf"))
]


def parts(data: Path) -> Iterator[tuple[str, Split]]:
    """A name and the split of every set, by every way that its clock allows."""
    for name in SETS:
        events, items, users = open_folder(data / name)
        dataset = prepare(events, items, users, name=name)
        for way in ("leave_last_out", *(["global_time"] if dataset.clock == "time" else [])):
            yield f"{name}, {way}", splitting.get(way)().split(dataset)


def ndcg(model: Recommender, split: Split) -> float:
    cases = split.validation
    assert cases is not None
    if len(cases) > CASES:
        cases = cases.take(np.sort(np.random.default_rng(0).choice(len(cases), CASES, replace=False)))
    return evaluate(model, cases, ["ndcg@10"], world_of(split.train)).samples["ndcg@10"].value


def judge_content(split: Split) -> list[float]:
    return [ndcg(models.get("content")(**setting).fit(split.train, run=Run()), split) for setting in CONTENT]


def judge_blends(split: Split, content: Setting) -> list[float]:
    names = {name for members in MEMBERS for name in members}
    fitted = {name: models.get(name)(**(content if name == "content" else {})).fit(split.train) for name in names}
    return [
        ndcg(
            Blend.of([fitted[name] for name in one["members"]], list(one["members"].values()), method=one["method"]),
            split,
        )
        for one in BLEND
    ]


def n_parts(setting: Setting) -> int:
    """How much there is to a setting: fading, a limit on the share of a term, a member."""
    if "members" in setting:
        return len(setting["members"])
    return (setting["half_life"] is not None) + (setting["max_share"] < 1)


def decide(name: str, grid: list[Setting], judge: Callable[[Split], list[float]], data: Path) -> dict[str, Any]:
    values: dict[str, list[float]] = {}
    for part, split in parts(data):
        values[part] = judge(split)
        print(f"{name}: {part}: {min(values[part]):.4f} to {max(values[part]):.4f}", flush=True)
    table = np.array(list(values.values()))
    relative = (table / table.max(axis=1, keepdims=True)).mean(axis=0)
    able = np.flatnonzero(relative >= (1 - WITHIN) * relative.max())
    chosen = min(able, key=lambda place: (n_parts(grid[place]), -relative[place]))
    for place in np.argsort(-relative):
        print(f"  {relative[place]:.4f} {grid[place]} {'<- chosen' if place == chosen else ''}", flush=True)
    return {
        "grid": grid,
        "ndcg@10": values,
        "mean_relative": relative.tolist(),
        "best": grid[int(relative.argmax())],
        "chosen": grid[int(chosen)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    content = decide("content", CONTENT, judge_content, data)
    blend = decide("blend", BLEND, lambda split: judge_blends(split, content["chosen"]), data)
    write_results(
        "defaults", {"judged_on": "validation", "cases": CASES, "models": {"content": content, "blend": blend}}
    )


if __name__ == "__main__":
    main()
