"""`zhiyin doctor`: what is installed, what each missing extra would add, and what this machine offers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from typing import Any

from zhiyin.cli import _options as opt


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional set of dependencies: the modules that show it is there, and what it adds."""

    name: str
    modules: tuple[str, ...]
    adds: str


EXTRAS = (
    Extra("factors", ("implicit",), "the models als and bpr"),
    Extra("tune", ("optuna",), "zhiyin tune: search of settings"),
    Extra("postgres", ("psycopg",), "events read from PostgreSQL"),
    Extra("sequence", ("torch",), "for Transformers over a user's sequence: sasrec, hstu, zhiyin, ..."),
    Extra("onnx", ("onnx", "onnxscript", "onnxruntime"), "for `zhiyin export`: sequence models as ONNX graphs"),
    Extra("text", ("sentence_transformers",), "for vectors of item text (to come)"),
    Extra("rank", ("lightgbm",), "for the second-stage ranker (to come)"),
    Extra("llm", ("openai",), "for language models behind an OpenAI-compatible address (to come)"),
    Extra("serve", ("fastapi", "uvicorn", "sqlalchemy", "msgspec"), "for the web service (to come)"),
)
CORE = ("numpy", "scipy", "pyarrow", "duckdb", "pydantic", "typer", "rich", "safetensors", "narwhals", "threadpoolctl")


def doctor(json: opt.Json = False) -> None:
    """Say what is installed, what each missing extra would add, and what this machine offers."""
    from zhiyin.cli._terminal import say_json

    found = examine()
    if json:
        say_json(found)
    else:
        _show(found)


def examine() -> dict[str, Any]:
    """What `zhiyin doctor --json` prints."""
    from zhiyin._version import __version__

    return {
        "zhiyin": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "blas": _blas(),
        "core": {name: _version(name) for name in CORE},
        "extras": {extra.name: _extra(extra) for extra in EXTRAS},
        "advice": _advice(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(extra: Extra) -> dict[str, Any]:
    there = all(importlib.util.find_spec(module) for module in extra.modules)
    return {
        "installed": there,
        "versions": {module: _version(module) for module in extra.modules},
        "adds": extra.adds,
        "install": None if there else f'pip install "zhiyin[{extra.name}]"',
    }


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _blas() -> list[dict[str, Any]]:
    """The matrix libraries that are loaded, and their threads."""
    import scipy.linalg  # noqa: F401 - loads scipy's own BLAS, so that it is listed
    from threadpoolctl import threadpool_info

    return [
        {"library": one["internal_api"], "version": one["version"], "threads": one["num_threads"],
         "kernel": one.get("architecture")}
        for one in threadpool_info()
    ]  # fmt: skip


def _advice() -> list[str]:
    names = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return [
        f"{name}={os.environ[name]} is set: it decides how fast matrix products are"
        for name in names
        if os.environ.get(name)
    ]


def _show(found: dict[str, Any]) -> None:
    from zhiyin.cli._terminal import plain, say, table

    say(f"[bold]zhiyin {found['zhiyin']}[/] on Python {found['python']}, {found['platform']}")
    say(f"{found['cores']} cores, {found['memory_gib']} GiB memory")
    for blas in found["blas"]:
        threads = f"{blas['threads']} threads" if blas["threads"] else ""
        say(f"matrix products: {blas['library']} {blas['version']} {threads} {blas.get('kernel') or ''}")
    say(table(["core", "version"], [(name, version or "missing") for name, version in found["core"].items()]))
    rows = [
        (name, "yes" if one["installed"] else "no", one["adds"], one["install"] or "")
        for name, one in found["extras"].items()
    ]
    say(table(["extra", "there", "adds", "install with"], rows))
    for line in found["advice"]:
        say(f"[yellow]note:[/] {plain(line)}")
