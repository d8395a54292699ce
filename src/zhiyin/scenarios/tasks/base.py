"""Task: what is done with the data of a recipe, beside a plain baseline and, in a world, beside an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from zhiyin.config import Component, Config
from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError
from zhiyin.evaluation.significance import PairedTest
from zhiyin.run import Run
from zhiyin.scenarios.opening import Data, weighed
from zhiyin.scenarios.report import Check, ScenarioReport
from zhiyin.scenarios.worlds.base import World

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Good, Recipe


class Task(Component):
    """Base of every task."""

    config: Config
    room = "zhiyin.scenarios.tasks"

    def judge(self, recipe: Recipe, data: Data, run: Run) -> ScenarioReport:
        """Do it, and say what came.

        Raises:
            ConfigError: the recipe says something that does not fit the task, or the data lack what it needs.
            DataError: nothing is left to learn from or to ask.
        """
        raise NotImplementedError


def events_of(recipe: Recipe, data: Data) -> tuple[Dataset, World | None]:
    """The events of the data, weighed as the recipe says, and the world that they are of, if any.

    Raises:
        ConfigError: the data are a plain table.
    """
    if isinstance(data, pa.Table):
        raise ConfigError(
            f"the task {recipe.task.task!r} takes events, a plain table came; name a source or events under [data]"
        )
    if isinstance(data, World):
        return weighed(data.dataset(), recipe.weights), data
    return weighed(data, recipe.weights), None


def checks(good: Good, test: PairedTest, values: Mapping[str, float], worse: float, best: float | None) -> list[Check]:
    """Whether all is as good as a recipe asks.

    Args:
        good: what it asks for.
        test: the better against the baseline, on the metric that decides.
        values: label -> value of all that was measured of the better.
        worse: that metric of the baseline.
        best: that metric of the oracle; None where no truth is known.
    """
    first, ours = test.metric, values[test.metric]
    gain = (ours - worse) / abs(worse) if worse else np.inf
    found = [
        Check(
            f"gain of {first} over {test.reference}, as a part of it",
            float(gain),
            f"{good.gain:g} or more",
            gain >= good.gain,
        ),
        Check("p of that gain", test.p, "below 0.05, and a gain", test.beyond_chance and test.difference > 0),
    ]
    if good.oracle is not None and best is not None:
        part = ours / best
        found.append(
            Check(f"part of the oracle's {first}", float(part), f"{good.oracle:g} or more", part >= good.oracle)
        )
    for label, bound in good.bounds.items():
        low, high = (-np.inf if bound.least is None else bound.least), (np.inf if bound.most is None else bound.most)
        said = [f"{name} {at:g}" for name, at in (("least", bound.least), ("most", bound.most)) if at is not None]
        found.append(Check(label, values[label], " and ".join(said), low <= values[label] <= high))
    return found
