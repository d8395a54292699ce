"""Run: a recipe on its data, and is it any good? What is done is said by the recipe's task."""

from __future__ import annotations

from zhiyin.run import Run
from zhiyin.scenarios import tasks
from zhiyin.scenarios.opening import Data, opened
from zhiyin.scenarios.recipe import Recipe
from zhiyin.scenarios.report import ScenarioReport


def run(recipe: Recipe, data: Data | None = None, run: Run | None = None) -> ScenarioReport:
    """Run a recipe.

    Args:
        recipe: what to do.
        data: a dataset, a world, or a plain table for a task that takes one, instead of what the recipe names.
        run: seed, threads, memory.

    Raises:
        ConfigError: the recipe names something unknown, or the data lack a column that it needs.
        DataError: the data cannot be read, or nothing is left to learn from or to ask.
    """
    how = run or Run()
    task = tasks.get(recipe.task.task)(**recipe.task.settings)
    found: ScenarioReport = task.judge(recipe, opened(recipe.data, how) if data is None else data, how)
    return found
