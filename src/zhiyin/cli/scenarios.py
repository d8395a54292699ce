"""`zhiyin scenarios`: recipes for families of uses: list, describe, run, and begin one of your own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.evaluation.significance import Estimate
    from zhiyin.scenarios.report import ScenarioReport

app = typer.Typer(help="Recipes for families of uses: list, describe, run, new.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The recipe's name, or a file of your own that ends in .toml.")]


@app.command("list")
def list_scenarios(json: opt.Json = False) -> None:
    """List the recipes that come along."""
    from zhiyin.cli._terminal import say, say_json, table
    from zhiyin.scenarios import available
    from zhiyin.scenarios.recipe import Recipe

    found = {name: Recipe.named(name) for name in available()}
    if json:
        say_json(
            {name: {key: getattr(one, key) for key in ("title", "family", "purpose")} for name, one in found.items()}
        )
        return
    order = sorted(found.items(), key=lambda pair: (pair[1].family, pair[0]))
    say(table(["name", "family", "what it is for"], [(name, one.family, _line(one.purpose)) for name, one in order]))
    say("[dim]next: zhiyin scenarios describe NAME, zhiyin scenarios run NAME[/]")


@app.command()
def describe(name: Name, json: opt.Json = False) -> None:
    """Show a recipe: what it is for, and the whole of its settings as they are written."""
    from zhiyin.cli._terminal import note, plain, say, say_json
    from zhiyin.scenarios.recipe import recipe_of, text_of

    recipe = recipe_of(name)
    if json:
        say_json(recipe.model_dump(mode="json"))
        return
    say(f"[bold]{plain(recipe.title)}[/] ({recipe.family})")
    say(plain(_line(recipe.purpose)))
    say("")
    for line in text_of(name).splitlines():
        say(plain(line), wrap=False)
    note(f"next: {opt.command('scenarios', 'run', name)}")


@app.command("run")
def run_scenario(
    name: Name,
    data: Annotated[
        str | None, typer.Option("--data", help="Other data: a prepared folder, or the name of a public data set.")
    ] = None,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Run a recipe beside popularity (and the oracle, in a world whose truth is known), and say whether it is good."""
    from zhiyin.cli._terminal import note, say_json
    from zhiyin.scenarios.recipe import recipe_of
    from zhiyin.scenarios.run import run

    how = opt.make_run(seed, threads)
    found = run(recipe_of(name), None if data is None else opt.open_data(data, how), how)
    say_json(found.to_dict()) if json else show(found)
    if not name.endswith(".toml"):
        note(f"next: {opt.command('scenarios', 'new', '--from', name, f'my-{name}.toml')}")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    start: Annotated[str, typer.Option("--from", help="The recipe to begin with; see `zhiyin scenarios list`.")],
    json: opt.Json = False,
) -> None:
    """Write a copy of a recipe, for your own data; a file that is there is never replaced."""
    from zhiyin.cli._terminal import note, plain, say, say_json
    from zhiyin.scenarios.recipe import write_copy

    written = write_copy(start, file)
    say_json({"file": str(written)}) if json else say(plain(str(written)), wrap=False)
    note(f"next: edit its section [data], then {opt.command('scenarios', 'run', written)}")


def show(report: ScenarioReport) -> None:
    """Print what came, beside popularity and the oracle, and what was to be good about it."""
    from zhiyin.cli._terminal import plain, say, say_table

    say(f"[bold]{plain(report.title)}[/]: {report.cases:,} questions to {plain(report.data)}")
    for warning in report.warnings:
        say(f"[yellow]note:[/] {plain(warning)}")
    shown, some_left = _tables(report)
    for made in shown:
        say_table(made)
    if some_left:
        say("[dim]there is no room for every interval; --json has them all[/]")
    for check in report.checks:
        say(f"[{'green' if check.passed else 'red'}]{plain(str(check))}[/]")
    say("good" if report.passed else "not good")


def _tables(report: ScenarioReport) -> tuple[list[Any], bool]:
    """One table with all intervals, if it fits; else with that of the first metric, else without; else several.

    Also says whether intervals are left out.
    """
    from zhiyin.cli._terminal import fits

    labels = list(report.results[report.test.model])
    for told in (len(labels), 1, 0):
        made = _table(report, labels, told)
        if fits(made):
            return [made], told < len(labels)
    parts = [labels[:1]]
    for label in labels[1:]:
        if fits(_table(report, [*parts[-1], label])):
            parts[-1].append(label)
        else:
            parts.append([label])
    return [_table(report, part) for part in parts], True


def _table(report: ScenarioReport, labels: Sequence[str], told: int = 0) -> Any:
    """Who answered, and what came of it by some metrics, of which the first `told` have their intervals."""
    from zhiyin.cli._terminal import table

    rows = [
        (name, *(_value(of[label], at < told) for at, label in enumerate(labels)))
        for name, of in report.results.items()
    ]
    return table(["", *labels], rows, numbers_from=1)


def _value(found: Estimate, whole: bool) -> str:
    """With its interval, if it is to be whole and has one."""
    if not whole or found.value is None or found.low is None or found.high is None:
        return _brief(found.value)
    return f"{_brief(found.value)} ({_brief(found.low)} to {_brief(found.high)})"


def _brief(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"


def _line(text: str) -> str:
    return " ".join(text.split())
