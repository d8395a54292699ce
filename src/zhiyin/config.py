"""Settings: what a person writes, stated once.

A component's settings are a frozen pydantic model with a docstring under each field. The command line, recipes, the
JSON schema and the tuner's search space are all read from it.

    class EASEConfig(Config):
        regularization: float = setting(500.0, gt=0, search=Search(10, 5_000, log=True))
        '''L2 weight on the diagonal of the item-item Gram matrix.'''
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zhiyin.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Search:
    """The range in which the tuner looks for a number; `log` spreads the trials over orders of magnitude."""

    low: float
    high: float
    log: bool = False


def setting(default: Any, *, search: Search | None = None, **bounds: Any) -> Any:
    """Declare a setting: its default, its bounds (`gt`, `ge`, `lt`, `le`, ...) and where the tuner looks for it."""
    extra: Any = None if search is None else {"search": {"low": search.low, "high": search.high, "log": search.log}}
    return Field(default, json_schema_extra=extra, **bounds)


def names(value: Any) -> Any:
    """Names from text, `"value, gap"`; anything else is returned as it is. For validators of fields of several names.

    >>> names("value, gap"), names(["value"])
    (('value', 'gap'), ['value'])
    """
    return tuple(one.strip() for one in value.split(",") if one.strip()) if isinstance(value, str) else value


class Config(BaseModel):
    """Base of every component's settings: frozen, no unknown names, documented field by field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def read(cls, values: Mapping[str, Any], of: str = "") -> Self:
        """Make settings from names and values; text values ("0.5", "true") are converted to the field's type.

        Raises:
            ConfigError: an unknown name (with the nearest known ones) or a value out of bounds.
        """
        where = f" of {of}" if of else ""
        for name in values:
            if name not in cls.model_fields:
                raise ConfigError(unknown(f"setting{where}", name, cls.model_fields))
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_explain(error, where)) from None

    def but(self, **changes: Any) -> Self:
        """The same settings with some of them changed."""
        return type(self).read({**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


class Component:
    """Base of whatever has settings and is found by name: models, metrics, splits, preparation steps."""

    config: Config
    room: ClassVar[str] = ""
    """The package of the open room that lists it."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        wanted = self.settings()
        if config is not None and options:
            raise ConfigError("give either a config or single settings, not both")
        if config is not None and not isinstance(config, wanted):
            raise ConfigError(f"{self.name} takes a {wanted.__name__}, a {type(config).__name__} came")
        self.config = wanted.read(options, self.name) if config is None else config

    def __repr__(self) -> str:
        changed = self.config.model_dump(mode="json", exclude_defaults=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    @classmethod
    def settings(cls) -> type[Config]:
        """The class of its settings."""
        owner = next(one for one in cls.__mro__ if "config" in inspect.get_annotations(one))
        said = inspect.get_annotations(owner)["config"]
        # Only this one annotation: others may name what is imported for the type checker alone.
        wanted: type[Config] = eval(said, vars(sys.modules[owner.__module__])) if isinstance(said, str) else said
        return wanted

    @property
    def name(self) -> str:
        """The name by which it is found: its file's stem, or `package.module:Class` for a foreign one."""
        module = type(self).__module__
        own = module.startswith(f"{self.room}.")
        return module.rpartition(".")[2] if own else f"{module}:{type(self).__qualname__}"


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        said = f"{said[0].lower()}{said[1:]}"
        lines.append(f"setting {name!r}{where}: got {fault['input']!r}; {said}" if name else f"settings{where}: {said}")
    return "; ".join(lines)
