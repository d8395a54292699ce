"""`zhiyin quality`: is this log fit for a recommender, and what should be done first?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.quality import Quality

COLOURS = {"good": "green", "note": "cyan", "warning": "yellow", "problem": "red"}


def quality(
    data: opt.Data,
    out: Annotated[
        Path | None, typer.Option("--out", help="An HTML page (or, ending in .json, a JSON file) to write.")
    ] = None,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Judge a data set: counts, curves, ties, duplicates, suspicious users, leakage, and what to do about each."""
    from zhiyin.artifacts import to_json, write_text
    from zhiyin.cli._terminal import note, say_json
    from zhiyin.data.quality import assess

    found = assess(opt.open_data(data, opt.make_run(0, threads)))
    if out is not None:
        write_text(out, to_json(found.to_dict()) if out.suffix == ".json" else found.to_page().html())
        note(f"written: {out}")
    if json:
        say_json(found.to_dict())
    else:
        show(found)


def show(found: Quality) -> None:
    """Print the facts and the findings with their advice."""
    from zhiyin.cli._terminal import plain, say, table

    say(table(["fact", "value"], found.summary_rows()))
    for finding in found.findings:
        colour = COLOURS[finding.severity]
        say(f"[{colour}]{finding.severity}:[/] [bold]{plain(finding.title)}[/]: {plain(finding.detail)}")
        if finding.advice:
            say(f"   → {plain(finding.advice)}")
