"""Recipe: a whole scenario as settings, written as one TOML file.

title     what people call it
family    commerce, content, social or ads
purpose   what it is for
data      a world, a prepared folder or public set, raw tables with the roles of their columns, or a plain table
task      what is done with them: lists for people, by default
weights   how much an event of each kind speaks for its item
split     what is learnt from and what is asked
wanted    the least value of what is asked for
pipeline  who retrieves, what may be listed, who ranks, what re-ranks; as in `zhiyin.ranking.pipeline`
baseline  settings of the popularity that lists are held against
metrics   what is measured; the first one decides
good      what good looks like: the least gain over popularity, the least part of the oracle, bounds of metrics
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from zhiyin.config import Config, setting
from zhiyin.errors import ConfigError, unknown
from zhiyin.ranking.pipeline_config import PipelineConfig
from zhiyin.scenarios import available

RECIPES = Path(__file__).parent / "recipes"
"""Where the recipes are that come along."""


class DataChoice(Config):
    """Where the data are: exactly one of `world`, `source`, `events` and `table`."""

    world: str | None = None
    """A world whose truth is known, one of `zhiyin.scenarios.worlds.available()`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings, where they are not the defaults."""
    source: str | None = None
    """A prepared folder, or the name of a public set; see `zhiyin data list`."""
    events: str | None = None
    """The file of a raw event log; relative paths are taken from where the command is run."""
    items: str | None = None
    """The file of the catalogue that belongs to it."""
    users: str | None = None
    """The file of the users that belong to it."""
    table: str | None = None
    """A CSV or Parquet file that the task reads as it is, such as the log of a trial of coupons."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Which column of the events plays which role, where its name does not say so: `user_id = "customer"`."""
    item_roles: dict[str, str] = Field(default_factory=dict)
    """The same of the catalogue."""
    user_roles: dict[str, str] = Field(default_factory=dict)
    """The same of the users."""
    item_lists: list[str] | dict[str, str] = Field(default_factory=list)
    """Columns of the catalogue of which a cell may hold several values, `["region"]`; or with what stands between the
    values, `{region = "/"}`."""
    user_lists: list[str] | dict[str, str] = Field(default_factory=list)
    """The same of the users."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        said = [name for name in ("world", "source", "events", "table") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(
                f"{' and '.join(said) or 'none'} came; exactly one of world, source, events and table is expected"
            )
        if self.settings and self.world is None:
            raise ValueError("settings are those of a world, and none is named")
        return self


class TaskChoice(Config):
    """What is done with the data."""

    task: str = "lists"
    """One of `zhiyin.scenarios.tasks.available()`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings."""


class SplitChoice(Config):
    """How the data are cut."""

    split: str = "global_time"
    """The name of a splitter; see `zhiyin list splits`."""
    settings: dict[str, Any] = Field(default_factory=lambda: {"targets": "successive"})
    """Its settings; by default each event after the cut is asked for at its own moment."""


class Bound(Config):
    """What a metric must keep to."""

    least: float | None = None
    """So much, or more."""
    most: float | None = None
    """So much, or less."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("a bound has neither least nor most; give one of them")
        return self


class Good(Config):
    """What good looks like."""

    gain: float = setting(0.1, ge=0)
    """The first metric is above that of popularity by so large a part of it, or more, and beyond chance."""
    oracle: float | None = setting(None, ge=0, le=1)
    """The first metric is so large a part of that of the oracle, or more; only where the truth is known."""
    bounds: dict[str, Bound] = Field(default_factory=dict)
    """Bounds of other metrics, by their labels."""


class Recipe(Config):
    """A scenario."""

    title: str
    """What people call it."""
    family: Literal["commerce", "content", "social", "ads"]
    """To which family of uses it belongs."""
    purpose: str
    """What it is for, in a sentence or two."""
    data: DataChoice
    """Where the data are."""
    task: TaskChoice = TaskChoice()
    """What is done with them."""
    weights: dict[str, float] = Field(default_factory=dict)
    """What an event of each kind weighs; of a kind that is not named, what the data say, else 1."""
    split: SplitChoice = SplitChoice()
    """What is learnt from and what is asked."""
    wanted: float | None = None
    """Only events of so large a value, or more, are asked for: half of a video, a rating of 4. Others are history."""
    pipeline: PipelineConfig = PipelineConfig()
    """Who retrieves, what may be listed, who ranks, what re-ranks."""
    baseline: dict[str, Any] = Field(default_factory=dict)
    """Settings of the popularity that lists are held against: where things are soon old, how soon it forgets."""
    metrics: tuple[str, ...] = setting(("ndcg@10", "recall@10", "coverage@10"), min_length=1)
    """What is measured; the first one decides."""
    k: int = setting(10, ge=1)
    """The length of a list."""
    good: Good = Good()
    """What good looks like."""

    @model_validator(mode="after")
    def _measured(self) -> Self:
        for label in self.good.bounds:
            if label not in self.metrics:
                raise ValueError(f"good.bounds names {label!r}, which is not measured; add it to metrics")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a TOML file.

        Raises:
            ConfigError: it is not there, is no TOML, or has a key that is unknown, missing or of another kind.
        """
        return cls.parse(_text(Path(path)), f"{path}")

    @classmethod
    def named(cls, name: str) -> Self:
        """One of the recipes that come along.

        Raises:
            ConfigError: there is none of that name; the message has the nearest.
        """
        return cls.load(file_of(name))

    @classmethod
    def parse(cls, text: str, of: str) -> Self:
        """Read the text of a recipe; `of` is what it is called in messages.

        Raises:
            ConfigError: as `load`.
        """
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{of} is no TOML: {error}; correct it there") from None
        return cls.read(content, of)


def file_of(name: str) -> Path:
    """The file of a recipe that comes along.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in available():
        raise ConfigError(f"{unknown('scenario', name, available())} (a file of your own is named with its .toml)")
    return RECIPES / f"{name}.toml"


def recipe_of(name: str) -> Recipe:
    """A recipe by its name, or from a file whose name ends in .toml.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    return Recipe.load(_place(name))


def text_of(name: str) -> str:
    """The same as it is written.

    Raises:
        ConfigError: as `recipe_of`.
    """
    return _text(_place(name))


def _place(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else file_of(name)


def write_copy(name: str, path: str | Path) -> Path:
    """Write a copy of a recipe for a person to edit, with its comments, and how to name their data at the top.

    Raises:
        ConfigError: there is no recipe of that name, or a file is there already.
    """
    text, target = file_of(name).read_text(encoding="utf-8"), Path(path)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(_HEAD.format(name=name) + text)
    except FileExistsError:
        raise ConfigError(f"{target} is there already; name another file") from None
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from error
    return target


_HEAD = """\
# A scenario of your own, begun from `{name}`.
#
# 1. Put your data in the section [data], instead of the world that is there. One of:
#
#        source = "my-data"              # a folder that `zhiyin prepare` made, or a name of `zhiyin data list`
#
#        events = "log.csv"              # or raw files, and what their columns mean
#        items = "products.csv"
#        roles = {{ user_id = "customer", item_id = "sku", time = "ts", kind = "action" }}
#
#        table = "trial.csv"             # or one plain table, where the task takes one, as that of coupons does
#
# 2. Say under [weights] what your kinds of events weigh, and under [[pipeline.rules]] what may be listed.
# 3. Say under [good] what you would call good. `oracle` is for worlds alone: drop it.
# 4. zhiyin scenarios run THIS-FILE.toml

"""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read the scenario {path}: {error.strerror}; name a TOML file that is there"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the scenario {path} is no text in UTF-8: {error}; save it as UTF-8") from error
