"""`zhiyin list`: what there is, and the settings of each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zhiyin.cli import _options as opt

ROOMS = {
    "models": "zhiyin.models",
    "encoders": "zhiyin.encoders",
    "semantic_ids": "zhiyin.semantic_ids",
    "metrics": "zhiyin.metrics",
    "splits": "zhiyin.splitting",
    "steps": "zhiyin.data.steps",
    "features": "zhiyin.ranking.features",
    "rankers": "zhiyin.ranking.rankers",
    "rerankers": "zhiyin.ranking.rerankers",
    "uplift": "zhiyin.ranking.uplift",
}


def listing(
    room: Annotated[
        str | None,
        typer.Argument(
            help="models, encoders, semantic_ids, metrics, splits, steps, features, rankers, rerankers or uplift."
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, to see its settings.")] = None,
    json: opt.Json = False,
) -> None:
    """List what there is: models, encoders, metrics, features, rankers and the like; with a name, its settings."""
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
    elif room is None:
        _names(found)
    else:
        _summaries(room, found[room])


def _names(found: dict[str, list[str]]) -> None:
    from zhiyin.cli._terminal import note, say

    for room, names in found.items():
        say(f"[bold]{room}[/]: {', '.join(names)}")
    note("next: zhiyin list models (what each is), zhiyin list models item_knn (its settings)")


def _summaries(room: str, names: list[str]) -> None:
    """What each component of a room is: the first line of its file, read without importing it."""
    import ast
    import importlib
    from pathlib import Path

    from zhiyin.cli._terminal import note, say, table

    folder = Path(str(importlib.import_module(ROOMS[room]).__file__)).parent
    texts = (ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) for name in names)
    rows = [(name, (text or "").partition("\n")[0]) for name, text in zip(names, texts, strict=True)]
    say(table([room, "what it is"], rows))
    note(f"next: zhiyin list {room} {names[0]} (its settings)")


def _settings(component: Any, json: bool) -> None:
    from zhiyin.cli._terminal import plain, say, say_json, table

    config = component.settings()
    if json:
        say_json(config.model_json_schema())
        return
    say(plain((component.__doc__ or "").strip().partition("\n")[0]))
    written = config.model_json_schema()
    rows = [
        (name, str(field.default), _what(field.description or "", _choices(written["properties"].get(name, {}))))
        for name, field in config.model_fields.items()
    ]
    say(table(["setting", "default", "what it does"], rows))


def _what(description: str, choices: list[str]) -> list[str]:
    """What a setting does, and the texts it may be where those are few, one a line."""
    said = " ".join(description.split())
    return [said, f"one of: {', '.join(choices)}"] if choices else [said]


def _choices(schema: dict[str, Any]) -> list[str]:
    """The texts that a JSON schema allows; empty where it allows any."""
    parts = [schema, *schema.get("anyOf", ())]
    return [str(value) for part in parts for value in part.get("enum", ())]
