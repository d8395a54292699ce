"""Reader: the choice of an encoder, in the settings of whatever reads items."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from zhiyin.config import Config


class Reader(Config):
    """Who reads the items."""

    encoder: str = "multilingual"
    """Its name, or `package.module:Class`; see `zhiyin list encoders`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


def reader_of(value: Any) -> Any:
    """A reader from text, `sentence`, or `{"encoder": ..., "settings": ...}`; anything else as it is."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("{") else {"encoder": value.strip()}
