"""`zhiyin tune`: search a model's settings on the validation part only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.evaluation.tune import Tuning


def tune(
    model: Annotated[str, typer.Argument(help="The model's name; see `zhiyin list models`.")],
    data: opt.Data,
    metric: Annotated[str, typer.Option("--metric", help="What to raise on the validation part.")] = "ndcg@10",
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many settings to try.")] = 30,
    split: opt.SplitName = "global_time",
    split_set: opt.SplitSettings = None,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Search a model's settings on the validation part of a split; the test part is never looked at."""
    from zhiyin.cli._terminal import note, plain, say, say_json, table
    from zhiyin.evaluation.tune import tune as run_tune

    run = opt.make_run(seed, threads)
    divided = opt.make_splitter(split, split_set, seed).split(opt.open_data(data, run))
    found = run_tune(model, divided, metric=metric, trials=trials, seed=seed, run=run)
    if json:
        say_json(found.to_dict())
        return
    if found.best:
        say(table(["setting", "best value"], [(name, _shown(value)) for name, value in sorted(found.best.items())]))
    else:
        say("nothing that was tried beats the default settings")
    say(
        f"validation {plain(metric)}: {found.value:.4f} (default settings: {found.default_value:.4f}, {_trials(found)})"
    )
    say(f"[dim]{plain(found.protocol.sentence())}[/]")
    chosen = [part for name, value in sorted(found.best.items()) for part in ("-o", f"{name}={value}")]
    same = ["--split", split, *(part for text in split_set or () for part in ("--split-set", text))]
    same += ["--metrics", metric] if metric != "ndcg@10" else []
    same += ["--seed", str(seed)] if seed else []
    note(f"next: {opt.command('compare', '--data', data, '--models', model, *chosen, *same)}")


def _shown(value: Any) -> Any:
    return value if isinstance(value, float) else str(value)


def _trials(found: Tuning) -> str:
    """How many settings were tried, and how many of them failed."""
    failed = sum(bool(trial.error) for trial in found.trials)
    said = f"{len(found.trials)} trials"
    return f"{said}, of which {failed} failed, --json says why" if failed else said
