"""`zhiyin compare`: several models over one protocol, with intervals, tests and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.evaluation.report import Report

EXPENDABLE = ("MiB", "precision", "novelty", "recall", "users/s", "coverage", "fit s")
"""Columns that a narrow terminal does without, the first one first."""


def compare(
    data: opt.Data,
    models: Annotated[str, typer.Option("--models", help="Names, separated by commas; see `zhiyin list models`.")],
    split: opt.SplitName = "global_time",
    split_set: opt.SplitSettings = None,
    settings: opt.Settings = None,
    metrics: Annotated[str | None, typer.Option("--metrics", help="Metrics, such as ndcg@10,recall@20.")] = None,
    k: opt.K = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items of the history may be listed.")] = False,
    out: opt.Out = None,
    overwrite: opt.Overwrite = False,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Compare models on one split: full ranking, intervals, paired tests, slices, a report."""
    from zhiyin.cli._terminal import note, say_json
    from zhiyin.evaluation.compare import compare as run_compare
    from zhiyin.metrics import DEFAULT

    run = opt.make_run(seed, threads)
    names = opt.names_of(models, "--models")
    chosen = {name: (name, opt.read_values(own)) for name, own in opt.settings_by_model(settings, names).items()}
    report = run_compare(
        opt.open_data(data, run),
        chosen,
        split=opt.make_splitter(split, split_set, seed),
        metrics=DEFAULT if metrics is None else opt.names_of(metrics, "--metrics"),
        k=k,
        exclude_seen=not include_seen,
        run=run,
        out=out,
        overwrite=overwrite,
    )
    say_json(report.to_dict()) if json else show(report, every_metric=metrics is not None)
    if out is not None:
        note(f"report: {out / 'report.html'}")
    note(f"next: {_next(report, data, out)}")


def _next(report: Report, data: str, out: Path | None) -> str:
    """The command to run after this one: keep what was found, else fit the best model."""
    if out is None:
        return "the same with --out DIR, for a report with all lists, slices and example users"
    chosen = [part for name, value in report.best.given.items() for part in ("-o", f"{name}={value}")]
    return opt.command("fit", report.best.component, "--data", data, *chosen, "--out", "my-model")


def show(report: Report, every_metric: bool = False) -> None:
    """Print the protocol, the table and the verdict; with `every_metric`, where those are that do not fit."""
    from zhiyin.cli._terminal import fitting, plain, say, table

    header, rows = fitting(*report.rows(), EXPENDABLE)
    say(f"[bold]{plain(report.protocol.sentence())}[/]")
    for warning in report.warnings:
        say(f"[yellow]note:[/] {plain(warning)}")
    say(table(header, rows, numbers_from=1))
    hidden = [label for label in report.protocol.metrics if label not in header]
    if every_metric and hidden:
        say(f"[dim]not in this table: {plain(', '.join(hidden))}; the report (--out) and --json have all[/]")
    _skipped(report.skipped)
    say(plain(report.verdict()))


def _skipped(skipped: Any) -> None:
    from zhiyin.cli._terminal import plain, say

    for name, reason in skipped.items():
        say(f"[yellow]skipped[/] {plain(name)}: {plain(reason)}")
