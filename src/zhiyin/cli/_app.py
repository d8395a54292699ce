"""The tree of commands. Each verb is a file beside this one; its imports happen when it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zhiyin._processes import rank_and_size
from zhiyin.cli import (
    codes,
    compare,
    data,
    doctor,
    encode,
    export,
    fit,
    listing,
    prepare,
    quality,
    quickstart,
    rank,
    recommend,
    scenarios,
    tune,
)
from zhiyin.errors import ConfigError


class Unread(Exception):  # noqa: N818 - nothing failed
    """Nobody reads the output any more (`zhiyin list | head -1`)."""


class Verbs(TyperGroup):
    """The verbs; a closed pipe is answered by `main`, typer would call it a failure."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise Unread from None


app = typer.Typer(
    name="zhiyin",
    cls=Verbs,
    help="A recommender that understands its users: raw events in; compared, explained recommendations out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command takes --debug for a traceback. First steps: zhiyin quickstart",
)


def _version(wanted: bool) -> None:
    if wanted:
        from zhiyin._version import __version__

        typer.echo(f"zhiyin {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A recommender that understands its users: raw events in; compared, explained recommendations out."""
    together = rank_and_size()
    if together is not None and context.invoked_subcommand not in (None, "fit"):
        raise ConfigError(
            f"torchrun started {together[1]} processes, but only `zhiyin fit` of a sequence model shares its work; run "
            f"`zhiyin {context.invoked_subcommand}` without torchrun"
        )


app.command("quickstart")(quickstart.quickstart)
app.add_typer(data.app, name="data")
app.command("prepare")(prepare.prepare)
app.command("quality")(quality.quality)
app.command("compare")(compare.compare)
app.command("fit")(fit.fit)
app.command("rank")(rank.rank)
app.command("recommend")(recommend.recommend)
app.command("encode")(encode.encode)
app.command("search")(encode.search)
app.command("codes")(codes.codes)
app.command("export")(export.export)
app.command("tune")(tune.tune)
app.add_typer(scenarios.app, name="scenarios")
app.command("list")(listing.listing)
app.command("doctor")(doctor.doctor)
