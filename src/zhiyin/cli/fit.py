"""`zhiyin fit`: one model on all the data, saved to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zhiyin.cli import _options as opt


def fit(
    model: Annotated[str, typer.Argument(help="The model's name; see `zhiyin list models`.")],
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    settings: opt.Settings = None,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Fit one model on all events of a data set and save it."""
    from zhiyin import models
    from zhiyin.cli._terminal import note
    from zhiyin.errors import DataError

    recommender = models.get(model)(**opt.read_values(opt.settings_of(settings)))
    if out.exists() and not overwrite:
        raise DataError(f"{out} is there already; choose another --out, or replace it with --overwrite")
    run = opt.make_run(seed, threads)
    recommender.fit(opt.open_data(data, run), run=run).save(out, overwrite=overwrite)
    note(f"saved: {out}   next: zhiyin recommend --model {out} --history 'ITEM,ITEM'")
