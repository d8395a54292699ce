"""The header of a saved component: which one it is, with which settings, of which room; shared by the open rooms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zhiyin._version import __version__
from zhiyin.artifacts import read_json, to_json
from zhiyin.config import Component
from zhiyin.errors import ConfigError, DataError

HEADER = "config.json"


def write_header(component: Component, folder: Path, version: int) -> None:
    """Say in a folder what is saved there; `version` is that of the form."""
    header = {
        "format": version,
        "zhiyin": __version__,
        "room": component.room.rpartition(".")[2],
        "component": component.name,
        "config": component.config.model_dump(mode="json"),
    }
    (folder / HEADER).write_text(to_json(header), encoding="utf-8")


def component_in(folder: Path, room: str, what: str, version: int, get: Callable[[str], Any]) -> Any:
    """The component that a folder speaks of, with its settings; what it learnt is yet to be read.

    Args:
        folder: of the saved form.
        room: where it must be from, such as "encoders".
        what: such a component is called for people, such as "encoder".
        version: of the form that is understood.
        get: name -> class.

    Raises:
        DataError: there is no header, or it speaks of something else, or of what is not there any more.
    """
    if not (folder / HEADER).is_file():
        raise DataError(f"{folder} is not a saved {what} (no {HEADER}); make one with {what}.save(folder)")
    header = read_json(folder / HEADER)
    came, form = (header.get("room"), header.get("format")) if isinstance(header, dict) else (None, None)
    if came != room or form != version:
        raise DataError(f"{folder} holds {came!r} in format {form!r}, no {what} for this version")
    try:
        return get(header["component"])(**header["config"])
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"{folder / HEADER} asks for what this version does not have: {error}") from error
