"""A page for every model, encoder, metric, split and preparation step, made when the site is built.

In the tables of the rooms' own pages a component's name becomes a link to its page.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from typing import Any

from mkdocs.structure.files import File

ROOMS = {
    "models": ("zhiyin.models", "Models"),
    "encoders": ("zhiyin.encoders", "Encoders"),
    "semantic_ids": ("zhiyin.semantic_ids", "Semantic ids"),
    "metrics": ("zhiyin.metrics", "Metrics"),
    "splits": ("zhiyin.splitting", "Splits"),
    "steps": ("zhiyin.data.steps", "Preparation steps"),
    "features": ("zhiyin.ranking.features", "Features"),
    "rankers": ("zhiyin.ranking.rankers", "Rankers"),
    "rerankers": ("zhiyin.ranking.rerankers", "Re-rankers"),
    "uplift": ("zhiyin.ranking.uplift", "Uplift models"),
}
PAGES = {
    "rooms/models.md": ("models",),
    "rooms/encoders.md": ("encoders",),
    "rooms/semantic_ids.md": ("semantic_ids",),
    "rooms/metrics.md": ("metrics",),
    "rooms/splitting.md": ("splits",),
    "rooms/data.md": ("steps",),
    "rooms/ranking.md": ("features", "rankers"),
    "rooms/reranking.md": ("rerankers",),
    "rooms/uplift.md": ("uplift",),
}
"""The components of which folders are listed on a page."""
FIRST_CELL = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Add the generated pages to the navigation."""
    sections = []
    for folder, (package, title) in ROOMS.items():
        names = importlib.import_module(package).available()
        sections.append({title: [{name: f"components/{folder}/{name}.md"} for name in names]})
    config.nav.insert(3, {"Components": sections})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Generate the pages."""
    for folder, (package, _) in ROOMS.items():
        room = importlib.import_module(package)
        for name in room.available():
            text = page(folder, name, room.get(name))
            files.append(File.generated(config, f"components/{folder}/{name}.md", content=text))
    return files


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    """Link the names of components that stand first in a row of a table."""
    folders = PAGES.get(page.file.src_uri, ())
    place = {name: folder for folder in folders for name in importlib.import_module(ROOMS[folder][0]).available()}

    def linked(cell: re.Match[str]) -> str:
        name = cell[1]
        return f"| [`{name}`](../components/{place[name]}/{name}.md) |" if name in place else cell[0]

    return FIRST_CELL.sub(linked, text)


def page(folder: str, name: str, component: Any) -> str:
    """One component: what it is (its file's docstring), how it behaves (its class's), its settings."""
    about = inspect.cleandoc(sys.modules[component.__module__].__doc__ or "")
    behaviour = inspect.getdoc(component) or ""
    return "\n\n".join([f"# {name}", about, behaviour, "## Settings", settings(component), at_the_prompt(folder, name)])


def settings(component: Any) -> str:
    """The table of settings."""
    config = component.settings()
    if not config.model_fields:
        return "It has none."
    rows = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for name, field in config.model_fields.items():
        kind = str(field.annotation).replace("typing.", "")
        kind = field.annotation.__name__ if isinstance(field.annotation, type) else kind
        about = " ".join((field.description or "").split())
        rows.append(f"| `{name}` | `{kind}` | `{field.default}` | {about} |")
    return "\n".join(rows)


def at_the_prompt(folder: str, name: str) -> str:
    """How to use it from the command line; what is a part of a pipeline is only listed there."""
    lines = {
        "models": f"zhiyin fit {name} --data movielens-100k --out my-{name}",
        "metrics": f"zhiyin compare --data movielens-100k --models item_knn --metrics {name}",
        "splits": f"zhiyin compare --data movielens-100k --models item_knn --split {name}",
        "encoders": f"zhiyin encode {name} --data movielens-100k --out my-{name}",
        "semantic_ids": f"zhiyin codes {name} --data movielens-100k --out my-{name}",
        "steps": f"zhiyin prepare --data movielens-100k --step {name} --out my-dataset",
    }
    shown = [lines[folder]] if folder in lines else []
    return "\n".join(["## At the prompt", "", "```", *shown, f"zhiyin list {folder} {name}", "```"])
