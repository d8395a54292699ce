"""`zhiyin list`: what there is, and the settings of each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zhiyin.cli import _options as opt

ROOMS = {
    "models": "zhiyin.models",
    "metrics": "zhiyin.metrics",
    "splits": "zhiyin.splitting",
    "steps": "zhiyin.data.steps",
}


def listing(
    room: Annotated[str | None, typer.Argument(help="models, metrics, splits or steps (of preparation).")] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, to see its settings.")] = None,
    json: opt.Json = False,
) -> None:
    """List what there is: models, metrics, splits, preparation steps; with a name, its settings."""
    import importlib

    from zhiyin.cli._terminal import say_json
    from zhiyin.errors import ConfigError, unknown

    if room is not None and room not in ROOMS:
        raise ConfigError(unknown("room", room, ROOMS))
    if room is not None and name is not None:
        _settings(importlib.import_module(ROOMS[room]).get(name), json)
        return
    rooms = [room] if room else list(ROOMS)
    found = {one: list(importlib.import_module(ROOMS[one]).available()) for one in rooms}
    if json:
        say_json(found)
        return
    _names(found)


def _names(found: dict[str, list[str]]) -> None:
    from zhiyin.cli._terminal import say

    for room, names in found.items():
        say(f"[bold]{room}[/]: {', '.join(names)}")
    say("[dim]settings of one: zhiyin list models item_knn[/]")


def _settings(component: Any, json: bool) -> None:
    import typing

    from zhiyin.cli._terminal import say, say_json, table

    config = typing.get_type_hints(component)["config"]
    if json:
        say_json(config.model_json_schema())
        return
    say((component.__doc__ or "").strip().splitlines()[0])
    rows = [(name, str(field.default), field.description or "") for name, field in config.model_fields.items()]
    say(table(["setting", "default", "what it does"], rows, numbers_from=9))
