"""Scenarios: one declarative recipe for each family of use, a small world to run it in, and a verdict.

A recipe is a TOML file: the data and what their columns mean, how much events of each kind weigh, the split, the
pipeline as it is, the metrics, and what good looks like. `available()` lists those that come along, from the files in
`recipes/`; a recipe of one's own begins as a copy of one of them.

>>> from zhiyin import scenarios
>>> "products" in scenarios.available()
True
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhiyin.scenarios.recipe import Recipe as Recipe
    from zhiyin.scenarios.report import ScenarioReport as ScenarioReport

__all__ = ["Recipe", "ScenarioReport", "available"]


def available() -> tuple[str, ...]:
    """The names of the recipes that come along, sorted; reads none of them."""
    return tuple(sorted(one.stem for one in (Path(__file__).parent / "recipes").glob("*.toml")))


_HOMES = {"Recipe": "zhiyin.scenarios.recipe", "ScenarioReport": "zhiyin.scenarios.report"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
