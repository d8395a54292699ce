"""Contestants: which models run in a comparison, under which names, and the simple baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError
from zhiyin.models.base import Recommender

One: TypeAlias = "str | Recommender | type[Recommender] | tuple[str, Mapping[str, Any]]"
"""A model to compare: a name, an instance (its settings count; it is fitted anew), a class, or a name with settings."""

Models: TypeAlias = Sequence[One] | Mapping[str, One]

WINDOW_DAYS = 30
"""The window of the popularity baseline that forgets; it runs where the data are longer than that."""
DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model, not fitted, under the name that tables show."""

    name: str
    model: Recommender
    baseline: bool = False


def contestants(models: Models, baselines: Models | None, dataset: Dataset) -> list[Contestant]:
    """All models, baselines first; made before any is fitted, so that a wrong setting is told at once.

    Raises:
        ConfigError: no model, an unknown one, a wrong setting, or two of one name.
    """
    simple = named(usual_baselines(dataset) if baselines is None else baselines)
    asked = named(models)
    if not asked and not simple:
        raise ConfigError("no model came; name at least one, for example compare(dataset, ['item_knn'])")
    found = [Contestant(name, model, True) for name, model in simple.items()]
    for name, model in asked.items():
        if name not in simple:
            found.append(Contestant(name, model))
        elif _identity(model) != _identity(simple[name]):
            raise ConfigError(f"{name!r} is the name of a baseline with other settings; give your model another name")
    return found


def usual_baselines(dataset: Dataset) -> dict[str, One]:
    """Popularity of all time and, where times are known and long enough, of the last days of training."""
    usual: dict[str, One] = {"popularity": "popularity"}
    time = dataset.histories.time
    if dataset.clock == "time" and time is not None and len(time) and time.max() - time.min() > WINDOW_DAYS * DAY:
        usual[f"popularity_{WINDOW_DAYS}d"] = ("popularity", {"fade": "window", "days": WINDOW_DAYS})
    return usual


def named(models: Models) -> dict[str, Recommender]:
    """Models by name. Of several from one component, each name tells the settings.

    Raises:
        ConfigError: what came is no model, or the same model came twice.
    """
    if isinstance(models, str):
        raise ConfigError(f"a list of models was expected, one text came: {models!r}; write [{models!r}]")
    if isinstance(models, Mapping):
        return {str(name): made(one) for name, one in models.items()}
    all_made = [made(one) for one in models]
    short = [model.name for model in all_made]
    names = [name if short.count(name) == 1 else long_name(model) for name, model in zip(short, all_made, strict=True)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{twice[0]!r} came twice; every model is compared once")
    return dict(zip(names, all_made, strict=True))


def made(one: One) -> Recommender:
    """A model that has learnt nothing yet."""
    from zhiyin import models

    if isinstance(one, Recommender):
        return type(one)(one.config)
    if isinstance(one, type) and issubclass(one, Recommender):
        return one()
    name, settings = one if isinstance(one, tuple) and len(one) == 2 else (one, {})
    if not isinstance(name, str) or not isinstance(settings, Mapping):
        raise ConfigError(f"a model is a name, an instance, a class or (name, settings); {one!r} came")
    found: Recommender = models.get(name)(**settings)
    return found


def long_name(model: Recommender) -> str:
    """The model's name with the settings that were given."""
    given = model.config.model_dump(mode="json", exclude_unset=True)
    return f"{model.name}({', '.join(f'{name}={value}' for name, value in given.items())})"


def _identity(model: Recommender) -> tuple[str, str]:
    return model.name, model.config.model_dump_json()
