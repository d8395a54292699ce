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
    settings: opt.OwnSettings = None,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Fit one model on all events of a data set and save it."""
    from zhiyin import models
    from zhiyin.artifacts import check_free
    from zhiyin.cli._terminal import note

    recommender = models.get(model)(**opt.read_values(opt.settings_of(settings)))
    check_free(out, overwrite, "config.json")
    run = opt.make_run(seed, threads)
    dataset = opt.open_data(data, run)
    recommender.fit(dataset, run=run).save(out, overwrite=overwrite)
    history = opt.csv_line(dataset.items.decode(dataset.histories.of(0)[:2]))
    note(f"saved: {out}   next: {opt.command('recommend', '--model', out, '--data', data, '--history', history)}")
