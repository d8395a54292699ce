"""`zhiyin fit`: one model on a data set, saved to a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.models.base import Recommender
    from zhiyin.run import Run

HoldOut = Annotated[
    bool,
    typer.Option(
        "--hold-out/--all-events",
        help="For models that stop early: hold out each user's last event to see when, or learn from all events.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Folder to keep the training in; the same command again goes on from there."),
]


def fit(
    model: Annotated[str, typer.Argument(help="The model's name; see `zhiyin list models`.")],
    data: opt.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; whole or not at all.")],
    settings: opt.OwnSettings = None,
    hold_out: HoldOut = True,
    checkpoint: Checkpoint = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Where a neural model learns: cpu, cuda, cuda:1, ...")
    ] = None,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Fit one model on a data set and save it."""
    from zhiyin import models
    from zhiyin.artifacts import check_free
    from zhiyin.cli._terminal import note
    from zhiyin.errors import ConfigError

    recommender: Recommender = models.get(model)(**opt.read_values(opt.settings_of(settings)))
    check_free(out, overwrite, "config.json")
    if checkpoint is not None and checkpoint.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"the checkpoint {checkpoint} would lie in the folder of the model, {out}; name another one")
    if not recommender.uses_validation and (device or checkpoint):
        note(
            f"note: {recommender.name} keeps no checkpoints and learns on the CPU: --device and --checkpoint do nothing"
        )
    run = replace(opt.make_run(seed, threads), device=device, checkpoint=checkpoint)
    dataset = opt.open_data(data, run)
    learn(recommender, dataset, run, hold_out)
    recommender.save(out, overwrite=overwrite)
    history = opt.csv_line(dataset.items.decode(dataset.histories.of(0)[:2]))
    note(f"saved: {out}   next: {opt.command('recommend', '--model', out, '--data', data, '--history', history)}")


def learn(model: Recommender, dataset: Dataset, run: Run, hold_out: bool = True) -> None:
    """Fit a model; one that stops early is told when by the last event of each user, if that is to be held out."""
    from zhiyin.cli._terminal import note
    from zhiyin.errors import DataError
    from zhiyin.splitting import LeaveLastOut

    if not (model.uses_validation and hold_out and dataset.has_order()):
        model.fit(dataset, run=run)
        return
    try:
        split = LeaveLastOut().split(dataset)
    except DataError as error:
        raise DataError(f"{error}; --all-events holds nothing out") from None
    note(f"each user's last event is held out to see when {model.name} has learnt enough (--all-events: learn from it)")
    model.fit(split.development, split.test, run)
