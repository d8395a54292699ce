from typing import Literal, Self

import pytest
from pydantic import model_validator

from zhiyin.config import Component, Config, Search, setting
from zhiyin.errors import ConfigError


class Example(Config):
    rate: float = setting(0.5, gt=0, le=1, search=Search(0.01, 1, log=True))
    """How fast."""
    mode: Literal["one", "two"] = "one"
    """Which way."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.mode == "two" and self.rate == 1:
            raise ValueError("two cannot be had at full rate")
        return self


def test_texts_are_converted_and_documented() -> None:
    assert Example.read({"rate": "0.25"}).rate == 0.25
    schema = Example.model_json_schema()
    assert schema["properties"]["rate"]["description"] == "How fast."
    assert schema["properties"]["rate"]["search"] == {"low": 0.01, "high": 1, "log": True}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1}, "unknown setting of example 'rat'; did you mean 'rate'"),
        ({"rate": 2}, "setting 'rate' of example: got 2; input should be less than or equal to 1"),
        ({"mode": "three"}, "setting 'mode' of example: got 'three'; input should be 'one' or 'two'"),
        ({"rate": "inf"}, "input should be a finite number"),
        ({"rate": float("nan")}, "setting 'rate' of example: got nan"),
        ({"rate": 1, "mode": "two"}, r"^settings of example: two cannot be had at full rate$"),
    ],
)
def test_wrong_settings_are_explained(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Example.read(values, "example")


def test_settings_are_frozen_and_changed_by_copy() -> None:
    first = Example.read({"mode": "two"})
    second = first.but(rate=0.1)
    assert (first.rate, second.rate, second.mode) == (0.5, 0.1, "two")
    with pytest.raises(ValueError, match="frozen"):
        first.rate = 0.1  # type: ignore[misc]


class Made(Component):
    config: Example


def test_a_component_is_shown_with_what_was_set() -> None:
    assert repr(Made()) == "Made()"
    assert repr(Made(rate=1, mode="one")) == "Made(rate=1.0)"
