"""`zhiyin quickstart`: the whole walk on real data, to a report and a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.evaluation.report import Report
    from zhiyin.models.base import Recommender
    from zhiyin.run import Run

MODELS = ("popularity", "user_knn", "item_knn", "ease", "als", "content", "blend", "sasrec", "zhiyin")
SEQUENCES = ("sasrec", "zhiyin")
"""Those that need torch, and an order of events."""
SETTINGS = {name: {"epochs": 20} for name in SEQUENCES}
"""Half of their default epochs: the walk shall be short."""
SPLITS = {"time": "global_time", "position": "leave_last_out", "none": "user_holdout"}
"""The most honest split that what is known of when allows."""
IMPERSONAL = ("popularity", "random")
"""Models whose list is the same for everybody: no one's reasons can be shown with them."""


def quickstart(
    data: Annotated[str, typer.Option("--data", help="A public set's name, or folder:PATH.")] = "movielens-100k",
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("zhiyin-quickstart"),
    text: Annotated[str, typer.Option("--text", help="What to ask for in plain words.")] = "a funny film for children",
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
) -> None:
    """Real data, prepared, judged, compared; lists with reasons; new items and plain words; a report; saved models."""
    import time

    from zhiyin.cli._terminal import note

    start = time.perf_counter()
    run = opt.make_run(seed, threads)
    dataset = _prepare(data, out, run)
    _judge(dataset, out)
    report = _compare(dataset, out, run)
    model = _save(report, dataset, out, run)
    _one_user(model, dataset, run)
    _meaning(dataset, text, out, run)
    note(f"all of it took {time.perf_counter() - start:.0f} s")
    _next(out, dataset)


def _heading(number: int, text: str) -> None:
    from zhiyin.cli._terminal import plain, say

    say(f"\n[bold cyan]{number}. {plain(text)}[/]")


def _prepare(data: str, out: Path, run: Run) -> Dataset:
    from zhiyin.cli._terminal import plain, say
    from zhiyin.cli.prepare import prepare_public, show
    from zhiyin.data import catalog

    _heading(1, f"Get and prepare {data}")
    if data in catalog.available():
        for line in catalog.lines(data):
            say(f"[dim]{plain(line)}[/]", wrap=False)
    dataset = prepare_public(data, out / "dataset", run, overwrite=True)
    show(dataset)
    return dataset


def _judge(dataset: Dataset, out: Path) -> None:
    from zhiyin.artifacts import write_text
    from zhiyin.cli.quality import show
    from zhiyin.data.quality import assess

    _heading(2, "Judge the data")
    found = assess(dataset)
    write_text(out / "quality.html", found.to_page().html())
    show(found)


def _compare(dataset: Dataset, out: Path, run: Run) -> Report:
    from zhiyin.cli.compare import show
    from zhiyin.evaluation.compare import compare
    from zhiyin.splitting import get

    name = SPLITS[dataset.clock]
    _heading(3, "Split by time and compare" if name == "global_time" else f"Split ({name}) and compare")
    split = get(name)(seed=run.seed)
    report = compare(dataset, _affordable(dataset), split=split, run=run)
    report.write(out / "report", overwrite=True)
    show(report)
    return report


def _affordable(dataset: Dataset) -> list[str | tuple[str, dict[str, int]]]:
    """The models that this machine and these data allow, with their settings; what is left out is said."""
    from importlib.util import find_spec

    from zhiyin.cli._terminal import note
    from zhiyin.models.blend import EASE_ITEMS

    left_out: tuple[str, ...] = ()
    if dataset.n_items > EASE_ITEMS:
        note(f"ease is left out: it needs the square of {dataset.n_items:,} items in memory, and the cube in time")
        left_out += ("ease",)
    if not dataset.has_order():
        note(f"{' and '.join(SEQUENCES)} are left out: they read the order of events, which is not known here")
        left_out += SEQUENCES
    elif find_spec("torch") is None:
        note(f'{" and ".join(SEQUENCES)} are left out: they need torch; pip install "zhiyin[sequence]"')
        left_out += SEQUENCES
    return [(name, SETTINGS[name]) if name in SETTINGS else name for name in MODELS if name not in left_out]


