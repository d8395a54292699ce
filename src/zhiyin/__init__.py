"""zhiyin (知音): a recommender that understands its users.

The front door: these names, imported on first touch. Everything else is in the rooms (`zhiyin.models`,
`zhiyin.metrics`, ...).
"""

from __future__ import annotations

import importlib
from typing import Any

from zhiyin._version import __version__

_DOORS = {
    "Catalogue": "zhiyin.data.tables",
    "Dataset": "zhiyin.data.dataset",
    "EventLog": "zhiyin.data.tables",
    "Queries": "zhiyin.data.queries",
    "Query": "zhiyin.data.queries",
    "Recommendations": "zhiyin.data.recommendations",
    "Recommender": "zhiyin.models.base",
    "Run": "zhiyin.run",
    "Users": "zhiyin.data.tables",
    "ZhiyinError": "zhiyin.errors",
    "compare": "zhiyin.evaluation.compare",
    "load": "zhiyin.models.base",
    "prepare": "zhiyin.data.prepare",
}

__all__ = ["__version__", *_DOORS]


_ROOMS = frozenset(
    {
        "data",
        "encoders",
        "evaluation",
        "metrics",
        "models",
        "ranking",
        "retrieval",
        "semantic_ids",
        "splitting",
        "testing",
    }
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"zhiyin.{name}")
    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"module 'zhiyin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
