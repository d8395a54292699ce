"""`zhiyin export`: a fitted sequence model as an ONNX graph, for services that have neither zhiyin nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zhiyin.cli import _options as opt


def export(
    model: Annotated[Path, typer.Option("--model", help="A saved sequence model.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
) -> None:
    """Write a sequence model as an ONNX graph, with its ids and how to ask it."""
    from zhiyin.artifacts import check_free, read_json
    from zhiyin.cli._terminal import note, say_json
    from zhiyin.models._export import MARK
    from zhiyin.models._export import export as write
    from zhiyin.models.base import load

    check_free(out, overwrite, MARK)
    folder = write(load(model), out, overwrite)
    told = read_json(folder / MARK)
    files = {one.name: one.stat().st_size for one in sorted(folder.iterdir())}
    if json:
        parts = ("model", "opset", "n_items", "longest", "inputs", "outputs")
        say_json({"folder": str(out), "bytes": files, **{name: told[name] for name in parts}})
        return
    size = sum(files.values()) / 2**20
    note(f"saved: {out} ({size:,.1f} MiB)   next: {out / 'README.md'} tells how to ask it with onnxruntime alone")