def _save(report: Report, dataset: Dataset, out: Path, run: Run) -> Recommender:
    """Fit the best model that looks at the history once more, as `zhiyin fit` does, and save it."""
    from zhiyin import models
    from zhiyin.cli.fit import learn

    best = next((one for one in report.models if one.component not in IMPERSONAL), report.best)
    model: Recommender = models.get(best.component)(**best.settings)
    learn(model, dataset, run)
    model.save(out / "model", overwrite=True)
    return model


def _one_user(model: Recommender, dataset: Dataset, run: Run) -> None:
    from zhiyin.cli._terminal import say, table
    from zhiyin.cli.recommend import show, titles
    from zhiyin.errors import shortened

    user = _typical(dataset)
    query = dataset.query_of(user)
    names = [shortened(name) for name in dataset.item_titles()]
    _heading(4, f"What user {shortened(user)} did, and what {model.name} recommends")
    which = "the last" if dataset.has_order() else "some"
    say(table([f"{which} events of their history"], [(names[item],) for item in query.histories.item[-8:]]))
    show(model.recommend(query, k=10, reasons=2, run=run), titles(dataset, model), k=10)


def _meaning(dataset: Dataset, text: str, out: Path, run: Run) -> None:
    from zhiyin.cli import _meaning
    from zhiyin.cli._terminal import note
    from zhiyin.errors import DataError

    if why := _meaning.why_not(dataset):
        note(f"what items say is left out: {why}")
        return
    reader = _meaning.encoder()
    try:
        _heading(5, f"What items say, as {reader} reads them: codes that begin alike where items are alike")
        _meaning.codes(dataset, reader, run)
        _heading(6, "Items that nobody has used yet")
        model = _meaning.new_items(dataset, reader, run)
        _heading(7, f"In plain words: {text}")
        _meaning.wish(model, dataset, text, out / "model-that-reads", run)
    except DataError as error:  # too few items, or all say the same: the walk ends well all the same
        note(f"the rest is left out: {error}")


def _typical(dataset: Dataset) -> str:
    """The user whose history has the median length; of several, the first by id."""
    import numpy as np

    lengths = dataset.histories.lengths
    return dataset.users.decode([int(np.argsort(lengths, kind="stable")[len(lengths) // 2])])[0]


def _next(out: Path, dataset: Dataset) -> None:
    from zhiyin.cli._terminal import plain, say

    made = {
        out / "report" / "report.html": "the comparison: table, trade-offs, slices",
        out / "quality.html": "the quality of the data, what to do about it",
        out / "model": "the best model that looks at the history",
    }
    if (out / "model-that-reads").is_dir():
        made[out / "model-that-reads"] = "a model that knows items by what they say"
    split, other = SPLITS[dataset.clock], "leave_last_out" if dataset.clock == "time" else "cold_items"
    data, some = out / "dataset", dataset.items.decode(dataset.histories.of(0)[:2])
    lines = [
        opt.command("recommend", "--model", out / "model", "--data", data, "--history", opt.csv_line(some)),
        opt.command("compare", "--data", data, "--models", "ease,item_knn", "--split", other),
        opt.command("tune", "item_knn", "--data", data, *([] if split == "global_time" else ["--split", split])),
        "zhiyin prepare --events YOUR.csv --out my-dataset",
    ]
    width = max(len(str(place)) for place in made)
    say("\n[bold]What there is now[/]")
    for place, what in made.items():
        say(f"  {plain(str(place).ljust(width))}   {what}", wrap=False)
    say("\n[bold]What to run next[/]")
    for line in lines:
        say(f"  {plain(line)}", wrap=False)
    say("  (your own log may be CSV, JSON lines, Parquet, SQLite or PostgreSQL)")
