"""Which default settings of `content` and `blend` are best on VALIDATION parts; no test part is looked at.

    python benchmarks/defaults.py --data FOLDER

FOLDER holds sets of uniform Parquet. Every setting of a small grid is fitted on `split.train` and judged by NDCG@10 on
(at most 3,000 cases of) `split.validation`: of leave_last_out on every set, and of global_time where times are exact.
A part of fewer than 100 cases is left out, as chance would decide there. On each part a value is taken relative to the
best of the grid; their mean within a set, and then over sets, is what counts. Of the settings within one per cent of
the best, those with the fewest parts win, and among them the best.

`content` is decided first; `blend` is then judged with that content, and decided for each situation: items may say
nothing (no content), or be too many for ease. The members of all blends are fitted once.
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

SETS = {
    "movielens-latest-small": ("leave_last_out", "global_time"),
    "movietweetings-100k": ("leave_last_out", "global_time"),
    "movielens-1m": ("leave_last_out",),
    "amazon-beauty": ("leave_last_out",),
}
"""The sets, and the splits that each allows: of the last two, only the order of events is known for sure."""
CASES = 3_000
"""A part with more cases is judged on so many of them, drawn with seed 0."""
LEAST_CASES = 100
WITHIN = 0.01
CONTENT: list[Setting] = [
    {"half_life": half_life, "max_share": share}
    for half_life, share in product((None, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0), (1.0, 0.3, 0.1))
]
MEMBERS: tuple[dict[str, float], ...] = (
    {"item_knn": 1, "popularity": 0.1},
    {"item_knn": 1, "content": 1},
    {"item_knn": 1, "popularity": 0.1, "content": 1},
    {"item_knn": 1, "ease": 1},
    {"ease": 1, "content": 1},
    {"item_knn": 1, "ease": 1, "content": 1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1, "content": 1},
    {"item_knn": 1, "ease": 1, "popularity": 0.1, "content": 0.5},
    {"item_knn": 1, "ease": 1, "popularity": 1, "content": 1},
)
BLEND: list[Setting] = [
    {"method": method, "members": members} for members, method in product(MEMBERS, ("zscore", "minmax", "rank", "rrf"))
]

SITUATIONS: dict[str, Callable[[Setting], bool]] = {
    "usual": lambda one: True,
    "no content": lambda one: "content" not in one["members"],
    "no ease": lambda one: "ease" not in one["members"],
    "neither": lambda one: not {"content", "ease"} & set(one["members"]),
}


def parts(data: Path) -> Iterator[tuple[str, Split]]:
    """The name of a set and of a split, and the split itself."""
    for name, ways in SETS.items():
        events, items, users = open_folder(data / name)
        dataset = prepare(events, items, users, name=name)
        for way in ways:
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


def judged(judge: Callable[[Split], list[float]], data: Path) -> dict[str, dict[str, Any]]:
    """By part, the number of cases and the value of each setting."""
    found: dict[str, dict[str, Any]] = {}
    for part, split in parts(data):
        cases = split.facts.validation_cases
        if cases >= LEAST_CASES:
            found[part] = {"cases": min(CASES, cases), "ndcg@10": judge(split)}
            print(f"{part}: {min(found[part]['ndcg@10']):.4f} to {max(found[part]['ndcg@10']):.4f}", flush=True)
    return found


def mean_relative(values: dict[str, dict[str, Any]]) -> np.ndarray:
    """(settings,) the value relative to the best of the grid, as the mean over the parts of a set, then over sets."""
    relative = {part: np.array(one["ndcg@10"]) / max(one["ndcg@10"]) for part, one in values.items()}
    by_set = [np.mean([row for part, row in relative.items() if part.startswith(f"{name},")], axis=0) for name in SETS]
    return np.mean(by_set, axis=0)


def choose(grid: list[Setting], relative: np.ndarray, able: Callable[[Setting], bool] = lambda _: True) -> Setting:
    """The best of the able settings but for one per cent, which is given for fewer parts."""
    places = [place for place, setting in enumerate(grid) if able(setting)]
    best = max(relative[place] for place in places)
    near = [place for place in places if relative[place] >= (1 - WITHIN) * best]
    return grid[min(near, key=lambda place: (n_parts(grid[place]), -relative[place]))]


def show(grid: list[Setting], relative: np.ndarray) -> None:
    for place in np.argsort(-relative):
        print(f"  {relative[place]:.4f} {grid[place]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    values = judged(judge_content, data)
    relative = mean_relative(values)
    chosen = choose(CONTENT, relative)
    show(CONTENT, relative)
    content = {"grid": CONTENT, "parts": values, "mean_relative": relative.tolist(), "chosen": {"usual": chosen}}
    values = judged(lambda split: judge_blends(split, chosen), data)
    relative = mean_relative(values)
    show(BLEND, relative)
    situations = {name: choose(BLEND, relative, able) for name, able in SITUATIONS.items()}
    blend = {"grid": BLEND, "parts": values, "mean_relative": relative.tolist(), "chosen": situations}
    print(content["chosen"], blend["chosen"], sep="\n")
    write_results("defaults", {"judged_on": "validation", "models": {"content": content, "blend": blend}})


if __name__ == "__main__":
    main()
