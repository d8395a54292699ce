"""What each scenario comes to in its world: the recipe, its baseline and, where the truth is known, the oracle.

    python benchmarks/scenarios.py [--recipes products ...] [--seeds 0 1 2] [--data FOLDER]

Each recipe as it comes along (`zhiyin scenarios run NAME`), in worlds made with several seeds; the settings of a recipe
were chosen in the world of seed 0. With --data also the recipes of `recipes/scenarios`, on sets of uniform Parquet that
lie there; seeds are those of the pipeline then, and there is no oracle. One thread. "part of the oracle" is of the
metric that decides, the first one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _common import clock, write_results
from zhiyin import scenarios
from zhiyin.run import Run
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.run import run

REAL = {"films": "movielens-latest-small", "online-shop": "retailrocket-filtered"}
"""Recipes on real data, and the sets that they are run on."""
RECIPES = Path(__file__).parents[1] / "recipes" / "scenarios"


def in_world(recipe: Recipe, seed: int) -> Recipe:
    """The recipe in the world of one seed."""
    return recipe.but(data=recipe.data.but(settings={**recipe.data.settings, "seed": seed}))


def measured(recipe: Recipe, seed: int) -> dict[str, Any]:
    """What came."""
    with clock() as spent:
        report = run(recipe, run=Run(seed=seed, threads=1))
    print(report, flush=True)
    return {
        "data": report.data,
        "cases": report.cases,
        "results": {name: {label: one.value for label, one in of.items()} for name, of in report.results.items()},
        "test": {"ours": report.test.model, "baseline": report.test.reference, "p": report.test.p},
        "passed": report.passed,
        "failed": [str(one) for one in report.checks if not one.passed],
        "cpu": spent.cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="*", default=list(scenarios.available()))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    file = Path(__file__).parent / "results" / "scenarios.json"
    kept = json.loads(file.read_text(encoding="utf-8"))["recipes"] if file.is_file() else {}
    found = {name: [in_world(Recipe.named(name), seed) for seed in chosen.seeds] for name in chosen.recipes}
    if chosen.data is not None:
        for name, of in REAL.items():
            recipe = Recipe.load(RECIPES / f"{name}.toml").but(data={"source": str(chosen.data / of)})
            found[name] = [recipe] * len(chosen.seeds)
    for name, recipes in found.items():
        kept[name] = [measured(recipe, seed) for recipe, seed in zip(recipes, chosen.seeds, strict=True)]
        write_results("scenarios", {"protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()), "recipes": kept})


if __name__ == "__main__":
    main()
