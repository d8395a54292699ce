"""`zhiyin fit`: one model on a data set, saved to a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zhiyin._processes import is_first, rank_and_size
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


LogTo = Annotated[
    str | None,
    typer.Option("--log-to", help="Log each epoch to tensorboard:FOLDER, mlflow:ADDRESS or mlflow (as it is set up)."),
]


class Precision(StrEnum):
    """Of the products inside a net while it learns."""

    float32 = "float32"
    bfloat16 = "bfloat16"


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
    precision: Annotated[
        Precision, typer.Option("--precision", help="Of the products inside a neural model while it learns.")
    ] = Precision.float32,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Let torch compile a neural model; it takes a minute, and pays on a GPU.")
    ] = False,
    log_to: LogTo = None,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Fit one model on a data set and save it."""
    from zhiyin import models
    from zhiyin.artifacts import check_free
    from zhiyin.cli._terminal import logged, note
    from zhiyin.errors import ConfigError

    recommender: Recommender = models.get(model)(**opt.read_values(opt.settings_of(settings)))
    if not recommender.uses_validation and (together := rank_and_size()):
        raise ConfigError(
            f"torchrun started {together[1]} processes, but {recommender.name} learns in one; fit it without torchrun"
        )
    check_free(out, overwrite, "config.json")
    if checkpoint is not None and checkpoint.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"the checkpoint {checkpoint} would lie in the folder of the model, {out}; name another one")
    run = replace(opt.make_run(seed, threads), device=device, checkpoint=checkpoint, compile=compiled)
    run = replace(run, precision="bfloat16" if precision is Precision.bfloat16 else "float32")
    if not recommender.uses_validation and (idle := _neural(run, log_to)):
        note(f"note: {recommender.name} is no neural model: without effect are {', '.join(idle)}")
    elif log_to is not None and is_first():
        from zhiyin.nn.watching import watch_of

        run = replace(run, watch=watch_of(log_to))
    dataset = opt.open_data(data, run)
    with _stoppable(recommender, checkpoint), logged("zhiyin.nn.telling"):
        learn(recommender, dataset, run, hold_out)
        if is_first():
            recommender.save(out, overwrite=overwrite)
    if trained := getattr(recommender, "trained", None):
        from zhiyin.nn.telling import ending

        note(f"{recommender.name}: {ending(trained)}")
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


def _neural(run: Run, log_to: str | None) -> list[str]:
    """The options that were given, of those that only a neural model looks at."""
    given = {
        "--device": run.device,
        "--checkpoint": run.checkpoint,
        "--precision": run.precision != "float32",
        "--compile": run.compile,
        "--log-to": log_to,
    }
    return [option for option, value in given.items() if value]


@contextmanager
def _stoppable(model: Recommender, checkpoint: Path | None) -> Iterator[None]:
    """Say what is left when Ctrl-C ends the training of a neural model."""
    from zhiyin.cli._terminal import note

    try:
        yield
    except KeyboardInterrupt:
        if model.uses_validation:
            note(_left(checkpoint))
        raise


def _left(checkpoint: Path | None) -> str:
    """What a training that was stopped leaves behind."""
    if checkpoint is None:
        return "what was learnt is lost; --checkpoint FOLDER would have kept each epoch that was done"
    if not (checkpoint / "checkpoint.json").is_file():
        return f"no epoch was done, so that {checkpoint} is not there yet; the same command begins anew"
    return f"the checkpoint {checkpoint} stands; the same command goes on from there"
